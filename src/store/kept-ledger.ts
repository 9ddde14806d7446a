// How far a store has come with the ledgers that write into it.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** The last sequence number that the store has, by writer. */
export async function shippedNumbers(db: Kysely<Tables>): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ writer: string; seq: string }>`
    select writer, max(seq) as seq from writers group by writer`.execute(db)
  return new Map(rows.map(({ writer, seq }) => [writer, Number(seq)]))
}

/** From behind which number each writer is read: a part that was replayed lies behind a hole, which is filled first. */
export async function joinedNumbers(db: Kysely<Tables>): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ writer: string; seq: string }>`
    select writer, coalesce(min(joined), max(seq)) as seq from writers group by writer
    having coalesce(min(joined), max(seq)) > 0`.execute(db)
  return new Map(rows.map(({ writer, seq }) => [writer, Number(seq)]))
}

/** How many entries of an installation's list of writers the store has. */
export async function rosterEntries(db: Kysely<Tables>, installation: string): Promise<number> {
  const { rows } = await sql<{ newest: number }>`
    select coalesce(max(number), 0) as newest from ledger_roster where installation = ${installation}`.execute(
    db,
  )
  return rows[0]?.newest ?? 0
}
