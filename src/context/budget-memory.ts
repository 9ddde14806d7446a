// Budgets counted in memory: exact for whoever asks this process, gone with it.

import { CordonError } from '../base/errors.ts'
import {
  type Asked,
  type Change,
  type Counted,
  type ListedCounter,
  type NamedCount,
  slotWidth,
  type Taken,
} from './budget-counter.ts'

interface Entry {
  readonly name: string
  /** What was counted, by slot. */
  readonly slots: Map<number, number>
  expiresAt: number
}

/** Some 80 MB; models are named by clients, so counts of them have to be bounded. */
const MOST_ENTRIES = 200_000
const SWEEP_EVERY_MS = 1000

export class MemoryBudgets implements ListedCounter {
  readonly #now: () => number
  readonly #most: number
  readonly #entries = new Map<string, Entry>()
  #sweptAt = -Infinity

  constructor(now: () => number, most: number = MOST_ENTRIES) {
    this.#now = now
    this.#most = most
  }

  /** Throws TOO_BUSY where there are too many counts. */
  take(asked: readonly Asked[]): Taken {
    const now = this.#now()
    const counted = asked.map((each) => this.#look(each, now))
    const granted = asked.every(
      ({ holds, cost, limit }, index) => !holds || (counted[index]?.used ?? 0) + cost <= limit,
    )
    if (granted) {
      // All of them or none: what is refused must not stay counted in part.
      this.#makeRoom(asked, now)
      for (const [index, each] of asked.entries()) this.#add(each, counted[index]?.slot ?? 0, now)
    }
    return { granted, now, counted }
  }

  adjust(changes: readonly Change[]): void {
    for (const { key, slot, by } of changes) {
      const slots = this.#entries.get(key)?.slots
      const before = slots?.get(slot)
      if (before !== undefined) slots?.set(slot, Math.max(0, before + by))
    }
  }

  async *named(): AsyncGenerator<readonly NamedCount[]> {
    const now = this.#now()
    // As it is now: what is counted meanwhile changes it.
    yield [...this.#entries].flatMap(([key, { name, expiresAt }]) =>
      name === '' || expiresAt <= now ? [] : [{ key, name }],
    )
  }

  #look({ key, window, kind }: Asked, now: number): Counted {
    const width = slotWidth({ window, kind })
    const slot = Math.floor(now / width)
    const oldest = kind === 'fixed' ? slot : Math.floor((now - window) / width)
    let used = 0
    let first: number | undefined
    for (const [at, count] of this.#entries.get(key)?.slots ?? []) {
      if (at < oldest) {
        this.#entries.get(key)?.slots.delete(at)
        continue
      }
      used += count
      if (count > 0 && (first === undefined || at < first)) first = at
    }
    const resets_at =
      kind === 'fixed'
        ? (slot + 1) * width
        : first === undefined
          ? now + window
          : (first + 1) * width + window
    return { used, resets_at, slot }
  }

  #add(asked: Asked, slot: number, now: number): void {
    const { key, name, cost, window } = asked
    if (cost === 0) return
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { name, slots: new Map(), expiresAt: 0 }
      this.#entries.set(key, entry)
    }
    entry.slots.set(slot, (entry.slots.get(slot) ?? 0) + cost)
    entry.expiresAt = now + window + slotWidth(asked)
  }

  /** A count that is forgotten while it runs would be a budget that begins anew. */
  #makeRoom(asked: readonly Asked[], now: number): void {
    if (this.#fits(asked)) return
    if (Math.abs(now - this.#sweptAt) >= SWEEP_EVERY_MS) {
      this.#sweptAt = now
      for (const [key, { expiresAt }] of this.#entries)
        if (expiresAt <= now) this.#entries.delete(key)
    }
    if (!this.#fits(asked)) throw new CordonError('TOO_BUSY', 'too many budgets are being counted')
  }

  #fits(asked: readonly Asked[]): boolean {
    if (this.#entries.size + asked.length <= this.#most) return true
    const fresh = new Set<string>()
    for (const { key, cost } of asked) if (cost !== 0 && !this.#entries.has(key)) fresh.add(key)
    return this.#entries.size + fresh.size <= this.#most
  }
}
