// Where does a header or trailer section end, however its bytes were cut?
//
// A section that arrives in one piece is decoded where it lies. Otherwise its bytes are gathered in one
// growing buffer, searched only where they are new, and looked at early: a bare LF or an endless first
// line must not wait for a blank line that never comes.

import { CR, is, LF, TOKEN } from './characters.ts'
import { BAD_START, BARE_LINE_END, HEAD_TOO_LARGE, TARGET_TOO_LONG } from './failures.ts'
import type { Failure } from './message.ts'

const BLANK_LINE = Buffer.from('\r\n\r\n')
const FIRST_BYTES = 512

export class Section {
  readonly #limit: number
  readonly #firstLineLimit: number
  #held: Buffer | undefined
  #length = 0
  /** Index after the section in the input that completed it. */
  end = 0
  /** Set where `take` gave undefined for good. */
  failure: Failure | undefined

  /** `firstLineLimit`: bytes of the first line, its CRLF included. */
  constructor(limit: number, firstLineLimit: number) {
    this.#limit = limit
    this.#firstLineLimit = Math.min(limit, firstLineLimit)
  }

  /** Whether some of the section's bytes have arrived. */
  get begun(): boolean {
    return this.#length > 0
  }

  /** The section's lines without the blank one, or undefined: more is needed, or `failure` is set. */
  take(input: Buffer, at: number): string | undefined {
    if (this.#length > 0) return this.#gather(input, at)
    const blank = input.indexOf(BLANK_LINE, at)
    if (blank === -1) return this.#gather(input, at)
    const size = blank + 4 - at
    if (size > this.#limit) return this.#fail(input.subarray(at, at + this.#limit))
    this.end = blank + 4
    return input.toString('latin1', at, blank + 2)
  }

  /** What is wrong with these lines at the earliest byte where that shows, whatever else is. */
  faultIn(text: string): Failure | undefined {
    return this.#fault(Buffer.from(text, 'latin1'))
  }

  #gather(input: Buffer, at: number): string | undefined {
    const before = this.#length
    const taken = Math.min(input.length - at, this.#limit - before)
    const held = this.#room(before + taken)
    input.copy(held, before, at, at + taken)
    this.#length = before + taken
    const filled = held.subarray(0, this.#length)
    const blank = filled.indexOf(BLANK_LINE, Math.max(0, before - 3))
    if (blank === -1) {
      this.end = at + taken
      this.failure = this.#fault(filled)
      if (this.failure === undefined && before + taken === this.#limit && at + taken < input.length)
        this.failure = HEAD_TOO_LARGE
      return undefined
    }
    this.end = at + (blank + 4 - before)
    this.#length = 0
    this.#held = undefined
    return filled.toString('latin1', 0, blank + 2)
  }

  #room(length: number): Buffer {
    const held = this.#held
    if (held !== undefined && held.length >= length) return held
    const size = Math.min(this.#limit, Math.max(FIRST_BYTES, length * 2))
    const wider = Buffer.allocUnsafe(Math.max(size, length))
    held?.copy(wider, 0, 0, this.#length)
    this.#held = wider
    return wider
  }

  #fail(filled: Buffer): undefined {
    this.failure = this.#fault(filled) ?? HEAD_TOO_LARGE
  }

  /** Faults in the order of the bytes that show them, so that no cutting changes the answer. */
  #fault(filled: Buffer): Failure | undefined {
    if (filled.length > 0 && !is(filled[0] ?? 0, TOKEN)) return BAD_START
    let feed = filled.indexOf(LF)
    const firstLine = feed === -1 ? filled.length : feed + 1
    if (firstLine > this.#firstLineLimit) return TARGET_TOO_LONG
    for (; feed !== -1; feed = filled.indexOf(LF, feed + 1)) {
      if (filled[feed - 1] !== CR) return BARE_LINE_END
    }
    return undefined
  }
}
