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

/** Work that stops after each of its steps, done without a break. */
export function atOnce<T>(work: Generator<undefined, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

/** The same in slices, for a process that has something else to do meanwhile. */
export async function inSlices<T>(work: Generator<undefined, T>): Promise<T> {
  const pace = new Pace()
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
    await pace.point()
  }
}
