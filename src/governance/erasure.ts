// Erasing a person: who it is, what would go, and the order in the ledger that everything else follows.

import type { Kysely } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { PERSON_ERASED } from '../model/erasure.ts'
import type { AuditRecord } from '../model/record.ts'
import { countRows, type ErasedRows } from '../store/erase-rows.ts'
import { type ErasureState, erasureStates } from '../store/erasures.ts'
import { holdsInForce } from '../store/holds.ts'
import { findPerson, type FoundPerson, type Who } from '../store/people-found.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord } from './audit.ts'

export interface ErasureParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** How many segments of this data directory hold something of the people. */
  readonly segmentsHolding: (keys: readonly string[], before: number) => Promise<number>
  /** Ships the order and follows it, in the store and in this data directory, as far as that goes now. */
  readonly carryOut: (erasureId: string) => Promise<void>
}

/** What would be erased. */
export interface ErasurePreview {
  readonly person_keys: readonly string[]
  /** The directory knows them; it is not part of the ledger. */
  readonly in_directory: boolean
  /** Rows with something of them, by table. */
  readonly rows: ErasedRows
  /** Segments of this data directory, the archive among them. */
  readonly segments: number
}

/** Shorter names stand in other words. */
const TELLING_LENGTH = 3
const MAX_REASON = 1000

export class Erasure {
  readonly #parts: ErasureParts

  constructor(parts: ErasureParts) {
    this.#parts = parts
  }

  /** Throws NOT_FOUND where neither directory nor records know the person, CONFLICT where a legal hold covers them. */
  async preview(who: Who): Promise<ErasurePreview> {
    const found = await findPerson(this.#parts, who)
    return this.#preview(found, this.#parts.now())
  }

  /** Orders it, and follows the order as far as it goes now. Throws as `preview` does, and INPUT_INVALID for a reason that names the person. */
  async erase(who: Who, reason: string, actor: Actor): Promise<ErasureState> {
    const { db, tenant, nextId, now, audit, carryOut } = this.#parts
    const found = await findPerson(this.#parts, who)
    checkReason(reason, found.names)
    const before = now()
    const { rows, person_keys: keys } = await this.#preview(found, before)
    const id = nextId()
    await audit(
      auditRecord(this.#parts, {
        event_type: PERSON_ERASED,
        severity: 'warning',
        actor,
        target: { type: 'person', id },
        action: 'erase',
        result: 'success',
        data: {
          erasure_id: id,
          person_keys: keys,
          before: new Date(before).toISOString(),
          records: rows.decisions + rows.audit_events + rows.dead_letters,
          reason,
        },
      }),
    )
    await carryOut(id)
    const [state] = await erasureStates(db, tenant, id)
    if (state === undefined)
      throw new CordonError(
        'STORE_UNAVAILABLE',
        `the erasure ${id} is ordered, and the store has not taken the order yet: it will be followed when it does ("cordon ledger erase --status")`,
      )
    return state
  }

  status(): Promise<ErasureState[]> {
    return erasureStates(this.#parts.db, this.#parts.tenant)
  }

  async #preview({ keys, user_id: userId }: FoundPerson, before: number): Promise<ErasurePreview> {
    const { db, tenant, segmentsHolding } = this.#parts
    const rows = await countRows(db, { tenant, person_keys: keys, before })
    const segments = await segmentsHolding(keys, before)
    const isKnown =
      userId !== undefined || segments > 0 || Object.values(rows).some((count) => count > 0)
    if (!isKnown)
      throw new CordonError(
        'NOT_FOUND',
        'nobody by that name: neither the directory nor any record with personal data knows them (erased already?)',
      )
    for (const hold of await holdsInForce(db, tenant)) {
      const isTheirs = hold.person_keys?.some((key) => keys.includes(key)) ?? true
      if (isTheirs && (hold.time_from === null || hold.time_from.getTime() < before))
        throw new CordonError(
          'CONFLICT',
          `the legal hold "${hold.name}" covers records of this person: nothing is erased until it is released ("cordon ledger hold list")`,
        )
    }
    return { person_keys: keys, in_directory: userId !== undefined, rows, segments }
  }
}

/** The reason stands in the ledger for years. */
function checkReason(reason: string, names: readonly string[]): void {
  if (reason.trim() === '' || reason.length > MAX_REASON)
    throw new CordonError(
      'INPUT_INVALID',
      `give a --reason of at most ${MAX_REASON} characters, such as the number of the request`,
    )
  const lower = reason.toLowerCase()
  if (names.some((name) => name.length >= TELLING_LENGTH && lower.includes(name.toLowerCase())))
    throw new CordonError(
      'INPUT_INVALID',
      'the reason names the person, and it stays in the ledger: give the number of the request instead',
    )
}
