// Old chunks are compressed where the licence of TimescaleDB allows it: by tenant, in the order of time.
//
// docs/reference/store.md gives the sizes. Later rows still find their way into a compressed chunk, which is then compressed
// anew here; after a week hardly any come, so an outage of days costs nothing.

import { type Kysely, sql } from 'kysely'
import { type Means, SERIES } from './series.ts'
import type { Tables } from './tables.ts'

const DAY_MS = 86_400_000
const AFTER_MS = 7 * DAY_MS
/** In one run, so that the other work comes soon again. */
const CHUNKS_AT_ONCE = 50
/** Bits of a chunk's status: rows came after it was compressed, in whatever order. */
const CHANGED = 2 | 8
const LOCK_WAIT = '5s'
/** SQLSTATEs of a chunk that others are writing to or reading: its turn comes in a later run. */
const BUSY = new Set(['40001', '40P01', '55P03'])

/** Compresses what is old enough and is not, or no longer; how many chunks. */
export async function compress(
  db: Kysely<Tables>,
  means: Means,
  now: Date,
  signal: AbortSignal,
): Promise<number> {
  if (!means.compresses) return 0
  let compressed = 0
  for (const series of SERIES) {
    await prepare(db, series)
    const { rows } = await sql<{ chunk: string }>`
      select format('%I.%I', chunk_schema, chunk_name) as chunk from timescaledb_information.chunks
      where hypertable_schema = current_schema() and hypertable_name = ${series} and range_end <= ${new Date(now.getTime() - AFTER_MS)}::timestamptz
        and (not is_compressed or _timescaledb_functions.chunk_status(format('%I.%I', chunk_schema, chunk_name)::regclass) & ${CHANGED} <> 0)
      order by range_start limit ${CHUNKS_AT_ONCE - compressed}`.execute(db)
    for (const { chunk } of rows) {
      signal.throwIfAborted()
      if (await compressChunk(db, chunk)) compressed += 1
    }
  }
  return compressed
}

/** False where it is busy. */
async function compressChunk(db: Kysely<Tables>, chunk: string): Promise<boolean> {
  try {
    await db.transaction().execute(async (transaction) => {
      await sql.raw(`set local lock_timeout = '${LOCK_WAIT}'`).execute(transaction)
      await sql`select compress_chunk(${chunk}::regclass, if_not_compressed => true)`.execute(
        transaction,
      )
    })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && BUSY.has(String(error.code))) return false
    throw error
  }
}

/** Also in a store that gained the licence later. */
async function prepare(db: Kysely<Tables>, series: string): Promise<void> {
  const { rows } = await sql<{ on: boolean }>`
    select compression_enabled as on from timescaledb_information.hypertables
    where hypertable_schema = current_schema() and hypertable_name = ${series}`.execute(db)
  if (rows[0]?.on === true) return
  await sql`
    alter table ${sql.table(series)} set (timescaledb.compress, timescaledb.compress_segmentby = 'tenant',
      timescaledb.compress_orderby = 'time desc, writer, seq')`.execute(db)
}
