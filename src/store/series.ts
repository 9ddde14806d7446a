// The time series, the parts that each lies in (chunks of TimescaleDB, or partitions), and what this database can do
// with them. What a store was made as stays: docs/reference/store.md says how to change it.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

export const SERIES = ['decisions', 'outcomes', 'violation_facts', 'audit_events'] as const
export type Series = (typeof SERIES)[number]

export interface Part {
  /** Quoted, with its schema. */
  readonly name: string
  /** From here, and before there; none of both where rows of any time fall into it. */
  readonly from?: Date
  readonly to?: Date
}

/** What the database does by itself; what it does not, upkeep does or nobody. */
export interface Means {
  /** Version of TimescaleDB, and the licence that the server runs it under; absent where it is not loaded. */
  readonly timescale?: { readonly version: string; readonly licence: string }
  readonly hypertables: boolean
  /** Chunks can be compressed. */
  readonly compresses: boolean
  /** Aggregates are continuous ones of TimescaleDB; else upkeep sums them. */
  readonly continuous: boolean
}

export async function meansOf(db: Kysely<Tables>): Promise<Means> {
  const { rows } = await sql<{ version: string; licence: string | null }>`
    select extversion as version, current_setting('timescaledb.license', true) as licence
    from pg_extension where extname = 'timescaledb'`.execute(db)
  const [found] = rows
  if (found === undefined) return { hypertables: false, compresses: false, continuous: false }
  const timescale = { version: found.version, licence: found.licence ?? 'apache' }
  const made = await sql<{ hypertables: boolean; continuous: boolean }>`
    select exists (select from timescaledb_information.hypertables
        where hypertable_schema = current_schema() and hypertable_name = 'decisions') as hypertables,
      exists (select from timescaledb_information.continuous_aggregates
        where view_schema = current_schema() and view_name = 'decisions_hourly') as continuous`.execute(
    db,
  )
  const { hypertables = false, continuous = false } = made.rows[0] ?? {}
  return {
    timescale,
    hypertables,
    continuous,
    compresses: hypertables && timescale.licence === 'timescale',
  }
}

/** What a store lacks beside TimescaleDB under its own licence, in words; empty where it lacks nothing. */
export function lacks({ timescale, hypertables, compresses, continuous }: Means): string[] {
  if (timescale === undefined)
    return [
      'TimescaleDB is not loaded: series are partitions of a month, old rows are not compressed, and Cordon sums the aggregates itself',
    ]
  const licence = `TimescaleDB ${timescale.version} runs under the licence "${timescale.licence}"`
  const found: string[] = []
  if (!hypertables)
    found.push(
      'the store was made without TimescaleDB: series stay partitions and are not compressed; to change, fill a new database with "cordon ledger replay --into"',
    )
  else if (!compresses) found.push(`${licence}: old chunks are not compressed`)
  if (continuous && timescale.licence !== 'timescale')
    found.push(
      `${licence}: the continuous aggregates of this store cannot be refreshed, so queries over them read every newer row and retention of their rows waits; set timescaledb.license = 'timescale'`,
    )
  if (!continuous && hypertables)
    found.push(
      timescale.licence === 'timescale'
        ? 'the store was made under another licence of TimescaleDB: Cordon goes on summing the aggregates itself'
        : `${licence}: no continuous aggregates, Cordon sums them itself`,
    )
  return found
}

/** Oldest first; the part for rows of any time comes last. */
export async function partsOf(db: Kysely<Tables>, series: Series, means: Means): Promise<Part[]> {
  const { rows } = means.hypertables
    ? await sql<Found>`
        select format('%I.%I', chunk_schema, chunk_name) as name, range_start as from, range_end as to
        from timescaledb_information.chunks where hypertable_schema = current_schema() and hypertable_name = ${series}
        order by range_start`.execute(db)
    : await sql<Found>`
        select format('%I.%I', n.nspname, c.relname) as name, bounds[1]::timestamptz as from, bounds[2]::timestamptz as to
        from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
        cross join lateral (select regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''([^'']+)''\\) TO \\(''([^'']+)''\\)')) as b (bounds)
        where i.inhparent = ${series}::regclass order by 2 nulls last`.execute(db)
  return rows.map(({ name, from, to }) =>
    from === null || to === null ? { name } : { name, from, to },
  )
}

interface Found {
  readonly name: string
  readonly from: Date | null
  readonly to: Date | null
}

/** With everything in it; in a transaction that has looked what that is. */
export async function dropPart(
  transaction: Kysely<Tables>,
  series: Series,
  part: Required<Part>,
  means: Means,
): Promise<void> {
  if (means.hypertables)
    await sql`select drop_chunks(${series}::regclass, older_than => ${part.to}::timestamptz, newer_than => ${part.from}::timestamptz)`.execute(
      transaction,
    )
  else await sql.raw(`drop table ${part.name}`).execute(transaction)
}
