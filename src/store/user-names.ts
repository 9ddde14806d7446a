// Users by what people call them, and the other way round.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from './tables.ts'

export interface UserName {
  readonly user_id: string
  readonly name: string
}

/** Name, e-mail, external id or id, without case; undefined where the directory knows none. */
export async function findUser(
  db: Kysely<Tables>,
  tenant: string,
  called: string,
): Promise<UserName | undefined> {
  const { rows } = await sql<UserName>`
    select user_id, name from users where tenant = ${tenant} and ${isCalled(called)}
    order by lower(name) = lower(${called}) desc limit 1`.execute(db)
  return rows[0]
}

/** That a row of `users`, under that name, goes by that. */
export function isCalled(called: string, users = 'users'): RawBuilder<unknown> {
  // No database keeps a NUL in a text.
  const text = called.replaceAll('\0', '\ufffd')
  const names = ['name', 'email', 'external_id'].map(
    (column) => sql`lower(${sql.ref(`${users}.${column}`)})`,
  )
  return sql`lower(${text}) in (${sql.join([...names, sql`${sql.ref(`${users}.user_id`)}::text`])})`
}

/** The names of those ids that are users'. */
export async function userNames(
  db: Kysely<Tables>,
  tenant: string,
  ids: readonly unknown[],
): Promise<ReadonlyMap<unknown, string>> {
  const wanted = [...new Set(ids)].filter((id) => typeof id === 'string')
  if (wanted.length === 0) return new Map()
  const { rows } = await sql<UserName>`
    select user_id, name from users where tenant = ${tenant} and user_id::text = any(${wanted}::text[])`.execute(
    db,
  )
  return new Map(rows.map(({ user_id: id, name }) => [id, name]))
}
