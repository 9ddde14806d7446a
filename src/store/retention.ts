// What is too old goes: each tenant's rows after that tenant's own ages, but for those that a legal hold covers.
//
// The order is what makes a crash harmless. First the sums: whatever goes is counted. Then an audit record says, for a
// table and by writer, how many rows will go and up to which sequence number. Only then do they go, in small steps,
// or with their whole part where nobody needs any of it. A row that arrives meanwhile has a higher number or another
// writer, so it stays until the next run tells of it. What a crash leaves behind is told once more.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { AuditRecord } from '../model/record.ts'
import { RETENTION_APPLIED, type RetentionApplied } from '../model/retention.ts'
import {
  AGED_TABLES,
  type AgedTable,
  column,
  isCovered,
  isDue,
  rowsOf,
  staysAlways,
} from './aged-tables.ts'
import { type Ages, horizonOf, toldAges } from './ages.ts'
import { countArrivals, repeatable, settle } from './aggregates.ts'
import { barHolds } from './holds.ts'
import { dropPart, type Means, type Part, partsOf, SERIES, type Series } from './series.ts'
import type { Tables } from './tables.ts'

export interface RetentionParts {
  readonly db: Kysely<Tables>
  readonly means: Means
  readonly now: Date
  /** Aborts between two steps. */
  readonly signal: AbortSignal
  readonly nextId: () => string
  /** Resolves when the record is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** Rows that went, of which table. */
  readonly onGone: (table: string, rows: number) => void
}

/** One audit record: rows of a tenant that are going to go. */
interface Telling {
  readonly tenant: string
  readonly eventId: string
  readonly before: Date
  readonly writers: RetentionApplied['writers']
  readonly rows: number
  /** Of those rows. */
  readonly first: Date
  readonly last: Date
}

/** Rows that go in one transaction, about. */
const STEP = 10_000
/** Nobody waits longer for a lock of this work, nor does it wait longer for others'. */
const LOCK_WAIT = '2s'
/** Writers in one audit record: a record is bounded. */
const TOLD_AT_ONCE = 1000

/**
 * Applies the ages of every tenant that told them. A tenant that never did keeps everything. A table that fails, as when
 * somebody reads a part for long, does not keep the others; then an AggregateError tells of all that failed.
 */
export async function applyRetention(parts: RetentionParts): Promise<void> {
  const tenants = await toldAges(parts.db)
  if (tenants.length === 0) return
  const failures: Error[] = []
  for (const table of AGED_TABLES) {
    parts.signal.throwIfAborted()
    try {
      await applyTo(parts, table, tenants)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      failures.push(new Error(`${table.name}: ${reason}`, { cause: error }))
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, failures.map(({ message }) => message).join('; '))
}

async function applyTo(
  parts: RetentionParts,
  table: AgedTable,
  tenants: readonly { readonly tenant: string; readonly ages: Ages }[],
): Promise<void> {
  const { db, means, now } = parts
  const series = SERIES.find((name) => name === table.name)
  const due = tenants.map(({ tenant, ages }) => ({
    tenant,
    before: horizonOf(now, ages[table.age]),
  }))
  if (series !== undefined) {
    const newest = Math.max(...due.map(({ before }) => before.getTime()))
    await settle(db, means, series, new Date(newest))
  }
  const told: Telling[] = []
  for (const { tenant, before } of due)
    told.push(...(await tell(parts, table, series, tenant, before)))
  if (told.length === 0) return
  if (series !== undefined) await removeParts(parts, table, series, told)
  for (const telling of told) await removeRows(parts, table, telling)
}

interface Counted {
  readonly writer: string | null
  readonly up_to_seq: string | null
  readonly rows: string
  readonly first: Date
  readonly last: Date
}

/** Counts, moves the horizon and tells; nothing has gone yet. */
async function tell(
  { db, means, now, nextId, audit }: RetentionParts,
  table: AgedTable,
  series: Series | undefined,
  tenant: string,
  before: Date,
): Promise<Telling[]> {
  const at = column(table, table.at)
  const writer = table.isRecorded
    ? sql`${column(table, 'writer')} as writer, max(${column(table, 'seq')}) as up_to_seq`
    : sql`null as writer, null as up_to_seq`
  const counted = await repeatable(db, async (transaction) => {
    if (series !== undefined) {
      await countArrivals(transaction, means, series, { tenant, before })
      await sql`
        insert into retention_horizons as known (tenant, series, before) values (${tenant}, ${series}, ${before})
        on conflict (tenant, series) do update set before = greatest(known.before, excluded.before)`.execute(
        transaction,
      )
    }
    const { rows } = await sql<Counted>`
      select ${writer}, count(*) as rows, min(${at}) as first, max(${at}) as last
      from ${await rowsOf(transaction, means, table)} where ${isDue(table, tenant, before)} group by 1 order by 1`.execute(
      transaction,
    )
    return rows
  })
  const tellings: Telling[] = []
  for (let from = 0; from < counted.length; from += TOLD_AT_ONCE) {
    const some = counted.slice(from, from + TOLD_AT_ONCE)
    const rows = some.reduce((total, each) => total + Number(each.rows), 0)
    const writers = some.flatMap(({ writer: id, up_to_seq: seq, rows: count }) =>
      id === null ? [] : [{ writer: id, up_to_seq: Number(seq), rows: Number(count) }],
    )
    const eventId = nextId()
    await audit(applied(eventId, tenant, now, { table: table.name, before, rows, writers }))
    await sql`
      insert into retention_runs (tenant, event_id, series, before, rows, writers)
      values (${tenant}, ${eventId}, ${table.name}, ${before}, ${rows}, ${JSON.stringify(writers)})`.execute(
      db,
    )
    tellings.push({
      tenant,
      eventId,
      before,
      writers,
      rows,
      first: new Date(Math.min(...some.map(({ first }) => first.getTime()))),
      last: new Date(Math.max(...some.map(({ last }) => last.getTime()))),
    })
  }
  return tellings
}

/** Parts in which every row was told go as a whole, at once. */
async function removeParts(
  { db, means, signal, onGone }: RetentionParts,
  table: AgedTable,
  series: Series,
  told: readonly Telling[],
): Promise<void> {
  const newest = Math.max(...told.map(({ before }) => before.getTime()))
  for (const part of await partsOf(db, series, means)) {
    if (!isDated(part) || part.to.getTime() > newest) continue
    signal.throwIfAborted()
    await db.transaction().execute(async (transaction) => {
      await prepare(transaction)
      // Reading goes on meanwhile; nobody writes into it.
      await sql.raw(`lock table ${part.name} in share mode`).execute(transaction)
      const gone = await allTold(transaction, table, part, told)
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

/** How many rows of a part each record told; undefined where the part holds more than was told. */
async function allTold(
  transaction: Transaction<Tables>,
  table: AgedTable,
  part: Required<Part>,
  told: readonly Telling[],
): Promise<ReadonlyMap<Telling, number> | undefined> {
  const { rows } = await sql<{
    tenant: string
    writer: string
    seq: string
    rows: string
    stays: boolean
  }>`
    select tenant, writer, max(seq) as seq, count(*) as rows, bool_or(${isCovered(table)} or ${staysAlways(table)}) as stays
    from ${sql.raw(part.name)} as ${sql.ref(table.name)} group by tenant, writer`.execute(
    transaction,
  )
  const gone = new Map<Telling, number>()
  for (const row of rows) {
    const telling = told.find(
      ({ tenant, before, writers }) =>
        tenant === row.tenant &&
        part.to <= before &&
        writers.some(
          ({ writer, up_to_seq: last }) => writer === row.writer && Number(row.seq) <= last,
        ),
    )
    if (row.stays || telling === undefined) return undefined
    gone.set(telling, (gone.get(telling) ?? 0) + Number(row.rows))
  }
  return gone
}

/** Told rows that are still there, those of a short time at once. */
async function removeRows(
  { db, means, signal, onGone }: RetentionParts,
  table: AgedTable,
  { tenant, eventId, before, writers, rows, first, last }: Telling,
): Promise<void> {
  const from = await rowsOf(db, means, table)
  const at = column(table, table.at)
  const stepMs = Math.ceil((last.getTime() - first.getTime() + 1) / Math.ceil(rows / STEP))
  const told = table.isRecorded ? sql` and ${wereTold(table, writers)}` : sql``
  for (let start = first.getTime(); start <= last.getTime(); start += stepMs) {
    signal.throwIfAborted()
    const end = new Date(start + stepMs)
    const gone = await db.transaction().execute(async (transaction) => {
      await prepare(transaction)
      const { numAffectedRows } = await sql`
        delete from ${from} where ${isDue(table, tenant, before)}
          and ${at} >= ${new Date(start)}::timestamptz and ${at} < ${end}::timestamptz${told}`.execute(
        transaction,
      )
      const count = Number(numAffectedRows ?? 0n)
      await went(transaction, tenant, eventId, count)
      return count
    })
    onGone(table.name, gone)
  }
  await sql`
    update retention_runs set ended_at = now() where tenant = ${tenant} and event_id = ${eventId}`.execute(
    db,
  )
}

function wereTold(table: AgedTable, writers: Telling['writers']): RawBuilder<unknown> {
  const ids = writers.map(({ writer }) => writer)
  const last = writers.map(({ up_to_seq: seq }) => seq)
  return sql`exists (select from unnest(${ids}::uuid[], ${last}::bigint[]) as told (writer, seq)
    where told.writer = ${column(table, 'writer')} and ${column(table, 'seq')} <= told.seq)`
}

/** Of a transaction that removes. */
async function prepare(transaction: Transaction<Tables>): Promise<void> {
  await sql.raw(`set local lock_timeout = '${LOCK_WAIT}'`).execute(transaction)
  await barHolds(transaction)
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

function applied(
  eventId: string,
  tenant: string,
  now: Date,
  { before, ...what }: Omit<RetentionApplied, 'before'> & { readonly before: Date },
): AuditRecord {
  const data: RetentionApplied = { ...what, before: before.toISOString() }
  return {
    kind: 'audit',
    tenant,
    time: now.getTime(),
    event_id: eventId,
    event_type: RETENTION_APPLIED,
    severity: 'info',
    actor: { type: 'system', name: 'retention' },
    target: { type: 'table', name: what.table },
    action: 'delete',
    result: 'success',
    data: { ...data },
  }
}

function isDated(part: Part): part is Required<Part> {
  return part.from !== undefined
}
