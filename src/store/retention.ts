// What is too old goes: each tenant's rows after that tenant's own ages, but for those that a legal hold covers.
//
// The order is what makes a crash harmless. First the sums: whatever goes is counted. Then an audit record says, for a
// table and by writer, how many rows will go and up to which sequence number. Only then do they go, in small steps,
// or with their whole part where nobody needs any of it. A row that arrives meanwhile has a higher number or another
// writer, so it stays until the next run tells of it. What a crash leaves behind is told once more.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { AuditRecord } from '../model/record.ts'
import { AGGREGATES, countArrivals, repeatable, settle, sumsOf } from './aggregates.ts'
import { barHolds, isHeld } from './holds.ts'
import { dropPart, type Means, type Part, partsOf, SERIES, type Series } from './series.ts'
import type { Tables } from './tables.ts'

export const AGES = ['decisions', 'outcomes', 'violations', 'audit', 'aggregates'] as const
export type Age = (typeof AGES)[number]
/** Milliseconds. */
export type Ages = Readonly<Record<Age, number>>

export interface RetentionParts {
  readonly db: Kysely<Tables>
  readonly means: Means
  readonly now: Date
  readonly nextId: () => string
  /** Resolves when the record is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** Rows that went, of which table. */
  readonly onGone: (table: string, rows: number) => void
}

/** What the record `retention_applied` says of a writer: of its rows up to that number, so many go. */
export interface Told {
  readonly writer: string
  readonly up_to_seq: number
  readonly rows: number
}

/** A table whose rows are records, or facts from records: what goes is told by writer. */
interface Recorded {
  readonly table: Series | 'dead_letters'
  readonly age: Age
  readonly time: string
  /** When a hold of one person is meant. */
  readonly concerns?: RawBuilder<unknown>
  /** Rows that stay at any age. */
  readonly except?: RawBuilder<unknown>
}

/** Records that explain what is missing are needed as long as anything is. */
const NEVER = sql`event_type in ('retention_applied', 'person_erased')`

const RECORDED: readonly Recorded[] = [
  // Before the decisions, by which a hold of a person finds them.
  {
    table: 'outcomes',
    age: 'outcomes',
    time: 'time',
    concerns: sql`exists (select from decisions d where d.tenant = outcomes.tenant
      and d.decision_id = outcomes.decision_id and d.person_key = hold.person_key)`,
  },
  { table: 'decisions', age: 'decisions', time: 'time' },
  { table: 'violation_facts', age: 'violations', time: 'time' },
  // Whom they concern stands in their text only: a hold of a person keeps all of its time.
  { table: 'audit_events', age: 'audit', time: 'time', concerns: sql`true`, except: NEVER },
  { table: 'dead_letters', age: 'decisions', time: 'set_aside_at', concerns: sql`true` },
]

/** A table that is added up from records. */
interface Derived {
  readonly table: string
  readonly age: Age
  /** Its age counts from here. */
  readonly at: string
  /** The first and the last moment that a row tells of. */
  readonly from: string
  readonly to: string
  /** False where no row belongs to one person, so a hold of one does not mean it. */
  readonly personal: boolean
}

const DERIVED: readonly Derived[] = [
  {
    table: 'violations',
    age: 'violations',
    at: 'last_seen',
    from: 'first_seen',
    to: 'last_seen',
    personal: true,
  },
  {
    table: 'coverage_hours',
    age: 'aggregates',
    at: 'hour',
    from: 'hour',
    to: 'hour',
    personal: false,
  },
  {
    table: 'shadow_ai',
    age: 'aggregates',
    at: 'last_seen',
    from: 'first_seen',
    to: 'last_seen',
    personal: true,
  },
  ...AGGREGATES.map(({ name, bucket, keys }) => ({
    table: name,
    age: 'aggregates' as const,
    at: bucket,
    from: 'first_seen',
    to: 'last_seen',
    personal: keys.includes('person_key'),
  })),
]

/** Rows that go in one transaction, about. */
const STEP = 10_000
/** Nobody waits longer for a lock of this work, nor does it wait longer for others'. */
const LOCK_WAIT = '2s'
/** Writers in one audit record: a record is bounded. */
const TOLD_AT_ONCE = 1000
const DAY_MS = 86_400_000

/** A tenant's ages, for whichever Cordon over the store does the work. */
export async function tellAges(db: Kysely<Tables>, tenant: string, ages: Ages): Promise<void> {
  await sql`
    insert into retention_settings as known (tenant, decisions, outcomes, violations, audit, aggregates)
    values (${tenant}, ${ages.decisions}, ${ages.outcomes}, ${ages.violations}, ${ages.audit}, ${ages.aggregates})
    on conflict (tenant) do update set decisions = excluded.decisions, outcomes = excluded.outcomes, violations = excluded.violations,
      audit = excluded.audit, aggregates = excluded.aggregates, updated_at = now()
    where (known.decisions, known.outcomes, known.violations, known.audit, known.aggregates)
      is distinct from (excluded.decisions, excluded.outcomes, excluded.violations, excluded.audit, excluded.aggregates)`.execute(
    db,
  )
}

export async function toldAges(
  db: Kysely<Tables>,
  tenant?: string,
): Promise<readonly { readonly tenant: string; readonly ages: Ages }[]> {
  const whose = tenant === undefined ? sql`true` : sql`tenant = ${tenant}`
  const { rows } = await sql<Record<Age, string> & { tenant: string }>`
    select tenant, decisions, outcomes, violations, audit, aggregates from retention_settings where ${whose} order by tenant`.execute(
    db,
  )
  return rows.map((row) => ({
    tenant: row.tenant,
    ages: Object.fromEntries(AGES.map((age) => [age, Number(row[age])])) as unknown as Ages,
  }))
}

/** Days are kept whole, in UTC. */
export function horizonOf(now: Date, ageMs: number): Date {
  return new Date(Math.floor((now.getTime() - ageMs) / DAY_MS) * DAY_MS)
}

/**
 * Applies the ages of every tenant that told them. A tenant that never did keeps everything. A table that fails, as when
 * somebody reads a part for long, does not keep the others; then an AggregateError tells of all that failed.
 */
export async function applyRetention(parts: RetentionParts): Promise<void> {
  const tenants = await toldAges(parts.db)
  const failures: unknown[] = []
  const attempt = async (table: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      failures.push(new Error(`${table}: ${messageOf(error)}`, { cause: error }))
    }
  }
  for (const recorded of RECORDED)
    await attempt(recorded.table, () => removeRecorded(parts, recorded, tenants))
  for (const derived of DERIVED)
    for (const { tenant, ages } of tenants)
      await attempt(derived.table, () =>
        removeDerived(parts, derived, tenant, horizonOf(parts.now, ages[derived.age])),
      )
  if (failures.length > 0)
    throw new AggregateError(failures, failures.map((failure) => messageOf(failure)).join('; '))
}

async function removeRecorded(
  parts: RetentionParts,
  recorded: Recorded,
  tenants: readonly { readonly tenant: string; readonly ages: Ages }[],
): Promise<void> {
  const { db, means, now } = parts
  const { table } = recorded
  const due = tenants.map(({ tenant, ages }) => ({
    tenant,
    before: horizonOf(now, ages[recorded.age]),
  }))
  const newest = Math.max(...due.map(({ before }) => before.getTime()))
  if (!Number.isFinite(newest)) return
  if (isSeries(table)) await settle(db, means, table, new Date(newest))
  const told: Telling[] = []
  for (const { tenant, before } of due) told.push(...(await tell(parts, recorded, tenant, before)))
  if (told.length === 0) return
  if (isSeries(table)) await dropWhole(parts, recorded, table, told)
  for (const telling of told) await removeRows(parts, recorded, telling)
}

/** One audit record: rows of a tenant that are going to go. */
interface Telling {
  readonly tenant: string
  readonly eventId: string
  readonly before: Date
  readonly writers: readonly Told[]
  readonly rows: number
  /** Of those rows. */
  readonly first: Date
  readonly last: Date
}

interface Counted {
  readonly writer: string
  readonly up_to_seq: string
  readonly rows: string
  readonly first: Date
  readonly last: Date
}

/** Counts, moves the horizon and tells; nothing has gone yet. */
async function tell(
  { db, means, now, nextId, audit }: RetentionParts,
  recorded: Recorded,
  tenant: string,
  before: Date,
): Promise<Telling[]> {
  const { table, time } = recorded
  const counted = await repeatable(db, async (transaction) => {
    if (isSeries(table)) {
      await countArrivals(transaction, means, table, { tenant, before })
      await sql`
        insert into retention_horizons as known (tenant, series, before) values (${tenant}, ${table}, ${before})
        on conflict (tenant, series) do update set before = greatest(known.before, excluded.before)`.execute(
        transaction,
      )
    }
    const { rows } = await sql<Counted>`
      select writer, max(seq) as up_to_seq, count(*) as rows, min(${sql.ref(time)}) as first, max(${sql.ref(time)}) as last
      from ${sql.table(table)} where ${isDue(recorded, tenant, before)} group by writer order by writer`.execute(
      transaction,
    )
    return rows
  })
  const tellings: Telling[] = []
  for (let at = 0; at < counted.length; at += TOLD_AT_ONCE) {
    const some = counted.slice(at, at + TOLD_AT_ONCE)
    const writers = some.map(({ writer, up_to_seq: seq, rows }) => ({
      writer,
      up_to_seq: Number(seq),
      rows: Number(rows),
    }))
    const rows = sum(writers)
    const eventId = nextId()
    await audit(applied(eventId, tenant, now, { table, before, rows, writers }))
    await sql`
      insert into retention_runs (tenant, event_id, series, before, rows, writers)
      values (${tenant}, ${eventId}, ${table}, ${before}, ${rows}, ${JSON.stringify(writers)})`.execute(
      db,
    )
    tellings.push({
      tenant,
      eventId,
      before,
      writers,
      rows,
      first: some.reduce((least, { first }) => (first < least ? first : least), before),
      last: some.reduce((most, { last }) => (last > most ? last : most), new Date(0)),
    })
  }
  return tellings
}

/** A tenant's rows of before a time that no hold covers. */
function isDue({ table, time, concerns, except }: Recorded, tenant: string, before: Date) {
  const at = sql.ref(`${table}.${time}`)
  const kept = except === undefined ? sql`` : sql` and not (${except})`
  return sql`${sql.ref(`${table}.tenant`)} = ${tenant} and ${at} < ${before}::timestamptz${kept}
    and not ${isHeld(table, at, at, concerns)}`
}

/** Parts in which every row was told go as a whole, at once. */
async function dropWhole(
  { db, means, onGone }: RetentionParts,
  recorded: Recorded,
  series: Series,
  told: readonly Telling[],
): Promise<void> {
  const newest = told.reduce((last, { before }) => (before > last ? before : last), new Date(0))
  for (const part of await partsOf(db, series, means)) {
    if (!isDated(part) || part.to > newest) continue
    await db.transaction().execute(async (transaction) => {
      await sql.raw(`set local lock_timeout = '${LOCK_WAIT}'`).execute(transaction)
      await barHolds(transaction)
      // Reading goes on meanwhile; nobody writes into it.
      await sql.raw(`lock table ${part.name} in share mode`).execute(transaction)
      const gone = await allTold(transaction, recorded, part, told)
      if (gone === undefined) return
      await dropPart(transaction, series, part, means)
      for (const [{ tenant, eventId }, rows] of gone) await went(transaction, tenant, eventId, rows)
      onGone(
        series,
        [...gone.values()].reduce((total, rows) => total + rows, 0),
      )
    })
  }
}

/** How many rows of a part each record told; undefined where one holds more than was told. */
async function allTold(
  transaction: Transaction<Tables>,
  recorded: Recorded,
  part: Required<Part>,
  told: readonly Telling[],
): Promise<ReadonlyMap<Telling, number> | undefined> {
  const alias = recorded.table
  const at = sql.ref(`${alias}.${recorded.time}`)
  const held = sql`${isHeld(alias, at, at, recorded.concerns)}`
  const kept = recorded.except === undefined ? held : sql`(${held} or ${recorded.except})`
  const { rows } = await sql<{
    tenant: string
    writer: string
    seq: string
    rows: string
    kept: boolean
  }>`
    select tenant, writer, max(seq) as seq, count(*) as rows, bool_or(${kept}) as kept
    from ${sql.raw(part.name)} as ${sql.ref(alias)} group by tenant, writer`.execute(transaction)
  const gone = new Map<Telling, number>()
  for (const row of rows) {
    const telling = told.find(
      ({ tenant, before, writers }) =>
        tenant === row.tenant &&
        part.to <= before &&
        writers.some(
          ({ writer, up_to_seq: upTo }) => writer === row.writer && Number(row.seq) <= upTo,
        ),
    )
    if (row.kept || telling === undefined) return undefined
    gone.set(telling, (gone.get(telling) ?? 0) + Number(row.rows))
  }
  return gone
}

/** Told rows that are still there, a short time at once. */
async function removeRows(
  { db, onGone }: RetentionParts,
  recorded: Recorded,
  { tenant, eventId, before, writers, rows, first, last }: Telling,
): Promise<void> {
  const { table, time } = recorded
  const at = sql.ref(`${table}.${time}`)
  const steps = Math.max(1, Math.ceil(rows / STEP))
  const stepMs = Math.ceil((last.getTime() - first.getTime() + 1) / steps)
  const ids = writers.map(({ writer }) => writer)
  const seqs = writers.map(({ up_to_seq: seq }) => seq)
  for (let from = first.getTime(); from <= last.getTime(); from += stepMs) {
    const to = new Date(Math.min(from + stepMs, before.getTime()))
    const rowsGone = await db.transaction().execute(async (transaction) => {
      await sql.raw(`set local lock_timeout = '${LOCK_WAIT}'`).execute(transaction)
      await barHolds(transaction)
      const { numAffectedRows } = await sql`
        delete from ${sql.table(table)} where ${isDue(recorded, tenant, before)}
          and ${at} >= ${new Date(from)}::timestamptz and ${at} < ${to}::timestamptz
          and exists (select from unnest(${ids}::uuid[], ${seqs}::bigint[]) as told (writer, seq)
            where told.writer = ${sql.ref(`${table}.writer`)} and ${sql.ref(`${table}.seq`)} <= told.seq)`.execute(
        transaction,
      )
      const gone = Number(numAffectedRows ?? 0n)
      if (gone > 0) await went(transaction, tenant, eventId, gone)
      return gone
    })
    onGone(table, rowsGone)
  }
  await ended(db, tenant, eventId)
}

/** Told by table alone, then a day at a time. */
async function removeDerived(
  { db, means, now, nextId, audit, onGone }: RetentionParts,
  { table, at, from, to, personal }: Derived,
  tenant: string,
  before: Date,
): Promise<void> {
  const aggregate = AGGREGATES.find(({ name }) => name === table)
  const stored = aggregate === undefined ? table : await sumsOf(db, means, aggregate)
  const [begin, end] = [sql.ref(`aged.${from}`), sql.ref(`aged.${to}`)]
  const held = personal ? isHeld('aged', begin, end) : isHeld('aged', begin, end, sql`false`)
  const time = sql.ref(`aged.${at}`)
  const due = sql`aged.tenant = ${tenant} and ${time} < ${before}::timestamptz and not ${held}`
  const { rows: days } = await sql<{ day: Date; rows: string }>`
    select date_bin('1 day', ${time}, timestamptz '2000-01-01 00:00:00+00') as day, count(*) as rows
    from ${sql.raw(stored)} as aged where ${due} group by 1 order by 1`.execute(db)
  if (days.length === 0) return
  const rows = days.reduce((total, day) => total + Number(day.rows), 0)
  const eventId = nextId()
  await audit(applied(eventId, tenant, now, { table, before, rows, writers: [] }))
  await sql`
    insert into retention_runs (tenant, event_id, series, before, rows, writers) values (${tenant}, ${eventId}, ${table}, ${before}, ${rows}, '[]')`.execute(
    db,
  )
  for (const { day } of days) {
    const rowsGone = await db.transaction().execute(async (transaction) => {
      await sql.raw(`set local lock_timeout = '${LOCK_WAIT}'`).execute(transaction)
      await barHolds(transaction)
      const { numAffectedRows } = await sql`
        delete from ${sql.raw(stored)} as aged
        where ${due} and ${time} >= ${day}::timestamptz and ${time} < ${new Date(day.getTime() + DAY_MS)}::timestamptz`.execute(
        transaction,
      )
      const gone = Number(numAffectedRows ?? 0n)
      await went(transaction, tenant, eventId, gone)
      return gone
    })
    onGone(table, rowsGone)
  }
  await ended(db, tenant, eventId)
}

/** In the transaction in which they go. */
async function went(
  transaction: Transaction<Tables>,
  tenant: string,
  eventId: string,
  rows: number,
): Promise<void> {
  await sql`
    update retention_runs set gone = gone + ${rows} where tenant = ${tenant} and event_id = ${eventId}`.execute(
    transaction,
  )
}

async function ended(db: Kysely<Tables>, tenant: string, eventId: string): Promise<void> {
  await sql`
    update retention_runs set ended_at = now() where tenant = ${tenant} and event_id = ${eventId}`.execute(
    db,
  )
}

function applied(
  eventId: string,
  tenant: string,
  now: Date,
  data: {
    readonly table: string
    readonly before: Date
    readonly rows: number
    readonly writers: readonly Told[]
  },
): AuditRecord {
  return {
    kind: 'audit',
    tenant,
    time: now.getTime(),
    event_id: eventId,
    event_type: 'retention_applied',
    severity: 'info',
    actor: { type: 'system', name: 'retention' },
    target: { type: 'table', name: data.table },
    action: 'delete',
    result: 'success',
    data: { ...data, before: data.before.toISOString() },
  }
}

function sum(writers: readonly Told[]): number {
  return writers.reduce((total, { rows }) => total + rows, 0)
}

function isSeries(table: string): table is Series {
  return (SERIES as readonly string[]).includes(table)
}

function isDated(part: Part): part is Required<Part> {
  return part.from !== undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
