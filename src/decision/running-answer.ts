// An answer that runs costs more the longer it gets. What has passed of it is told here, and when a budget has run
// out, the decision that ends it.

import type { Budget } from '../model/budget.ts'
import type { Decision } from '../model/decision.ts'
import type { Charge } from './charge.ts'

export interface RunningAnswer {
  /**
   * Told as the answer passes: how many tokens of it so far, about, and bytes. At first undefined; once the budget has
   * run out, the decision that ends the answer. It is recorded then.
   */
  passed(tokens: number, bytes: number): Decision | undefined
}

export interface BudgetedAnswerParts {
  readonly charge: Charge
  /** What the question has cost. */
  readonly asked: { readonly tokens: number; readonly bytes: number }
  /** Whether every budget cuts, or only those that say so. */
  readonly all: boolean
  /** Decides that the answer ends, and records it. */
  readonly deny: (budget: Budget) => Promise<Decision>
  readonly onError: () => void
}

/** While nobody can count or record the answer goes on, and it is tried again after so long. */
const PAUSE_MS = 1000

export class BudgetedAnswer implements RunningAnswer {
  readonly #parts: BudgetedAnswerParts
  #isAsking = false
  #quietUntil = 0
  #end: Decision | undefined

  constructor(parts: BudgetedAnswerParts) {
    this.#parts = parts
  }

  passed(tokens: number, bytes: number): Decision | undefined {
    if (this.#end !== undefined || this.#isAsking) return this.#end
    const { charge, asked, all } = this.#parts
    const spent = { tokens: asked.tokens + tokens, bytes: asked.bytes + bytes }
    if (!charge.isShort(spent, all) || performance.now() < this.#quietUntil) return undefined
    this.#isAsking = true
    charge
      .extend(spent, all)
      .then(async (budget) => {
        if (budget !== undefined) this.#end = await this.#parts.deny(budget)
      })
      .catch(() => {
        this.#quietUntil = performance.now() + PAUSE_MS
        this.#parts.onError()
      })
      .finally(() => {
        this.#isAsking = false
      })
    return undefined
  }
}
