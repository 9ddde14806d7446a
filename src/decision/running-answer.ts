// An answer that runs costs more the longer it gets. What has passed of it is told here; when a budget has run out,
// whoever lets it pass is told the decision that ends it.

import type { Budget } from '../model/budget.ts'
import type { Decision } from '../model/decision.ts'
import type { Charge } from './charge.ts'

/** How much of an answer has passed so far. */
export interface Progress {
  /** Of the answer: what its service has told, else about. */
  readonly tokens: number
  /** Tokens of the question, where the service has told them. */
  readonly asked?: number
  /** Of the answer. */
  readonly bytes: number
}

export interface RunningAnswer {
  /** Told as the answer passes; it is counted while the answer runs. */
  passed(progress: Progress): void
  /** `end` is called once, as soon as a budget has run out, with the decision that ends the answer; it is recorded by then. */
  whenOver(end: (decision: Decision) => void): void
}

export interface BudgetedAnswerParts {
  readonly charge: Charge
  /** What the question has cost. */
  readonly asked: { readonly tokens: number; readonly bytes: number }
  /** Which budgets end the answer; the others only count it. */
  readonly cuts: (budget: Budget) => boolean
  /** Decides that the answer ends, and records it. */
  readonly deny: (budget: Budget) => Promise<Decision>
  readonly onError: () => void
}

/** While nobody can count or record the answer goes on, and it is tried again after so long. */
const PAUSE_MS = 1000

export class BudgetedAnswer implements RunningAnswer {
  readonly #parts: BudgetedAnswerParts
  #progress: Progress = { tokens: 0, bytes: 0 }
  #isAsking = false
  #quietUntil = 0
  #isOver = false
  #end: ((decision: Decision) => void) | undefined

  constructor(parts: BudgetedAnswerParts) {
    this.#parts = parts
  }

  whenOver(end: (decision: Decision) => void): void {
    this.#end = end
  }

  passed(progress: Progress): void {
    this.#progress = progress
    if (!this.#isAsking && this.#needsMore()) void this.#ask()
  }

  /** It has ended by itself: there is nothing left to end. */
  ended(): void {
    this.#isOver = true
  }

  #needsMore(): boolean {
    const { charge, cuts } = this.#parts
    if (this.#isOver || !charge.isShort(this.#spent(), cuts)) return false
    return performance.now() >= this.#quietUntil
  }

  /** What passes while it is asked is asked for next. */
  async #ask(): Promise<void> {
    const { charge, cuts, deny, onError } = this.#parts
    this.#isAsking = true
    try {
      while (this.#needsMore()) {
        const budget = await charge.extend(this.#spent(), cuts)
        if (budget === undefined || this.#isOver) continue
        const decision = await deny(budget)
        this.#isOver = true
        this.#end?.(decision)
      }
    } catch {
      this.#quietUntil = performance.now() + PAUSE_MS
      onError()
    } finally {
      this.#isAsking = false
    }
  }

  #spent(): { readonly tokens: number; readonly bytes: number } {
    const { asked } = this.#parts
    const { tokens, asked: told = asked.tokens, bytes } = this.#progress
    return { tokens: told + tokens, bytes: asked.bytes + bytes }
  }
}
