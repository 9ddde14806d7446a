// The desk where reviews wait: who is to answer them, by when, and what becomes of those that nobody answers.
//
// The audit event of a change is in the ledger before the change is committed, so nothing changes unrecorded.

import type { Kysely, Transaction } from 'kysely'
import { CordonError } from '../base/errors.ts'
import type { AuditRecord } from '../model/record.ts'
import {
  answerReview,
  assignReview,
  countReviews,
  escalateReview,
  findReview,
  giveDueTimes,
  namesRecorded,
  reviewPeople,
  type ReviewRow,
  reviewsToEscalate,
  reviewView,
} from '../store/reviews.ts'
import type { Tables } from '../store/tables.ts'
import { findUser, userNames } from '../store/user-names.ts'
import { type Act, type Actor, type AuditParts, auditRecord } from './audit.ts'
import type { Exceptions, ExceptionTerms } from './exceptions.ts'
import { identityOf, namesOf } from './identity.ts'

export interface ReviewDeskParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
  /** How long an approval opens the way. */
  readonly reviewValidMs: number
  /** Within this time a review is to be answered. */
  readonly reviewSlaMs: number
  /** Who gets it then, and after as long again the next one: users, by whatever they are called. */
  readonly reviewEscalateTo: readonly string[]
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  readonly onReviewAnswered: (reviewId: string, state: 'approved' | 'denied') => void
}

export interface Answer {
  readonly decision: 'approve' | 'deny'
  readonly comment?: string
  /** An approval becomes an exception for the person of the review, in the same transaction. */
  readonly exception?: ExceptionTerms
}

type View = Readonly<Record<string, unknown>>

const MAX_COMMENT = 4096
const ESCALATE_AT_ONCE = 100
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export class ReviewDesk {
  readonly #parts: ReviewDeskParts
  readonly #exceptions: Exceptions

  constructor(parts: ReviewDeskParts, exceptions: Exceptions) {
    this.#parts = parts
    this.#exceptions = exceptions
  }

  /**
   * Frees what is held, and approved opens the way for a while, or as long as the exception says that it becomes. Undefined
   * where there is no such review; throws CONFLICT where it is answered already, OWN_REQUEST where the person of the review approves it.
   */
  async answer(
    id: string,
    { decision, comment, exception }: Answer,
    actor: Actor,
  ): Promise<View | undefined> {
    const { tenant, reviewValidMs, onReviewAnswered } = this.#parts
    const status = decision === 'approve' ? 'approved' : 'denied'
    if (exception !== undefined && status === 'denied')
      throw invalid('/exception', 'an exception comes with an approval')
    if (comment !== undefined && comment.length > MAX_COMMENT)
      throw invalid('/comment', `may have ${MAX_COMMENT} characters at most`)
    const answered = await this.#transaction(async (transaction) => {
      const review = await this.#pending(transaction, id)
      if (review === undefined) return undefined
      // Whoever refuses what they asked for takes it back.
      if (status === 'approved') await this.#checkOther(transaction, review, actor)
      const granted =
        exception === undefined
          ? undefined
          : await this.#exceptions.grant(transaction, asked(review), exception, actor)
      const row = await answerReview(transaction, tenant, id, {
        status,
        by: identityOf(actor) ?? actor.name ?? 'unknown',
        comment: comment ?? null,
        validMs: granted === undefined ? reviewValidMs : null,
        exception_id: granted === undefined ? null : String(granted['exception_id']),
      })
      await this.#note(review, {
        event_type: 'review_answered',
        actor,
        action: decision,
        changes: {
          before: { status: 'pending' },
          after: { status, exception_id: row['exception_id'] },
        },
        ...(comment === undefined || comment === '' ? {} : { personalData: { comment } }),
      })
      return row
    })
    if (answered === undefined) return undefined
    onReviewAnswered(id, status)
    if (exception !== undefined) await this.#exceptions.changed()
    return this.#view(answered)
  }

  /** To a user, by whatever they are called; null: to nobody. Throws NOT_FOUND for a stranger, OWN_REQUEST for its person. */
  async assign(id: string, to: string | null, actor: Actor): Promise<View | undefined> {
    const { db, tenant } = this.#parts
    const user = to === null ? undefined : await findUser(db, tenant, to)
    if (to !== null && user === undefined)
      throw new CordonError('INPUT_INVALID', `there is no user "${to.slice(0, 320)}"`, {
        problems: [{ file: '', pointer: '/assignee', message: 'is no user of the directory' }],
      })
    const assigned = await this.#transaction(async (transaction) => {
      const review = await this.#pending(transaction, id)
      if (review === undefined) return undefined
      if (user !== undefined && (await this.#isOf(transaction, review, user.user_id)))
        throw new CordonError('OWN_REQUEST', 'nobody answers a review of their own request')
      const assignee = user?.user_id ?? null
      const by = identityOf(actor) ?? actor.name ?? 'unknown'
      const row = await assignReview(transaction, tenant, id, assignee, by)
      await this.#note(review, {
        event_type: 'review_assigned',
        actor,
        action: 'assign',
        changes: { before: { assignee: review.assignee }, after: { assignee } },
      })
      return row
    })
    return assigned === undefined ? undefined : this.#view(assigned)
  }

  async show(id: string): Promise<View | undefined> {
    const row = await findReview(this.#parts.db, this.#parts.tenant, id)
    return row === undefined ? undefined : this.#view(row)
  }

  /** How many wait, and how many of them beyond their time. */
  count(): Promise<{ readonly pending: number; readonly overdue: number }> {
    return countReviews(this.#parts.db, this.#parts.tenant)
  }

  /** Those that nobody has answered in time go to the next one who is named; how many. */
  async escalate(): Promise<number> {
    const { db, tenant, reviewSlaMs: slaMs, reviewEscalateTo: to } = this.#parts
    await giveDueTimes(db, tenant, slaMs)
    const levels = Math.max(1, to.length)
    let count = 0
    for (;;) {
      const escalated = await this.#transaction(async (transaction) => {
        const due = await reviewsToEscalate(transaction, tenant, {
          slaMs,
          levels,
          limit: ESCALATE_AT_ONCE,
        })
        for (const review of due) await this.#escalate(transaction, review, to[review.escalation])
        return due.length
      })
      count += escalated
      if (escalated < ESCALATE_AT_ONCE) return count
    }
  }

  async #escalate(
    transaction: Transaction<Tables>,
    review: ReviewRow,
    to: string | undefined,
  ): Promise<void> {
    const { tenant } = this.#parts
    const user = to === undefined ? undefined : await findUser(transaction, tenant, to)
    const isOwn = user !== undefined && (await this.#isOf(transaction, review, user.user_id))
    const assignee = user === undefined || isOwn ? review.assignee : user.user_id
    await escalateReview(transaction, tenant, review, assignee)
    await this.#note(review, {
      event_type: 'review_escalated',
      severity: 'warning',
      actor: { type: 'system', name: 'control' },
      action: 'escalate',
      data: {
        // Whoever is named in the settings and cannot be found must be told of.
        ...(to !== undefined && user === undefined ? { problem: 'unknown user' } : {}),
        ...(isOwn ? { problem: 'the person of the review' } : {}),
      },
      changes: {
        before: { escalation: review.escalation, assignee: review.assignee },
        after: { escalation: review.escalation + 1, assignee },
      },
    })
  }

  #transaction<T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#parts.db.transaction().execute(run)
  }

  /** Locked; undefined where there is none. Throws CONFLICT where it is answered. */
  async #pending(
    transaction: Transaction<Tables>,
    id: string,
  ): Promise<(ReviewRow & View) | undefined> {
    const review = await findReview(transaction, this.#parts.tenant, id, true)
    if (review !== undefined && review.status !== 'pending')
      throw new CordonError('CONFLICT', `the review is ${review.status} already`)
    return review
  }

  /** Two people, as far as anybody can tell; where nobody can, there is nobody left who could use the approval. */
  async #checkOther(
    transaction: Transaction<Tables>,
    review: ReviewRow,
    actor: Actor,
  ): Promise<void> {
    const by = identityOf(actor)
    if (by === undefined) return
    const refuse = (why: string): never => {
      throw new CordonError('OWN_REQUEST', why)
    }
    if (await this.#isOf(transaction, review, by))
      refuse('this review is of your own request: somebody else has to approve it')
    if ((await this.#namesOf(transaction, review)).size === 0)
      refuse(
        'the directory does not know the person of this review any more, and no record names them, so it may be your own request: deny it',
      )
  }

  /** By any of the names that the person of the review may have come with, or goes by. */
  async #isOf(
    transaction: Transaction<Tables>,
    review: ReviewRow,
    identity: string,
  ): Promise<boolean> {
    const { tenant, personKey } = this.#parts
    const names = await namesOf(transaction, tenant, identity)
    if ([...names, identity].some((name) => personKey(name) === review.person_key)) return true
    const theirs = await this.#namesOf(transaction, review)
    return [...theirs].some((name) => names.has(name))
  }

  /**
   * What the person of a review is called, in lower case: by the directory now, and by the record of the decision, because
   * who was removed from the directory and added again has another id. None where nobody can tell.
   */
  async #namesOf(
    transaction: Transaction<Tables>,
    review: ReviewRow,
  ): Promise<ReadonlySet<string>> {
    const { tenant } = this.#parts
    const { person } = review
    const names = new Set(person === '' ? [] : await namesOf(transaction, tenant, person))
    // An id names nobody.
    if (UUID.test(person)) names.delete(person.toLowerCase())
    for (const name of await namesRecorded(transaction, tenant, review))
      names.add(name.toLowerCase())
    return names
  }

  async #note(review: ReviewRow, act: Omit<Act, 'target' | 'result'>): Promise<void> {
    await this.#parts.audit(
      auditRecord(this.#parts, {
        ...act,
        target: { type: 'review', id: review.review_id, person_key: review.person_key },
        result: 'success',
      }),
    )
  }

  async #view(row: View): Promise<View> {
    const { db, tenant, pseudonymous } = this.#parts
    return reviewView(row, await userNames(db, tenant, reviewPeople(row)), pseudonymous)
  }
}

/** What an exception from the review is for. Throws CONFLICT where the directory does not know its person. */
function asked({ review_id, person, policy_id, service_id, reason }: ReviewRow): {
  readonly review_id: string
  readonly user_id: string
  readonly policy_id: string | null
  readonly service_id: string
  readonly reason: string
} {
  if (!UUID.test(person))
    throw new CordonError(
      'CONFLICT',
      'an exception is for somebody whom the directory knows, and the person of this review it does not',
    )
  return {
    review_id,
    user_id: person,
    policy_id: policy_id === '' ? null : policy_id,
    service_id,
    reason,
  }
}

function invalid(pointer: string, message: string): CordonError {
  return new CordonError('INPUT_INVALID', `the answer is not valid: ${message}`, {
    problems: [{ file: '', pointer, message }],
  })
}
