// Legal holds: what one covers stays, whatever its age is and whoever asks for its erasure, until the hold is released.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { CordonError } from '../base/errors.ts'
import type { Tables } from './tables.ts'

export interface Hold {
  readonly hold_id: string
  readonly name: string
  /** Only what concerns this person, by any of its keys; null: everybody. */
  readonly person_keys: readonly string[] | null
  /** Only what was recorded from then on, and before then; null: without a bound. */
  readonly time_from: Date | null
  readonly time_to: Date | null
  readonly reason: string
  readonly created_by: string
  readonly created_at: Date
  readonly released_at: Date | null
  readonly released_by: string | null
  readonly release_reason: string | null
}

export type NewHold = Pick<
  Hold,
  'hold_id' | 'name' | 'person_keys' | 'time_from' | 'time_to' | 'reason' | 'created_by'
>

/** Whoever deletes takes it shared, so that nothing covered goes once a hold stands. */
const HOLD_LOCK = 7_303_604
const COLUMNS = sql.raw(
  'hold_id, name, person_keys, time_from, time_to, reason, created_by, created_at, released_at, released_by, release_reason',
)
/** SQLSTATE unique_violation. */
const TWICE = '23505'

/** Waits for deletions that have begun. Throws CONFLICT where a hold of that name is in force. */
export async function placeHold(db: Kysely<Tables>, tenant: string, hold: NewHold): Promise<Hold> {
  try {
    return await db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${HOLD_LOCK})`.execute(transaction)
      const { rows } = await sql<Hold>`
        insert into legal_holds (tenant, hold_id, name, person_keys, time_from, time_to, reason, created_by)
        values (${tenant}, ${hold.hold_id}, ${hold.name}, ${hold.person_keys}, ${hold.time_from}, ${hold.time_to}, ${hold.reason}, ${hold.created_by})
        returning ${COLUMNS}`.execute(transaction)
      const [placed] = rows
      if (placed === undefined)
        throw new CordonError('INTERNAL', `the hold "${hold.name}" could not be stored`)
      return placed
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === TWICE)
      throw new CordonError(
        'CONFLICT',
        `a hold "${hold.name}" is in force already; release it first, or take another name`,
        { cause: error },
      )
    throw error
  }
}

/** Throws NOT_FOUND where none of that name is in force. */
export async function liftHold(
  db: Kysely<Tables>,
  tenant: string,
  name: string,
  { by, reason }: { readonly by: string; readonly reason: string },
): Promise<Hold> {
  const { rows } = await sql<Hold>`
    update legal_holds set released_at = now(), released_by = ${by}, release_reason = ${reason}
    where tenant = ${tenant} and name = ${name} and released_at is null returning ${COLUMNS}`.execute(
    db,
  )
  const [lifted] = rows
  if (lifted === undefined)
    throw new CordonError(
      'NOT_FOUND',
      `no hold "${name}" is in force; "cordon ledger hold list" shows those that are`,
    )
  return lifted
}

/** Newest first, those that were released too. */
export async function listHolds(
  db: Kysely<Tables>,
  tenant: string,
  limit: number,
): Promise<readonly Hold[]> {
  const { rows } = await sql<Hold>`
    select ${COLUMNS} from legal_holds where tenant = ${tenant}
    order by released_at is not null, created_at desc, name limit ${limit}`.execute(db)
  return rows
}

/** Of a tenant, or of all. */
export async function holdsInForce(
  db: Kysely<Tables>,
  tenant?: string,
): Promise<readonly (Hold & { readonly tenant: string })[]> {
  const whose = tenant === undefined ? sql`true` : sql`tenant = ${tenant}`
  const { rows } = await sql<Hold & { tenant: string }>`
    select tenant, ${COLUMNS} from legal_holds where ${whose} and released_at is null order by created_at, name`.execute(
    db,
  )
  return rows
}

/** For a transaction that deletes: no hold is placed until it ends. */
export async function barHolds(transaction: Transaction<Tables>): Promise<void> {
  await sql`select pg_advisory_xact_lock_shared(${HOLD_LOCK})`.execute(transaction)
}

/**
 * The condition that a hold of the row's tenant covers it. `row` is its table or alias, `from` and `to` the expressions of
 * its first and last moment, and `concerns` says when a hold of one person is meant: by default by its person_key.
 */
export function isHeld(
  row: string,
  from: RawBuilder<unknown>,
  to: RawBuilder<unknown>,
  concerns: RawBuilder<unknown> = sql`${sql.ref(`${row}.person_key`)} = any(hold.person_keys)`,
): RawBuilder<boolean> {
  return sql<boolean>`exists (
    select from legal_holds hold where hold.tenant = ${sql.ref(`${row}.tenant`)} and hold.released_at is null
      and (hold.time_from is null or ${to} >= hold.time_from) and (hold.time_to is null or ${from} < hold.time_to)
      and (hold.person_keys is null or ${concerns}))`
}
