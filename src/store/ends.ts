// How the requests of decisions ended, for lists and exports: outcomes are rows of their own, which come later.

import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

const DAY_MS = 86_400_000

export type End = Readonly<Record<(typeof FIELDS)[number], unknown>>

const NUMBERS = ['status', 'bytes_in', 'bytes_out', 'duration_ms'] as const
const FIELDS = [
  ...NUMBERS,
  'visibility',
  'visibility_reason',
  'format',
  'input_tokens',
  'output_tokens',
] as const

/** What a decision shows whose request has not ended. */
export const NO_END = Object.fromEntries(FIELDS.map((name) => [name, null])) as End

/** By decision id. Most requests end within a day, so later parts of the series are asked only for the rest. */
export async function endsOf(
  db: Kysely<Tables>,
  tenant: string,
  decisions: readonly Readonly<Record<string, unknown>>[],
): Promise<ReadonlyMap<unknown, End>> {
  const ends = new Map<unknown, End>()
  const times = decisions.map(({ time }) => (time as Date).getTime())
  if (times.length === 0) return ends
  const from = new Date(Math.min(...times) - DAY_MS)
  const soon = new Date(Math.max(...times) + DAY_MS)
  for (const range of [sql`time >= ${from} and time < ${soon}`, sql`time >= ${soon}`]) {
    const ids = decisions.map(({ decision_id: id }) => id).filter((id) => !ends.has(id))
    if (ids.length === 0) break
    const { rows } = await sql<Record<string, unknown>>`
      select decision_id, ${sql.join(FIELDS.map((name) => sql.ref(name)))} from outcomes
      where tenant = ${tenant} and ${range} and decision_id = any(${ids}::uuid[])`.execute(db)
    for (const { decision_id: id, ...row } of rows) ends.set(id, endView(row))
  }
  return ends
}

/** Drivers give 64-bit numbers as texts. */
function endView(row: Readonly<Record<string, unknown>>): End {
  const number = (value: unknown): unknown => (typeof value === 'string' ? Number(value) : value)
  return {
    ...(row as End),
    ...Object.fromEntries(
      [...NUMBERS, 'input_tokens', 'output_tokens'].map((name) => [name, number(row[name])]),
    ),
  }
}
