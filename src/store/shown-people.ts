// People in lists, exports and streams: by name, or under `ledger.pseudonymous` by pseudonym.

import { type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { keyPrefixOf, pseudonymOf } from '../model/person.ts'

type Row = Readonly<Record<string, unknown>>

/** Columns of `decisions`, `violations` and `reviews` that tell who it was, where from and by which device. */
const TELLING = [
  'user_id',
  'user_email',
  'ip_address',
  'geo_location',
  'user_agent',
  'device',
  'personal',
  'comment',
  'resolution_notes',
]
/** Columns that hold whatever a person is called by. */
const NAMES = ['user_name', 'person']

/**
 * A row of `decisions`, `violations` or `reviews`, as the database gave it (with `person_key`), for those who read.
 * Pseudonymous: the pseudonym stands where the name stood, the rest of what tells a person is null.
 */
export function shownPerson<R extends Row>(row: R, pseudonymous: boolean): R {
  if (!pseudonymous) return row
  const shown: Record<string, unknown> = { ...row }
  for (const column of TELLING) if (column in row) shown[column] = null
  const key = row['person_key']
  const pseudonym = typeof key === 'string' ? (pseudonymOf(key) ?? null) : null
  for (const column of NAMES) if (column in row) shown[column] = pseudonym
  return shown as R
}

/**
 * Whether who acted is the person of the row (a user's id, else a login), by the name too: `names` has those of users. Then
 * only the pseudonym may stand there, or the row tells who is behind it.
 */
export function isThemselves(
  who: unknown,
  person: unknown,
  names: ReadonlyMap<unknown, string>,
): boolean {
  if (typeof who !== 'string' || typeof person !== 'string') return false
  const [acts, is] = [who, person].map((one) =>
    (names.get(one) ?? one).replace(/^os:/, '').toLowerCase(),
  )
  return acts === is
}

/** A row of `audit_events` (with `record`): the actor and the target by their pseudonyms. What is no person keeps its name. */
export function shownActors<R extends Row>(row: R, pseudonymous: boolean): R {
  if (!pseudonymous) return row
  const { actor, target } = JSON.parse(String(row['record'])) as {
    readonly actor: { readonly type: string; readonly person_key?: string }
    readonly target?: { readonly type: string; readonly person_key?: string }
  }
  const shown: Record<string, unknown> = { ...row, personal: null }
  if (actor.type === 'user')
    Object.assign(shown, {
      actor_id: null,
      actor_name: pseudonymOf(actor.person_key ?? '') ?? null,
    })
  if (target?.type === 'user' || target?.person_key !== undefined)
    Object.assign(shown, {
      // Of a thing that is somebody's, the id is no name.
      target_id: target.type === 'user' ? null : row['target_id'],
      target_name: pseudonymOf(target.person_key ?? '') ?? null,
    })
  return shown as R
}

/**
 * A person in a filter: a pseudonym, or what one of the columns holds, without case. Throws INPUT_INVALID for
 * anything but a pseudonym where people are shown by pseudonyms: a filter that knows names would tell them.
 */
export function isPerson(
  columns: readonly string[],
  value: string,
  pseudonymous: boolean,
): RawBuilder<unknown> {
  const prefix = keyPrefixOf(value)
  if (prefix !== undefined) return sql`person_key like ${`${prefix}%`}`
  if (pseudonymous)
    throw new CordonError(
      'INPUT_INVALID',
      `people are shown by pseudonyms here, so "user" takes one, such as person-ab3defgh7jkl`,
      { problems: [{ file: '/querystring/user', message: 'must be a pseudonym' }] },
    )
  return sql`(${sql.join(
    columns.map((column) => sql`lower(${sql.ref(column)}) = lower(${value})`),
    sql` or `,
  )})`
}
