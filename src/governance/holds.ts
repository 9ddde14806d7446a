// Legal holds as administrators place and release them, each with its audit event.

import type { Kysely } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { readTime } from '../base/rfc3339.ts'
import type { AuditRecord } from '../model/record.ts'
import { type Hold, liftHold, listHolds, placeHold } from '../store/holds.ts'
import { findPerson } from '../store/people-found.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord } from './audit.ts'

export interface HoldsParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
}

export interface HoldRequest {
  readonly name: string
  /** Name, e-mail, external id or id of a user; not beside `person`. */
  readonly user?: string
  /** A person key or a pseudonym. */
  readonly person?: string
  /** RFC 3339, inclusive; without: from the beginning. */
  readonly from?: string
  /** RFC 3339, exclusive; without: with everything to come. */
  readonly to?: string
  readonly reason: string
}

const MAX_NAME = 100
const MAX_REASON = 500
const MAX_LISTED = 1000

export class Holds {
  readonly #parts: HoldsParts

  constructor(parts: HoldsParts) {
    this.#parts = parts
  }

  /** From when it returns, nothing goes that the hold covers. Throws INPUT_INVALID, NOT_FOUND or CONFLICT. */
  async place(request: HoldRequest, actor: Actor): Promise<Hold> {
    const { db, tenant, nextId, audit } = this.#parts
    const { name, reason } = request
    checkText('a NAME', name, MAX_NAME)
    checkText('a --reason', reason, MAX_REASON)
    const from = timeOf('--from', request.from)
    const to = timeOf('--to', request.to)
    if (from !== null && to !== null && from >= to)
      throw new CordonError('INPUT_INVALID', '--from must be before --to')
    const hold = await placeHold(db, tenant, {
      hold_id: nextId(),
      name,
      person_keys: await this.#keysOf(request),
      time_from: from,
      time_to: to,
      reason,
      created_by: nameOf(actor),
    })
    await audit(
      auditRecord(this.#parts, {
        event_type: 'legal_hold_placed',
        severity: 'warning',
        actor,
        target: { type: 'legal_hold', id: hold.hold_id },
        action: 'create',
        result: 'success',
        data: { person_keys: hold.person_keys, from, to },
        personalData: { name, reason },
      }),
    )
    return hold
  }

  /** What it covered goes with the next run of retention, where its age is over. */
  async release(name: string, reason: string, actor: Actor): Promise<Hold> {
    const { db, tenant, audit } = this.#parts
    checkText('a --reason', reason, MAX_REASON)
    const hold = await liftHold(db, tenant, name, { by: nameOf(actor), reason })
    await audit(
      auditRecord(this.#parts, {
        event_type: 'legal_hold_released',
        severity: 'warning',
        actor,
        target: { type: 'legal_hold', id: hold.hold_id },
        action: 'delete',
        result: 'success',
        personalData: { name, reason },
      }),
    )
    return hold
  }

  /** Those in force first, then the released ones. */
  list(): Promise<readonly Hold[]> {
    return listHolds(this.#parts.db, this.#parts.tenant, MAX_LISTED)
  }

  async #keysOf({ user, person }: HoldRequest): Promise<readonly string[] | null> {
    if (user === undefined && person === undefined) return null
    if (user !== undefined && person !== undefined)
      throw new CordonError('INPUT_INVALID', 'say whom once: --user or --person')
    const who = user === undefined ? (person === undefined ? {} : { person }) : { user }
    const found = await findPerson(this.#parts, who)
    if (found.keys.length === 0)
      throw new CordonError(
        'NOT_FOUND',
        `no record knows "${(user ?? person ?? '').slice(0, MAX_NAME)}"`,
      )
    return found.keys
  }
}

function checkText(what: string, text: string, limit: number): void {
  if (text.trim() === '' || text.length > limit || /\p{Cc}/u.test(text))
    throw new CordonError(
      'INPUT_INVALID',
      `a hold needs ${what} of 1 to ${limit} characters, without control characters`,
    )
}

function timeOf(option: string, text: string | undefined): Date | null {
  if (text === undefined) return null
  const time = readTime(text)
  if (time !== undefined) return new Date(time)
  throw new CordonError('INPUT_INVALID', `${option} must be a time such as 2026-11-24T00:00:00Z`)
}

function nameOf({ id, name }: Actor): string {
  return name ?? id ?? 'unknown'
}
