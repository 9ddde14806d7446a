// What the database knows of people and devices, in the form that the directory serves.

import { type Kysely, sql } from 'kysely'
import type { UserInput } from '../model/input.ts'
import type { Principal } from '../model/request.ts'
import type { OwnRisk } from '../model/risk.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { Tables } from './tables.ts'

interface UserRow {
  readonly user_id: string
  readonly name: string
  readonly email: string | null
  readonly status: string
  readonly employee_type: string | null
  readonly job_title: string | null
  readonly risk_score: number | null
  readonly clearance_level: string | null
  readonly attributes: Record<string, unknown>
  readonly department: string | null
  readonly departments:
    | { id: string; name: string; parent: string | null; allowed: string[]; prohibited: string[] }[]
    | null
  readonly groups:
    | { id: string | null; name: string; allowed: string[] | null; prohibited: string[] | null }[]
    | null
  readonly roles: string[] | null
  readonly own_risk: OwnRisk | null
}

const MAX_DEPARTMENT_DEPTH = 64
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export class StoredDirectory {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  /** The person, or undefined. A login is a name, then an e-mail, then an external id, without case. */
  async find(principal: Principal): Promise<Subject | undefined> {
    const id = await this.#idOf(principal)
    if (id === undefined) return undefined
    const { rows } = await sql<UserRow>`
      with recursive person as (
        select * from users where tenant = ${this.#tenant} and user_id = ${id}
      ), chain as (
        select d.*, 0 as depth from departments d join person p on d.tenant = p.tenant and lower(d.name) = lower(p.department)
        union all
        select d.*, c.depth + 1 from departments d join chain c on d.tenant = c.tenant and lower(d.name) = lower(c.parent) where c.depth < ${MAX_DEPARTMENT_DEPTH}
      )
      select p.user_id, p.name, p.email, p.status, p.employee_type, p.job_title, p.risk_score, p.clearance_level, p.attributes, p.department,
        (select json_agg(json_build_object('id', c.department_id, 'name', c.name, 'parent', c.parent, 'allowed', c.allowed_ai_services, 'prohibited', c.prohibited_ai_services)
          order by c.depth desc) from chain c) as departments,
        (select json_agg(json_build_object('id', g.group_id, 'name', coalesce(g.name, m.group_name), 'allowed', g.allowed_ai_services, 'prohibited', g.prohibited_ai_services)
          order by coalesce(g.name, m.group_name) collate "C") from user_groups m left join groups g on g.tenant = m.tenant and lower(g.name) = lower(m.group_name)
          where m.tenant = p.tenant and m.user_id = p.user_id) as groups,
        (select json_agg(r.role_name order by r.role_name collate "C") from user_roles r where r.tenant = p.tenant and r.user_id = p.user_id
          and (r.expires_at is null or r.expires_at > now())) as roles,
        (select json_build_object('points', r.points, 'as_of', (extract(epoch from r.as_of) * 1000)::bigint) from person_risks r
          where r.tenant = p.tenant and r.user_id = p.user_id::text order by r.as_of desc limit 1) as own_risk
      from person p`.execute(this.#db)
    const row = rows[0]
    return row === undefined ? undefined : subjectOf(row)
  }

  async asset(hostname: string): Promise<Asset | undefined> {
    const row = await this.#db
      .selectFrom('assets')
      .selectAll()
      .where('tenant', '=', this.#tenant)
      .where(sql`lower(hostname)`, '=', hostname.toLowerCase().replaceAll('\0', '\ufffd'))
      .executeTakeFirst()
    if (row === undefined) return undefined
    const { tenant: _tenant, updated_at: _updated, ...fields } = row
    const document = Object.fromEntries(
      Object.entries(fields)
        .filter(([key, value]) => value !== null && key !== 'created_at')
        // As in JSON: the document is the same from memory and from the shared cache.
        .map(([key, value]) => [key, value instanceof Date ? value.toISOString() : value]),
    )
    return {
      id: row.asset_id,
      hostname: row.hostname,
      data_classification: row.data_classification,
      document,
    }
  }

  async #idOf(principal: Principal): Promise<string | undefined> {
    const { login, user_id: userId, name, email, external_id: externalId } = principal
    const wanted: [string, string | undefined][] =
      login === undefined
        ? [
            ['user_id', userId],
            ['email', email],
            ['external_id', externalId],
            ['name', name],
          ]
        : [
            ['name', login],
            ['email', login],
            ['external_id', login],
          ]
    for (const [column, value] of wanted) {
      if (value === undefined) continue
      // An id that is none has no row, and its text no cast.
      if (column === 'user_id' && !UUID.test(value)) continue
      const holds =
        column === 'user_id'
          ? sql`user_id = ${value}::uuid`
          : sql`lower(${sql.ref(column)}) = lower(${value.replaceAll('\0', '\ufffd')})`
      const { rows } = await sql<{ user_id: string }>`
        select user_id from users where tenant = ${this.#tenant} and ${holds}`.execute(this.#db)
      const [row] = rows
      if (row !== undefined) return row.user_id
    }
    return undefined
  }
}

function subjectOf(row: UserRow): Subject {
  const departments = row.departments ?? []
  const groups = row.groups ?? []
  const department = departmentOf(row, departments)
  const units = [...departments, ...groups]
  const user: UserInput = {
    id: row.user_id,
    name: row.name,
    known: true,
    status: row.status,
    groups: groups.map(({ name }) => name),
    roles: row.roles ?? [],
    ...(row.email === null ? {} : { email: row.email }),
    ...(department === undefined ? {} : { department }),
    ...(row.employee_type === null ? {} : { employee_type: row.employee_type }),
    ...(row.job_title === null ? {} : { job_title: row.job_title }),
    ...(row.risk_score === null ? {} : { risk_score: row.risk_score }),
    ...(row.clearance_level === null ? {} : { clearance_level: row.clearance_level }),
    ...(Object.keys(row.attributes).length === 0 ? {} : { attributes: row.attributes }),
  }
  return {
    user,
    person: row.user_id,
    ...(row.own_risk === null ? {} : { own_risk: row.own_risk }),
    allowed_services: new Set(units.flatMap(({ allowed }) => allowed ?? [])),
    prohibited_services: new Set(units.flatMap(({ prohibited }) => prohibited ?? [])),
    units: new Set([
      ...(department?.path ?? []),
      ...units.flatMap(({ id, name }) => (id === null ? [name] : [id, name])),
    ]),
  }
}

/** A department that nobody has described is its name, as a person's own and as the parent of another. */
function departmentOf(
  row: UserRow,
  known: NonNullable<UserRow['departments']>,
): UserInput['department'] {
  const own = known.at(-1)
  if (own === undefined)
    return row.department === null ? undefined : { name: row.department, path: [row.department] }
  const root = known[0]?.parent ?? null
  return {
    id: own.id,
    name: own.name,
    path: [...(root === null ? [] : [root]), ...known.map(({ name }) => name)],
  }
}
