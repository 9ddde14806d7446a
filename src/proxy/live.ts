// What goes on because it was let through: requests on their way, answers, tunnels and sockets. Where a change of the
// rules asks for it, each is judged again on what it was decided on, and cut where it may not go on.
//
// A bounded number a tick, so that a change does not stop what goes on. One that was decided before the change and is
// let through after it is judged again too.

import type { Outcome } from '../decision/decide.ts'
import type { AccessRequest } from '../model/request.ts'
import type { Judge, ProxyMetrics, Refusal } from './ports.ts'
import { refusalOfFault, refusalOfOutcome } from './refusals.ts'

export interface LiveParts {
  readonly judge: Judge
  readonly metrics: ProxyMetrics
}

/** Ends it, and tells its client why as far as that goes. */
type Cut = (refusal: Refusal) => void

const PER_TICK = 50
const TICK_MS = 20
/** What could not be judged is tried again; what cannot be for so long may not go on. */
const TRY_AGAIN_MS = 2000
const MAX_TRIES = 15

export class Live {
  readonly #parts: LiveParts
  readonly #ongoing = new Set<Ongoing>()
  #queue: Ongoing[] = []
  #timer: NodeJS.Timeout | undefined
  /** When it was last asked for, on the clock of `performance.now()`. */
  #asked = -Infinity

  constructor(parts: LiveParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#ongoing.size
  }

  /** Something goes on; `decidedAt` (performance.now()): when the decision that lets it was begun. */
  add({ content: _left, ...request }: AccessRequest, decidedAt: number, cut: Cut): Ongoing {
    const ongoing = new Ongoing(this, request, cut)
    this.#ongoing.add(ongoing)
    if (decidedAt < this.#asked) this.#enqueue([ongoing])
    return ongoing
  }

  /** It has ended. */
  delete(ongoing: Ongoing): void {
    this.#ongoing.delete(ongoing)
  }

  /** Judges all that is open again. */
  rejudge(): void {
    this.#asked = performance.now()
    this.#queue = []
    this.#enqueue([...this.#ongoing])
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#queue = []
  }

  #enqueue(ongoing: readonly Ongoing[]): void {
    this.#queue.push(...ongoing)
    if (this.#queue.length > 0) this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
  }

  #tick(): void {
    for (const ongoing of this.#queue.splice(0, PER_TICK)) void this.#judge(ongoing)
    if (this.#queue.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #judge(ongoing: Ongoing): Promise<void> {
    if (!this.#ongoing.has(ongoing)) return
    let outcome: Outcome | undefined
    try {
      outcome = await this.#parts.judge.rejudge(ongoing.request)
    } catch (fault) {
      this.#failed(ongoing, fault)
      return
    }
    // What is recorded has an end: nothing of it has passed since.
    outcome?.finish({ status: 0, bytes_in: 0, bytes_out: 0, duration_ms: 0 })
    if (outcome?.refused === true) this.#cut(ongoing, refusalOfOutcome(outcome))
    else this.#parts.metrics.rejudged.inc({ outcome: 'kept' })
  }

  #failed(ongoing: Ongoing, fault: unknown): void {
    ongoing.tries += 1
    if (ongoing.tries < MAX_TRIES) setTimeout(() => this.#enqueue([ongoing]), TRY_AGAIN_MS).unref()
    else this.#cut(ongoing, refusalOfFault(fault))
  }

  #cut(ongoing: Ongoing, refusal: Refusal): void {
    // It may have ended while it was being judged.
    if (!this.#ongoing.delete(ongoing)) return
    this.#parts.metrics.rejudged.inc({ outcome: 'cut' })
    ongoing.cut(refusal)
  }
}

export class Ongoing {
  readonly #live: Live
  readonly request: AccessRequest
  #cut: Cut
  #refusal: Refusal | undefined
  tries = 0

  constructor(live: Live, request: AccessRequest, cut: Cut) {
    this.#live = live
    this.request = request
    this.#cut = cut
  }

  /** It goes on as something else, which is cut in another way. */
  becomes(cut: Cut): void {
    this.#cut = cut
    if (this.#refusal !== undefined) cut(this.#refusal)
  }

  cut(refusal: Refusal): void {
    this.#refusal = refusal
    this.#cut(refusal)
  }

  end(): void {
    this.#live.delete(this)
  }
}
