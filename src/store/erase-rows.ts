// Carries out erasures in the tables: a row is afterwards what its record's text says, without the personal part.
//
// In steps of some hundred rows, each a transaction of its own, so that recording goes on beside it; what was interrupted
// begins anew and finds what is left. Then the space of the old rows is given back, because an UPDATE leaves them there.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { concerns, type ErasureOrder } from '../model/erasure.ts'
import type { AuditRecord, LedgerRecord } from '../model/record.ts'
import {
  type Actors,
  type ActTable,
  actorsOf,
  countActs,
  eraseConflicts,
  eraseEvents,
  eraseExceptions,
  eraseHolds,
  eraseReviews,
  eraseVersions,
  policiesToErase,
} from './erase-acts.ts'
import { auditRow, AUDIT_COLUMNS, DECISION_COLUMNS, decisionRow, type Of } from './record-rows.ts'
import type { Tables } from './tables.ts'
import { type Columns, type Row, selectRows } from './unnest.ts'

/** Rows with something of the people in them, by table. */
export type ErasedRows = Readonly<
  Record<'decisions' | 'audit_events' | 'dead_letters' | 'violations' | ActTable, number>
>

const STEP_ROWS = 500
/** A step may have to look through many rows of others. */
const STEP_TIMEOUT = '10min'
const OLDER_TRANSACTIONS_MS = 60_000
const LOOK_EVERY_MS = 50
const NONE = Buffer.alloc(0)
/** Tables up to this size are written anew; of larger ones the space is given back for new rows. */
const REWRITE_BYTES = { embedded: 512 * 1024 * 1024, server: 64 * 1024 * 1024 }
const REWRITE_WAIT = '2s'

/** What each row of a time series is found by, whatever else is in it. */
const PLACE: Columns = { tenant: 'text', time: 'timestamptz', writer: 'uuid', seq: 'bigint' }
/** Columns that the personal part fills, by table. */
const DERIVED = {
  decisions: pick(DECISION_COLUMNS, [
    'user_name',
    'user_email',
    'ip_address',
    'geo_location',
    'user_agent',
    'device',
    'risk_factors',
    'personal',
  ]),
  audit_events: pick(AUDIT_COLUMNS, ['actor_name', 'target_name', 'event_data', 'personal']),
} as const
type Series = keyof typeof DERIVED

/** How many rows hold something of the people. */
export async function countRows(
  db: Kysely<Tables>,
  order: Omit<ErasureOrder, 'erasure_id'>,
): Promise<ErasedRows> {
  const count = async (table: string, condition: RawBuilder<unknown>): Promise<number> => {
    const { rows } = await patiently(db, (transaction) =>
      sql<{ n: string }>`select count(*) as n from ${sql.table(table)} where ${condition}`.execute(
        transaction,
      ),
    )
    return Number(rows[0]?.n ?? 0)
  }
  return {
    decisions: await count('decisions', seriesOf('decisions', order)),
    audit_events: await count('audit_events', seriesOf('audit_events', order)),
    dead_letters: (await patiently(db, (transaction) => deadLetters(transaction, order))).length,
    violations: await count('violations', violationsOf(order)),
    ...(await patiently(db, async (transaction) =>
      countActs(transaction, order, await actorsOf(transaction, order)),
    )),
  }
}

/**
 * Erases what the order names and tells how many rows it was; then the order is marked as done. `embedded`: the
 * database is ours alone, and its write-ahead log is cut off too.
 */
export async function eraseRows(
  db: Kysely<Tables>,
  order: ErasureOrder & { readonly position: string },
  embedded: boolean,
): Promise<ErasedRows> {
  await olderTransactions(db, order.position)
  const touched = new Set<string>()
  // What people read goes first; and a violation has no name, then, whose decisions have none any more.
  const violations = await update(db, touched, (transaction) =>
    sql`update violations set user_name = null, resolution_notes = null
      where ${violationsOf(order)} returning tableoid::regclass::text as part`.execute(transaction),
  )
  const acts = await eraseActs(db, touched, order)
  // Made anew from what comes after.
  await update(db, touched, (transaction) =>
    sql`delete from person_risks where tenant = ${order.tenant} and person_key = any(${[...order.person_keys]}::text[])
      returning tableoid::regclass::text as part`.execute(transaction),
  )
  const erased: ErasedRows = {
    decisions: await eraseSeries(db, 'decisions', order, touched),
    audit_events: await eraseSeries(db, 'audit_events', order, touched),
    dead_letters: await update(db, touched, async (transaction) => {
      const found = await deadLetters(transaction, order)
      return sql`update dead_letters set personal = null
        where tenant = ${order.tenant} and (writer, seq) in (
          select * from unnest(${found.map(({ writer }) => writer)}::uuid[], ${found.map(({ seq }) => seq)}::bigint[]))
        returning tableoid::regclass::text as part`.execute(transaction)
    }),
    violations,
    ...acts,
  }
  await giveBack(db, [...touched], embedded)
  await sql`
    update erasures set done_at = now(), erased = ${JSON.stringify(erased)}::jsonb
    where tenant = ${order.tenant} and erasure_id = ${order.erasure_id}`.execute(db)
  return erased
}

async function eraseActs(
  db: Kysely<Tables>,
  touched: Set<string>,
  order: ErasureOrder,
): Promise<Readonly<Record<ActTable, number>>> {
  const actors = await patiently(db, (transaction) => actorsOf(transaction, order))
  const erase = (
    run: (
      transaction: Transaction<Tables>,
      order: ErasureOrder,
      actors: Actors,
    ) => Promise<{ readonly rows: readonly unknown[] }>,
  ): Promise<number> => update(db, touched, (transaction) => run(transaction, order, actors))
  let versions = 0
  const steps = await patiently(db, (transaction) => policiesToErase(transaction, order, actors))
  for (const ids of steps)
    versions += await erase((transaction) => eraseVersions(transaction, order, actors, ids))
  // Their heads, of which nothing is counted, because they show versions.
  if (versions > 0) touched.add('policies')
  return {
    reviews: await erase(eraseReviews),
    exceptions: await erase(eraseExceptions),
    policy_versions: versions,
    policy_conflicts: await erase(eraseConflicts),
    policy_events: await erase(eraseEvents),
    legal_holds: await erase(eraseHolds),
  }
}

/** Transactions that began before the order was there do not know it, and may still bring rows. */
async function olderTransactions(db: Kysely<Tables>, position: string): Promise<void> {
  const deadline = performance.now() + OLDER_TRANSACTIONS_MS
  for (;;) {
    const { rows } = await sql<{ ended: boolean }>`
      select pg_snapshot_xmin(pg_current_snapshot()) > ${position}::xid8 as ended`.execute(db)
    if (rows[0]?.ended === true) return
    if (performance.now() > deadline)
      throw new CordonError(
        'STORE_UNAVAILABLE',
        'a transaction that is older than the erasure has been open for a minute: the recorder tries again; pg_stat_activity shows whose it is',
      )
    await new Promise((resolve) => {
      setTimeout(resolve, LOOK_EVERY_MS)
    })
  }
}

/** In the order of time: on compressed chunks a step opens only what lies between its first and its last row. */
async function eraseSeries(
  db: Kysely<Tables>,
  table: Series,
  order: ErasureOrder,
  touched: Set<string>,
): Promise<number> {
  let erased = 0
  let after: Place | undefined
  for (;;) {
    const from = after
    const step = await patiently(db, async (transaction) => {
      const { rows } = await sql<Place & { record: string }>`
        select tenant, ${EXACT_TIME} as time, writer, seq::text as seq, record from ${sql.table(table)}
        where ${seriesOf(table, order)} ${from === undefined ? sql`` : sql`and (time, writer, seq) > (${from.time}::timestamptz, ${from.writer}::uuid, ${from.seq}::bigint)`}
        order by ${sql.ref(`${table}.time`)}, writer, seq limit ${STEP_ROWS}`.execute(transaction)
      return { last: rows.at(-1), parts: await overwrite(transaction, table, order, rows) }
    })
    for (const part of step.parts) touched.add(part)
    erased += step.parts.length
    if (step.last === undefined) return erased
    after = step.last
  }
}

interface Place {
  readonly tenant: string
  readonly time: string
  readonly writer: string
  readonly seq: string
}

/** The tables (partitions, chunks) of the rows that were overwritten, one entry a row. */
async function overwrite(
  transaction: Transaction<Tables>,
  table: Series,
  order: ErasureOrder,
  found: readonly (Place & { readonly record: string })[],
): Promise<string[]> {
  const rows = found.flatMap(({ record: text, ...place }): Row[] => {
    const record = JSON.parse(text) as LedgerRecord
    return concerns(order, record) ? [{ ...rowOf(record), ...place, seq: Number(place.seq) }] : []
  })
  const [first, last] = [rows[0], rows.at(-1)]
  if (first === undefined || last === undefined) return []
  const columns = { ...PLACE, ...DERIVED[table] }
  const changes = Object.keys(DERIVED[table]).map(
    (name) => sql`${sql.ref(name)} = ${sql.ref(`erased.${name}`)}`,
  )
  const { rows: done } = await sql<{ part: string }>`
    update ${sql.table(table)} as t set ${sql.join(changes)}
    from (${selectRows(columns, rows)}) as erased
    where t.tenant = ${order.tenant} and t.time >= ${first['time']}::timestamptz and t.time <= ${last['time']}::timestamptz
      and t.tenant = erased.tenant and t.time = erased.time and t.writer = erased.writer and t.seq = erased.seq
    returning t.tableoid::regclass::text as part`.execute(transaction)
  return done.map(({ part }) => part)
}

/** The row of a record that has no personal part any more. */
function rowOf(record: LedgerRecord): Row {
  const bare = { record, personal: undefined, personalBytes: NONE, leaf: NONE, text: '' }
  return record.kind === 'audit'
    ? auditRow(bare as unknown as Of<AuditRecord>)
    : decisionRow(bare as unknown as Parameters<typeof decisionRow>[0])
}

function seriesOf(
  table: Series,
  { tenant, person_keys: keys, before }: Omit<ErasureOrder, 'erasure_id'>,
) {
  const theirs =
    table === 'decisions' ? sql`person_key = any(${[...keys]}::text[])` : namesOneOf(keys)
  return sql`tenant = ${tenant} and time < ${new Date(before)} and personal is not null and ${theirs}`
}

/** Records that the store refused are few, and their texts are read here. */
async function deadLetters(
  transaction: Transaction<Tables>,
  order: Omit<ErasureOrder, 'erasure_id'>,
): Promise<{ readonly writer: string; readonly seq: string }[]> {
  const { rows } = await sql<{ writer: string; seq: string; record: string }>`
    select writer, seq::text as seq, record from dead_letters
    where tenant = ${order.tenant} and personal is not null and ${namesOneOf(order.person_keys)}`.execute(
    transaction,
  )
  return rows.filter(({ record }) => concerns(order, JSON.parse(record) as LedgerRecord))
}

/** Whether a record's text may be about one of them; its fields tell. */
function namesOneOf(keys: readonly string[]): RawBuilder<unknown> {
  return sql`record like any(${keys.map((key) => `%"person_key":"${key}"%`)}::text[])`
}

function violationsOf({ tenant, person_keys: keys, before }: Omit<ErasureOrder, 'erasure_id'>) {
  return sql`tenant = ${tenant} and person_key = any(${[...keys]}::text[]) and first_seen < ${new Date(before)}
    and (user_name is not null or resolution_notes is not null)`
}

async function update(
  db: Kysely<Tables>,
  touched: Set<string>,
  run: (transaction: Transaction<Tables>) => Promise<{ readonly rows: readonly unknown[] }>,
): Promise<number> {
  const { rows } = await patiently(db, run)
  for (const row of rows) touched.add((row as { readonly part: string }).part)
  return rows.length
}

/** A transaction that may look at many rows, and open what TimescaleDB has compressed. */
function patiently<T>(
  db: Kysely<Tables>,
  run: (transaction: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (transaction) => {
    await sql.raw(`set local statement_timeout = '${STEP_TIMEOUT}'`).execute(transaction)
    await sql
      .raw('set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0')
      .execute(transaction)
    return run(transaction)
  })
}

/** What an UPDATE leaves behind is taken out of the files: where that is cheap by writing the table anew. */
export async function giveBack(
  db: Kysely<Tables>,
  parts: readonly string[],
  embedded: boolean,
): Promise<void> {
  if (parts.length === 0) return
  await db.connection().execute(async (connection) => {
    const run = (statement: string) => sql.raw(statement).execute(connection)
    await run(`set statement_timeout = '${STEP_TIMEOUT}'`)
    await run(`set lock_timeout = '${REWRITE_WAIT}'`)
    try {
      for (const part of [...parts, ...(await compressedParts(connection, parts))]) {
        const { rows } = await sql<{ bytes: string }>`
          select pg_total_relation_size(${part}::regclass) as bytes`.execute(connection)
        const most = REWRITE_BYTES[embedded ? 'embedded' : 'server']
        const isSmall = Number(rows[0]?.bytes ?? Infinity) <= most
        // Who reads the table just now comes first; a later VACUUM then uses the space for other rows.
        if (isSmall) await run(`vacuum (full) ${part}`).catch(() => run(`vacuum ${part}`))
        else await run(`vacuum ${part}`)
      }
      if (!embedded) return
      // Segments of the log that are no longer needed are removed, and not kept to be written over some day.
      await run('set wal_recycle = off')
      await run('select pg_switch_wal()')
      await run('checkpoint')
    } finally {
      await run('reset statement_timeout')
      await run('reset lock_timeout')
    }
  })
}

/** Where TimescaleDB keeps the compressed rows of chunks. */
async function compressedParts(
  connection: Kysely<Tables>,
  parts: readonly string[],
): Promise<string[]> {
  const { rows: extensions } = await sql`
    select 1 from pg_extension where extname = 'timescaledb'`.execute(connection)
  if (extensions.length === 0) return []
  const { rows } = await sql<{ part: string }>`
    select format('%I.%I', compressed.schema_name, compressed.table_name) as part
    from _timescaledb_catalog.chunk c join _timescaledb_catalog.chunk compressed on compressed.id = c.compressed_chunk_id
    where format('%I.%I', c.schema_name, c.table_name)::regclass = any(${[...parts]}::regclass[])`.execute(
    connection,
  )
  return rows.map(({ part }) => part)
}

const EXACT_TIME = sql`to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

function pick(columns: Columns, wanted: readonly string[]): Columns {
  return Object.fromEntries(wanted.map((name) => [name, columns[name] ?? 'text'] as const))
}
