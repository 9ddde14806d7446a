// What retention took is told by number: nothing can go in its place, whatever is put back; and what was made of records
// that are gone is judged as far as they are there.

import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import type { AuditRecord, LedgerRecord } from '../../src/model/record.ts'
import { type Ages, tellAges } from '../../src/store/ages.ts'
import { liftHold, placeHold } from '../../src/store/holds.ts'
import type { Store } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { applyRetention } from '../../src/store/retention.ts'
import { meansOf } from '../../src/store/series.ts'
import type { Tables } from '../../src/store/tables.ts'
import type { Report } from '../../src/verify/report.ts'
import { verifyStore } from '../../src/verify/store.ts'
import { makeLedger, type TestLedger } from '../support/ledger-folder.ts'
import { auditRecord, decisionRecord, ids, outcomeRecord, recorderOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const DAY_MS = 86_400_000
const START = Date.UTC(2026, 10, 1)
const NOW = START + 100 * DAY_MS
const MOMENT = (index: number): number => START + index * 60_000

t.setTimeout(600_000)

onEachStore(async (t, store) => {
  await t.test('rows that went are known by number', (t) => knownByNumber(t, store))
  await t.test('violations without all their facts', (t) => withoutFacts(t, store))
})

/** Numbers 6, 16 and 26 are events, 8 is a gap; every third decision is a violation. */
function records(): LedgerRecord[] {
  return Array.from({ length: 30 }, (_, index): LedgerRecord => {
    const time = MOMENT(index)
    if (index % 10 === 5) return auditRecord(`act ${index}`, time)
    if (index === 7)
      return {
        kind: 'gap',
        tenant: 'default',
        time,
        from: time - 9,
        to: time,
        count: 3,
        reason: 'spool_full',
      }
    const person = `person-${index % 2}`
    const decision = decisionRecord({ time, person, violation: index % 3 === 0 })
    return index % 10 === 9 ? outcomeRecord(decision) : decision
  })
}

async function knownByNumber(t: Test, store: Store): Promise<void> {
  const { db } = store
  const dir = t.testdir()
  const ledger = makeLedger(join(dir, 'data'), [{ stretches: [], each: records() }])
  await ship(store, ledger)
  const { writer = '' } = ledger.writers[0] ?? {}
  const at = (seq: number) => sql`writer = ${writer} and seq = ${seq}`
  const before = await verified(db)
  t.match(before, { verdict: 'intact', records: 30, notes: [] })
  await sql`create table kept_rows as select * from decisions where ${at(1)}`.execute(db)
  await placeHold(db, 'default', {
    ...HOLD,
    hold_id: ids.next(),
    person_keys: null,
    time_from: new Date(MOMENT(10)),
    time_to: new Date(MOMENT(12)),
  })

  // Told, and nothing has gone yet.
  const stopping = new AbortController()
  await t.rejects(retention(store, join(dir, 'first'), {}, stopping.signal, () => stopping.abort()))
  t.match(await verified(db), { verdict: 'intact', records: 30 + 1 })
  await retention(store, join(dir, 'second'))
  const after = await verified(db)
  t.same(after.damage, [])
  t.match(after, { verdict: 'intact', notes: [/violations: not all of what they were made of/] })
  t.equal(await countOf(db, 'decisions'), 2, 'what is held stays')
  t.equal(await countOf(db, 'audit_events'), 3 + 3)

  const putBack = sql`insert into decisions select * from kept_rows`
  const attempts: Readonly<Record<string, { does: ReturnType<typeof sql>[]; tells: object }>> = {
    'an event': { does: [sql`delete from audit_events where ${at(6)}`], tells: { writer, seq: 6 } },
    'an event, for a decision that was put back': {
      does: [putBack, sql`delete from audit_events where ${at(6)}`],
      tells: { writer, seq: 6 },
    },
    'a gap, for a decision that was put back': {
      does: [putBack, sql`delete from gaps where ${at(8)}`],
      tells: { writer, seq: 8 },
    },
    'what is held, for a decision that was put back': {
      does: [putBack, sql`delete from decisions where ${at(12)}`],
      tells: { writer, seq: 12 },
    },
    'the numbers': {
      does: [sql`delete from retention_numbers where writer = ${writer}`],
      tells: { writer, seq: 1 },
    },
    'a bit of the numbers': {
      does: [
        sql`update retention_numbers set numbers = set_bit(numbers, 5, 1 - get_bit(numbers, 5)) where writer = ${writer}`,
        sql`delete from audit_events where ${at(6)}`,
      ],
      tells: { writer, table: 'retention_numbers' },
    },
    'how many there were': {
      does: [sql`update violations set count = count + 1`],
      tells: { table: 'violations', column: 'count' },
    },
    'how bad it was': {
      does: [sql`update violations set severity = 'low'`],
      tells: { table: 'violations', what: /those of none of its facts/ },
    },
  }
  for (const [name, { does, tells }] of Object.entries(attempts))
    await undone(db, does, async (transaction) => {
      const { damage } = await verified(transaction)
      t.match(damage[0], tells, `${name}: ${JSON.stringify(damage)}`)
    })
  await undone(db, [putBack], async (transaction) => {
    t.same((await verified(transaction)).damage, [], 'it is what it was')
  })
  await sql`drop table kept_rows`.execute(db)

  await liftHold(db, 'default', HOLD.name, { by: 'test', reason: 'it is over' })
  await retention(store, join(dir, 'third'))
  t.equal(await countOf(db, 'decisions'), 0)
  t.match(await verifyStore(store, OPTIONS), { verdict: 'intact', damage: [] })
}

/** A hold keeps some facts, and the violations that these belong to. */
async function withoutFacts(t: Test, store: Store): Promise<void> {
  const { db } = store
  const dir = t.testdir()
  await ship(store, makeLedger(join(dir, 'data'), [{ stretches: [], each: records() }]))
  await placeHold(db, 'default', {
    ...HOLD,
    hold_id: ids.next(),
    person_keys: null,
    time_from: new Date(MOMENT(12)),
    time_to: new Date(MOMENT(13)),
  })
  const violations = 95 * DAY_MS
  await retention(store, join(dir, 'told'), { violations })
  t.equal(await countOf(db, 'violation_facts'), 2, 'one of each ledger')
  t.equal(await countOf(db, 'violations'), 2, 'both have begun before and ended behind')
  t.match(await verified(db), { verdict: 'intact', damage: [] })
  for (const [column, value] of Object.entries({
    count: sql`1`,
    first_seen: sql`last_seen`,
    last_seen: sql`first_seen`,
    person_key: sql`'person-9'`,
    day: sql`day + 1`,
  }))
    await undone(
      db,
      [sql`update violations set ${sql.ref(column)} = ${value} where person_key = 'person-0'`],
      async (transaction) => {
        const { damage } = await verified(transaction)
        t.match(damage[0], { table: 'violations' }, column)
      },
    )
  await undone(db, [sql`delete from violation_facts`], async (transaction) => {
    t.match((await verified(transaction)).damage[0], { table: 'violation_facts', seq: 13 })
  })

  await liftHold(db, 'default', HOLD.name, { by: 'test', reason: 'it is over' })
  await retention(store, join(dir, 'again'), { violations })
  t.equal(await countOf(db, 'violations'), 0)
  t.match(await verifyStore(store, OPTIONS), { verdict: 'intact', damage: [], notes: [] })
}

const OPTIONS = { checkpoints: [], keys: [], onProgress: () => undefined }

const HOLD = { name: 'case 1', reason: 'a test', created_by: 'test' }

/** `onTold`: called when the first record of what goes is kept. */
async function retention(
  store: Store,
  dir: string,
  more: Partial<Ages> = {},
  signal: AbortSignal = new AbortController().signal,
  onTold: () => void = () => undefined,
): Promise<void> {
  const { db } = store
  const ages = { decisions: 90, outcomes: 90, violations: 730, audit: 2555, aggregates: 730 }
  const inMs = Object.fromEntries(
    Object.entries(ages).map(([age, days]) => [age, days * DAY_MS]),
  ) as unknown as Ages
  await tellAges(db, 'default', { ...inMs, ...more })
  let told = 0
  await applyRetention({
    db,
    means: await meansOf(db),
    now: new Date(NOW),
    signal,
    nextId: () => ids.next(),
    audit: async (record: AuditRecord) => {
      told += 1
      await ship(store, makeLedger(join(dir, String(told)), [{ stretches: [], each: [record] }]))
      onTold()
    },
    onGone: () => undefined,
  })
}

async function ship({ db }: Store, { ledger }: TestLedger): Promise<void> {
  const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
  const { recorder } = recorderOf(ledger, sink)
  await recorder.flush()
  await recorder.flush()
}

function verified(db: Kysely<Tables>): Promise<Report> {
  return verifyStore({ db, kind: 'embedded' }, OPTIONS)
}

async function countOf(db: Kysely<Tables>, table: string): Promise<number> {
  const { rows } = await sql<{ n: string }>`select count(*) as n from ${sql.table(table)}`.execute(
    db,
  )
  return Number(rows[0]?.n)
}

class Undone extends Error {}

async function undone(
  db: Kysely<Tables>,
  does: readonly ReturnType<typeof sql>[],
  look: (db: Kysely<Tables>) => Promise<void>,
): Promise<void> {
  await db
    .transaction()
    .execute(async (transaction) => {
      for (const statement of does) await statement.execute(transaction)
      await look(transaction)
      throw new Undone()
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error
    })
}
