// Which people were erased, and whether somebody ordered it: an erased personal part needs a record that says so.

import { ERASURE_APPLIED, PERSON_ERASED } from '../model/erasure.ts'
import type { AuditRecord } from '../model/record.ts'
import { Damaged, type Place } from './report.ts'

/** The records that order an erasure, or tell that a data directory has carried it out. */
const EVENTS: ReadonlySet<string> = new Set([PERSON_ERASED, ERASURE_APPLIED])

export class Erasures {
  readonly #ordered = new Set<string>()
  /** The first erased record of each person for whom no order has been seen. */
  readonly #open = new Map<string, Place>()

  /** A record of an administrator's act. */
  told({ event_type: event, data }: AuditRecord): void {
    const people = data?.['person_keys']
    if (!EVENTS.has(event) || !Array.isArray(people)) return
    for (const key of people) if (typeof key === 'string') this.#ordered.add(key)
  }

  /** A record whose personal part was erased, and whose it was: one of them was to be erased. */
  found(people: readonly string[], place: Place): void {
    const key = people.toSorted().join(' ')
    if (!this.#open.has(key)) this.#open.set(key, place)
  }

  /** Erased parts that nobody ordered; all records must have been seen. */
  unordered(): readonly Damaged[] {
    return [...this.#open].flatMap(([people, place]) =>
      people.split(' ').some((key) => this.#ordered.has(key))
        ? []
        : [
            new Damaged({
              ...place,
              what: 'the personal part was erased, and no record of an erasure names the person',
            }),
          ],
    )
  }
}
