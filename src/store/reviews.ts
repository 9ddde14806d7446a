// Reviews: one pending per person, service, policy and action; an approval opens the way for a while.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
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

export class Reviews {
  readonly #db: Kysely<Tables>
  readonly #tenant: string
  readonly #nextId: () => string

  constructor(db: Kysely<Tables>, tenant: string, nextId: () => string) {
    this.#db = db
    this.#tenant = tenant
    this.#nextId = nextId
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
      insert into reviews (tenant, review_id, person_key, person, service_id, policy_id, action, reason, first_decision_id)
      values (${this.#tenant}, ${this.#nextId()}, ${key.person_key}, ${key.person}, ${key.service_id}, ${policyId}, ${key.action}, ${key.reason}, ${key.decision_id})
      on conflict (tenant, person_key, service_id, policy_id, action) where status = 'pending'
      do update set count = reviews.count + 1, last_seen = now()
      returning review_id`.execute(this.#db)
    const reviewId = pending.rows[0]?.review_id
    if (reviewId === undefined) throw new CordonError('INTERNAL', 'the review could not be stored')
    return { review_id: reviewId, state: 'pending' }
  }

  /** The answered review, or undefined where there is none with that id; CONFLICT where it is answered already. */
  async answer(
    reviewId: string,
    decision: 'approve' | 'deny',
    by: string,
    comment: string | undefined,
    validMs: number,
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const status = decision === 'approve' ? 'approved' : 'denied'
    const { rows } = await sql<Record<string, unknown>>`
      update reviews set status = ${status}, answered_at = now(), answered_by = ${by}, comment = ${comment ?? null},
        valid_until = case when ${status} = 'approved' then now() + ${validMs} * interval '1 millisecond' end
      where tenant = ${this.#tenant} and review_id = ${reviewId} and status = 'pending'
      returning *`.execute(this.#db)
    if (rows[0] !== undefined) return reviewView(rows[0])
    const known = await this.#db
      .selectFrom('reviews')
      .select('status')
      .where('tenant', '=', this.#tenant)
      .where('review_id', '=', reviewId)
      .executeTakeFirst()
    if (known === undefined) return undefined
    throw new CordonError('CONFLICT', `the review is ${known.status} already`)
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

/** A review as the API shows it. */
export function reviewView(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { tenant: _tenant, person_key: _key, policy_id: policyId, status, count, ...rest } = row
  const until = rest['valid_until']
  const hasRunOut = status === 'approved' && until instanceof Date && until.getTime() <= Date.now()
  return {
    ...rest,
    status: hasRunOut ? 'expired' : status,
    policy_id: policyId === '' ? null : policyId,
    count: Number(count),
  }
}
