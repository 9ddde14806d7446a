// The months of the time series, made ahead of time: at every start and once a day while running.
//
// Rows of no month fall into the default partition, so nothing is ever refused for its time; where such a
// month is made later, its rows move out of the default partition in the same transaction. Hypertables make
// their chunks themselves and are left alone.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

const TIME_SERIES = ['decisions', 'outcomes', 'violation_facts', 'audit_events'] as const
const MONTHS_BACK = 1
const MONTHS_AHEAD = 3
/** Any number, the same for every Cordon, another one than that of the migrations. */
const PARTITION_LOCK = 7_303_602

/** Makes the months around a time that are not there yet; how many it made. */
export async function makePartitions(db: Kysely<Tables>, now: Date): Promise<number> {
  let made = 0
  for (const table of await partitionedTables(db)) {
    for (let month = -MONTHS_BACK; month <= MONTHS_AHEAD; month++) {
      const from = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + month, 1))
      const to = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + month + 1, 1))
      if (await makePartition(db, table, from, to)) made += 1
    }
  }
  return made
}

async function partitionedTables(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'p' and n.nspname = current_schema() and c.relname = any(${[...TIME_SERIES]}::text[])
    order by 1`.execute(db)
  return rows.map(({ name }) => name)
}

async function makePartition(
  db: Kysely<Tables>,
  table: string,
  from: Date,
  to: Date,
): Promise<boolean> {
  const name = `${table}_${from.toISOString().slice(0, 7).replace('-', '_')}`
  if (await exists(db, name)) return false
  const [start, end] = [from.toISOString(), to.toISOString()]
  const spare = `${table}_default`
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${PARTITION_LOCK})`.execute(transaction)
    if (await exists(transaction, name)) return false
    const run = (statement: string) => sql.raw(statement).execute(transaction)
    await run(`create table ${name} (like ${table} including defaults including constraints)`)
    // Nothing may come in between the move and the attachment.
    await run(`lock table ${spare} in access exclusive mode`)
    await run(
      `with moved as (delete from ${spare} where time >= '${start}' and time < '${end}' returning *)
       insert into ${name} select * from moved`,
    )
    await run(
      `alter table ${table} attach partition ${name} for values from ('${start}') to ('${end}')`,
    )
    return true
  })
}

async function exists(db: Kysely<Tables>, name: string): Promise<boolean> {
  // Not to_regclass, which may answer from a cache that does not know yet what another process has just made.
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = current_schema() and c.relname = ${name}) as found`.execute(db)
  return rows[0]?.found === true
}
