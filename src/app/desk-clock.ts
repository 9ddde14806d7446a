// What time does to exceptions and reviews: whoever serves the API over a store looks every two seconds, and one of them
// expires what is over and escalates what nobody has answered.

import type { Admin } from '../governance/admin.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'

const EVERY_MS = 2000
/** A store that is away is told of once in so many failures. */
const TOLD_EVERY = 30

export interface DeskClockParts {
  readonly admin: Pick<Admin, 'desk' | 'exceptions'>
  readonly metrics: Metrics
  readonly log: Log
}

export class DeskClock {
  readonly #parts: DeskClockParts
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #failures = 0

  constructor(parts: DeskClockParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#look().finally(() => this.start())
    }, EVERY_MS).unref()
  }

  /** Waits for what is being done. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #look(): Promise<void> {
    const { admin, metrics, log } = this.#parts
    try {
      await admin.exceptions.expire()
      const escalated = await admin.desk.escalate()
      if (escalated > 0) {
        metrics.reviewEscalations.inc(escalated)
        log.warn({ reviews: escalated }, 'reviews were not answered in time and are escalated')
      }
      const [exceptions, reviews] = [await admin.exceptions.count(), await admin.desk.count()]
      metrics.exceptions.set({ status: 'pending' }, exceptions.pending)
      metrics.exceptions.set({ status: 'approved' }, exceptions.approved)
      metrics.reviewsPending.set(reviews.pending)
      metrics.reviewsOverdue.set(reviews.overdue)
      this.#failures = 0
    } catch (error) {
      if (this.#failures % TOLD_EVERY === 0)
        log.warn(
          { err: error instanceof Error ? error.message : String(error) },
          'reviews and exceptions could not be looked at; tried again in seconds',
        )
      this.#failures += 1
    }
  }
}
