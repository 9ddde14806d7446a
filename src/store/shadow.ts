// What policies in warn and audit would have changed: from sums by the hour as far back as those are kept, people and
// single decisions from the rows themselves.
//
// A decision counts for the policy that would have decided it: the first, in the order in which they are asked, that gave
// the answer which was not enforced (`would_be_policy` of migrations/0005-series.ts).

import { type Kysely, sql } from 'kysely'
import type { Effect } from '../model/decision.ts'
import type { Period } from './recorded.ts'
import type { Tables } from './tables.ts'

interface Counted {
  readonly decision: Effect
  readonly would_be: Effect
  readonly count: number
}

export interface ShadowSum extends Counted {
  readonly policy_id: string
  readonly department: string | null
  readonly service: string | null
}

export interface ShadowPerson extends Counted {
  readonly person_key: string
  /** As the newest of these decisions says. */
  readonly name: string | null
}

export interface ShadowDecision {
  readonly decision_id: string
  readonly time: Date
  readonly decision: Effect
  readonly would_be: Effect
  readonly department: string | null
  readonly service: string | null
}

const HOUR_MS = 3_600_000

/** Of one policy, or of all; whole hours. Sums cut ids that are long. */
export async function shadowSums(
  db: Kysely<Tables>,
  tenant: string,
  { from, to }: Period,
  policy?: string,
): Promise<readonly ShadowSum[]> {
  const { rows } = await sql<ShadowSum & { readonly count: string }>`
    select would_be_policy as policy_id, decision, would_be, nullif(department, '') as department, nullif(service, '') as service,
      sum(requests)::text as count
    from decisions_hourly
    where tenant = ${tenant} and hour >= ${wholeHour(from)} and hour < ${new Date(to)} and would_be_policy <> ''
      ${policy === undefined ? sql`` : sql`and would_be_policy = left(${policy}, 255)`}
    group by 1, 2, 3, 4, 5`.execute(db)
  return rows.map((row) => ({ ...row, count: Number(row.count) }))
}

/** How many decisions there were at all in these hours. */
export async function shadowTotal(
  db: Kysely<Tables>,
  tenant: string,
  { from, to }: Period,
): Promise<number> {
  const { rows } = await sql<{ count: string | null }>`
    select sum(requests)::text as count from decisions_hourly
    where tenant = ${tenant} and hour >= ${wholeHour(from)} and hour < ${new Date(to)}`.execute(db)
  return Number(rows[0]?.count ?? 0)
}

export async function shadowPeople(
  db: Kysely<Tables>,
  tenant: string,
  period: Period,
  policy: string,
): Promise<readonly ShadowPerson[]> {
  const { rows } = await sql<ShadowPerson & { readonly count: string }>`
    select person_key, decision, would_be, count(*)::text as count,
      (array_agg(user_name order by time desc))[1] as name
    from decisions where ${decidedBy(tenant, period, policy)} group by 1, 2, 3`.execute(db)
  return rows.map((row) => ({ ...row, count: Number(row.count) }))
}

export async function shadowNewest(
  db: Kysely<Tables>,
  tenant: string,
  period: Period,
  policy: string,
  limit: number,
): Promise<readonly ShadowDecision[]> {
  const { rows } = await sql<ShadowDecision>`
    select decision_id::text as decision_id, time, decision, would_be, user_department as department, resource_id as service
    from decisions where ${decidedBy(tenant, period, policy)} order by time desc, decisions.decision_id desc limit ${limit}`.execute(
    db,
  )
  return rows
}

/** An index finds the rows that would have been something else. */
function decidedBy(tenant: string, { from, to }: Period, policy: string) {
  return sql`tenant = ${tenant} and time >= ${new Date(from)} and time < ${new Date(to)} and would_be is not null
    and policies_evaluated @> ${JSON.stringify([{ policy_id: policy, matched: true }])}::jsonb
    and jsonb_path_query_first(policies_evaluated, '$[*] ? (@.matched == true && @.effect == $effect)',
      jsonb_build_object('effect', would_be)) ->> 'policy_id' = ${policy}`
}

function wholeHour(time: number): Date {
  return new Date(Math.floor(time / HOUR_MS) * HOUR_MS)
}
