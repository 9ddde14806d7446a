// What a policy in warn or audit would have changed, in the form of a replay: old answer by the one that it would have given.

import type { Kysely } from 'kysely'
import { pseudonymOf } from '../model/person.ts'
import { type Counts, type Grouped, Tallies, Tally } from '../policy/replay-tally.ts'
import type { Period } from '../store/recorded.ts'
import {
  type ShadowDecision,
  shadowNewest,
  shadowPeople,
  shadowSums,
  shadowTotal,
} from '../store/shadow.ts'
import type { Tables } from '../store/tables.ts'

export interface ShadowReport extends Counts {
  readonly policy_id: string
  /** RFC 3339; sums have whole hours. */
  readonly from: string
  readonly to: string
  /** Of the period, whether the policy had a part in them or not. */
  readonly all_decisions: number
  readonly by: {
    readonly department: Grouped
    readonly service: Grouped
    /** Of the days of `people_from`: rows are looked through for them. */
    readonly user: Grouped
  }
  readonly people_from: string
  readonly newest: readonly (Omit<ShadowDecision, 'time'> & { readonly time: string })[]
}

/** One policy of all that would have changed anything. */
export interface ShadowLine extends Counts {
  readonly policy_id: string
}

export interface ShadowParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly pseudonymous: boolean
}

const DAY_MS = 86_400_000
/** Rows are looked through then. */
const PEOPLE_MS = 31 * DAY_MS
const MOST_GROUPS = 100_000

export async function shadowReport(
  { db, tenant, pseudonymous }: ShadowParts,
  policy: string,
  period: Period,
  top: number,
): Promise<ShadowReport> {
  const recent = { from: Math.max(period.from, period.to - PEOPLE_MS), to: period.to }
  const [sums, total, people, newest] = [
    await shadowSums(db, tenant, period, policy),
    await shadowTotal(db, tenant, period),
    await shadowPeople(db, tenant, recent, policy),
    await shadowNewest(db, tenant, recent, policy, top),
  ]
  const all = new Tally()
  const [departments, services, users] = [
    new Tallies(MOST_GROUPS),
    new Tallies(MOST_GROUPS),
    new Tallies(MOST_GROUPS),
  ]
  for (const { decision, would_be: wouldBe, department, service, count } of sums) {
    const change = changeTo(decision, wouldBe)
    all.add(change, count)
    departments.add(department, change, count)
    services.add(service, change, count)
  }
  const names = new Map<string | null, string | null>()
  for (const { person_key: person, name, decision, would_be: wouldBe, count } of people) {
    users.add(person, changeTo(decision, wouldBe), count)
    names.set(person, pseudonymous ? null : name)
  }
  return {
    policy_id: policy,
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    all_decisions: total,
    ...all.counts,
    by: {
      department: departments.grouped(top),
      service: services.grouped(top),
      user: users.grouped(top, (person) => names.get(person) ?? pseudonymOf(person ?? '') ?? null),
    },
    people_from: new Date(recent.from).toISOString(),
    newest: newest.map(({ time, ...decision }) => ({ ...decision, time: time.toISOString() })),
  }
}

/** Every policy that would have changed anything, those with most changes first. */
export async function shadowLines(
  { db, tenant }: ShadowParts,
  period: Period,
): Promise<readonly ShadowLine[]> {
  const tallies = new Tallies(MOST_GROUPS)
  for (const { policy_id: policy, decision, would_be: wouldBe, count } of await shadowSums(
    db,
    tenant,
    period,
  ))
    tallies.add(policy, changeTo(decision, wouldBe), count)
  return tallies
    .grouped(MOST_GROUPS)
    .items.map(({ name, ...counts }) => ({ policy_id: name ?? '', ...counts }))
}

function changeTo(from: ShadowDecision['decision'], to: ShadowDecision['would_be']) {
  return {
    kind: 'compared',
    from,
    to,
    obligationsChanged: false,
    wouldBeChanged: false,
    fails: false,
  } as const
}
