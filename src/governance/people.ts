// The people of an import and their memberships. Nobody goes by a name, e-mail or external id that is another's.

import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Tables } from '../store/tables.ts'
import { COLUMNS } from './columns.ts'
import { change, type Change, type Thing, type Values, writeRows } from './things.ts'

interface Person extends Thing {
  readonly groups: Links
  readonly roles: Links
}

interface Links {
  readonly before: ReadonlySet<string>
  now: ReadonlySet<string>
}

/** New people of whom the planner of the database has to be told. */
const MANY = 1000
const NAMES = ['name', 'email', 'external_id'] as const
const USER_COLUMNS = Object.keys(COLUMNS.users).filter(
  (column) => column !== 'groups' && column !== 'roles',
)

export class People {
  readonly #db: Transaction<Tables>
  readonly #tenant: string
  readonly #byName = new Map<string, Person>()
  /** Everybody who goes by a name, e-mail or external id, in lower case. */
  readonly #holders = new Map<string, Person>()

  private constructor(db: Transaction<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  /** With everybody in the database who goes by anything that the rows name. */
  static async load(
    db: Transaction<Tables>,
    tenant: string,
    rows: readonly Values[],
  ): Promise<People> {
    const people = new People(db, tenant)
    const wanted = new Set<string>()
    for (const row of rows)
      for (const column of [...NAMES, 'user'])
        if (typeof row[column] === 'string') wanted.add(row[column])
    // Once by each index.
    const { rows: known } = await sql<Record<string, unknown>>`
      with wanted as materialized (select distinct lower(value) as value from unnest(${[...wanted]}::text[]) as value)
      select u.*,
        coalesce((select array_agg(g.group_name) from user_groups g where g.tenant = u.tenant and g.user_id = u.user_id), '{}') as groups,
        coalesce((select array_agg(r.role_name) from user_roles r where r.tenant = u.tenant and r.user_id = u.user_id), '{}') as roles
      from users u where u.tenant = ${tenant} and u.user_id in (
        select user_id from users join wanted on lower(name) = value where tenant = ${tenant}
        union select user_id from users join wanted on lower(email) = value where tenant = ${tenant}
        union select user_id from users join wanted on lower(external_id) = value where tenant = ${tenant})`.execute(
      db,
    )
    for (const { groups, roles, ...values } of known)
      people.#remember({
        isNew: false,
        isChanged: false,
        values,
        groups: linksOf(groups),
        roles: linksOf(roles),
      })
    return people
  }

  /** Whoever already goes by one of the names, but for one person. */
  holderOf(
    names: readonly unknown[],
    except?: Person,
  ): { readonly name: string; readonly value: string } | undefined {
    for (const value of names) {
      if (typeof value !== 'string') continue
      const holder = this.#holders.get(value.toLowerCase())
      if (holder !== undefined && holder !== except)
        return { name: String(holder.values['name']), value }
    }
    return undefined
  }

  idOf(name: unknown): string | undefined {
    const id = this.#byName.get(lower(name))?.values['user_id']
    return typeof id === 'string' ? id : undefined
  }

  apply(row: Values): Change | { readonly wrong: string } {
    const { groups, roles, ...fields } = row
    const known = this.#byName.get(lower(fields['name']))
    const taken = this.holderOf(
      NAMES.map((column) => fields[column]),
      known,
    )
    if (taken !== undefined)
      return { wrong: `"${taken.value}" is the name, e-mail or external id of ${taken.name}` }
    const person = known ?? {
      isNew: true,
      isChanged: true,
      values: { user_id: randomUUID() },
      groups: linksOf([]),
      roles: linksOf([]),
    }
    if (known !== undefined) this.#forgetNames(known)
    else person.values['name'] = fields['name']
    const changed = change(person, fields, 'name')
    this.#remember(person)
    const isLinked = [setLinks(person.groups, groups), setLinks(person.roles, roles)].some(Boolean)
    if (known === undefined) return 'created'
    return isLinked ? 'updated' : changed
  }

  /** One membership more. */
  join({ user, group }: Values): Change | { readonly wrong: string } {
    const person = this.#holders.get(lower(user))
    if (person === undefined) return { wrong: `there is no user "${String(user)}"` }
    const isNew = setLinks(person.groups, [...person.groups.now, group])
    return isNew ? 'created' : 'unchanged'
  }

  async write(): Promise<void> {
    const people = [...this.#byName.values()]
    // An e-mail may move from one to another, and the index looks at every row as it is written.
    const moving = people.filter(({ isNew, isChanged }) => isChanged && !isNew)
    if (moving.length > 0)
      await sql`
        update users set email = null, external_id = null
        where tenant = ${this.#tenant} and user_id = any(${moving.map(({ values }) => String(values['user_id']))}::uuid[])`.execute(
        this.#db,
      )
    await writeRows(this.#db, this.#tenant, 'users', USER_COLUMNS, people)
    // The checks of foreign keys are planned once a session, for the table as it was then: a few people.
    if (people.filter(({ isNew }) => isNew).length >= MANY)
      await sql`analyze users`.execute(this.#db)
    await this.#writeLinks('user_groups', 'group_name', people, ({ groups }) => groups)
    await this.#writeLinks('user_roles', 'role_name', people, ({ roles }) => roles)
  }

  async #writeLinks(
    table: 'user_groups' | 'user_roles',
    column: string,
    people: readonly Person[],
    linksIn: (person: Person) => Links,
  ): Promise<void> {
    const added: { id: unknown; link: string }[] = []
    const gone: { id: unknown; link: string }[] = []
    for (const person of people) {
      const { before, now } = linksIn(person)
      const id = person.values['user_id']
      for (const link of without(now, before)) added.push({ id, link })
      for (const link of without(before, now)) gone.push({ id, link })
    }
    if (gone.length > 0)
      await sql`
        delete from ${sql.table(table)} as t using jsonb_to_recordset(${JSON.stringify(gone)}::jsonb) as r (id uuid, link text)
        where t.tenant = ${this.#tenant} and t.user_id = r.id and t.${sql.ref(column)} = r.link`.execute(
        this.#db,
      )
    if (added.length > 0)
      await sql`
        insert into ${sql.table(table)} (tenant, user_id, ${sql.ref(column)})
        select ${this.#tenant}, id, link from jsonb_to_recordset(${JSON.stringify(added)}::jsonb) as r (id uuid, link text)`.execute(
        this.#db,
      )
  }

  #remember(person: Person): void {
    this.#byName.set(lower(person.values['name']), person)
    for (const column of NAMES)
      if (typeof person.values[column] === 'string')
        this.#holders.set(lower(person.values[column]), person)
  }

  #forgetNames(person: Person): void {
    for (const column of NAMES)
      if (typeof person.values[column] === 'string')
        this.#holders.delete(lower(person.values[column]))
  }
}

function linksOf(names: unknown): Links {
  const before = new Set(Array.isArray(names) ? names.map(String) : [])
  return { before, now: before }
}

/** Whether the list changed; an absent list stays as it is. */
function setLinks(links: Links, wanted: unknown): boolean {
  if (!Array.isArray(wanted)) return false
  const next = new Set(wanted.map(String))
  const isSame = next.size === links.now.size && without(next, links.now).length === 0
  links.now = next
  return !isSame
}

function without(some: ReadonlySet<string>, others: ReadonlySet<string>): string[] {
  return [...some].filter((each) => !others.has(each))
}

function lower(value: unknown): string {
  return String(value).toLowerCase()
}
