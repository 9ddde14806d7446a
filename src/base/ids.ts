// Time-ordered ids (UUIDv7, RFC 9562 section 5.7), monotonic within a process.
//
// Random bytes come from a pool, because one system call an id would cost more than everything else.

import { randomFillSync } from 'node:crypto'

const POOL_IDS = 256
const BYTES_PER_ID = 10
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Makes ids; keep one a process. `now` gives milliseconds since the epoch. */
export class IdSource {
  readonly #now: () => number
  readonly #pool = Buffer.alloc(POOL_IDS * BYTES_PER_ID)
  #offset = this.#pool.length
  #lastMs = 0
  #counter = 0

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** A UUIDv7 greater than every earlier one of this source. */
  next(): string {
    if (this.#offset === this.#pool.length) {
      randomFillSync(this.#pool)
      this.#offset = 0
    }
    const at = this.#offset
    this.#offset += BYTES_PER_ID
    const pool = this.#pool
    const ms = this.#now()
    if (ms > this.#lastMs) {
      this.#lastMs = ms
      this.#counter = ((pool[at] ?? 0) << 3) | ((pool[at + 1] ?? 0) & 0x07)
    } else if (++this.#counter > 0xfff) {
      // More ids in a millisecond than twelve bits count, or a clock set back: borrow from the future.
      this.#lastMs += 1
      this.#counter = 0
    }
    const time = this.#lastMs.toString(16).padStart(12, '0')
    const counter = (0x7000 | this.#counter).toString(16)
    const variant = HEX[0x80 | ((pool[at + 2] ?? 0) & 0x3f)] ?? ''
    let tail = variant + hex(pool, at + 3)
    tail += '-'
    for (let index = at + 4; index < at + BYTES_PER_ID; index++) tail += hex(pool, index)
    return `${time.slice(0, 8)}-${time.slice(8)}-${counter}-${tail}`
  }
}

function hex(pool: Buffer, index: number): string {
  return HEX[pool[index] ?? 0] ?? ''
}
