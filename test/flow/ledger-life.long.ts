// A ledger under a Cordon that runs: its key is changed, and what is too old goes by itself; everything still verifies, and
// what was proved before stays proved.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { InclusionProof } from '../../src/verify/proof-file.ts'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { makeLedger } from '../support/ledger-folder.ts'
import { decisionRecord, outcomeRecord } from '../support/records.ts'

const DAY_MS = 86_400_000
/** Whole days in UTC are what ages go by. */
const OLD = Math.floor(Date.now() / DAY_MS) * DAY_MS - 40 * DAY_MS
const OLD_COUNT = 12
const iso = (time: number): string => new Date(time).toISOString()

t.setTimeout(300_000)

t.test('the key is changed while it runs', async (t) => {
  const place = await new Place().withStore()
  place.configure(company(place, 9))
  let cordon = await place.start()
  t.teardown(async () => {
    await cordon.stop('SIGKILL')
    place.remove()
  })
  const key = await keyWith(place, 'decisions:write')
  const before = await decided(cordon, key)
  const old = await proved(place, before)
  await place.done(['ledger', 'checkpoint', '--out', join(place.dir, 'old.ck')])

  await place.done(['ledger', 'rotate-key'])
  const after = await decided(cordon, key)
  const young = await proved(place, after)
  t.equal((JSON.parse(young) as InclusionProof).keys.length, 2)
  const put = (name: string, text: string): string => place.write(name, text)
  const vkey = (number: number): string => join(place.dataDir, `ledger/keys/000${number}.vkey`)

  const holds = async (): Promise<void> => {
    for (const args of [
      ['verify'],
      ['verify', '--database'],
      ['verify', '--checkpoint', join(place.dir, 'old.ck'), '--key', vkey(1), '--key', vkey(2)],
      ['verify', put('old.json', old)],
      // Of the time when there was no other one.
      ['verify', put('old.json', old), '--key', vkey(1)],
      ['verify', put('young.json', young), '--key', vkey(1)],
      ['verify', put('young.json', young), '--key', vkey(2)],
    ])
      t.match(await place.cordon(['ledger', ...args]), { code: 0 }, args.join(' '))
    const ck = join(place.dir, 'old.ck')
    const grown = await place.done(['ledger', 'prove', '--consistency', ck])
    t.match(await place.cordon(['ledger', 'verify', put('grown.json', grown)]), { code: 0 })
    t.equal((await proved(place, before)).includes('"cordon_proof": "inclusion"'), true)
  }
  await holds()
  t.match(await place.cordon(['ledger', 'verify', put('old.json', old), '--key', vkey(2)]), {
    code: 1,
  })
  t.equal(await cordon.stop(), 0)
  cordon = await place.start()
  await proved(place, await decided(cordon, key))
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
  const held = [iso(OLD + 3 * 60_000), iso(OLD + 5 * 60_000)]
  await place.done([
    ...['ledger', 'hold', 'add', 'case-7', '--reason', 'a case'],
    ...['--from', held[0] ?? '', '--to', held[1] ?? ''],
  ])
  const cordon = await place.start()
  t.teardown(async () => {
    await cordon.stop('SIGKILL')
    place.remove()
  })
  await decided(cordon, await keyWith(place, 'decisions:write'))

  const told = await eventually(
    () => cordon.export('audit_events'),
    (events) => events.some((event) => tableOf(event) === 'decisions'),
    60_000,
  )
  const [event] = told.filter((each) => tableOf(each) === 'decisions')
  t.match(event, { actor_name: 'retention', event_data: { rows: OLD_COUNT - 2 } })
  const old = await eventually(
    () => oldDecisions(cordon),
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
  t.same(await oldDecisions(cordon), [])
  const events = (await cordon.export('audit_events')).map(({ event_type: type }) => type)
  for (const type of ['legal_hold_placed', 'legal_hold_released', 'retention_applied'])
    t.ok(events.includes(type), type)
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
async function proved(place: Place, id: string): Promise<string> {
  const { out } = await eventually(
    () => place.cordon(['ledger', 'prove', id]),
    ({ code }) => code === 0,
    40_000,
  )
  return out
}

function tableOf({ event_type: type, event_data: data }: Record<string, unknown>): unknown {
  return type === 'retention_applied' ? (data as { table?: unknown }).table : undefined
}

async function oldDecisions(cordon: Running): Promise<readonly unknown[]> {
  return (await cordon.export()).filter(({ time }) => Date.parse(String(time)) < OLD + DAY_MS)
}

async function intact(t: Test, place: Place): Promise<void> {
  for (const args of [[], ['--database']]) {
    const { code, out, err } = await place.cordon(['ledger', 'verify', ...args])
    t.equal(code, 0, `${args.join(' ')}: ${out}${err}`)
  }
}
