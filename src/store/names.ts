// The names that the directory knows, for checks of policies and for people who read what is in force.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** A department or group that has decided about services. */
export interface DecidedUnit {
  readonly kind: 'department' | 'group'
  readonly name: string
  readonly approved: readonly string[]
  readonly prohibited: readonly string[]
}

export interface DirectoryNames {
  /** Those of the wanted ones that somebody goes by: an id, a name or an e-mail. */
  readonly users: readonly string[]
  readonly groups: readonly string[]
  readonly departments: readonly string[]
  readonly roles: readonly string[]
  readonly units: readonly DecidedUnit[]
}

/** People can be many, so only those that are asked for are looked up. */
export async function directoryNames(
  db: Kysely<Tables>,
  tenant: string,
  wantedUsers: readonly string[],
): Promise<DirectoryNames> {
  const names = async (query: ReturnType<typeof sql<{ name: string }>>): Promise<string[]> =>
    (await query.execute(db)).rows.map(({ name }) => name)
  const units = await sql<DecidedUnit>`
    select 'department' as kind, name, allowed_ai_services as approved, prohibited_ai_services as prohibited
      from departments where tenant = ${tenant}
    union all
    select 'group', name, allowed_ai_services, prohibited_ai_services
      from groups where tenant = ${tenant}
    order by 1, 2`.execute(db)
  return {
    users: await names(sql`
      select wanted.name from unnest(${[...wantedUsers]}::text[]) as wanted (name)
      where exists (select 1 from users u where u.tenant = ${tenant} and wanted.name in (u.user_id::text, u.name, u.email))`),
    groups: await names(sql`
      select name from groups where tenant = ${tenant}
      union select group_name from user_groups where tenant = ${tenant}`),
    departments: await names(sql`
      select name from departments where tenant = ${tenant}
      union select department from users where tenant = ${tenant} and department is not null`),
    roles: await names(sql`
      select name from roles where tenant = ${tenant}
      union select role_name from user_roles where tenant = ${tenant}`),
    units: units.rows.filter(
      ({ approved, prohibited }) => approved.length > 0 || prohibited.length > 0,
    ),
  }
}
