// `cordon context import`: directory files into the database, all or nothing per file.
//
// A row names its thing by `name` (users also by e-mail or external id of a row that is there); what the
// row leaves out stays as it is. The result says what became of every row.

import { type Kysely, sql, type Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import type { Tables } from '../store/tables.ts'
import type { Kind } from './columns.ts'
import { type DirectoryRow, readDirectoryFile } from './directory-file.ts'

export interface ImportResult {
  readonly file: string
  readonly kind: Kind
  readonly created: number
  readonly updated: number
  readonly unchanged: number
  readonly refused: readonly Problem[]
}

type Change = 'created' | 'updated' | 'unchanged'

export async function importFile(
  db: Kysely<Tables>,
  tenant: string,
  { file, content, kind }: { file: string; content: string; kind: Kind },
): Promise<ImportResult> {
  const { rows, problems } = readDirectoryFile(file, content, kind)
  const counts: Record<Change, number> = { created: 0, updated: 0, unchanged: 0 }
  const refused = [...problems]
  if (refused.length === 0) {
    try {
      await db.transaction().execute(async (transaction) => {
        const writer = new Writer(transaction, tenant)
        for (const row of rows) {
          const outcome = await writer.write(kind, row)
          if (typeof outcome === 'string') counts[outcome] += 1
          else refused.push({ file, line: row.line, column: 1, message: outcome.wrong })
        }
        if (kind === 'departments')
          refused.push(
            ...(await writer.cycles()).map((name) => ({
              file,
              message: `department "${name}" is its own ancestor`,
            })),
          )
        if (refused.length > 0) throw new Rollback()
      })
    } catch (error) {
      if (!(error instanceof Rollback)) throw error
    }
  }
  if (refused.length > 0) return { file, kind, created: 0, updated: 0, unchanged: 0, refused }
  return { file, kind, ...counts, refused: [] }
}

/** Adds one user; throws CONFLICT where the name or e-mail is another's. */
export async function addUser(
  db: Kysely<Tables>,
  tenant: string,
  user: {
    readonly name: string
    readonly email?: string
    readonly department?: string
    readonly groups?: readonly string[]
  },
): Promise<{ readonly user_id: string }> {
  return db.transaction().execute(async (transaction) => {
    const writer = new Writer(transaction, tenant)
    const taken = await writer.holderOf([user.name, user.email])
    if (taken !== undefined)
      throw new CordonError(
        'CONFLICT',
        `"${taken.value}" is the name, e-mail or external id of ${taken.name} already`,
      )
    const outcome = await writer.write('users', {
      line: 1,
      values: { ...user, groups: user.groups ?? [] },
    })
    if (typeof outcome !== 'string') throw new CordonError('CONFLICT', outcome.wrong)
    const row = await writer.user(user.name)
    if (row === undefined) throw new CordonError('INTERNAL', 'the user could not be stored')
    return { user_id: row.user_id }
  })
}

class Rollback extends Error {}

interface UserRow {
  readonly user_id: string
  readonly name: string
}

class Writer {
  readonly #db: Transaction<Tables>
  readonly #tenant: string

  constructor(db: Transaction<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  async write(kind: Kind, row: DirectoryRow): Promise<Change | { readonly wrong: string }> {
    switch (kind) {
      case 'departments':
        return this.#upsert('departments', 'name', row.values)
      case 'groups':
        return this.#upsert('groups', 'name', row.values)
      case 'roles':
        return this.#upsert('roles', 'name', row.values)
      case 'assets':
        return this.#upsert('assets', 'hostname', row.values)
      case 'memberships':
        return this.#membership(row.values)
      case 'users':
        return this.#user(row.values)
    }
  }

  async user(name: string): Promise<UserRow | undefined> {
    const { rows } =
      await sql<UserRow>`select user_id, name from users where tenant = ${this.#tenant} and lower(name) = lower(${name})`.execute(
        this.#db,
      )
    return rows[0]
  }

  /** Whoever already goes by one of the names. */
  async holderOf(
    names: readonly (string | undefined)[],
    exceptId?: string,
  ): Promise<{ readonly name: string; readonly value: string } | undefined> {
    for (const value of names) {
      if (value === undefined) continue
      const { rows } = await sql<UserRow>`
        select user_id, name from users where tenant = ${this.#tenant}
          and lower(${value}) in (lower(name), lower(email), lower(external_id))`.execute(this.#db)
      const other = rows.find(({ user_id: id }) => id !== exceptId)
      if (other !== undefined) return { name: other.name, value }
    }
    return undefined
  }

  async cycles(): Promise<string[]> {
    const { rows } = await sql<{
      name: string
      parent: string | null
    }>`select name, parent from departments where tenant = ${this.#tenant}`.execute(this.#db)
    const parents = new Map(rows.map(({ name, parent }) => [name, parent]))
    return rows.flatMap(({ name }) => {
      let current = parents.get(name)
      for (let steps = 0; steps <= rows.length && current != null; steps++) {
        if (current === name) return [name]
        current = parents.get(current)
      }
      return []
    })
  }

  async #user(
    values: Readonly<Record<string, unknown>>,
  ): Promise<Change | { readonly wrong: string }> {
    const { groups, roles, ...fields } = values
    const name = String(fields['name'])
    const known = await this.user(name)
    const taken = await this.holderOf(
      [name, text(fields['email']), text(fields['external_id'])],
      known?.user_id,
    )
    if (taken !== undefined)
      return { wrong: `"${taken.value}" is the name, e-mail or external id of ${taken.name}` }
    const change = await this.#upsert('users', 'name', fields)
    if (typeof change !== 'string') return change
    const id = (await this.user(name))?.user_id ?? ''
    const memberships = await this.#replace('user_groups', 'group_name', id, groups)
    const assigned = await this.#replace('user_roles', 'role_name', id, roles)
    return change === 'unchanged' && (memberships || assigned) ? 'updated' : change
  }

  async #membership(
    values: Readonly<Record<string, unknown>>,
  ): Promise<Change | { readonly wrong: string }> {
    const login = String(values['user'])
    const { rows } = await sql<UserRow>`
      select user_id, name from users where tenant = ${this.#tenant} and lower(${login}) in (lower(name), lower(email), lower(external_id))`.execute(
      this.#db,
    )
    const [user] = rows
    if (user === undefined) return { wrong: `there is no user "${login}"` }
    const { rows: added } = await sql`
      insert into user_groups (tenant, user_id, group_name) values (${this.#tenant}, ${user.user_id}, ${values['group']})
      on conflict do nothing returning 1 as added`.execute(this.#db)
    return added.length > 0 ? 'created' : 'unchanged'
  }

  /** Whether the list changed; an absent list stays as it is. */
  async #replace(
    table: 'user_groups' | 'user_roles',
    column: string,
    userId: string,
    wanted: unknown,
  ): Promise<boolean> {
    if (!Array.isArray(wanted)) return false
    const gone = await sql`
      delete from ${sql.table(table)} where tenant = ${this.#tenant} and user_id = ${userId} and not (${sql.ref(column)} = any(${wanted}::text[]))
      returning 1 as changed`.execute(this.#db)
    const added = await sql`
      insert into ${sql.table(table)} (tenant, user_id, ${sql.ref(column)})
      select ${this.#tenant}, ${userId}, name from unnest(${wanted}::text[]) as name on conflict do nothing returning 1 as changed`.execute(
      this.#db,
    )
    return gone.rows.length + added.rows.length > 0
  }

  async #upsert(
    table: 'departments' | 'users' | 'groups' | 'roles' | 'assets',
    key: string,
    values: Readonly<Record<string, unknown>>,
  ): Promise<Change> {
    const columns = Object.keys(values)
    const updates = columns.filter((column) => column !== key)
    const found = await sql<Record<string, unknown>>`
      select * from ${sql.table(table)} where tenant = ${this.#tenant} and lower(${sql.ref(key)}) = lower(${values[key]}) for update`.execute(
      this.#db,
    )
    const [old] = found.rows
    if (old === undefined) {
      await sql`
        insert into ${sql.table(table)} (tenant, ${sql.join(columns.map((column) => sql.ref(column)))})
        values (${this.#tenant}, ${sql.join(columns.map((column) => values[column]))})`.execute(
        this.#db,
      )
      return 'created'
    }
    const changed = updates.filter(
      (column) => JSON.stringify(old[column] ?? null) !== JSON.stringify(values[column] ?? null),
    )
    if (changed.length === 0) return 'unchanged'
    await sql`
      update ${sql.table(table)} set ${sql.join(changed.map((column) => sql`${sql.ref(column)} = ${values[column]}`))}, updated_at = now()
      where tenant = ${this.#tenant} and lower(${sql.ref(key)}) = lower(${values[key]})`.execute(
      this.#db,
    )
    return 'updated'
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
