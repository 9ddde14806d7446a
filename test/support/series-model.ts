// What the aggregates must say, worked out from a list in memory.

import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { DecisionRecord } from '../../src/model/record.ts'
import type { Tables } from '../../src/store/tables.ts'
import { decisionRecord } from './records.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export interface Asked {
  readonly tenant: string
  readonly time: number
  readonly person: string
  readonly department: string
  readonly service: string | null
  readonly effect: 'ALLOW' | 'DENY'
  readonly policy: string | null
  /** A policy in warn mode that would have denied. */
  readonly warned: string | null
  readonly violation: boolean
}

export function recordOf(asked: Asked): DecisionRecord {
  const { tenant, time, person, department, service, effect, policy, warned, violation } = asked
  const base = decisionRecord({ time, person, department, service, effect, policy, violation })
  return {
    ...base,
    tenant,
    decision: {
      ...base.decision,
      would_be: warned === null ? null : 'DENY',
      policies_evaluated:
        warned === null
          ? []
          : [
              entry('first', 'ALLOW', true),
              entry('second', 'DENY', false),
              entry(warned, 'DENY', true),
              entry('last', 'DENY', true),
            ],
    },
  }
}

function entry(id: string, effect: 'ALLOW' | 'DENY', matched: boolean) {
  return {
    policy_id: id,
    policy_name: id,
    matched,
    priority: 1,
    effect,
    mode: 'warn' as const,
    error: null,
  }
}

export const AGGREGATES = ['decisions_hourly', 'people_daily', 'violations_daily'] as const
export type Aggregate = (typeof AGGREGATES)[number]
/** Of each aggregate a line a row, in one order. */
export type Answers = Readonly<Record<Aggregate, readonly string[]>>

export async function answersOf(db: Kysely<Tables>): Promise<Answers> {
  const read = async (name: string): Promise<string[]> => {
    const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(name)}`.execute(
      db,
    )
    return rows.map((row) => JSON.stringify(row)).toSorted()
  }
  return {
    decisions_hourly: await read('decisions_hourly'),
    people_daily: await read('people_daily'),
    violations_daily: await read('violations_daily'),
  }
}

/** `isCounted`: whether a sum still holds it. */
export function answersFrom<A extends Asked>(
  all: readonly A[],
  isCounted: (asked: A, aggregate: Aggregate) => boolean,
): Answers {
  const of = (aggregate: Aggregate): A[] => all.filter((asked) => isCounted(asked, aggregate))
  return {
    decisions_hourly: sums(of('decisions_hourly'), HOUR_MS, 'requests', (asked, hour) => ({
      tenant: asked.tenant,
      hour,
      decision: asked.effect,
      source: 'proxy',
      mode: 'enforce',
      action: 'access_ai_service',
      service: asked.service ?? '',
      ai: true,
      department: asked.department,
      policy: asked.policy ?? '',
      would_be: asked.warned === null ? '' : 'DENY',
      would_be_policy: asked.warned ?? '',
    })),
    people_daily: sums(of('people_daily'), DAY_MS, 'requests', (asked, day) => ({
      tenant: asked.tenant,
      day,
      person_key: asked.person,
      department: asked.department,
      service: asked.service ?? '',
      ai: true,
      decision: asked.effect,
    })),
    violations_daily: sums(
      of('violations_daily').filter(({ violation }) => violation),
      DAY_MS,
      'violations',
      (asked, day) => ({
        tenant: asked.tenant,
        day,
        severity: 'high',
        policy: asked.policy ?? '',
        service: asked.service ?? '',
        department: asked.department,
        person_key: asked.person,
      }),
    ),
  }
}

function sums(
  all: readonly Asked[],
  step: number,
  count: string,
  keysOf: (asked: Asked, start: string) => Record<string, unknown>,
): string[] {
  const groups = new Map<
    string,
    { keys: Record<string, unknown>; n: number; first: number; last: number }
  >()
  for (const asked of all) {
    const start = Math.floor(asked.time / step) * step
    const keys = keysOf(asked, new Date(start).toISOString())
    const name = JSON.stringify(keys)
    const group = groups.get(name) ?? { keys, n: 0, first: Infinity, last: 0 }
    group.n += 1
    group.first = Math.min(group.first, asked.time)
    group.last = Math.max(group.last, asked.time)
    groups.set(name, group)
  }
  return [...groups.values()]
    .map(({ keys, n, first, last }) =>
      JSON.stringify({
        ...keys,
        [count]: String(n),
        first_seen: new Date(first).toISOString(),
        last_seen: new Date(last).toISOString(),
      }),
    )
    .toSorted()
}
