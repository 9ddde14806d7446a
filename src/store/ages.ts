// How long a tenant keeps what: each Cordon tells its own tenant's ages, and whichever does the work applies all.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

const AGES = ['decisions', 'outcomes', 'violations', 'audit', 'aggregates'] as const
export type Age = (typeof AGES)[number]
/** Milliseconds. */
export type Ages = Readonly<Record<Age, number>>

const DAY_MS = 86_400_000

export async function tellAges(db: Kysely<Tables>, tenant: string, ages: Ages): Promise<void> {
  await sql`
    insert into retention_settings as known (tenant, decisions, outcomes, violations, audit, aggregates)
    values (${tenant}, ${ages.decisions}, ${ages.outcomes}, ${ages.violations}, ${ages.audit}, ${ages.aggregates})
    on conflict (tenant) do update set decisions = excluded.decisions, outcomes = excluded.outcomes, violations = excluded.violations,
      audit = excluded.audit, aggregates = excluded.aggregates, updated_at = now()
    where (known.decisions, known.outcomes, known.violations, known.audit, known.aggregates)
      is distinct from (excluded.decisions, excluded.outcomes, excluded.violations, excluded.audit, excluded.aggregates)`.execute(
    db,
  )
}

/** Of every tenant that told them. */
export async function toldAges(
  db: Kysely<Tables>,
): Promise<readonly { readonly tenant: string; readonly ages: Ages }[]> {
  const { rows } = await sql<Record<Age, string> & { tenant: string }>`
    select tenant, decisions, outcomes, violations, audit, aggregates from retention_settings order by tenant`.execute(
    db,
  )
  return rows.map((row) => ({
    tenant: row.tenant,
    ages: Object.fromEntries(AGES.map((age) => [age, Number(row[age])])) as unknown as Ages,
  }))
}

/** What is older goes. Days are kept whole, in UTC. */
export function horizonOf(now: Date, ageMs: number): Date {
  return new Date(Math.floor((now.getTime() - ageMs) / DAY_MS) * DAY_MS)
}
