// decisions_hourly, people_daily and violations_daily are kept up to date here, the same in every database.
//
// An aggregate holds sums up to its watermark; its view adds what lies beyond from the rows themselves. Sums outlive
// rows: what is summed again must have all its rows, so nothing before a tenant's horizon ever is. A row that arrives there is
// added to what is known, once. Rows that arrive below the threshold of a series are told by triggers (migrations/0005-series.ts).
//
// Where they are continuous aggregates of TimescaleDB, it sums by itself from the threshold on, and the threshold is
// the newest horizon; elsewhere upkeep sums, and the threshold is how far it has begun to.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { Means, Series } from './series.ts'
import type { Tables } from './tables.ts'

interface Aggregate {
  readonly name: string
  readonly series: Series
  readonly bucket: 'hour' | 'day'
  readonly stepMs: number
  readonly keys: readonly string[]
  /** What is counted. */
  readonly count: string
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const AGGREGATES: readonly Aggregate[] = [
  {
    name: 'decisions_hourly',
    series: 'decisions',
    bucket: 'hour',
    stepMs: HOUR_MS,
    keys: [
      'decision',
      'source',
      'mode',
      'action',
      'service',
      'ai',
      'department',
      'policy',
      'would_be',
      'would_be_policy',
    ],
    count: 'requests',
  },
  {
    name: 'people_daily',
    series: 'decisions',
    bucket: 'day',
    stepMs: DAY_MS,
    keys: ['person_key', 'department', 'service', 'ai', 'decision'],
    count: 'requests',
  },
  {
    name: 'violations_daily',
    series: 'violation_facts',
    bucket: 'day',
    stepMs: DAY_MS,
    keys: ['severity', 'policy', 'service', 'department', 'person_key'],
    count: 'violations',
  },
]

/** The one that triggers take too: whoever holds it alone knows of every row below a threshold. */
const THRESHOLD_LOCK = 7_303_603
/** A batch of a recorder takes less; beyond that the next run tries again. */
const THRESHOLD_WAIT = '5s'
/** Told arrivals that are counted in one transaction. */
const ARRIVALS = 2000

/** Sums all that can be summed: whole hours and days before `now`, and what arrived late. */
export async function sumUp(
  db: Kysely<Tables>,
  means: Means,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  for (const aggregate of AGGREGATES) {
    const until = new Date(Math.floor(now.getTime() / aggregate.stepMs) * aggregate.stepMs)
    signal.throwIfAborted()
    const isFirst = (await watermark(db, means, aggregate)) === undefined
    if (means.continuous) await refresh(db, aggregate, until)
    else await advance(db, aggregate, until, signal)
    // What was empty a moment ago would be read as if it were for as long as nobody has counted it; the embedded database never does.
    if (isFirst) await sql.raw(`analyze ${await sumsOf(db, means, aggregate)}`).execute(db)
  }
  for (const series of seriesSummed()) {
    let counted = ARRIVALS
    while (counted === ARRIVALS) {
      signal.throwIfAborted()
      counted = await repeatable(db, (transaction) => countArrivals(transaction, means, series))
    }
  }
}

/**
 * Makes sure that whatever a series holds before a time is in the sums or told in late_arrivals, and stays so: rows
 * before it may go then, once their tenant's arrivals are counted (`countArrivals`) and its horizon stands.
 */
export async function settle(
  db: Kysely<Tables>,
  means: Means,
  series: Series,
  before: Date,
): Promise<void> {
  // Where upkeep sums, it has gone beyond that already.
  if (!means.continuous || !seriesSummed().includes(series)) return
  await raiseThreshold(db, series, before)
  for (const aggregate of AGGREGATES) {
    if (aggregate.series !== series) continue
    await refresh(db, aggregate, before)
    await sql`
      insert into aggregate_watermarks as known (aggregate, until) values (${aggregate.name}, ${before})
      on conflict (aggregate) do update set until = greatest(known.until, excluded.until)`.execute(
      db,
    )
  }
}

/**
 * Counts arrivals that were told, of a tenant before a time where only those are wanted, and forgets them. How many.
 * The transaction must be REPEATABLE READ: an arrival and its rows are seen together or not at all.
 */
export async function countArrivals(
  transaction: Transaction<Tables>,
  means: Means,
  series: Series,
  only?: { readonly tenant: string; readonly before: Date },
): Promise<number> {
  const which =
    only === undefined
      ? sql`true`
      : sql`tenant = ${only.tenant} and hour < ${only.before}::timestamptz`
  const limit = only === undefined ? sql`limit ${ARRIVALS}` : sql``
  const { rows: arrivals } = await sql<Arrival>`
    with told as (select tenant, id from late_arrivals where series = ${series} and ${which} order by tenant, id ${limit})
    delete from late_arrivals l using told where l.tenant = told.tenant and l.id = told.id
    returning l.tenant, l.hour, l.writer, l.first_seq,
      l.last_seq, l.hour < coalesce((select before from retention_horizons h where h.tenant = l.tenant and h.series = ${series}), '-infinity') as rest`.execute(
    transaction,
  )
  if (arrivals.length === 0) return 0
  for (const aggregate of AGGREGATES) {
    if (aggregate.series !== series) continue
    const sums = await sumsOf(transaction, means, aggregate)
    const until = await watermark(transaction, means, aggregate)
    // Beyond the watermark the view reads the rows.
    const summed = arrivals
      .map((arrival) => ({ ...arrival, start: bucketOf(aggregate, arrival.hour) }))
      .filter(({ start }) => until !== undefined && start < until.getTime())
    const again = new Map(
      summed
        .filter(({ rest }) => !rest)
        .map(({ tenant, start }) => [JSON.stringify([tenant, start]), { tenant, start }]),
    )
    for (const { tenant, start } of again.values())
      await sumAgain(transaction, aggregate, sums, tenant, new Date(start))
    for (const arrival of summed) if (arrival.rest) await add(transaction, aggregate, sums, arrival)
  }
  return arrivals.length
}

/** `rest`: other rows of that hour have gone, so these are added to what is known. */
interface Arrival {
  readonly tenant: string
  readonly hour: Date
  readonly writer: string
  readonly first_seq: string
  readonly last_seq: string
  readonly rest: boolean
}

/** The table that holds the sums; its name is quoted. */
export async function sumsOf(
  db: Kysely<Tables>,
  means: Means,
  { name }: Pick<Aggregate, 'name'>,
): Promise<string> {
  if (!means.continuous) return `${name}_sums`
  const { rows } = await sql<{ table: string }>`
    select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as table
    from timescaledb_information.continuous_aggregates where view_schema = current_schema() and view_name = ${name}`.execute(
    db,
  )
  const [found] = rows
  if (found === undefined)
    throw new Error(`${name} is no continuous aggregate, though others of this store are`)
  return found.table
}

/** Runs in a transaction that sees one moment. */
export function repeatable<T>(
  db: Kysely<Tables>,
  use: (transaction: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.transaction().setIsolationLevel('repeatable read').execute(use)
}

function seriesSummed(): readonly Series[] {
  return [...new Set(AGGREGATES.map(({ series }) => series))]
}

function bucketOf({ stepMs }: Aggregate, time: Date): number {
  return Math.floor(time.getTime() / stepMs) * stepMs
}

/** Up to where the view takes sums; undefined where there are none. */
function watermark(
  db: Kysely<Tables>,
  means: Means,
  aggregate: Aggregate,
): Promise<Date | undefined> {
  return means.continuous ? continuousWatermark(db, aggregate) : ownWatermark(db, aggregate)
}

async function continuousWatermark(
  db: Kysely<Tables>,
  { name }: Aggregate,
): Promise<Date | undefined> {
  // Microseconds; the least of all times where nothing is summed.
  const { rows } = await sql<{ until: Date | null }>`
    select case when mark > -9000000000000000 then _timescaledb_functions.to_timestamp(mark) end as until
    from (select _timescaledb_functions.cagg_watermark(mat_hypertable_id) as mark from _timescaledb_catalog.continuous_agg
      where user_view_schema = current_schema() and user_view_name = ${name}) as marks`.execute(db)
  return rows[0]?.until ?? undefined
}

/** Up to where upkeep has summed; of a continuous aggregate, up to where only upkeep may. */
async function ownWatermark(db: Kysely<Tables>, { name }: Aggregate): Promise<Date | undefined> {
  const { rows } = await sql<{ until: Date | null }>`
    select nullif(until, '-infinity') as until from aggregate_watermarks where aggregate = ${name}`.execute(
    db,
  )
  return rows[0]?.until ?? undefined
}

/** Undefined is before all times. */
function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return undefined
  return a < b ? a : b
}

/** Waits for the batches that do not know the new threshold. */
async function raiseThreshold(db: Kysely<Tables>, series: Series, before: Date): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql.raw(`set local lock_timeout = '${THRESHOLD_WAIT}'`).execute(transaction)
    await sql`select pg_advisory_xact_lock(${THRESHOLD_LOCK})`.execute(transaction)
    await sql`
      update late_thresholds set before = greatest(before, ${before}::timestamptz) where series = ${series}`.execute(
      transaction,
    )
  })
}

/** By TimescaleDB: what changed since, from where rows may have gone, or from where nothing is summed yet. */
async function refresh(db: Kysely<Tables>, aggregate: Aggregate, wanted: Date): Promise<void> {
  const { name } = aggregate
  const summed = await continuousWatermark(db, aggregate)
  // Also what arrived late below a watermark that a clock which has been put back since had reached.
  const until = summed !== undefined && summed > wanted ? summed : wanted
  const settled = await ownWatermark(db, aggregate)
  const from = earlier(summed, settled)
  if (from !== undefined && from >= until) return
  await sql`call refresh_continuous_aggregate(${name}, ${from ?? null}::timestamptz, ${until}::timestamptz)`.execute(
    db,
  )
}

/** By the job itself, a day at a time. */
async function advance(
  db: Kysely<Tables>,
  aggregate: Aggregate,
  until: Date,
  signal: AbortSignal,
): Promise<void> {
  const { name, series, bucket, keys, count, stepMs } = aggregate
  const from = await ownWatermark(db, aggregate)
  if (from !== undefined && from >= until) return
  await raiseThreshold(db, series, until)
  const since = from === undefined ? sql`'-infinity'::timestamptz` : sql`${from}::timestamptz`
  const { rows: days } = await sql<{ day: Date }>`
    select distinct date_bin('1 day', time, timestamptz '2000-01-01 00:00:00+00') as day from ${sql.table(series)}
    where time >= ${since} and time < ${until}::timestamptz order by 1`.execute(db)
  for (const { day } of days) {
    signal.throwIfAborted()
    const start = from !== undefined && from > day ? from : day
    const end = new Date(Math.min(day.getTime() + DAY_MS, until.getTime()))
    const columns = columnsOf({ bucket, keys, count })
    // The watermark stands behind the last sum, as that of a continuous aggregate does.
    await sql`
      with added as (
        insert into ${sql.table(`${name}_sums`)} (${columns})
        select ${columns} from ${sql.ref(`${name}_of`)}(${start}::timestamptz, ${end}::timestamptz) returning ${sql.ref(bucket)} as start)
      update aggregate_watermarks set until = greatest(until, (select max(start) from added) + ${stepMs} * interval '1 ms')
      where aggregate = ${name}`.execute(db)
  }
}

/** The sums of a tenant's bucket, anew from all of its rows. */
async function sumAgain(
  transaction: Transaction<Tables>,
  { name, bucket, keys, count, stepMs }: Aggregate,
  sums: string,
  tenant: string,
  start: Date,
): Promise<void> {
  const columns = columnsOf({ bucket, keys, count })
  const end = new Date(start.getTime() + stepMs)
  await sql`
    delete from ${sql.raw(sums)} where tenant = ${tenant} and ${sql.ref(bucket)} = ${start}::timestamptz`.execute(
    transaction,
  )
  await sql`
    insert into ${sql.raw(sums)} (${columns})
    select ${columns} from ${sql.ref(`${name}_of`)}(${start}::timestamptz, ${end}::timestamptz, ${tenant}::text)`.execute(
    transaction,
  )
}

/** What a writer brought at once, to sums whose other rows have gone. */
async function add(
  transaction: Transaction<Tables>,
  { name, bucket, keys, count }: Aggregate,
  sums: string,
  { tenant, hour, writer, first_seq: first, last_seq: last }: Arrival,
): Promise<void> {
  const columns = columnsOf({ bucket, keys, count })
  const grouped = names(['tenant', bucket, ...keys])
  const end = new Date(hour.getTime() + HOUR_MS)
  const same = sql.join(
    ['tenant', bucket, ...keys].map((key) => sql`known.${sql.ref(key)} = fresh.${sql.ref(key)}`),
    sql` and `,
  )
  await sql`
    with fresh as materialized (
        select ${columns} from ${sql.ref(`${name}_of`)}(${hour}::timestamptz, ${end}::timestamptz, ${tenant}::text,
          ${writer}::uuid, ${first}::bigint, ${last}::bigint)),
      known as (delete from ${sql.raw(sums)} as known using fresh where ${same}
        returning ${names(['tenant', bucket, ...keys, count, 'first_seen', 'last_seen'], 'known')})
    insert into ${sql.raw(sums)} (${columns})
    select ${grouped}, sum(${sql.ref(count)}), min(first_seen), max(last_seen)
    from (select * from fresh union all select * from known) as all_of_them group by ${grouped}`.execute(
    transaction,
  )
}

function columnsOf({
  bucket,
  keys,
  count,
}: Pick<Aggregate, 'bucket' | 'keys' | 'count'>): RawBuilder<unknown> {
  return names(['tenant', bucket, ...keys, count, 'first_seen', 'last_seen'])
}

function names(columns: readonly string[], of?: string): RawBuilder<unknown> {
  return sql.join(columns.map((column) => sql.ref(of === undefined ? column : `${of}.${column}`)))
}
