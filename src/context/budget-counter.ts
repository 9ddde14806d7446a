// Who counts budgets: Redis for all gateways, or the memory of one process for its machine.
//
// A count is kept in slots of time. A fixed window is one slot; a sliding one has sixty, and a slot counts as long as
// any part of it lies in the window: what is free again comes late by a sixtieth, and never early, so that no window,
// wherever it begins, ever holds more than the limit.

import type { BudgetKind } from '../model/budget.ts'

export interface Asked {
  /** Of the count; no person, no text of a client. */
  readonly key: string
  /** What is told of the count in lists; empty where nobody has to be told. People are keys in it. */
  readonly name: string
  readonly limit: number
  /** What is to be added; 0 only looks. */
  readonly cost: number
  /** Milliseconds. */
  readonly window: number
  readonly kind: BudgetKind
  /** Whether nothing at all is added where this one would go beyond its limit. */
  readonly holds: boolean
}

export interface Counted {
  /** Before anything was added. */
  readonly used: number
  /** Milliseconds since the epoch: when something of what is used is free again. */
  readonly resets_at: number
  /** Where it was counted: what is added or taken back later belongs there. */
  readonly slot: number
}

export interface Taken {
  /** All was added, else nothing. */
  readonly granted: boolean
  /** The time by which it was counted: milliseconds since the epoch. */
  readonly now: number
  /** In the order in which it was asked. */
  readonly counted: readonly Counted[]
}

/** A correction of what was added. Of a slot that is over it changes nothing. */
export interface Change {
  readonly key: string
  readonly slot: number
  readonly by: number
}

export interface BudgetCounter {
  /** One step for all who count there: nobody gets in between. Rejects while it cannot be counted. */
  take(asked: readonly Asked[]): Taken | Promise<Taken>
  adjust(changes: readonly Change[]): void | Promise<void>
}

export interface NamedCount {
  readonly key: string
  readonly name: string
}

/** A counter that can be looked through. */
export interface ListedCounter extends BudgetCounter {
  /** Counts with a name, in no order, some of them twice; those that have just run out may be among them. */
  named(): AsyncIterable<readonly NamedCount[]>
}

const SLOTS = 60

/** Milliseconds. */
export function slotWidth({ window, kind }: Pick<Asked, 'window' | 'kind'>): number {
  return kind === 'fixed' ? window : Math.ceil(window / SLOTS)
}
