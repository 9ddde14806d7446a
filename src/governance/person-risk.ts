// What a person's violations come to, for whoever may read violations.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { keyPrefixOf, pseudonymOf } from '../model/person.ts'
import {
  levelOf,
  type OwnRisk,
  ownPoints,
  ownScore,
  type RiskLevel,
  type RiskSettings,
} from '../model/risk.ts'
import {
  countedViolations,
  type CountedViolation,
  riskOf,
  type RiskOwner,
} from '../store/person-risk.ts'
import type { Tables } from '../store/tables.ts'

export interface PersonRiskParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly now: () => number
  /** The key of a person, by user id or login. */
  readonly personKey: (person: string) => string
  readonly riskSettings: () => RiskSettings
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
}

export interface PersonRisk {
  /** The pseudonym. */
  readonly person: string
  /** Null where people are shown by pseudonyms, or the directory does not know them. */
  readonly user: { readonly id: string; readonly name: string } | null
  readonly own_score: number
  readonly level: RiskLevel
  /** Points now, to a tenth. */
  readonly points: number
  readonly half_life_days: number
  readonly violations: readonly (Omit<CountedViolation, 'policy_id'> & {
    readonly policy_id: string | null
    readonly points: number
  })[]
}

const MOST_VIOLATIONS = 100
const DAY_MS = 86_400_000

/**
 * `given`: what somebody of the directory is called, the login of somebody else, or a pseudonym. Throws NOT_FOUND where
 * nothing is known of them, INPUT_INVALID for a name where people are shown by pseudonyms.
 */
export async function personRisk(parts: PersonRiskParts, given: string): Promise<PersonRisk> {
  const { db, tenant, now, riskSettings, personKey, pseudonymous } = parts
  const prefix = keyPrefixOf(given)
  if (prefix === undefined && pseudonymous)
    throw new CordonError(
      'INPUT_INVALID',
      'people are shown by pseudonyms here: give one, such as person-ab3defgh7jkl',
      { problems: [{ file: '/params/person', message: 'must be a pseudonym' }] },
    )
  const user = prefix === undefined ? await userCalled(db, tenant, given) : undefined
  const owner: RiskOwner =
    prefix === undefined ? { key: personKey(user?.user_id ?? given) } : { prefix }
  const stored = await riskOf(db, tenant, owner)
  // Somebody without violations has the best score; of a name that nobody has nothing is known.
  if (stored === undefined && user === undefined)
    throw new CordonError('NOT_FOUND', `nothing is known of "${given.slice(0, 100)}"`)
  const key = stored?.person_key ?? ('key' in owner ? owner.key : '')
  const { history, levels } = riskSettings()
  const at = now()
  const pointsOf = (own: OwnRisk): number => tenth(ownPoints(own, at, history.half_life))
  const counted = await countedViolations(db, tenant, key, MOST_VIOLATIONS)
  const own_score = ownScore(stored?.own, at, history.half_life)
  const named = pseudonymous ? undefined : (user ?? (await userOf(db, tenant, stored?.user_id)))
  return {
    person: pseudonymOf(key) ?? given,
    user: named === undefined ? null : { id: named.user_id, name: named.name },
    own_score,
    level: levelOf(own_score, levels),
    points: stored === undefined ? 0 : pointsOf(stored.own),
    half_life_days: history.half_life / DAY_MS,
    violations: counted.map((violation) => ({
      ...violation,
      policy_id: violation.policy_id === '' ? null : violation.policy_id,
      points: pointsOf({
        points: severityPoints(history.points, violation.severity),
        as_of: Date.parse(`${violation.day}T00:00:00Z`),
      }),
    })),
  }
}

function severityPoints(points: RiskSettings['history']['points'], severity: string): number {
  return severity === 'low' || severity === 'high' || severity === 'critical'
    ? points[severity]
    : points.medium
}

function tenth(points: number): number {
  return Math.round(points * 10) / 10
}

interface User {
  readonly user_id: string
  readonly name: string
}

async function userCalled(
  db: Kysely<Tables>,
  tenant: string,
  given: string,
): Promise<User | undefined> {
  const { rows } = await sql<User>`
    select user_id, name from users where tenant = ${tenant}
      and lower(${given.replaceAll('\0', '\ufffd')}) in (lower(name), lower(email), lower(external_id), user_id::text) limit 1`.execute(
    db,
  )
  return rows[0]
}

async function userOf(
  db: Kysely<Tables>,
  tenant: string,
  id: string | null | undefined,
): Promise<User | undefined> {
  if (id === null || id === undefined) return undefined
  const { rows } = await sql<User>`
    select user_id, name from users where tenant = ${tenant} and user_id::text = ${id}`.execute(db)
  return rows[0]
}
