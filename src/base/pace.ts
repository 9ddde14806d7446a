// Long work in slices, so that what else the process has to do is not held up by it.

import { setImmediate } from 'node:timers/promises'

const SLICE_MS = 5

export class Pace {
  #since = performance.now()

  /** Between two steps: lets everything else have a turn where the slice is used up. */
  async point(): Promise<void> {
    if (performance.now() - this.#since < SLICE_MS) return
    await setImmediate()
    this.#since = performance.now()
  }
}
