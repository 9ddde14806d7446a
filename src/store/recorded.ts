// The decisions of a period as they were recorded, newest first and page by page: however many, few are in memory.
//
// Pages are cut by windows of time that grow and shrink with what they hold, and inside a window by key. So a chunk that
// TimescaleDB has compressed is opened once for a window and not once for a page, and no statement takes long.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** The text of a record, and its personal part with its salt; null where it has none or it was erased. */
export interface StoredDecision {
  readonly record: string
  readonly personal: Uint8Array | null
}

export interface Period {
  /** Milliseconds since the epoch; `to` is exclusive. */
  readonly from: number
  readonly to: number
}

const PAGE_ROWS = 500
const FIRST_WINDOW_MS = 10 * 60_000
const LEAST_WINDOW_MS = 1000
const MOST_WINDOW_MS = 24 * 3_600_000
/** A window that holds fewer is followed by a longer one, one that holds more by a shorter one. */
const FEW_ROWS = PAGE_ROWS
const MANY_ROWS = 8 * PAGE_ROWS

interface Row extends StoredDecision {
  readonly at: string
  readonly id: string
}

export async function* recordedPages(
  db: Kysely<Tables>,
  tenant: string,
  period: Period,
  signal?: AbortSignal,
): AsyncGenerator<readonly StoredDecision[]> {
  const { oldest, newest } = await reachOf(db, tenant, period)
  let before = newest
  let step = FIRST_WINDOW_MS
  while (before > oldest) {
    const from = Math.max(oldest, before - step)
    let rows = 0
    for await (const page of windowPages(db, tenant, { from, to: before })) {
      rows += page.length
      yield page
      signal?.throwIfAborted()
    }
    signal?.throwIfAborted()
    before = from
    if (rows < FEW_ROWS) step = Math.min(MOST_WINDOW_MS, step * 2)
    else if (rows > MANY_ROWS) step = Math.max(LEAST_WINDOW_MS, step / 2)
  }
}

/** How many decisions there are, from sums by the hour: about. */
export async function recordedCount(
  db: Kysely<Tables>,
  tenant: string,
  { from, to }: Period,
): Promise<number> {
  const { rows } = await sql<{ requests: string | null }>`
    select sum(requests) as requests from decisions_hourly
    where tenant = ${tenant} and hour > ${new Date(from - 3_600_000)} and hour < ${new Date(to)}`.execute(
    db,
  )
  return Number(rows[0]?.requests ?? 0)
}

async function* windowPages(
  db: Kysely<Tables>,
  tenant: string,
  { from, to }: Period,
): AsyncGenerator<readonly StoredDecision[]> {
  let after: Row | undefined
  for (;;) {
    const behind: RawBuilder<unknown> =
      after === undefined
        ? sql``
        : sql`and (time, decision_id) < (${after.at}::timestamptz, ${after.id}::uuid)`
    const { rows }: { rows: Row[] } = await sql<Row>`
      select record, personal, decision_id::text as id,
        to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
      from decisions where tenant = ${tenant} and time >= ${new Date(from)} and time < ${new Date(to)} ${behind}
      order by decisions.time desc, decisions.decision_id desc limit ${PAGE_ROWS}`.execute(db)
    if (rows.length > 0) yield rows
    after = rows.at(-1)
    if (rows.length < PAGE_ROWS) return
  }
}

/** The part of a period in which there is anything; empty where there is not. `newest` is exclusive. */
async function reachOf(
  db: Kysely<Tables>,
  tenant: string,
  { from, to }: Period,
): Promise<{ readonly oldest: number; readonly newest: number }> {
  const { rows } = await sql<{ oldest: Date | null; newest: Date | null }>`
    select (select min(time) from decisions where tenant = ${tenant} and time >= ${new Date(from)}) as oldest,
      (select max(time) from decisions where tenant = ${tenant} and time < ${new Date(to)}) as newest`.execute(
    db,
  )
  const { oldest, newest } = rows[0] ?? { oldest: null, newest: null }
  if (oldest === null || newest === null) return { oldest: 0, newest: 0 }
  return { oldest: oldest.getTime(), newest: Math.min(to, newest.getTime() + 1) }
}
