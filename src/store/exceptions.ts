// Exceptions as rows: made, decided, counted, and told to those who look for what has changed.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import {
  type ExceptionConditions,
  type ExceptionStatus,
  type Lifts,
  type LiveException,
  MAX_EXCEPTIONS,
} from '../model/exception.ts'
import { pseudonymOf } from '../model/person.ts'
import type { ShippedRecord } from '../model/record.ts'
import { decisionsOf } from './record-rows.ts'
import { isThemselves } from './shown-people.ts'
import type { Tables } from './tables.ts'

export interface ExceptionRow {
  readonly exception_id: string
  /** `temporary`, or without an end `permanent`. */
  readonly exception_type: string
  readonly reason: string
  readonly justification: string
  readonly user_id: string | null
  /** Of that user. */
  readonly person_key: string | null
  readonly department: string | null
  readonly group_name: string | null
  readonly policy_id: string | null
  readonly ai_service_id: string | null
  readonly lifts: Lifts
  readonly conditions: ExceptionConditions | null
  readonly status: ExceptionStatus
  readonly requested_by: string
  /** Of their name; null where a review has asked. */
  readonly requester_key: string | null
  readonly requested_at: Date
  readonly approved_by: string | null
  readonly approved_at: Date | null
  readonly comment: string | null
  readonly denied_by: string | null
  readonly denied_at: Date | null
  readonly denial_reason: string | null
  readonly effective_from: Date | null
  readonly effective_until: Date | null
  readonly usage_count: number
  readonly last_used: Date | null
  readonly revoked_by: string | null
  readonly revoked_at: Date | null
  readonly revocation_reason: string | null
  readonly expired_at: Date | null
  readonly review_id: string | null
}

export type NewException = Pick<
  ExceptionRow,
  | 'exception_id'
  | 'reason'
  | 'justification'
  | 'user_id'
  | 'person_key'
  | 'department'
  | 'group_name'
  | 'policy_id'
  | 'ai_service_id'
  | 'lifts'
  | 'conditions'
  | 'requested_by'
  | 'requester_key'
  | 'effective_from'
  | 'effective_until'
  | 'review_id'
>

const COLUMNS = sql.raw(
  `exception_id, exception_type, reason, justification, user_id, person_key, department, group_name, policy_id, ai_service_id, lifts,
   conditions, status, requested_by, requester_key, requested_at, approved_by, approved_at, comment, denied_by, denied_at, denial_reason,
   effective_from, effective_until, usage_count, last_used, revoked_by, revoked_at, revocation_reason, expired_at, review_id`,
)
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
/** Its end has come, or its last use. */
export const HAS_RUN_OUT = sql`(coalesce(effective_until <= now(), false)
  or coalesce(usage_count >= (conditions->>'max_uses')::integer, false))`
/** Whoever asks for one takes it, so that their number stays within its bound. */
const COUNT_LOCK = 7_303_611

/** Of one who asks, so that nobody fills the room of all others. */
const MAX_WAITING = 1000

/** For a transaction. Throws TOO_MANY where as many wait or are in force as may. */
export async function insertException(
  db: Kysely<Tables>,
  tenant: string,
  exception: NewException,
): Promise<ExceptionRow> {
  await sql`select pg_advisory_xact_lock(${COUNT_LOCK}, hashtext(${tenant}))`.execute(db)
  const { rows: counted } = await sql<{ open: string; waiting: string }>`
    select count(*) as open, count(*) filter (where status = 'pending' and requested_by = ${exception.requested_by}) as waiting
    from exceptions where tenant = ${tenant} and status in ('pending', 'approved')`.execute(db)
  if (Number(counted[0]?.waiting ?? 0) >= MAX_WAITING)
    throw new CordonError(
      'TOO_MANY',
      `${MAX_WAITING} exceptions that you asked for wait: have them approved or denied first`,
    )
  if (Number(counted[0]?.open ?? 0) >= MAX_EXCEPTIONS)
    throw new CordonError(
      'TOO_MANY',
      `${MAX_EXCEPTIONS} exceptions wait or are in force: deny or revoke what is not needed`,
    )
  const { conditions, effective_until: until } = exception
  const { rows } = await sql<ExceptionRow>`
    insert into exceptions (tenant, exception_id, exception_type, reason, justification, user_id, person_key, department, group_name,
      policy_id, ai_service_id, lifts, conditions, requested_by, requester_key, effective_from, effective_until, review_id)
    values (${tenant}, ${exception.exception_id}, ${until === null ? 'permanent' : 'temporary'}, ${exception.reason},
      ${exception.justification}, ${exception.user_id}, ${exception.person_key}, ${exception.department}, ${exception.group_name},
      ${exception.policy_id}, ${exception.ai_service_id}, ${exception.lifts}, ${JSON.stringify(conditions ?? {})}::jsonb,
      ${exception.requested_by}, ${exception.requester_key}, ${exception.effective_from}, ${until}, ${exception.review_id})
    returning ${COLUMNS}`.execute(db)
  const [row] = rows
  if (row === undefined) throw new CordonError('INTERNAL', 'the exception could not be stored')
  return row
}

/** `lock`: in a transaction, until it ends nobody else decides about it. */
export async function findException(
  db: Kysely<Tables>,
  tenant: string,
  id: string,
  lock = false,
): Promise<ExceptionRow | undefined> {
  const { rows } = await sql<ExceptionRow>`
    select ${COLUMNS} from exceptions where tenant = ${tenant} and exception_id = ${id} ${lock ? sql`for update` : sql``}`.execute(
    db,
  )
  return rows[0]
}

export type ExceptionDecision = 'approved' | 'denied' | 'revoked'

/** Who decides, and what they say to it. In a transaction that has looked whether it may be. */
export async function decideException(
  db: Kysely<Tables>,
  tenant: string,
  id: string,
  status: ExceptionDecision,
  { by, text }: { readonly by: string; readonly text: string | null },
): Promise<ExceptionRow> {
  const changes = {
    approved: sql`approved_by = ${by}, approved_at = now(), comment = ${text}`,
    denied: sql`denied_by = ${by}, denied_at = now(), denial_reason = ${text}`,
    revoked: sql`revoked_by = ${by}, revoked_at = now(), revocation_reason = ${text}`,
  }[status]
  const { rows } = await sql<ExceptionRow>`
    update exceptions set status = ${status}, position = pg_current_xact_id(), ${changes}
    where tenant = ${tenant} and exception_id = ${id} returning ${COLUMNS}`.execute(db)
  const [row] = rows
  if (row === undefined) throw new CordonError('INTERNAL', 'the exception has gone')
  return row
}

/** At most `limit` that have run out; each is told once, however many look. For a transaction. */
export async function expireExceptions(
  db: Kysely<Tables>,
  tenant: string,
  limit: number,
): Promise<readonly (ExceptionRow & { readonly was: ExceptionStatus })[]> {
  const { rows } = await sql<ExceptionRow & { was: ExceptionStatus }>`
    with due as (
      select exception_id as due_id, status as was from exceptions
      where tenant = ${tenant} and status in ('pending', 'approved') and ${HAS_RUN_OUT}
      order by exception_id limit ${limit} for update skip locked)
    update exceptions set status = 'expired', expired_at = now(), position = pg_current_xact_id()
    from due where tenant = ${tenant} and exception_id = due_id
    returning ${COLUMNS}, was`.execute(db)
  return rows
}

/**
 * Counts a use of each, or of none where one is no longer in force or has no use left: then the id of that one. Exact,
 * whoever counts at the same time: what waits for a row sees what the other has left.
 */
export async function claimUses(
  db: Kysely<Tables>,
  tenant: string,
  ids: readonly string[],
): Promise<string | undefined> {
  const [only, ...others] = ids.toSorted()
  if (only === undefined) return undefined
  if (others.length === 0) return (await claimUse(db, tenant, only)) ? undefined : only
  return db
    .transaction()
    .execute(async (transaction) => {
      // In one order, so that nobody waits in a circle.
      for (const id of [only, ...others])
        if (!(await claimUse(transaction, tenant, id))) throw new Unavailable(id)
      return undefined
    })
    .catch((error: unknown) => {
      if (error instanceof Unavailable) return error.id
      throw error
    })
}

/** Ends the transaction, so that nothing is counted. */
class Unavailable extends Error {
  override readonly name = 'Unavailable'
  readonly id: string

  constructor(id: string) {
    super(`no use of ${id} is left`)
    this.id = id
  }
}

async function claimUse(db: Kysely<Tables>, tenant: string, id: string): Promise<boolean> {
  const { rows } = await sql`
    update exceptions set usage_count = usage_count + 1, last_used = greatest(last_used, now())
    where tenant = ${tenant} and exception_id = ${id} and status = 'approved'
      and usage_count < (conditions->>'max_uses')::integer
    returning exception_id`.execute(db)
  return rows.length > 0
}

/**
 * Of exceptions without a limit, uses are counted by their records, each once: these are new to the store. For the
 * transaction that stores them; rows of the others are left alone, so that no request waits for a recorder.
 */
export async function countUses(
  db: Kysely<Tables>,
  records: readonly ShippedRecord[],
): Promise<void> {
  const uses = new Map<string, { tenant: string; id: string; count: number; last: number }>()
  for (const { record } of decisionsOf(records)) {
    if (record.decision.decision !== 'ALLOW') continue
    for (const id of record.excepted?.exceptions ?? []) {
      if (!UUID.test(id)) continue
      const use = uses.get(id) ?? { tenant: record.tenant, id, count: 0, last: record.time }
      uses.set(id, { ...use, count: use.count + 1, last: Math.max(use.last, record.time) })
    }
  }
  // In one order, so that recorders wait for each other and never in a circle.
  for (const { tenant, id, count, last } of [...uses.values()].toSorted((a, b) =>
    a.id < b.id ? -1 : 1,
  ))
    await sql`
      update exceptions set usage_count = usage_count + ${count}, last_used = greatest(last_used, ${new Date(last)}::timestamptz)
      where tenant = ${tenant} and exception_id = ${id} and not (conditions ? 'max_uses')`.execute(
      db,
    )
}

/** What is in force, or has changed since. */
export interface ExceptionChanges {
  readonly live: readonly LiveException[]
  /** Ids of those that are not, or no longer; `revoked` before their time was over. */
  readonly ended: readonly string[]
  readonly revoked: readonly string[]
  /** Where to go on: changes of transactions that are still open lie behind it. */
  readonly position: string
}

/** `after`: the position of the last look; without, all that are in force. */
export async function exceptionChanges(
  db: Kysely<Tables>,
  tenant: string,
  after?: string,
): Promise<ExceptionChanges> {
  const wanted = after === undefined ? sql`status = 'approved'` : sql`position >= ${after}::xid8`
  const { rows } = await sql<ExceptionRow & { horizon: string }>`
    with snapshot as (select pg_snapshot_xmin(pg_current_snapshot())::text as horizon)
    select horizon, ${COLUMNS} from snapshot left join exceptions on tenant = ${tenant} and ${wanted}
    order by requested_at limit ${MAX_EXCEPTIONS + 1}`.execute(db)
  const found = rows.filter(({ exception_id: id }) => (id as string | null) !== null)
  const live = found.filter(({ status }) => status === 'approved')
  return {
    live: live.map(liveOf),
    ended: found.filter(({ status }) => status !== 'approved').map(({ exception_id: id }) => id),
    revoked: found.filter(({ status }) => status === 'revoked').map(({ exception_id: id }) => id),
    position: rows[0]?.horizon ?? '0',
  }
}

function liveOf(row: ExceptionRow): LiveException {
  const { user_id, department, group_name: group, policy_id, ai_service_id: service_id } = row
  const { effective_from: from, effective_until: until } = row
  return {
    exception_id: row.exception_id,
    lifts: row.lifts,
    ...(user_id === null ? {} : { user_id }),
    ...(department === null ? {} : { department }),
    ...(group === null ? {} : { group }),
    ...(policy_id === null ? {} : { policy_id }),
    ...(service_id === null ? {} : { service_id }),
    ...(from === null ? {} : { from: from.getTime() }),
    ...(until === null ? {} : { until: until.getTime() }),
    conditions: row.conditions ?? {},
  }
}

/** How many there are by status, of those that are not over. */
export async function countExceptions(
  db: Kysely<Tables>,
  tenant: string,
): Promise<{ readonly pending: number; readonly approved: number }> {
  const { rows } = await sql<{ pending: string; approved: string }>`
    select count(*) filter (where status = 'pending') as pending, count(*) filter (where status = 'approved') as approved
    from exceptions where tenant = ${tenant} and status in ('pending', 'approved') and not ${HAS_RUN_OUT}`.execute(
    db,
  )
  return { pending: Number(rows[0]?.pending ?? 0), approved: Number(rows[0]?.approved ?? 0) }
}

/** The users that stand in a row, for `exceptionView`. */
export function peopleOf(row: Readonly<Record<string, unknown>>): readonly unknown[] {
  return ['user_id', 'requested_by', 'approved_by', 'denied_by', 'revoked_by'].map((by) => row[by])
}

/** An exception as people are shown it; `names`: of users by id. */
export function exceptionView(
  row: Readonly<Record<string, unknown>>,
  names: ReadonlyMap<unknown, string>,
  pseudonymous: boolean,
): Record<string, unknown> {
  const { user_id: userId, person_key: key, status } = row
  const person = typeof key === 'string' ? (pseudonymOf(key) ?? null) : null
  const acted = (column: string): Record<string, unknown> => {
    const by = row[column]
    const shown = pseudonymous && isThemselves(by, userId, names)
    return {
      [column]: shown ? person : by,
      [`${column}_name`]: shown ? null : (names.get(by) ?? null),
    }
  }
  const conditions = (row['conditions'] ?? {}) as ExceptionConditions
  return {
    exception_id: row['exception_id'],
    status: isOpen(status) && hasRunOut(row, conditions) ? 'expired' : status,
    exception_type: row['exception_type'],
    user:
      userId === null
        ? null
        : pseudonymous
          ? { id: null, name: person }
          : { id: userId, name: names.get(userId) ?? null },
    department: row['department'],
    group: row['group_name'],
    policy_id: row['policy_id'],
    service_id: row['ai_service_id'],
    lifts: row['lifts'],
    conditions,
    effective_from: row['effective_from'],
    effective_until: row['effective_until'],
    reason: row['reason'],
    justification: pseudonymous ? null : row['justification'],
    ...acted('requested_by'),
    // Who asks is often whom it is for.
    ...(pseudonymous ? { requested_by_name: null } : {}),
    requested_at: row['requested_at'],
    ...acted('approved_by'),
    approved_at: row['approved_at'],
    comment: pseudonymous ? null : row['comment'],
    ...acted('denied_by'),
    denied_at: row['denied_at'],
    denial_reason: pseudonymous ? null : row['denial_reason'],
    ...acted('revoked_by'),
    revoked_at: row['revoked_at'],
    revocation_reason: pseudonymous ? null : row['revocation_reason'],
    expired_at: row['expired_at'],
    usage_count: row['usage_count'],
    last_used: row['last_used'],
    review_id: row['review_id'],
  }
}

function isOpen(status: unknown): boolean {
  return status === 'pending' || status === 'approved'
}

function hasRunOut(
  { effective_until: until, usage_count: count }: Readonly<Record<string, unknown>>,
  { max_uses: most }: ExceptionConditions,
): boolean {
  const isOver = until instanceof Date && until.getTime() <= Date.now()
  return isOver || (most !== undefined && Number(count) >= most)
}
