// The tables whose rows go by age, and which of their rows a legal hold keeps.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { ERASURE_APPLIED, PERSON_ERASED } from '../model/erasure.ts'
import { RETENTION_APPLIED } from '../model/retention.ts'
import type { Age } from './ages.ts'
import { AGGREGATES, sumsOf } from './aggregates.ts'
import { isHeld } from './holds.ts'
import type { Means } from './series.ts'
import type { Tables } from './tables.ts'

export interface AgedTable {
  readonly name: string
  readonly age: Age
  /** Its age counts from this column. */
  readonly at: string
  /** The columns of the first and the last moment that a row tells of, where that is not `at`. */
  readonly span?: readonly [from: string, to: string]
  /** Rows are records, or facts of one record each: what goes is told by writer. */
  readonly isRecorded: boolean
  /** When a hold of one person keeps a row; by default, where its person_key is one of the hold's. */
  readonly concerns?: RawBuilder<unknown>
  /** Rows that stay at any age. */
  readonly stays?: RawBuilder<unknown>
}

/** Decisions after outcomes, which a hold of a person finds by them. */
export const AGED_TABLES: readonly AgedTable[] = [
  {
    name: 'outcomes',
    age: 'outcomes',
    at: 'time',
    isRecorded: true,
    concerns: sql`exists (select from decisions d where d.tenant = outcomes.tenant
      and d.decision_id = outcomes.decision_id and d.person_key = any(hold.person_keys))`,
  },
  { name: 'decisions', age: 'decisions', at: 'time', isRecorded: true },
  { name: 'violation_facts', age: 'violations', at: 'time', isRecorded: true },
  {
    name: 'audit_events',
    age: 'audit',
    at: 'time',
    isRecorded: true,
    // Whom they concern stands in their texts only: a hold of a person keeps all of its time.
    concerns: sql`true`,
    // These explain what is missing, and are needed as long as anything is.
    stays: sql`event_type in (${RETENTION_APPLIED}, ${PERSON_ERASED}, ${ERASURE_APPLIED})`,
  },
  {
    name: 'dead_letters',
    age: 'decisions',
    at: 'set_aside_at',
    isRecorded: true,
    concerns: sql`true`,
  },
  {
    name: 'violations',
    age: 'violations',
    at: 'last_seen',
    span: ['first_seen', 'last_seen'],
    isRecorded: false,
  },
  // Of violations that have gone, or will.
  { name: 'person_risks', age: 'violations', at: 'as_of', isRecorded: false },
  // Nobody's: a hold of one person does not mean them.
  {
    name: 'coverage_hours',
    age: 'aggregates',
    at: 'hour',
    isRecorded: false,
    concerns: sql`false`,
  },
  {
    name: 'shadow_ai',
    age: 'aggregates',
    at: 'last_seen',
    span: ['first_seen', 'last_seen'],
    isRecorded: false,
  },
  ...AGGREGATES.map(({ name, bucket, keys }): AgedTable => ({
    name,
    age: 'aggregates',
    at: bucket,
    span: ['first_seen', 'last_seen'],
    isRecorded: false,
    ...(keys.includes('person_key') ? {} : { concerns: sql`false` }),
  })),
]

/** `<table> as <name>`: where the rows lie, under the name that the conditions below use. */
export async function rowsOf(
  db: Kysely<Tables>,
  means: Means,
  { name }: AgedTable,
): Promise<RawBuilder<unknown>> {
  const aggregate = AGGREGATES.find((each) => each.name === name)
  const table = aggregate === undefined ? name : await sumsOf(db, means, aggregate)
  return sql`${sql.raw(table)} as ${sql.ref(name)}`
}

export function column({ name }: AgedTable, of: string): RawBuilder<unknown> {
  return sql`${sql.ref(`${name}.${of}`)}`
}

/** A tenant's rows that are older. */
export function isOld(table: AgedTable, tenant: string, before: Date): RawBuilder<unknown> {
  return sql`${column(table, 'tenant')} = ${tenant} and ${column(table, table.at)} < ${before}::timestamptz`
}

/** A hold covers the row. */
export function isCovered(table: AgedTable): RawBuilder<boolean> {
  const [from, to] = table.span ?? [table.at, table.at]
  return isHeld(table.name, column(table, from), column(table, to), table.concerns)
}

/** The row stays at any age, hold or not. */
export function staysAlways({ stays }: AgedTable): RawBuilder<unknown> {
  return stays ?? sql`false`
}

/** A tenant's rows that go now. */
export function isDue(table: AgedTable, tenant: string, before: Date): RawBuilder<unknown> {
  return sql`${isOld(table, tenant, before)} and not ${isCovered(table)} and not (${staysAlways(table)})`
}
