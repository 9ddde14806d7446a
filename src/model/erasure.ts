// An order to erase people: a record of the ledger that everything else follows.

import { type AuditRecord, type LedgerRecord, peopleIn } from './record.ts'

/** Records made before `before` (milliseconds) that are about the people with these keys. */
export interface ErasureOrder {
  readonly tenant: string
  readonly erasure_id: string
  readonly person_keys: readonly string[]
  readonly before: number
}

/** The audit event that is an order. */
export const PERSON_ERASED = 'person_erased'
/** The audit event with which each data directory tells that its files lose what an order names. */
export const ERASURE_APPLIED = 'erasure_applied'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The order in an audit record, or undefined where it is none. */
export function orderIn({ tenant, event_type: type, data }: AuditRecord): ErasureOrder | undefined {
  if (type !== PERSON_ERASED) return undefined
  const { erasure_id: id, person_keys: keys, before } = data ?? {}
  const at = typeof before === 'string' ? Date.parse(before) : NaN
  if (typeof id !== 'string' || !UUID.test(id) || !Array.isArray(keys) || Number.isNaN(at))
    return undefined
  return { tenant, erasure_id: id, person_keys: keys.map(String), before: at }
}

/** Whether the personal part of a record has to go. */
export function concerns(
  { tenant, person_keys: keys, before }: Omit<ErasureOrder, 'erasure_id'>,
  record: LedgerRecord,
): boolean {
  return (
    record.tenant === tenant &&
    record.time < before &&
    peopleIn(record).some((key) => keys.includes(key))
  )
}
