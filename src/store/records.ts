// The recorder's end in the store: one statement a table, rows, leaves and cursor in one transaction.
//
// A record is new where the store has neither its leaf nor, from a release that kept no leaves, its row. So whatever
// comes again changes nothing, in whatever order it comes: a batch after a crash, what another recorder
// shipped meanwhile, an older archive behind a newer one.
//
// synchronous_commit is left as the database has it. To lose rows and cursor together would be harmless while
// segments are there, but they may be pruned as soon as a transaction has ended.

import { type Kysely, sql, type Transaction } from 'kysely'
import type {
  AuditRecord,
  Evidence,
  GapRecord,
  OutcomeRecord,
  ShippedRecord,
  Sink,
  Stored,
} from '../model/record.ts'
import type { RiskHistorySettings } from '../model/risk.ts'
import { UnstorableError } from './array-bytes.ts'
import { tally } from './coverage-rows.ts'
import { ErasedPeople, takeOrders } from './erasures.ts'
import { keepEvidence } from './evidence-rows.ts'
import { countUses } from './exceptions.ts'
import { joinedNumbers } from './kept-ledger.ts'
import { LeafTiles } from './leaf-tiles.ts'
import { type ChangedRisk, reckonRisks } from './person-risk.ts'
import {
  AUDIT_COLUMNS,
  auditRow,
  DECISION_COLUMNS,
  decisionRow,
  decisionsOf,
  GAP_COLUMNS,
  gapRow,
  only,
  OUTCOME_COLUMNS,
  outcomeRow,
} from './record-rows.ts'
import type { Tables } from './tables.ts'
import { insert, type Row } from './unnest.ts'
import { countViolations } from './violation-rows.ts'

export interface RecordSinkParts {
  readonly db: Kysely<Tables>
  /** Ids of violation groups. */
  readonly nextId: () => string
  /** Told of every violation that was opened. */
  readonly onViolation: (severity: string) => void
  /** What a violation counts; without it as by default. */
  readonly riskHistory?: () => RiskHistorySettings
  /** Told whose own risk has moved, once that is stored. */
  readonly onRisk?: (moved: readonly ChangedRisk[]) => void
  /** Told where records of people who are to be erased came: their segments hold them, too. */
  readonly onErased?: () => void
}

const KINDS = new Set(['decision', 'outcome', 'audit', 'gap'])

export class RecordSink implements Sink {
  readonly #parts: RecordSinkParts
  readonly #erased = new ErasedPeople()
  #settings: Promise<Settings> | undefined

  constructor(parts: RecordSinkParts) {
    this.#parts = parts
  }

  async cursors(): Promise<ReadonlyMap<string, number>> {
    return joinedNumbers(this.#parts.db)
  }

  async write(writer: string, records: readonly ShippedRecord[], isPart = false): Promise<Stored> {
    const [first] = records
    const last = records.at(-1)
    if (first === undefined || last === undefined) return { fresh: [], clashing: [] }
    const stranger = records.find(({ record }) => !KINDS.has(record.kind))
    if (stranger !== undefined)
      throw new UnstorableError(`this release knows no records of the kind ${stranger.record.kind}`)
    if (records.some(({ seq }, index) => seq <= (records[index - 1]?.seq ?? 0)))
      throw new UnstorableError('the numbers of the records do not ascend')
    const { db, nextId, onViolation } = this.#parts
    const settings = await this.#settingsOf()
    const { fresh, clashing, opened, moved } = await db
      .transaction()
      .execute(async (transaction) => {
        await apply(transaction, settings)
        const cursor = await holdCursor(transaction, writer, last.record.tenant)
        const leaves = await LeafTiles.read(transaction, writer, first.seq, last.seq)
        const given = await this.#erasing(transaction, records)
        const news = await sorted(transaction, leaves, given, cursor.shipped)
        await takeOrders(transaction, news.fresh)
        await insertAll(transaction, news.fresh)
        await countUses(transaction, news.fresh)
        await tally(transaction, news.fresh)
        const violations = await countViolations(transaction, news.fresh, nextId)
        const risks = await reckonRisks(transaction, violations, this.#parts.riskHistory?.())
        for (const other of news.clashing) await bury(transaction, other, CLASH)
        await leaves.write(transaction)
        await noteBatch(transaction, news.fresh)
        await moveCursor(transaction, last.record.tenant, cursor, records, isPart)
        return { ...news, opened: violations, moved: risks }
      })
    for (const { severity } of opened) onViolation(severity)
    if (moved.length > 0) this.#parts.onRisk?.(moved)
    return { fresh, clashing }
  }

  async setAside(record: ShippedRecord, reason: string, isPart = false): Promise<void> {
    const { writer, seq, leaf } = record
    await this.#parts.db.transaction().execute(async (transaction) => {
      const cursor = await holdCursor(transaction, writer, tenantOf(record))
      const leaves = await LeafTiles.read(transaction, writer, seq, seq)
      const known = leaves.leafOf(seq)
      // Nothing is set aside that came into the store after all.
      if (known?.equals(leaf) !== true)
        for (const given of await this.#erasing(transaction, [record]))
          await bury(transaction, given, known === undefined ? reason : CLASH)
      if (known === undefined) leaves.add(seq, leaf)
      await leaves.write(transaction)
      await moveCursor(transaction, tenantOf(record), cursor, [record], isPart)
    })
  }

  /** The records without the personal parts of people who are to be erased. */
  async #erasing(
    transaction: Transaction<Tables>,
    records: readonly ShippedRecord[],
  ): Promise<ShippedRecord[]> {
    await this.#erased.refresh(transaction)
    const kept = records.map((record) => this.#erased.strip(record))
    if (kept.some((record, index) => record !== records[index])) this.#parts.onErased?.()
    return kept
  }

  keepEvidence(evidence: Evidence): Promise<void> {
    return this.#parts.db
      .transaction()
      .execute((transaction) => keepEvidence(transaction, evidence))
  }

  #settingsOf(): Promise<Settings> {
    this.#settings ??= settingsFor(this.#parts.db)
    // Asked again where the store was away.
    this.#settings.catch(() => {
      this.#settings = undefined
    })
    return this.#settings
  }
}

const CLASH = 'another record of its writer has this number in the store'

/** Names and values for the transactions of a recorder. */
type Settings = readonly (readonly [string, string])[]

/** Texts of records are compressed by what does it at a fifth of the cost, where the server was built with it. */
async function settingsFor(db: Kysely<Tables>): Promise<Settings> {
  const { rows } = await sql<{ lz4: boolean }>`
    select 'lz4' = any(enumvals) as lz4 from pg_settings where name = 'default_toast_compression'`.execute(
    db,
  )
  return [
    ...(rows[0]?.lz4 === true ? [['default_toast_compression', 'lz4'] as const] : []),
    // A recorder that vanished without a word must not hold its writer's cursor for the hours that TCP takes to notice.
    ['idle_in_transaction_session_timeout', '60s'],
    // What comes late, after an outage or from an archive, goes into chunks that are compressed already.
    ['timescaledb.max_tuples_decompressed_per_dml_transaction', '0'],
  ]
}

async function apply(transaction: Transaction<Tables>, settings: Settings): Promise<void> {
  const calls = settings.map(([name, value]) => sql`set_config(${name}, ${value}, true)`)
  await sql`select ${sql.join(calls)}`.execute(transaction)
}

interface Cursor {
  /** The last number that the store has of its writer. */
  readonly shipped: number
  /** The last one before what a part left out; undefined where nothing was. */
  readonly joined: number | undefined
}

/** How far the store is with a writer, held until the transaction ends: one recorder a writer at a time. */
async function holdCursor(
  transaction: Transaction<Tables>,
  writer: string,
  tenant: string,
): Promise<Cursor> {
  // The row is there before it is locked: two recorders that begin together would both find nothing to wait for.
  await sql`insert into writers (tenant, writer, seq) values (${tenant}, ${writer}, 0) on conflict do nothing`.execute(
    transaction,
  )
  const { rows } = await sql<{ seq: string; joined: string | null }>`
    select seq, joined from writers where writer = ${writer} order by tenant for update`.execute(
    transaction,
  )
  const joined = rows.flatMap((row) => (row.joined === null ? [] : [Number(row.joined)]))
  return {
    shipped: rows.reduce((most, { seq }) => Math.max(most, Number(seq)), 0),
    joined: joined.length === 0 ? undefined : Math.min(...joined),
  }
}

/** Which records are new, and which clash with another one of their number. The leaves take those that are new. */
async function sorted(
  transaction: Transaction<Tables>,
  leaves: LeafTiles,
  records: readonly ShippedRecord[],
  shipped: number,
): Promise<Stored> {
  const fresh: ShippedRecord[] = []
  const clashing: ShippedRecord[] = []
  const late = records.filter(({ seq }) => seq <= shipped && leaves.leafOf(seq) === undefined)
  const rowed = late.length === 0 ? new Set<number>() : await numbersOfRows(transaction, late)
  for (const record of records) {
    const { seq, leaf } = record
    const known = leaves.leafOf(seq)
    if (known !== undefined) {
      if (!known.equals(leaf)) clashing.push(record)
      continue
    }
    leaves.add(seq, leaf)
    if (!rowed.has(seq)) fresh.push(record)
  }
  return { fresh, clashing }
}

/** Of a release that kept no leaves: which of these records have a row. */
async function numbersOfRows(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
): Promise<ReadonlySet<number>> {
  const writer = records[0]?.writer
  const seqs = records.map(({ seq }) => seq)
  const times = records.map(({ record }) => record.time)
  const tenants = [...new Set(records.map(({ record }) => record.tenant))]
  const from = new Date(times.reduce((a, b) => Math.min(a, b)))
  const to = new Date(times.reduce((a, b) => Math.max(a, b)))
  const inSeries = ['decisions', 'outcomes', 'audit_events'].map(
    (table) => sql`
      select seq from ${sql.table(table)} where tenant = any(${tenants}::text[])
        and time between ${from} and ${to} and writer = ${writer} and seq = any(${seqs}::bigint[])`,
  )
  const beside = ['gaps', 'dead_letters'].map(
    (table) => sql`
      select seq from ${sql.table(table)} where tenant = any(${tenants}::text[])
        and writer = ${writer} and seq = any(${seqs}::bigint[])`,
  )
  const { rows } = await sql<{
    seq: string
  }>`${sql.join([...inSeries, ...beside], sql` union all `)}`.execute(transaction)
  return new Set(rows.map(({ seq }) => Number(seq)))
}

/** Keeps a record that has no place among the rows. */
async function bury(
  transaction: Transaction<Tables>,
  record: ShippedRecord,
  reason: string,
): Promise<void> {
  const { writer, seq, leaf, text, personalBytes } = record
  const personal = personalBytes.length === 0 ? null : personalBytes
  await sql`
    insert into dead_letters (tenant, writer, seq, reason, leaf, record, personal)
    values (${tenantOf(record)}, ${writer}, ${seq}, ${reason}, ${leaf}, ${text}, ${personal})
    on conflict do nothing`.execute(transaction)
}

/** As PostgreSQL can hold it: what is set aside must never be refused itself. */
function tenantOf({ record }: ShippedRecord): string {
  return record.tenant.toWellFormed().replaceAll('\0', '\ufffd')
}

/** For those who follow: what this transaction brought, a line a tenant, and where in time its decisions lie. */
async function noteBatch(
  transaction: Transaction<Tables>,
  fresh: readonly ShippedRecord[],
): Promise<void> {
  const batches = new Map<string, ShippedRecord[]>()
  for (const shipped of fresh) {
    const batch = batches.get(shipped.record.tenant)
    if (batch === undefined) batches.set(shipped.record.tenant, [shipped])
    else batch.push(shipped)
  }
  for (const [tenant, batch] of batches) {
    const [first, last] = [batch[0], batch.at(-1)]
    if (first === undefined || last === undefined) continue
    let [from, to] = [Infinity, -Infinity]
    for (const { record } of batch) {
      if (record.kind !== 'decision') continue
      from = Math.min(from, record.time)
      to = Math.max(to, record.time)
    }
    const times = to < from ? [null, null] : [new Date(from), new Date(to)]
    await sql`
      insert into ledger_batches (tenant, position, writer, first_seq, last_seq, time_from, time_to)
      values (${tenant}, pg_current_xact_id(), ${first.writer}, ${first.seq}, ${last.seq}, ${times[0]}, ${times[1]})`.execute(
      transaction,
    )
  }
}

async function moveCursor(
  transaction: Transaction<Tables>,
  tenant: string,
  { shipped, joined }: Cursor,
  records: readonly ShippedRecord[],
  isPart: boolean,
): Promise<void> {
  const last = records.at(-1)
  if (last === undefined) return
  const { writer, seq } = last
  await sql`
    insert into writers (tenant, writer, seq) values (${tenant}, ${writer}, ${seq})
    on conflict (tenant, writer) do update set seq = greatest(writers.seq, excluded.seq), updated_at = now()`.execute(
    transaction,
  )
  let whole = joined ?? shipped
  // Who reads everything has read on from there, and found all that there is.
  if (!isPart) whole = Math.max(whole, seq)
  for (const each of records) if (each.seq === whole + 1) whole += 1
  const next = whole < Math.max(shipped, seq) ? whole : undefined
  if (next !== joined)
    await sql`update writers set joined = ${next ?? null} where writer = ${writer}`.execute(
      transaction,
    )
}

async function insertAll(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
): Promise<void> {
  const decisions = rowsOf(decisionsOf(records), decisionRow)
  const outcomes = rowsOf(only<OutcomeRecord>(records, 'outcome'), outcomeRow)
  const audits = rowsOf(only<AuditRecord>(records, 'audit'), auditRow)
  const gaps = rowsOf(only<GapRecord>(records, 'gap'), gapRow)
  await insert(transaction, 'decisions', DECISION_COLUMNS, decisions)
  await insert(transaction, 'outcomes', OUTCOME_COLUMNS, outcomes)
  await insert(transaction, 'audit_events', AUDIT_COLUMNS, audits)
  await insert(transaction, 'gaps', GAP_COLUMNS, gaps)
}

/** A record that lacks what a row is made of is none that the store will ever take. */
function rowsOf<T>(records: readonly T[], row: (record: T) => Row): Row[] {
  try {
    return records.map(row)
  } catch (error) {
    throw new UnstorableError('the record lacks what its row is made of', { cause: error })
  }
}
