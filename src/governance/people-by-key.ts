// Who of the directory goes by these keys. A key cannot be turned back, so keys of people are made until all are found.

import { type Kysely, sql } from 'kysely'
import type { Tables } from '../store/tables.ts'

export interface KeyedPeopleParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  /** The key of a person, by user id. */
  readonly personKey: (person: string) => string
}

export interface KeyedUser {
  readonly id: string
  readonly name: string
}

/** A few milliseconds of making keys. */
const AT_ONCE = 1000
const MOST_USERS = 200_000

/** By key; whoever is not in the directory is not in the map either. */
export async function peopleByKey(
  { db, tenant, personKey }: KeyedPeopleParts,
  keys: ReadonlySet<string>,
): Promise<ReadonlyMap<string, KeyedUser>> {
  const found = new Map<string, KeyedUser>()
  let after = '00000000-0000-0000-0000-000000000000'
  for (let looked = 0; looked < MOST_USERS && found.size < keys.size; looked += AT_ONCE) {
    const { rows } = await sql<KeyedUser>`
      select user_id::text as id, name from users where tenant = ${tenant} and user_id > ${after}::uuid
      order by user_id limit ${AT_ONCE}`.execute(db)
    for (const user of rows) {
      const key = personKey(user.id)
      if (keys.has(key)) found.set(key, user)
    }
    if (rows.length < AT_ONCE) break
    after = rows.at(-1)?.id ?? after
  }
  return found
}
