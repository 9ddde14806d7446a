// How it stands with the ages of a tenant: what is kept how long, what goes next, what a hold keeps.

import { type Kysely, sql } from 'kysely'
import { AGED_TABLES, column, isCovered, isOld, rowsOf, staysAlways } from './aged-tables.ts'
import { type Age, type Ages, horizonOf } from './ages.ts'
import { meansOf } from './series.ts'
import type { Tables } from './tables.ts'

export interface TableStanding {
  readonly table: string
  readonly age: Age
  readonly keep_ms: number
  /** What is older goes. */
  readonly before: Date
  readonly oldest: Date | null
  /** Rows that go with the next run. */
  readonly due: number
  /** Rows that are as old and stay, because a legal hold covers them. */
  readonly held: number
}

export async function standingOf(
  db: Kysely<Tables>,
  tenant: string,
  ages: Ages,
  now: Date,
): Promise<readonly TableStanding[]> {
  const means = await meansOf(db)
  const standings: TableStanding[] = []
  for (const table of AGED_TABLES) {
    const keep = ages[table.age]
    const before = horizonOf(now, keep)
    const from = await rowsOf(db, means, table)
    const { rows } = await sql<{ oldest: Date | null; due: string; held: string }>`
      select (select min(${column(table, table.at)}) from ${from} where ${column(table, 'tenant')} = ${tenant}) as oldest,
        count(*) filter (where not ${isCovered(table)}) as due, count(*) filter (where ${isCovered(table)}) as held
      from ${from} where ${isOld(table, tenant, before)} and not (${staysAlways(table)})`.execute(
      db,
    )
    const [found] = rows
    standings.push({
      table: table.name,
      age: table.age,
      keep_ms: keep,
      before,
      oldest: found?.oldest ?? null,
      due: Number(found?.due ?? 0),
      held: Number(found?.held ?? 0),
    })
  }
  return standings
}
