// The mode of the whole enforcement point: `policy.mode`, or what `cordon mode` put over it until its end.

import type { Mode } from '../model/decision.ts'

export interface ModeOverride {
  readonly mode: Mode
  /** Milliseconds since the epoch; never without an end. */
  readonly until: number
}

export class PointMode {
  readonly #now: () => number
  #configured: Mode
  #override: ModeOverride | undefined

  constructor(configured: Mode, now: () => number) {
    this.#configured = configured
    this.#now = now
  }

  current(): Mode {
    const override = this.#override
    if (override === undefined) return this.#configured
    if (this.#now() < override.until) return override.mode
    this.#override = undefined
    return this.#configured
  }

  configure(mode: Mode): void {
    this.#configured = mode
  }

  override(override: ModeOverride | undefined): void {
    this.#override = override
  }
}
