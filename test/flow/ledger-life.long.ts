// A ledger under a Cordon that runs: its key is changed, and what is too old goes by itself; everything still verifies, and
// what was proved before stays proved.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { PublicKey } from '../../src/proof/note.ts'
import { type FolderPlace, verifyFolder } from '../../src/verify/folder.ts'
import { type InclusionProof, verifyProof } from '../../src/verify/proof-file.ts'
import { proveConsistency, proveInclusion, standingOf } from '../../src/verify/prove.ts'
import { readKey } from '../../src/verify/trust.ts'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { makeLedger } from '../support/ledger-folder.ts'
import { decisionRecord, outcomeRecord } from '../support/records.ts'

const DAY_MS = 86_400_000
/** Whole days in UTC are what ages go by. */
const OLD = Math.floor(Date.now() / DAY_MS) * DAY_MS - 40 * DAY_MS
const OLD_COUNT = 12
const iso = (time: number): string => new Date(time).toISOString()

t.setTimeout(600_000)

t.test('the key is changed while it runs', async (t) => {
  const place = await new Place().withStore()
  place.configure(company(place, 9))
  let cordon = await place.start()
  t.teardown(async () => {
    await cordon.stop('SIGKILL')
    place.remove()
  })
  const key = await keyWith(place, 'decisions:write')
  const ledger = { ledger: join(place.dataDir, 'ledger'), archive: undefined }
  const before = await decided(cordon, key)
  const old = await proved(ledger, before)
  const statement = await place.done(['ledger', 'checkpoint'])

  await place.done(['ledger', 'rotate-key'])
  const after = await decided(cordon, key)
  const young = await proved(ledger, after)
  t.equal(young.keys.length, 2)
  const [first, second] = [1, 2].map((number) => {
    const text = readFileSync(join(ledger.ledger, `keys/000${number}.vkey`), 'utf8')
    return readKey(text.trim()) ?? t.fail(text)
  }) as [PublicKey, PublicKey]

  const holds = async (): Promise<void> => {
    const kept = [{ file: 'old.ck', note: statement }]
    for (const [checkpoints, keys] of [
      [[], []],
      [kept, [first]],
      [kept, [second]],
    ] as const)
      t.match(verifyFolder(ledger, { checkpoints, keys, onProgress: () => undefined }), {
        verdict: 'intact',
        damage: [],
      })
    for (const [proof, keys] of [
      [old, []],
      // Of the time when there was no other one.
      [old, [first]],
      [young, [first]],
      [young, [second]],
      [await proved(ledger, before), [second]],
    ] as const)
      t.equal(verifyProof(proof, 'proof.json', keys).verdict, 'intact')
    const now = standingOf(ledger).writers.find(({ writer }) => writer === old.writer)?.note ?? ''
    const { proof: grown } = proveConsistency(ledger, old.checkpoint, now)
    t.equal(verifyProof(grown, 'grown.json', [second]).verdict, 'intact')
    t.match(await place.cordon(['ledger', 'verify', '--database']), { code: 0 })
  }
  await holds()
  t.equal(verifyProof(old, 'proof.json', [second]).verdict, 'damaged')
  t.equal(await cordon.stop(), 0)
  cordon = await place.start()
  await proved(ledger, await decided(cordon, key))
  await holds()
})

t.test('what is too old goes by itself, but for what a hold covers', async (t) => {
  const place = new Place()
  const settings = {
    ledger: { retention: { decisions: '30d', outcomes: '30d' }, archive: { dir: 'archive' } },
  }
  const each = Array.from({ length: OLD_COUNT }, (_, index) => {
    const decision = decisionRecord({ time: OLD + index * 60_000, violation: index % 2 === 0 })
    return [decision, outcomeRecord(decision)]
  }).flat()
  const [made] = makeLedger(place.dataDir, [{ stretches: [6, 5], each }]).writers
  place.configure(company(place, 9, settings))
  const covered = ['--from', iso(OLD + 3 * 60_000), '--to', iso(OLD + 5 * 60_000)]
  await place.done(['ledger', 'hold', 'add', 'case-7', '--reason', 'a case', ...covered])
  const cordon = await place.start()
  t.teardown(async () => {
    await cordon.stop('SIGKILL')
    place.remove()
  })
  const key = await keyWith(place, 'decisions:write,ledger:read')
  await decided(cordon, key)

  const told = await eventually(
    () => listed(cordon, key, 'audit-events'),
    (events) => events.some((event) => tableOf(event) === 'decisions'),
    60_000,
  )
  const event = told.find((each) => tableOf(each) === 'decisions')
  t.match(event, { actor_name: 'retention', event_data: { rows: OLD_COUNT - 2 } })
  const old = await eventually(
    () => oldDecisions(cordon, key),
    (rows) => rows.length <= 2,
  )
  t.equal(old.length, 2, 'what the hold covers stays')
  await intact(t, place)
  const archive = join(place.dir, 'archive', made?.writer ?? '')
  await eventually(
    () => Promise.resolve(existsSync(archive) ? readdirSync(archive) : []),
    (names) =>
      names.some((name) => name.endsWith('.seg.zst')) && names.includes('0000000000000001.seal'),
  )
  await intact(t, place)

  await place.done(['ledger', 'hold', 'release', 'case-7', '--reason', 'it is over'])
  await place.done(['ledger', 'retention', '--run'])
  t.same(await oldDecisions(cordon, key), [])
  const events = new Set(
    (await listed(cordon, key, 'audit-events')).map(({ event_type: type }) => type),
  )
  for (const type of ['legal_hold_placed', 'legal_hold_released', 'retention_applied'])
    t.ok(events.has(type), type)
  await intact(t, place)
  t.equal(await cordon.stop(), 0)
  t.match(await place.cordon(['ledger', 'verify']), { code: 0 })
  // Without a Cordon that has the database open.
  t.match(await place.cordon(['ledger', 'verify', '--database']), { code: 0 })
})

/** The id of a decision that was just made. */
async function decided(cordon: Running, key: string): Promise<string> {
  const { status, body } = await cordon.call('/v1/decisions', key, {
    action: 'paste',
    resource: { url: 'https://chat.open.test/' },
  })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return String(body['decision_id'])
}

/** The proof of a decision, as soon as a checkpoint covers it. */
async function proved(ledger: FolderPlace, decisionId: string): Promise<InclusionProof> {
  const found = await eventually(
    () => {
      try {
        return Promise.resolve(proveInclusion(ledger, { decisionId }))
      } catch {
        return Promise.resolve(undefined)
      }
    },
    (proof) => proof !== undefined,
    60_000,
  )
  if (found === undefined) throw new Error('it is not proved')
  return found
}

function tableOf({ event_type: type, event_data: data }: Record<string, unknown>): unknown {
  return type === 'retention_applied' ? (data as { table?: unknown }).table : undefined
}

async function listed(cordon: Running, key: string, what: string): Promise<Item[]> {
  const { status, body } = await cordon.call(`/v1/${what}?limit=1000`, key)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body['items'] as Item[]
}

type Item = Record<string, unknown>

async function oldDecisions(cordon: Running, key: string): Promise<readonly unknown[]> {
  const decisions = await listed(cordon, key, 'decisions')
  return decisions.filter(({ time }) => Date.parse(String(time)) < OLD + DAY_MS)
}

/** Once a checkpoint covers what tells why something is missing. */
async function intact(t: Test, place: Place): Promise<void> {
  for (const args of [[], ['--database']]) {
    const { code, out, err } = await eventually(
      () => place.cordon(['ledger', 'verify', ...args]),
      (printed) => printed.code !== 3,
      60_000,
    )
    t.equal(code, 0, `${args.join(' ')}: ${out}${err}`)
  }
}
