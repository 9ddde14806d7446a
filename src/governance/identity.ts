// Who acts, and whether two of them are one person: nobody decides about what they asked for, or what is for them.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { bareName, namedAs } from '../model/person.ts'
import type { Tables } from '../store/tables.ts'
import type { Actor } from './audit.ts'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The id of a user, or a login such as `os:maya`; undefined where it is no person who acts. */
export function identityOf({ type, id, login }: Actor): string | undefined {
  return type === 'user' ? (id ?? login) : undefined
}

/** The same; throws FORBIDDEN where it is nobody. */
export function personWhoActs(actor: Actor, what: string): string {
  const identity = identityOf(actor)
  if (identity === undefined)
    throw new CordonError(
      'FORBIDDEN',
      `whoever ${what} is written down: use a key that belongs to somebody (cordon key create --user)`,
    )
  return identity
}

/** What a key of the name is made of: the same for somebody who was removed and added again. */
export function nameOf(actor: Actor): string {
  return namedAs('requester', actor.name ?? identityOf(actor) ?? '')
}

/** Everything that somebody goes by, in lower case: a user of the operating system also by the bare name. */
export async function namesOf(
  db: Kysely<Tables>,
  tenant: string,
  identity: string,
): Promise<ReadonlySet<string>> {
  const names = [identity, bareName(identity)]
  if (UUID.test(identity)) {
    const { rows } = await sql<{ names: (string | null)[] }>`
      select array[name, email, external_id] as names from users where tenant = ${tenant} and user_id = ${identity}::uuid`.execute(
      db,
    )
    for (const name of rows[0]?.names ?? []) if (name !== null) names.push(name)
  }
  return new Set(names.map((name) => name.toLowerCase()))
}

export async function isSamePerson(
  db: Kysely<Tables>,
  tenant: string,
  one: string,
  other: string,
): Promise<boolean> {
  if (one === other) return true
  const [names, others] = [await namesOf(db, tenant, one), await namesOf(db, tenant, other)]
  return [...names].some((name) => others.has(name))
}
