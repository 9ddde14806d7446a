// The own risk of people: what their violations come to, made from the violations themselves.
//
// A violation (one person, policy, service and day) counts once, with the points of its severity, from the beginning of its day
// on, and half as much with every half-life. The points of a person are the sum, told as of the newest day; so they are
// the same in whatever order records come, how often they come, and whenever they are reckoned.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { type OwnRisk, type RiskHistorySettings, RISK_HISTORY } from '../model/risk.ts'
import type { Tables } from './tables.ts'

/** After so many half-lives a violation is a millionth of its points. */
const HALF_LIVES = 20
const DAY_MS = 86_400_000

/** A person of the directory whose points have changed. */
export interface ChangedRisk {
  readonly tenant: string
  readonly user_id: string
  readonly own: OwnRisk
}

/** Whose violations have changed. */
export interface Person {
  readonly tenant: string
  readonly person_key: string
}

/** Of `violations v`: what follows from the risk itself does not add to it, and what was erased is forgotten. */
const COUNTS = sql`v.raises_risk is distinct from false and v.status <> 'false_positive'
  and not exists (select from erasures e where e.tenant = v.tenant and v.person_key = any(e.person_keys) and v.first_seen < e.before)`

/** Reckons the points of these people anew, in the transaction that changes their violations. */
export async function reckonRisks(
  transaction: Transaction<Tables>,
  people: readonly Person[],
  settings: RiskHistorySettings = RISK_HISTORY,
): Promise<ChangedRisk[]> {
  if (people.length === 0) return []
  const { half_life, points } = settings
  const halfLifeDays = half_life / DAY_MS
  const reach = Math.ceil(HALF_LIVES * halfLifeDays)
  const { rows } = await sql<{
    tenant: string
    user_id: string | null
    points: number
    as_of_ms: string
  }>`
    with asked as (
      select distinct * from unnest(${people.map(({ tenant }) => tenant)}::text[], ${people.map(({ person_key: key }) => key)}::text[])
        as asked (tenant, person_key)
    ), counted as (
      select v.tenant, v.person_key, v.user_id, v.day, case v.severity when 'low' then ${points.low}::double precision
        when 'high' then ${points.high} when 'critical' then ${points.critical} else ${points.medium} end as points
      from violations v join asked using (tenant, person_key)
      where ${COUNTS}
    ), newest as (
      select tenant, person_key, max(user_id) as user_id, max(day) as day from counted group by 1, 2
    ), reckoned as (
      select n.tenant, n.person_key, n.user_id, n.day, count(*) as violations,
        sum(c.points * power(2::double precision, (c.day - n.day) / ${halfLifeDays}::double precision)) as points
      from newest n join counted c on c.tenant = n.tenant and c.person_key = n.person_key and c.day > n.day - ${reach}::integer
      group by 1, 2, 3, 4
    ), gone as (
      delete from person_risks r using asked a where r.tenant = a.tenant and r.person_key = a.person_key
        and not exists (select from reckoned where reckoned.tenant = a.tenant and reckoned.person_key = a.person_key)
    )
    insert into person_risks (tenant, person_key, user_id, points, as_of, violations)
      -- In one order, so that recorders wait for each other and never in a circle.
      select tenant, person_key, user_id, points, day::timestamp at time zone 'UTC', violations from reckoned order by tenant, person_key
    on conflict (tenant, person_key) do update set user_id = excluded.user_id, points = excluded.points,
      as_of = excluded.as_of, violations = excluded.violations, updated_at = now()
    returning tenant, user_id, points, (extract(epoch from as_of) * 1000)::bigint::text as as_of_ms`.execute(
    transaction,
  )
  return rows.flatMap(({ tenant, user_id: id, points: own, as_of_ms: asOf }) =>
    id === null ? [] : [{ tenant, user_id: id, own: { points: own, as_of: Number(asOf) } }],
  )
}

/** Whose risk is asked for: a person by key, or by the digits that keys behind a pseudonym begin with. */
export type RiskOwner = { readonly key: string } | { readonly prefix: string }

export interface StoredRisk {
  readonly person_key: string
  readonly user_id: string | null
  readonly own: OwnRisk
}

/** Undefined for whoever has no points. */
export async function riskOf(
  db: Kysely<Tables>,
  tenant: string,
  owner: RiskOwner,
): Promise<StoredRisk | undefined> {
  const { rows } = await sql<{
    person_key: string
    user_id: string | null
    points: number
    as_of: Date
  }>`
    select person_key, user_id, points, as_of from person_risks
    where tenant = ${tenant} and ${isOwned(owner)} order by as_of desc limit 1`.execute(db)
  const [row] = rows
  if (row === undefined) return undefined
  const { person_key, user_id, points, as_of } = row
  return { person_key, user_id, own: { points, as_of: as_of.getTime() } }
}

/** A violation that counts. */
export interface CountedViolation {
  readonly violation_id: string
  /** YYYY-MM-DD, in UTC. */
  readonly day: string
  readonly policy_id: string
  readonly service_id: string
  readonly severity: string
}

/** The newest violations that the points are made of. */
export async function countedViolations(
  db: Kysely<Tables>,
  tenant: string,
  key: string,
  limit: number,
): Promise<CountedViolation[]> {
  const { rows } = await sql<CountedViolation>`
    select v.violation_id, v.day::text as day, v.policy_id, v.service_id, v.severity from violations v
    where v.tenant = ${tenant} and v.person_key = ${key} and ${COUNTS}
    order by v.day desc, v.violation_id desc limit ${limit}`.execute(db)
  return rows
}

function isOwned(owner: RiskOwner): RawBuilder<unknown> {
  return 'key' in owner
    ? sql`person_key = ${owner.key}`
    : sql`person_key like ${`${owner.prefix}%`}`
}
