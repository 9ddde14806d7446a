// Sums, ages, holds and compression, one by one, on every database.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RawBuilder, sql } from 'kysely'
import t, { type Test } from 'tap'
import type { AuditRecord, LedgerRecord } from '../../src/model/record.ts'
import type { Ages } from '../../src/store/ages.ts'
import { liftHold, placeHold } from '../../src/store/holds.ts'
import type { Store } from '../../src/store/open.ts'
import { makePartitions } from '../../src/store/partitions.ts'
import { RecordSink } from '../../src/store/records.ts'
import { lacks, meansOf, partsOf } from '../../src/store/series.ts'
import { Upkeep, type UpkeepParts } from '../../src/store/upkeep.ts'
import { auditRecord, decisionRecord, ids, outcomeRecord, shippedOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Noon, in the middle of a month. */
const NOW = Date.UTC(2026, 2, 15, 12)

const RUNS = 12

t.setTimeout(600_000)

onEachStore(async (t, store, name) => {
  await t.test('what it lacks is said', (t) => saysWhatItLacks(t, store, name))
  await t.test('holds keep whatever concerns a person', (t) => holdsKeep(t, store))
  await t.test('parts go as a whole', (t) => partsGo(t, store))
  await t.test('a crash between telling and removing', (t) => crashes(t, store))
  await t.test('sums while recorders write', (t) => sumsWhileWriting(t, store))
  await t.test('a clock that is years ahead costs nothing', (t) => clockAhead(t, store))
  await t.test('sums go by their own age', (t) => sumsAge(t, store))
  if (name === 'TimescaleDB') await t.test('old chunks are compressed', (t) => compresses(t, store))
  if (store.kind === 'postgres') await t.test('one at a time', (t) => oneAtATime(t, store))
})

interface Rig {
  readonly upkeep: Upkeep
  readonly told: AuditRecord[]
  ship(records: readonly LedgerRecord[]): Promise<void>
  /** Runs the work, which must succeed. */
  work(t: Test): Promise<void>
}

function rigOf({ db, kind }: Store, tenant: string, parts: Partial<UpkeepParts> = {}): Rig {
  const told: AuditRecord[] = []
  const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
  const ship: Rig['ship'] = async (records) => {
    const shipped = shippedOf(records.map((record) => ({ ...record, tenant })))
    await sink.write(shipped[0]?.writer ?? '', shipped)
  }
  const upkeep = new Upkeep({
    db,
    kind,
    tenant,
    ages: () => ages(),
    by: 'test',
    nextId: () => ids.next(),
    now: () => NOW,
    audit: async (record) => {
      told.push(record)
      const shipped = shippedOf([record])
      await sink.write(shipped[0]?.writer ?? '', shipped)
    },
    ship: () => undefined,
    ...parts,
  })
  return {
    upkeep,
    told,
    ship,
    work: async (t) => {
      const run = await upkeep.run()
      t.equal(run?.error, null, 'the work is done')
    },
  }
}

function ages(more: Partial<Ages> = {}): Ages {
  return {
    decisions: 30 * DAY_MS,
    outcomes: 30 * DAY_MS,
    violations: 60 * DAY_MS,
    audit: 90 * DAY_MS,
    aggregates: 730 * DAY_MS,
    ...more,
  }
}

async function count(
  { db }: Store,
  table: string,
  tenant: string,
  which: RawBuilder<unknown> = sql`true`,
): Promise<number> {
  const { rows } = await sql<{ n: string }>`
    select count(*) as n from ${sql.table(table)} where tenant = ${tenant} and ${which}`.execute(db)
  return Number(rows[0]?.n)
}

async function requests({ db }: Store, tenant: string): Promise<number[]> {
  const { rows } = await sql<{ hourly: string; people: string }>`
    select (select coalesce(sum(requests), 0) from decisions_hourly where tenant = ${tenant}) as hourly,
      (select coalesce(sum(requests), 0) from people_daily where tenant = ${tenant}) as people`.execute(
    db,
  )
  return [Number(rows[0]?.hourly), Number(rows[0]?.people)]
}

async function saysWhatItLacks(t: Test, { db }: Store, name: string): Promise<void> {
  const said = lacks(await meansOf(db)).join('\n')
  if (name === 'TimescaleDB') t.equal(said, '')
  else if (name.includes('Apache')) {
    t.match(said, /licence "apache": old chunks are not compressed/)
    t.match(said, /no continuous aggregates, Cordon sums them itself/)
  } else t.match(said, /^TimescaleDB is not loaded/)
}

async function holdsKeep(t: Test, store: Store): Promise<void> {
  const tenant = 'held'
  const { db } = store
  const rig = rigOf(store, tenant)
  const old = NOW - 100 * DAY_MS
  const mine = decisionRecord({ time: old, person: 'p1', violation: true })
  const other = decisionRecord({ time: old, person: 'p2', violation: true })
  const young = decisionRecord({ time: NOW - DAY_MS, person: 'p2' })
  await rig.ship([
    mine,
    other,
    young,
    outcomeRecord(mine, { visibility: 'content' }),
    outcomeRecord(other, { visibility: 'content' }),
    auditRecord('x', old),
    { ...auditRecord('y', old), event_type: 'retention_applied' },
    auditRecord('z', NOW - 95 * DAY_MS),
  ])
  const hold = (name: string, more: { person?: string; from?: number; to?: number }) =>
    placeHold(db, tenant, {
      hold_id: randomUUID(),
      name,
      person_keys: more.person === undefined ? null : [more.person],
      time_from: more.from === undefined ? null : new Date(more.from),
      time_to: more.to === undefined ? null : new Date(more.to),
      reason: 'because',
      created_by: 'test',
    })
  await hold('case 1', { person: 'p1', to: old + DAY_MS })
  await t.rejects(hold('case 1', {}), { code: 'CONFLICT', message: /in force already/ })
  await rig.work(t)
  const left = async () => ({
    decisions: await count(store, 'decisions', tenant),
    outcomes: await count(store, 'outcomes', tenant),
    facts: await count(store, 'violation_facts', tenant),
    violations: await count(store, 'violations', tenant),
    audit: await count(store, 'audit_events', tenant, sql`event_type = 'test_event'`),
  })
  t.same(await left(), { decisions: 2, outcomes: 1, facts: 1, violations: 1, audit: 1 })
  t.same(await requests(store, tenant), [3, 3], 'whatever has gone stays in the sums')
  t.match(
    rig.told.map(({ event_type: type, tenant: whose, data }) => [type, whose, data?.['table']]),
    ['outcomes', 'decisions', 'violation_facts', 'audit_events', 'violations'].map((table) => [
      'retention_applied',
      tenant,
      table,
    ]),
  )
  const decisions = rig.told.find(({ data }) => data?.['table'] === 'decisions')?.data
  t.match(decisions, {
    before: new Date(NOW - 30 * DAY_MS - 12 * HOUR_MS).toISOString(),
    rows: 1,
    writers: [{ up_to_seq: 2, rows: 1 }],
  })
  rig.told.length = 0
  await rig.work(t)
  t.same(rig.told, [], 'what a hold keeps is not told')
  await liftHold(db, tenant, 'case 1', { by: 'test', reason: 'over' })
  await t.rejects(liftHold(db, tenant, 'case 1', { by: 'test', reason: 'over' }), {
    code: 'NOT_FOUND',
  })
  await rig.work(t)
  t.same(await left(), { decisions: 1, outcomes: 0, facts: 0, violations: 0, audit: 0 })
  t.same(await requests(store, tenant), [3, 3])
}

async function partsGo(t: Test, store: Store): Promise<void> {
  const { db } = store
  const means = await meansOf(db)
  const old = NOW - 200 * DAY_MS
  await makePartitions(db, new Date(old))
  const covering = async (): Promise<number> =>
    (await partsOf(db, 'outcomes', means)).filter(
      ({ from, to }) =>
        from !== undefined && to !== undefined && from.getTime() <= old && to.getTime() > old,
    ).length
  const rig = rigOf(store, 'whole')
  const silent = rigOf(store, 'keeps', { ages: () => ages({ outcomes: 5000 * DAY_MS }) })
  const decision = decisionRecord({ time: old })
  await rig.ship([outcomeRecord(decision), outcomeRecord(decision, { status: 200 })])
  await silent.ship([outcomeRecord(decision)])
  await silent.work(t)
  await rig.work(t)
  t.equal(await count(store, 'outcomes', 'whole'), 0)
  t.equal(await count(store, 'outcomes', 'keeps'), 1)
  t.equal(await covering(), 1, 'another tenant needs it')
  await rig.ship([outcomeRecord(decision)])
  await sql`delete from outcomes where tenant = 'keeps'`.execute(db)
  await rig.work(t)
  t.equal(await covering(), 0, 'nobody needs it')
  const { rows } = await sql<{ rows: string; gone: string; ended: boolean }>`
    select rows, gone, ended_at is not null as ended from retention_runs
    where tenant = 'whole' and series = 'outcomes' order by began_at`.execute(db)
  t.same(rows, [
    { rows: '2', gone: '2', ended: true },
    { rows: '1', gone: '1', ended: true },
  ])
  await rig.ship([outcomeRecord(decision)])
  t.equal(await count(store, 'outcomes', 'whole'), 1, 'and later rows still have a place')
}

async function crashes(t: Test, store: Store): Promise<void> {
  const tenant = 'crash'
  const rig = rigOf(store, tenant)
  const old = NOW - 100 * DAY_MS
  await rig.ship([decisionRecord({ time: old }), decisionRecord({ time: old })])
  const before = rigOf(store, tenant, {
    audit: () => Promise.reject(new Error('the disk is full')),
  })
  const failed = await before.upkeep.run()
  t.match(failed?.error, /retention: .*decisions: the disk is full/)
  t.equal(await count(store, 'decisions', tenant), 2, 'nothing goes that was not told')
  t.same(await requests(store, tenant), [2, 2])
  // The record was kept, and then the process ended.
  const kept: AuditRecord[] = []
  const after = rigOf(store, tenant, {
    audit: (record) => {
      kept.push(record)
      return Promise.reject(new Error('killed'))
    },
  })
  await after.upkeep.run()
  t.ok(kept.length > 0)
  t.equal(await count(store, 'decisions', tenant), 2)
  // Meanwhile more arrives that is as old.
  await rig.ship([decisionRecord({ time: old + 1 })])
  await rig.work(t)
  t.equal(await count(store, 'decisions', tenant), 0)
  t.same(await requests(store, tenant), [3, 3], 'everything counts once')
  const told = rig.told.find(({ data }) => data?.['table'] === 'decisions')?.data
  t.equal(told?.['rows'], 3, 'what had been told is told again')
}

async function sumsWhileWriting(t: Test, store: Store): Promise<void> {
  const tenant = 'busy'
  let now = NOW - 10 * DAY_MS
  const rig = rigOf(store, tenant, { now: () => now })
  let asked = 0
  let runs = 0
  const isRunning = (): boolean => runs < RUNS
  const write = async (): Promise<void> => {
    // All through the runs, and not faster than the slowest of the databases.
    for (let batch = 0; batch < 40 || isRunning(); batch++) {
      if (batch > 40) await sleep(100)
      const records = Array.from({ length: 20 }, (_, index) =>
        decisionRecord({
          // Around the hour that is being summed, and days before.
          time: now + (index - 10) * 60_000 - (index === 0 ? 25 * DAY_MS : 0),
          person: `p${index % 3}`,
        }),
      )
      await rig.ship(records)
      asked += records.length
    }
  }
  const writers = [write(), write(), write()]
  while (runs < RUNS) {
    await rig.work(t)
    now += 20 * 60_000
    runs += 1
  }
  await Promise.all(writers)
  now += 2 * HOUR_MS
  await rig.work(t)
  t.same(await requests(store, tenant), [asked, asked])
  now = NOW
  await rig.work(t)
  t.same(await requests(store, tenant), [asked, asked])
  const gone = await sql<{ n: string }>`
    select coalesce(sum(gone), 0) as n from retention_runs where tenant = ${tenant} and series = 'decisions'`.execute(
    store.db,
  )
  t.ok(Number(gone.rows[0]?.n) > 0, 'some have gone')
  t.equal(Number(gone.rows[0]?.n) + (await count(store, 'decisions', tenant)), asked)
}

async function clockAhead(t: Test, store: Store): Promise<void> {
  const tenant = 'ahead'
  const rig = rigOf(store, tenant, { now: () => Date.now() + 20 * 365 * DAY_MS })
  await rig.ship([decisionRecord({ time: Date.now() - HOUR_MS })])
  await rig.work(t)
  t.equal(await count(store, 'decisions', tenant), 1)
}

async function sumsAge(t: Test, store: Store): Promise<void> {
  const tenant = 'sums'
  const rig = rigOf(store, tenant, {
    now: Date.now,
    ages: () => ages({ aggregates: 60 * DAY_MS, decisions: 5 * DAY_MS }),
  })
  const times = [100, 40, 1].map((days) => Date.now() - days * DAY_MS)
  const decisions = times.map((time) => decisionRecord({ time }))
  await rig.ship([
    ...decisions,
    ...decisions.map((decision) => outcomeRecord(decision, { visibility: 'content' })),
  ])
  await rig.work(t)
  t.same(await requests(store, tenant), [2, 2])
  t.equal(await count(store, 'coverage_hours', tenant), 2)
  t.equal(await count(store, 'decisions', tenant), 1)
  t.match(
    rig.told.filter(({ data }) => data?.['table'] === 'decisions_hourly'),
    [{ data: { rows: 1, writers: [] } }],
  )
}

async function compresses(t: Test, store: Store): Promise<void> {
  const { db } = store
  const tenant = 'pressed'
  const rig = rigOf(store, tenant, { now: Date.now, ages: () => ages({ decisions: 900 * DAY_MS }) })
  const time = Date.now() - 9 * DAY_MS
  await rig.ship(Array.from({ length: 50 }, () => decisionRecord({ time })))
  await rig.work(t)
  const state = async (): Promise<unknown> => {
    const { rows } = await sql<{ pressed: boolean; status: number }>`
      select is_compressed as pressed, _timescaledb_functions.chunk_status(format('%I.%I', chunk_schema, chunk_name)::regclass) as status
      from timescaledb_information.chunks where hypertable_name = 'decisions'
        and range_start <= ${new Date(time)} and range_end > ${new Date(time)}`.execute(db)
    return rows
  }
  t.same(await state(), [{ pressed: true, status: 1 }])
  await rig.ship([decisionRecord({ time: time + 1 })])
  t.equal(await count(store, 'decisions', tenant), 51, 'late rows find their way')
  await rig.work(t)
  t.same(await state(), [{ pressed: true, status: 1 }], 'and are compressed too')
  t.same(await requests(store, tenant), [51, 51])
  const short = rigOf(store, tenant, { now: Date.now, ages: () => ages({ decisions: 5 * DAY_MS }) })
  await placeHold(db, tenant, {
    hold_id: randomUUID(),
    name: 'one',
    person_keys: null,
    time_from: new Date(time + 1),
    time_to: null,
    reason: 'because',
    created_by: 'test',
  })
  await short.work(t)
  t.equal(await count(store, 'decisions', tenant), 1, 'rows go out of compressed chunks')
  t.same(await requests(store, tenant), [51, 51])
}

async function oneAtATime(t: Test, store: Store): Promise<void> {
  const tenant = 'one'
  let inside: (() => void) | undefined
  const entered = new Promise<void>((resolve) => (inside = resolve))
  let leave: (() => void) | undefined
  const left = new Promise<void>((resolve) => (leave = resolve))
  const shipping = rigOf(store, tenant)
  const slow = rigOf(store, tenant, {
    audit: async (record) => {
      inside?.()
      await left
      await shipping.ship([record])
    },
  })
  await slow.ship([decisionRecord({ time: NOW - 100 * DAY_MS })])
  const running = slow.upkeep.run()
  await entered
  t.equal(await rigOf(store, tenant).upkeep.run(), undefined, 'another one leaves it alone')
  t.equal(await slow.upkeep.run(), undefined, 'and so does the same')
  await slow.ship([decisionRecord({ time: NOW })])
  leave?.()
  t.equal((await running)?.error, null)
  const [last] = await slow.upkeep.runs(1)
  t.match(last, { by: 'test', error: null, steps: [{ name: 'aggregates' }, {}, {}, {}] })
}
