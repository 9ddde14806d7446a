// Departments, groups, roles and assets of an import: what the database knows of them, changed row by row.

import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { Tables } from '../store/tables.ts'
import { COLUMNS, type Kind } from './columns.ts'

export type Change = 'created' | 'updated' | 'unchanged'
export type Values = Readonly<Record<string, unknown>>

/** A row of a table as it will be, and whether it has to be written. */
export interface Thing {
  readonly isNew: boolean
  isChanged: boolean
  readonly values: Record<string, unknown>
}

const ROWS_A_STATEMENT = 2000

export class Things {
  readonly #db: Transaction<Tables>
  readonly #tenant: string
  readonly #table: Exclude<Kind, 'memberships' | 'users'>
  readonly #key: string
  readonly #things: Map<string, Thing>

  private constructor(
    db: Transaction<Tables>,
    tenant: string,
    table: Exclude<Kind, 'memberships' | 'users'>,
    things: Map<string, Thing>,
  ) {
    this.#db = db
    this.#tenant = tenant
    this.#table = table
    this.#key = keyOf(table)
    this.#things = things
  }

  /** With what the database knows of the things that the rows name. */
  static async load(
    db: Transaction<Tables>,
    tenant: string,
    table: Exclude<Kind, 'memberships' | 'users'>,
    rows: readonly Values[],
  ): Promise<Things> {
    const key = keyOf(table)
    const names = [...new Set(rows.map((row) => String(row[key])))]
    const { rows: known } = await sql<Record<string, unknown>>`
      select * from ${sql.table(table)} where tenant = ${tenant}
        and lower(${sql.ref(key)}) in (select lower(name) from unnest(${names}::text[]) as name)`.execute(
      db,
    )
    const things = new Map(
      known.map((values) => [
        String(values[key]).toLowerCase(),
        { isNew: false, isChanged: false, values },
      ]),
    )
    return new Things(db, tenant, table, things)
  }

  apply(row: Values): Change {
    const key = String(row[this.#key]).toLowerCase()
    const known = this.#things.get(key)
    if (known === undefined) {
      this.#things.set(key, { isNew: true, isChanged: true, values: { ...row } })
      return 'created'
    }
    return change(known, row, this.#key)
  }

  async write(): Promise<void> {
    const columns = Object.keys(COLUMNS[this.#table])
    await writeRows(this.#db, this.#tenant, this.#table, columns, [...this.#things.values()])
  }
}

function keyOf(table: Kind): string {
  return table === 'assets' ? 'hostname' : 'name'
}

/** Takes over what the row says, but for the key, whose spelling stays. */
export function change(thing: Thing, row: Values, key: string): Change {
  let isChanged = false
  for (const [column, value] of Object.entries(row)) {
    if (column === key || JSON.stringify(thing.values[column] ?? null) === JSON.stringify(value))
      continue
    thing.values[column] = value
    isChanged = true
  }
  if (!isChanged) return 'unchanged'
  thing.isChanged = true
  return 'updated'
}

/** By these, and not by names, rows are found again: they have the index that takes thousands at once. */
const IDS = {
  departments: 'department_id',
  groups: 'group_id',
  roles: 'role_id',
  assets: 'asset_id',
  users: 'user_id',
} as const

/** Updates and inserts what has changed, many rows a statement. */
export async function writeRows(
  db: Transaction<Tables>,
  tenant: string,
  table: Exclude<Kind, 'memberships'>,
  said: readonly string[],
  things: readonly Thing[],
): Promise<void> {
  const id = IDS[table]
  const columns = [id, ...said]
  const types = await columnTypes(db, table, columns)
  const changed = things.filter(({ isChanged }) => isChanged)
  const old = changed.filter(({ isNew }) => !isNew).map(({ values }) => values)
  for (const rows of chunksOf(old)) {
    const sets = columns
      .filter((column) => column !== id)
      .map((column) => sql`${sql.ref(column)} = ${sql.ref(`r.${column}`)}`)
    await sql`
      update ${sql.table(table)} as t set ${sql.join(sets)}, updated_at = now()
      from ${recordset(rows, columns, types)}
      where t.tenant = ${tenant} and ${sql.ref(`t.${id}`)} = ${sql.ref(`r.${id}`)}`.execute(db)
  }
  // What a new row leaves out has the default of its column, so rows go by what they say.
  const fresh = Map.groupBy(
    changed.filter(({ isNew }) => isNew).map(({ values }) => values),
    (values) => columns.filter((column) => values[column] !== undefined).join(),
  )
  for (const [key, same] of fresh) {
    const given = key.split(',')
    const names = sql.join(given.map((column) => sql.ref(column)))
    for (const rows of chunksOf(same))
      await sql`
        insert into ${sql.table(table)} (tenant, ${names})
        select ${tenant}, ${names} from ${recordset(rows, given, types)}`.execute(db)
  }
}

/** Rows as a table `r`: one parameter, whatever their number. */
function recordset(
  rows: readonly Values[],
  columns: readonly string[],
  types: ReadonlyMap<string, string>,
): RawBuilder<unknown> {
  const document = JSON.stringify(rows.map((values) => picked(values, columns)))
  const shape = columns.map(
    (column) => sql`${sql.ref(column)} ${sql.raw(types.get(column) ?? 'text')}`,
  )
  return sql`jsonb_to_recordset(${document}::jsonb) as r (${sql.join(shape)})`
}

function* chunksOf<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += ROWS_A_STATEMENT)
    yield rows.slice(at, at + ROWS_A_STATEMENT)
}

function picked(values: Values, columns: readonly string[]): Values {
  return Object.fromEntries(columns.map((column) => [column, values[column] ?? null]))
}

async function columnTypes(
  db: Transaction<Tables>,
  table: string,
  columns: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ name: string; type: string }>`
    select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
    where attrelid = ${table}::regclass and attname = any(${[...columns]}::text[])`.execute(db)
  return new Map(rows.map(({ name, type }) => [name, type]))
}
