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
  readonly #standing = new Set<Standing>()
  #queue: Standing[] = []
  #timer: NodeJS.Timeout | undefined
  /** When it was last asked for, on the clock of `performance.now()`. */
  #asked = -Infinity

  constructor(parts: LiveParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#standing.size
  }

  /** Something goes on; `decidedAt` (performance.now()): when the decision that lets it was begun. */
  add({ content: _left, ...request }: AccessRequest, decidedAt: number, cut: Cut): Standing {
    const standing = new Standing(this, request, cut)
    this.#standing.add(standing)
    if (decidedAt < this.#asked) this.#enqueue([standing])
    return standing
  }

  /** It has ended. */
  delete(standing: Standing): void {
    this.#standing.delete(standing)
  }

  /** Judges all that is open again. */
  rejudge(): void {
    this.#asked = performance.now()
    this.#queue = []
    this.#enqueue([...this.#standing])
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#queue = []
  }

  #enqueue(standing: readonly Standing[]): void {
    this.#queue.push(...standing)
    if (this.#queue.length > 0)
      this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
  }

  #tick(): void {
    for (const standing of this.#queue.splice(0, PER_TICK)) void this.#judge(standing)
    if (this.#queue.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #judge(standing: Standing): Promise<void> {
    if (!this.#standing.has(standing)) return
    let outcome: Outcome | undefined
    try {
      outcome = await this.#parts.judge.rejudge(standing.request)
    } catch (fault) {
      this.#failed(standing, fault)
      return
    }
    // What is recorded has an end: nothing of it has passed since.
    outcome?.finish({ status: 0, bytes_in: 0, bytes_out: 0, duration_ms: 0 })
    if (outcome?.refused === true) this.#cut(standing, refusalOfOutcome(outcome))
    else this.#parts.metrics.rejudged.inc({ outcome: 'kept' })
  }

  #failed(standing: Standing, fault: unknown): void {
    standing.tries += 1
    if (standing.tries < MAX_TRIES)
      setTimeout(() => this.#enqueue([standing]), TRY_AGAIN_MS).unref()
    else this.#cut(standing, refusalOfFault(fault))
  }

  #cut(standing: Standing, refusal: Refusal): void {
    // It may have ended while it was being judged.
    if (!this.#standing.delete(standing)) return
    this.#parts.metrics.rejudged.inc({ outcome: 'cut' })
    standing.cut(refusal)
  }
}

export class Standing {
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
