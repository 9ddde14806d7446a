// Which policies take too long again and again? Those are not asked for a while.
//
// One evaluation is bounded (fuel and memory of the wasm), but a policy that uses its bound up for every
// request stops a process all the same. After three evaluations beyond the budget within its last hundred a
// policy counts as erring, for an hour or until another revision is in force; each process sees for itself.

const STRIKES = 3
const WINDOW = 100
/** Of one evaluation, in milliseconds of CPU. */
export const BUDGET_MS = 250
const HELD_MS = 60 * 60 * 1000

export interface Quarantined {
  readonly policy: string
  /** What the last strike was. */
  readonly reason: string
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** Told once when a policy is held, and once with `undefined` when it is asked again. */
export type QuarantineListener = (policy: string, held: Quarantined | undefined) => void

export class Quarantine {
  readonly #ids: readonly string[]
  readonly #now: () => number
  /** How often each policy was asked. */
  readonly #asked: Float64Array
  /** Of policies that exceeded their budget: at which of their evaluations, the newest three. */
  readonly #strikes = new Map<number, number[]>()
  readonly #held = new Map<number, Quarantined>()

  /** Told of every change. */
  onChange: QuarantineListener = () => undefined

  /** `ids` in the order of the indexes that the other methods take; `now`: milliseconds since the epoch. */
  constructor(ids: readonly string[], now: () => number = Date.now) {
    this.#ids = ids
    this.#now = now
    this.#asked = new Float64Array(ids.length)
  }

  /** Why a policy must not be asked; undefined: it may. */
  problemOf(index: number): string | undefined {
    if (this.#held.size === 0) return undefined
    const held = this.#held.get(index)
    if (held === undefined) return undefined
    if (this.#now() >= held.until) {
      this.#held.delete(index)
      this.onChange(held.policy, undefined)
      return undefined
    }
    return `quarantined until ${new Date(held.until).toISOString()}: ${held.reason}`
  }

  /** With every evaluation. */
  ran(index: number): void {
    this.#asked[index] = (this.#asked[index] ?? 0) + 1
  }

  /** The last evaluation was beyond the budget; `how`: in what. */
  strike(index: number, how: string): void {
    const asked = this.#asked[index] ?? 0
    const strikes = this.#strikes.get(index) ?? []
    strikes.push(asked)
    this.#strikes.set(index, strikes)
    if (strikes.length < STRIKES) return
    const first = strikes.shift() ?? asked
    if (asked - first >= WINDOW) return
    const held = {
      policy: this.#ids[index] ?? '',
      reason: `it exceeded its time budget ${STRIKES} times in ${asked - first + 1} evaluations, the last time by ${how}`,
      until: this.#now() + HELD_MS,
    }
    this.#strikes.delete(index)
    this.#held.set(index, held)
    this.onChange(held.policy, held)
  }
}
