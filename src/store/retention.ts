// What is too old goes: each tenant's rows after that tenant's own ages, but for those that a legal hold covers.
//
// The order is what makes a crash harmless. First the sums: whatever goes is counted. Then an audit record says, for a
// table and by writer, how many rows will go and which numbers they have. Only then do they go, in small steps,
// or with their whole part where nobody needs any of it. A row that arrives meanwhile was not told, so it stays until
// the next run tells of it. What a crash leaves behind is told once more.

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
import { bitsOf, GoneNumbers, isTold, keepNumbers, numbersHash, wordsOf } from './gone-numbers.ts'
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
  /** Which rows of each writer; none of a table whose rows are of no record. */
  readonly writers: ReadonlyMap<string, GoneNumbers>
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

/** Rows of a writer that are due, or of a table whose rows are of no record. */
interface Due {
  readonly writer: string | undefined
  readonly numbers: GoneNumbers
  upTo: number
  rows: number
  /** Milliseconds since the epoch. */
  first: number
  last: number
}

/** Counts, moves the horizon and tells; nothing has gone yet. */
async function tell(
  { db, means, now, nextId, audit }: RetentionParts,
  table: AgedTable,
  series: Series | undefined,
  tenant: string,
  before: Date,
): Promise<Telling[]> {
  const counted = await repeatable(db, async (transaction) => {
    if (series !== undefined) {
      await countArrivals(transaction, means, series, { tenant, before })
      await sql`
        insert into retention_horizons as known (tenant, series, before) values (${tenant}, ${series}, ${before})
        on conflict (tenant, series) do update set before = greatest(known.before, excluded.before)`.execute(
        transaction,
      )
    }
    return dueIn(transaction, means, table, tenant, before)
  })
  const tellings: Telling[] = []
  for (let from = 0; from < counted.length; from += TOLD_AT_ONCE) {
    const some = counted.slice(from, from + TOLD_AT_ONCE)
    const rows = some.reduce((total, each) => total + each.rows, 0)
    const recorded = some.flatMap((each) =>
      each.writer === undefined ? [] : [{ ...each, writer: each.writer }],
    )
    const writers = new Map(recorded.map(({ writer, numbers }) => [writer, numbers]))
    const told = recorded.map(({ writer, upTo, rows: count, numbers }) => ({
      writer,
      up_to_seq: upTo,
      rows: count,
      numbers: numbersHash(numbers.blocks()),
    }))
    const eventId = nextId()
    await keepNumbers(db, { tenant, eventId }, writers)
    await audit(applied(eventId, tenant, now, { table: table.name, before, rows, writers: told }))
    await sql`
      insert into retention_runs (tenant, event_id, series, before, rows, writers)
      values (${tenant}, ${eventId}, ${table.name}, ${before}, ${rows}, ${JSON.stringify(told)})`.execute(
      db,
    )
    tellings.push({
      tenant,
      eventId,
      before,
      writers,
      rows,
      first: new Date(some.reduce((least, { first }) => Math.min(least, first), Infinity)),
      last: new Date(some.reduce((most, { last }) => Math.max(most, last), -Infinity)),
    })
  }
  return tellings
}

/** What is due, by writer. */
async function dueIn(
  transaction: Transaction<Tables>,
  means: Means,
  table: AgedTable,
  tenant: string,
  before: Date,
): Promise<readonly Due[]> {
  const at = column(table, table.at)
  const span = sql`min(${at}) as first, max(${at}) as last`
  const from = await rowsOf(transaction, means, table)
  const isGoing = isDue(table, tenant, before)
  if (!table.isRecorded) {
    const { rows } = await sql<{ rows: string; first: Date; last: Date }>`
      select count(*) as rows, ${span} from ${from} where ${isGoing} having count(*) > 0`.execute(
      transaction,
    )
    return rows.map(({ rows: count, first, last }) => ({
      writer: undefined,
      numbers: new GoneNumbers(),
      upTo: 0,
      rows: Number(count),
      first: first.getTime(),
      last: last.getTime(),
    }))
  }
  const seq = column(table, 'seq')
  const due = new Map<string, Due>()
  const found = readThrough<Word & { up_to_seq: string; first: Date; last: Date }>(
    transaction,
    sql`select ${column(table, 'writer')} as writer, ${wordsOf(seq)}, max(${seq}) as up_to_seq, ${span}
      from ${from} where ${isGoing} and ${seq} > 0 group by 1, 2 order by 1`,
  )
  for await (const { writer, word, bits, rows, up_to_seq: upTo, first, last } of found) {
    const known = due.get(writer) ?? {
      writer,
      numbers: new GoneNumbers(),
      upTo: 0,
      rows: 0,
      first: Infinity,
      last: -Infinity,
    }
    known.numbers.add(Number(word), bitsOf(bits))
    known.upTo = Math.max(known.upTo, Number(upTo))
    known.rows += Number(rows)
    known.first = Math.min(known.first, first.getTime())
    known.last = Math.max(known.last, last.getTime())
    due.set(writer, known)
  }
  return [...due.values()]
}

/** Rows of a writer whose numbers are of one word (src/store/gone-numbers.ts). */
interface Word {
  readonly writer: string
  readonly word: string
  readonly bits: string
  readonly rows: string
}

/** Row by row; whatever there is, some of it is in memory. */
async function* readThrough<T>(
  transaction: Transaction<Tables>,
  select: RawBuilder<unknown>,
): AsyncGenerator<T> {
  await sql`declare due no scroll cursor for ${select}`.execute(transaction)
  for (;;) {
    const { rows } = await sql<T>`fetch ${sql.lit(STEP)} from due`.execute(transaction)
    yield* rows
    if (rows.length < STEP) break
  }
  await sql`close due`.execute(transaction)
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
  const found = readThrough<Word & { tenant: string; stays: boolean }>(
    transaction,
    sql`select tenant, writer, ${wordsOf(sql`seq`)}, bool_or(seq <= 0 or ${isCovered(table)} or ${staysAlways(table)}) as stays
      from ${sql.raw(part.name)} as ${sql.ref(table.name)} group by 1, 2, 3`,
  )
  const gone = new Map<Telling, number>()
  for await (const { tenant, writer, word, bits, rows, stays } of found) {
    const telling = told.find(
      (each) =>
        each.tenant === tenant &&
        part.to <= each.before &&
        each.writers.get(writer)?.has(Number(word), bitsOf(bits)) === true,
    )
    if (stays || telling === undefined) return undefined
    gone.set(telling, (gone.get(telling) ?? 0) + Number(rows))
  }
  return gone
}

/** Told rows that are still there, those of a short time at once. */
async function removeRows(
  { db, means, signal, onGone }: RetentionParts,
  table: AgedTable,
  { tenant, eventId, before, rows, first, last }: Telling,
): Promise<void> {
  const from = await rowsOf(db, means, table)
  const at = column(table, table.at)
  const stepMs = Math.ceil((last.getTime() - first.getTime() + 1) / Math.ceil(rows / STEP))
  const told = table.isRecorded
    ? sql` and ${isTold({ tenant, eventId }, column(table, 'writer'), column(table, 'seq'))}`
    : sql``
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
