// Reviews: one pending per person, service, policy and action; an approval opens the way for a while. Those that are
// pending are a queue: somebody's, due at a time, escalated when nobody has answered by then.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { isThemselves, shownPerson } from './shown-people.ts'
import type { Tables } from './tables.ts'

export interface ReviewKey {
  readonly person_key: string
  readonly person: string
  readonly service_id: string
  readonly policy_id: string | null
  readonly action: string
  readonly reason: string
  readonly decision_id: string
}

export interface ReviewState {
  readonly review_id: string
  readonly state: 'pending' | 'approved' | 'denied'
}

export interface ReviewRow {
  readonly review_id: string
  readonly person_key: string
  /** The user id, for unknown people the login, else the client address; empty where they were erased. */
  readonly person: string
  readonly service_id: string
  /** Empty: by default. */
  readonly policy_id: string
  readonly action: string
  readonly reason: string
  readonly first_decision_id: string
  readonly status: 'pending' | 'approved' | 'denied'
  readonly assignee: string | null
  readonly due_at: Date | null
  /** How often it was escalated. */
  readonly escalation: number
}

/** While nobody says otherwise. */
const SLA_MS = 4 * 3_600_000

export class Reviews {
  readonly #db: Kysely<Tables>
  readonly #tenant: string
  readonly #nextId: () => string
  readonly #slaMs: () => number

  /** `slaMs`: within this time somebody is to answer. */
  constructor(
    db: Kysely<Tables>,
    tenant: string,
    nextId: () => string,
    slaMs: () => number = () => SLA_MS,
  ) {
    this.#db = db
    this.#tenant = tenant
    this.#nextId = nextId
    this.#slaMs = slaMs
  }

  /** An approval that still holds, else the pending review, counted up or made. */
  async open(key: ReviewKey): Promise<ReviewState> {
    const policyId = key.policy_id ?? ''
    const { rows } = await sql<{ review_id: string }>`
      select review_id from reviews where tenant = ${this.#tenant} and person_key = ${key.person_key} and service_id = ${key.service_id}
        and policy_id = ${policyId} and action = ${key.action} and status = 'approved' and valid_until > now()
      order by answered_at desc limit 1`.execute(this.#db)
    const [approved] = rows
    if (approved !== undefined) return { review_id: approved.review_id, state: 'approved' }
    const pending = await sql<{ review_id: string }>`
      insert into reviews (tenant, review_id, person_key, person, service_id, policy_id, action, reason, first_decision_id, due_at)
      values (${this.#tenant}, ${this.#nextId()}, ${key.person_key}, ${key.person}, ${key.service_id}, ${policyId}, ${key.action}, ${key.reason}, ${key.decision_id},
        now() + ${this.#slaMs()} * interval '1 millisecond')
      on conflict (tenant, person_key, service_id, policy_id, action) where status = 'pending'
      do update set count = reviews.count + 1, last_seen = now()
      returning review_id`.execute(this.#db)
    const reviewId = pending.rows[0]?.review_id
    if (reviewId === undefined) throw new CordonError('INTERNAL', 'the review could not be stored')
    return { review_id: reviewId, state: 'pending' }
  }

  /** Those of the reviews that have been answered, here or by another process. */
  async answersTo(
    reviewIds: readonly string[],
  ): Promise<{ readonly review_id: string; readonly state: 'approved' | 'denied' }[]> {
    const { rows } = await sql<{ review_id: string; state: 'approved' | 'denied' }>`
      select review_id, status as state from reviews
      where tenant = ${this.#tenant} and review_id = any(${reviewIds}::uuid[]) and status <> 'pending'`.execute(
      this.#db,
    )
    return rows
  }
}

type Row = Readonly<Record<string, unknown>>

/** `lock`: in a transaction, until it ends nobody else decides about it. */
export async function findReview(
  db: Kysely<Tables>,
  tenant: string,
  id: string,
  lock = false,
): Promise<(ReviewRow & Row) | undefined> {
  const { rows } = await sql<ReviewRow & Row>`
    select * from reviews where tenant = ${tenant} and review_id = ${id} ${lock ? sql`for update` : sql``}`.execute(
    db,
  )
  return rows[0]
}

/** What the person was called when the review was opened; nobody where they were erased, or the decision is gone. */
export async function namesRecorded(
  db: Kysely<Tables>,
  tenant: string,
  { first_decision_id: id }: ReviewRow,
): Promise<readonly string[]> {
  const { rows } = await sql<{ user_name: string | null; user_email: string | null }>`
    select user_name, user_email from decisions where tenant = ${tenant} and decision_id = ${id} limit 1`.execute(
    db,
  )
  return rows
    .flatMap(({ user_name: name, user_email: email }) => [name, email])
    .filter((name) => name !== null)
}

export interface ReviewAnswer {
  readonly status: 'approved' | 'denied'
  readonly by: string
  readonly comment: string | null
  /** For so long an approval opens the way; null: an exception does. */
  readonly validMs: number | null
  readonly exception_id: string | null
}

/** In a transaction that has looked whether it may be. */
export async function answerReview(
  db: Kysely<Tables>,
  tenant: string,
  id: string,
  { status, by, comment, validMs, exception_id: exception }: ReviewAnswer,
): Promise<ReviewRow & Row> {
  const isOpen = status === 'approved' && validMs !== null
  const { rows } = await sql<ReviewRow & Row>`
    update reviews set status = ${status}, answered_at = now(), answered_by = ${by}, comment = ${comment}, exception_id = ${exception},
      valid_until = ${isOpen ? sql`now() + ${validMs} * interval '1 millisecond'` : sql`null`}
    where tenant = ${tenant} and review_id = ${id} returning *`.execute(db)
  return theOne(rows)
}

/** In a transaction; null: nobody's. */
export async function assignReview(
  db: Kysely<Tables>,
  tenant: string,
  id: string,
  assignee: string | null,
  by: string,
): Promise<ReviewRow & Row> {
  const { rows } = await sql<ReviewRow & Row>`
    update reviews set assignee = ${assignee}, assigned_by = ${by}, assigned_at = now()
    where tenant = ${tenant} and review_id = ${id} returning *`.execute(db)
  return theOne(rows)
}

/**
 * At most `limit` reviews that nobody has answered in time, locked: they are due again `slaMs` after each escalation, and
 * escalated at most `levels` times. For a transaction.
 */
export async function reviewsToEscalate(
  db: Kysely<Tables>,
  tenant: string,
  { slaMs, levels, limit }: { slaMs: number; levels: number; limit: number },
): Promise<readonly ReviewRow[]> {
  const { rows } = await sql<ReviewRow>`
    select * from reviews
    where tenant = ${tenant} and status = 'pending' and escalation < ${levels} and due_at <= now()
      and due_at + escalation * ${slaMs} * interval '1 millisecond' <= now()
    order by due_at, review_id limit ${limit} for update skip locked`.execute(db)
  return rows
}

export async function escalateReview(
  db: Kysely<Tables>,
  tenant: string,
  { review_id: id, escalation }: ReviewRow,
  assignee: string | null,
): Promise<void> {
  await sql`
    update reviews set escalation = ${escalation + 1}, escalated_at = now(),
      assigned_at = case when assignee is distinct from ${assignee}::uuid then now() else assigned_at end,
      assigned_by = case when assignee is distinct from ${assignee}::uuid then 'escalation' else assigned_by end,
      assignee = ${assignee}::uuid
    where tenant = ${tenant} and review_id = ${id}`.execute(db)
}

/** Gives a time to those that gateways of a former release have opened. */
export async function giveDueTimes(
  db: Kysely<Tables>,
  tenant: string,
  slaMs: number,
): Promise<void> {
  await sql`
    update reviews set due_at = first_seen + ${slaMs} * interval '1 millisecond'
    where tenant = ${tenant} and status = 'pending' and due_at is null`.execute(db)
}

export async function countReviews(
  db: Kysely<Tables>,
  tenant: string,
): Promise<{ readonly pending: number; readonly overdue: number }> {
  const { rows } = await sql<{ pending: string; overdue: string }>`
    select count(*) as pending, count(*) filter (where due_at <= now()) as overdue
    from reviews where tenant = ${tenant} and status = 'pending'`.execute(db)
  return { pending: Number(rows[0]?.pending ?? 0), overdue: Number(rows[0]?.overdue ?? 0) }
}

function theOne<T>([row]: readonly T[]): T {
  if (row === undefined) throw new CordonError('INTERNAL', 'the review has gone')
  return row
}

/** The users that stand in a row, for `reviewView`. */
export function reviewPeople(row: Row): readonly unknown[] {
  return ['person', 'assignee', 'assigned_by', 'answered_by'].map((who) => row[who])
}

/** A review as people are shown it; `names`: of users by id. */
export function reviewView(
  row: Row,
  names: ReadonlyMap<unknown, string>,
  pseudonymous: boolean,
): Record<string, unknown> {
  const shown: Record<string, unknown> = { ...shownPerson(row, pseudonymous) }
  if (pseudonymous)
    for (const who of ['assignee', 'assigned_by', 'answered_by'])
      if (isThemselves(row[who], row['person'], names)) shown[who] = shown['person']
  const {
    tenant: _tenant,
    person_key: _key,
    review_id,
    policy_id: policyId,
    status,
    count,
    ...rest
  } = shown
  const [until, due] = [rest['valid_until'], rest['due_at']]
  const now = Date.now()
  const hasRunOut = status === 'approved' && until instanceof Date && until.getTime() <= now
  return {
    review_id,
    status: hasRunOut ? 'expired' : status,
    overdue: status === 'pending' && due instanceof Date && due.getTime() <= now,
    ...rest,
    person_name: names.get(rest['person']) ?? null,
    assignee_name: names.get(rest['assignee']) ?? null,
    answered_by_name: names.get(rest['answered_by']) ?? null,
    policy_id: policyId === '' ? null : policyId,
    count: Number(count),
  }
}
