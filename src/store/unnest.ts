// Many rows in one statement: a column travels as one parameter, whatever the number of rows.
//
// SELECT unnest(a), unnest(b), ... walks through the arrays side by side, row for row. In FROM each of them would first be
// laid out as a table of its own.

import { type RawBuilder, sql, type Transaction } from 'kysely'
import { arrayBytes, type ElementType } from './array-bytes.ts'
import type { Tables } from './tables.ts'

export type Row = Readonly<Record<string, unknown>>
export type ColumnType = ElementType | 'uuid' | 'date'
/** Columns of a table with their types, in order. */
export type Columns = Readonly<Record<string, ColumnType>>

/** INSERT ... SELECT unnest: rows whose key is there already are passed over. */
export async function insert(
  transaction: Transaction<Tables>,
  table: string,
  columns: Columns,
  rows: readonly Row[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`insert into ${sql.table(table)} (${names(columns)}) ${selectRows(columns, rows)} on conflict do nothing`.execute(
    transaction,
  )
}

export function names(columns: Columns): ReturnType<typeof sql.join> {
  return sql.join(Object.keys(columns).map((name) => sql.ref(name)))
}

/** A SELECT that gives the rows. Throws UnstorableError where a value is not of its column's type. */
export function selectRows(columns: Columns, rows: readonly Row[]): RawBuilder<unknown> {
  const list = Object.entries(columns).map(([name, type]) => {
    const values = rows.map((row) => row[name])
    return sql`${column(type, values)} as ${sql.ref(name)}`
  })
  return sql`select ${sql.join(list)}`
}

function column(type: ColumnType, values: readonly unknown[]): RawBuilder<unknown> {
  if (type === 'jsonb') return documents(values)
  // Ids and days travel as texts, which the server reads faster than JavaScript does.
  if (type === 'uuid' || type === 'date')
    return sql`unnest(${arrayBytes('text', values)}::text[])::${sql.raw(type)}`
  return sql`unnest(${arrayBytes(type, values)}::${sql.raw(type)}[])`
}

/** Documents repeat, and reading one costs the server more than all the other columns of a row: each is sent once. */
function documents(values: readonly unknown[]): RawBuilder<unknown> {
  const places = new Map<string, number>()
  const at = values.map((value) => {
    if (typeof value !== 'string') return undefined
    const known = places.get(value)
    if (known !== undefined) return known
    places.set(value, places.size + 1)
    return places.size
  })
  const distinct = [...places.keys()].map(storable)
  return sql`(${arrayBytes('jsonb', distinct)}::jsonb[])[unnest(${arrayBytes('integer', at)}::integer[])]`
}

/** PostgreSQL takes JSON with NUL or half a surrogate pair as text, not as jsonb. */
function storable(json: string): string {
  return json.includes('\\u') ? json.replaceAll(UNSTORABLE, '\\ufffd') : json
}

const UNSTORABLE = /(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g
