// What other processes over the same store have changed is learnt by looking: a break-glass mode, and answers to
// reviews that requests are held for here.

import { withTimeout } from '../base/time-limit.ts'
import type { Check } from './observe-door.ts'
import type { ModeOverride } from './point-mode.ts'

export interface StoreWatchParts {
  readonly mode: () => Promise<ModeOverride | undefined>
  readonly onMode: (override: ModeOverride | undefined) => void
  /** Those of the reviews that have been answered. */
  readonly answersTo: (
    reviewIds: readonly string[],
  ) => Promise<readonly { readonly review_id: string; readonly state: 'approved' | 'denied' }[]>
  readonly onAnswer: (reviewId: string, state: 'approved' | 'denied') => void
  /** So many are held that an answer which another process gets is not looked for any more. */
  readonly onTooManyHeld: () => void
}

const MODE_LOOK_MS = 5000
const ANSWER_LOOK_MS = 1000
const CHECK_MS = 2000
const MAX_HELD = 10_000

export class StoreWatch {
  readonly #parts: StoreWatchParts
  readonly #timers: readonly NodeJS.Timeout[]
  /** Reviews that requests are held for, with the end of the longest hold. */
  readonly #held = new Map<string, number>()
  #looking = false

  constructor(parts: StoreWatchParts) {
    this.#parts = parts
    this.#timers = [
      setInterval(() => {
        parts.mode().then(parts.onMode, ignore)
      }, MODE_LOOK_MS).unref(),
      setInterval(() => void this.#lookForAnswers(), ANSWER_LOOK_MS).unref(),
    ]
  }

  /** A request is held for this review, for at most that long. */
  held(reviewId: string, forMs: number): void {
    if (this.#held.size >= MAX_HELD && !this.#held.has(reviewId)) this.#parts.onTooManyHeld()
    else this.#held.set(reviewId, performance.now() + forMs)
  }

  /** Traffic goes on without the store; that it is away is told, not refused. */
  async check(): Promise<Check> {
    try {
      await withTimeout(this.#parts.mode(), CHECK_MS)
      return { name: 'store', ok: true }
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown error'
      return { name: 'store', ok: true, detail: `away: ${why}` }
    }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  async #lookForAnswers(): Promise<void> {
    const now = performance.now()
    for (const [id, until] of this.#held) if (until < now) this.#held.delete(id)
    if (this.#held.size === 0 || this.#looking) return
    this.#looking = true
    try {
      for (const { review_id: id, state } of await this.#parts.answersTo([...this.#held.keys()])) {
        this.#held.delete(id)
        this.#parts.onAnswer(id, state)
      }
    } catch {
      // The store is away: the next look tells.
    } finally {
      this.#looking = false
    }
  }
}

function ignore(): void {
  // The store is away: the mode in force stays.
}
