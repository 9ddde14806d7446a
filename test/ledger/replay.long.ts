// A store that is filled from segments is the store that was recorded into: table by table, whatever the order.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type RawBuilder, sql } from 'kysely'
import t from 'tap'
import { realDisk } from '../../src/ledger/disk.ts'
import { replay, type ReplayCounts, type ReplayOptions } from '../../src/ledger/replay.ts'
import { Spool } from '../../src/ledger/spool.ts'
import type { LedgerRecord } from '../../src/model/record.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { verifyStore } from '../../src/verify/store.ts'
import { run } from '../support/command-line.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import {
  auditRecord,
  decisionRecord,
  ids,
  outcomeRecord,
  recorderOf,
  silent,
} from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')
const START = Date.UTC(2026, 10, 1)
const MINUTE = 60_000
/** Minutes that are written, by each of two writers. */
const MINUTES = 36
const MIDDLE = START + (MINUTES / 2) * MINUTE

/** What a column holds that a replay makes anew: ids of groups, and when something came into the store. */
const OWN = new Set(['violation_id', 'updated_at', 'set_aside_at', 'position', 'at'])
const TABLES = [
  'decisions',
  'outcomes',
  'audit_events',
  'gaps',
  'violation_facts',
  'violations',
  'coverage_hours',
  'shadow_ai',
  'writers',
  'dead_letters',
  'ledger_leaves',
  'ledger_keys',
  'ledger_roster',
  'ledger_checkpoints',
]

t.before(async () => {
  const dataDir = t.testdir()
  await writeLedger(join(dataDir, 'ledger'))
  const store = await openStore({ databaseUrl: '', dataDir, migrationsDir, log: silent })
  const archiveDir = join(dataDir, 'archive')
  const { recorder } = recorderOf(join(dataDir, 'ledger'), sinkOf(store), { archiveDir })
  await recorder.flush()
  await recorder.archive()
  expected = await tablesOf(store)
  await store.close()
  ledger = join(dataDir, 'ledger')
  archive = archiveDir
})

let ledger = ''
let archive = ''
let expected: Readonly<Record<string, readonly string[]>> = {}

onEachStore(async (t, store) => {
  const archived = readdirSync(archive).flatMap((writer) => readdirSync(join(archive, writer)))
  t.equal(archived.filter((name) => name.endsWith('.seg.zst')).length, 6, 'most of it is archived')

  const stopping = new AbortController()
  await t.rejects(
    replayed(store, [ledger, archive], {
      signal: stopping.signal,
      onProgress: () => stopping.abort(),
    }),
    { name: 'AbortError' },
    'broken off after its first batch',
  )
  const late = await replayed(store, [ledger, archive], { from: MIDDLE })
  t.ok(late.read > 0 && late.missing === 0)
  const live = await replayed(store, [ledger])
  t.equal(live.missing, 0)
  const old = await replayed(store, [archive])
  t.ok(old.stored.decision > 0, 'what is older comes behind what is newer')
  await replayed(store, [ledger, archive])
  const filled = await tablesOf(store)
  for (const table of TABLES) t.same(filled[table], expected[table], table)

  const again = await replayed(store, [ledger, archive])
  t.same(
    again.stored,
    { decision: 0, outcome: 0, audit: 0, gap: 0 },
    'a second time changes nothing',
  )
  t.equal(again.set_aside, 0)
  const unchanged = await tablesOf(store)
  for (const table of TABLES) t.same(unchanged[table], expected[table], `${table} again`)

  const { verdict, damage } = await verifyStore(store, {
    checkpoints: [],
    keys: [],
    onProgress: () => undefined,
  })
  t.same({ verdict, damage }, { verdict: 'intact', damage: [] }, 'and verifies')

  // A recorder goes on where the replay ended.
  const { recorder } = recorderOf(ledger, sinkOf(store), { archiveDir: archive })
  await recorder.flush()
  t.same((await tablesOf(store))['decisions'], expected['decisions'])
})

t.test('the command', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const into = await server.database()
  const filled = await run(['ledger', 'replay', ledger, archive, '--into', into, '--json'])
  t.equal(filled.code, 0, filled.err)
  const counts = JSON.parse(filled.out) as ReplayCounts
  t.equal(counts.writers, 2)
  t.equal(
    counts.stored.decision + counts.stored.outcome + counts.stored.audit + counts.stored.gap,
    counts.read,
  )
  const again = await run(['ledger', 'replay', ledger, archive, '--into', into])
  t.equal(again.code, 0)
  t.match(again.out, /0 of them new to the store/)
  t.match(again.out, /People, keys, stored policies and reviews are not in the ledger/)
  const none = await run(['ledger', 'replay', t.testdirName, '--into', into])
  t.equal(none.code, 3)
  t.match(none.err, /there is no such folder/)
  const away = await run([
    'ledger',
    'replay',
    ledger,
    '--into',
    'postgres://x:secret@127.0.0.1:1/y',
  ])
  t.equal(away.code, 3)
  t.notMatch(away.err, /secret/, 'and nobody reads a password')
  t.equal((await run(['ledger', 'replay', ledger, '--into', 'somewhere'])).code, 2)
  t.equal((await run(['ledger', 'replay', ledger, '--into', into, '--from', 'noon'])).code, 2)
  t.equal((await run(['ledger', 'replay', ledger])).code, 2)
})

function sinkOf(store: Store): RecordSink {
  return new RecordSink({ db: store.db, nextId: () => ids.next(), onViolation: () => undefined })
}

function replayed(
  store: Store,
  dirs: readonly string[],
  more: Partial<ReplayOptions> = {},
): Promise<ReplayCounts> {
  return replay(sinkOf(store), {
    dirs,
    from: undefined,
    to: undefined,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    onMissing: () => undefined,
    onSetAside: () => undefined,
    ...more,
  })
}

/** Two processes write for half an hour; a segment ends after ten minutes. */
async function writeLedger(dir: string): Promise<void> {
  let clock = START
  const spools = [1, 2].map(
    () =>
      new Spool({
        dir,
        tenant: 'default',
        fsync: 'batch',
        whenFull: 'refuse',
        limitBytes: 1024 ** 3,
        now: () => clock,
        disk: realDisk,
      }),
  )
  for (let minute = 0; minute < MINUTES; minute++) {
    clock = START + minute * MINUTE
    for (const [index, spool] of spools.entries())
      for (const record of recordsAt(clock, minute, index)) await spool.append(record)
  }
  for (const spool of spools) await spool.close()
  if (!existsSync(join(dir, 'installation'))) throw new Error('there is no ledger')
}

function recordsAt(time: number, minute: number, writer: number): LedgerRecord[] {
  const refused = decisionRecord({
    time,
    person: `person-${minute % 3}`,
    user: `user${minute % 3}`,
    violation: true,
  })
  const passed = decisionRecord({ time: time + 1, effect: 'ALLOW', policy: null, service: null })
  const records: LedgerRecord[] = [
    refused,
    passed,
    outcomeRecord(refused, { visibility: 'content', format: 'openai-chat', time: time + 20 }),
    outcomeRecord(passed, { visibility: 'sni', visibility_reason: 'tunnelled', time: time + 30 }),
  ]
  if (minute % 5 === 0) records.push(auditRecord(`act ${minute}`, time + 40))
  if (minute === 7 && writer === 1)
    records.push({
      kind: 'gap',
      tenant: 'default',
      time: time + 50,
      from: time,
      to: time + 10,
      count: 3,
      reason: 'spool_full',
    })
  return records
}

/** Every row as text, in one order. */
async function tablesOf({ db }: Store): Promise<Record<string, readonly string[]>> {
  const tables: Record<string, readonly string[]> = {}
  for (const table of TABLES) {
    const query: RawBuilder<Record<string, unknown>> = sql`select * from ${sql.table(table)}`
    const { rows } = await query.execute(db)
    tables[table] = rows
      .map((row) =>
        JSON.stringify(Object.fromEntries(Object.entries(row).filter(([name]) => !OWN.has(name)))),
      )
      .toSorted()
  }
  return tables
}
