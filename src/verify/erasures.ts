// Which people were erased, and whether somebody ordered it: an erased personal part needs a record that says so.

import {
  concerns,
  ERASURE_APPLIED,
  type ErasureOrder,
  orderIn,
  PERSON_ERASED,
} from '../model/erasure.ts'
import { type AuditRecord, type LedgerRecord, peopleIn } from '../model/record.ts'
import { Damaged, type Place } from './report.ts'

type Order = Omit<ErasureOrder, 'erasure_id'>

interface Found {
  readonly record: LedgerRecord
  readonly place: Place
}

export class Erasures {
  readonly #ordered: Order[] = []
  /** Orders that nobody has signed yet: whoever can add a record can add one. */
  readonly #unsigned: Order[] = []
  /** By tenant and people the first erased record, and the one that was made last: whoever ordered that, ordered all. */
  readonly #found = new Map<string, { readonly first: Found; last: Found }>()

  /** A record of an administrator's act. `isSigned`: by somebody whose word counts. */
  told(record: AuditRecord, isSigned: boolean): void {
    const order = orderOf(record)
    if (order !== undefined) (isSigned ? this.#ordered : this.#unsigned).push(order)
  }

  /** A record whose personal part was erased. */
  found(record: LedgerRecord, place: Place): void {
    const found = { record, place }
    const key = JSON.stringify([record.tenant, ...peopleIn(record).toSorted()])
    const known = this.#found.get(key)
    if (known === undefined) this.#found.set(key, { first: found, last: found })
    else if (record.time > known.last.record.time) known.last = found
  }

  /** Erased parts that nobody ordered; all records must have been seen. */
  unordered(): readonly Damaged[] {
    return this.#without([...this.#ordered, ...this.#unsigned]).map(
      ({ place }) =>
        new Damaged({
          ...place,
          what: 'the personal part was erased, and no record of an erasure names the person',
        }),
    )
  }

  /** Erased parts that only an order explains which nobody has signed yet. */
  unsigned(): readonly string[] {
    const unordered = new Set(this.#without([...this.#ordered, ...this.#unsigned]))
    return this.#without(this.#ordered)
      .filter((found) => !unordered.has(found))
      .map(
        ({ place }) =>
          new Damaged({
            ...place,
            what: 'the personal part was erased, and what orders it is covered by no checkpoint that counts',
          }).message,
      )
  }

  #without(orders: readonly Order[]): Found[] {
    const isOrdered = ({ record }: Found): boolean =>
      orders.some((order) => concerns(order, record))
    return [...this.#found.values()].flatMap(({ first, last }) =>
      isOrdered(last) ? [] : [isOrdered(first) ? last : first],
    )
  }
}

/** The order itself, or the word of a data directory that it follows one. */
function orderOf(record: AuditRecord): Order | undefined {
  return orderIn(
    record.event_type === ERASURE_APPLIED ? { ...record, event_type: PERSON_ERASED } : record,
  )
}
