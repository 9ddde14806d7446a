// Does the clock of the day step? Compared with the steady one, which nobody sets.
//
// Records are in the order of their numbers, whatever their times say; a step is recorded so that whoever reads
// the times knows. A clock that is drawn slowly, as NTP does, is no step.

const STEP_MS = 2000

export interface ClockStep {
  /** What the clock would have said without the step, and what it says; milliseconds since the epoch. */
  readonly from: number
  readonly to: number
}

export class ClockWatch {
  readonly #now: () => number
  #ahead: number

  constructor(now: () => number) {
    this.#now = now
    this.#ahead = now() - performance.now()
  }

  /** A step of more than two seconds since the last look. */
  look(): ClockStep | undefined {
    const to = Math.round(this.#now())
    const steady = performance.now()
    const from = Math.round(steady + this.#ahead)
    this.#ahead = to - steady
    return Math.abs(to - from) > STEP_MS ? { from, to } : undefined
  }
}
