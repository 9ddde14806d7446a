// Time-ordered ids (UUIDv7, RFC 9562 section 5.7), monotonic within a process.
//
// The random part is that of a UUIDv4, which node makes from a pool: it has the same variant bits at the
// same place. The text of the millisecond is made once for all ids in it.

import { randomUUID } from 'node:crypto'

/** In `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx`: the hyphen before the variant. */
const VARIANT_AT = 18
const MAX_COUNTER = 0xfff

/** Makes ids; keep one a process. `now` gives milliseconds since the epoch. */
export class IdSource {
  readonly #now: () => number
  #lastMs = 0
  #time = ''
  #counter = 0

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** A UUIDv7 greater than every earlier one of this source. */
  next(): string {
    const random = randomUUID()
    const ms = this.#now()
    if (ms > this.#lastMs) {
      // From the lower half of its range, so that there is room to count.
      this.#begin(ms, Number.parseInt(random.slice(0, 3), 16) >> 1)
    } else if (++this.#counter > MAX_COUNTER) {
      // More ids in a millisecond than twelve bits count, or a clock set back: borrow from the future.
      this.#begin(this.#lastMs + 1, 0)
    }
    return `${this.#time}${(0x7000 | this.#counter).toString(16)}${random.slice(VARIANT_AT)}`
  }

  #begin(ms: number, counter: number): void {
    const time = ms.toString(16).padStart(12, '0')
    this.#lastMs = ms
    this.#time = `${time.slice(0, 8)}-${time.slice(8)}-`
    this.#counter = counter
  }
}
