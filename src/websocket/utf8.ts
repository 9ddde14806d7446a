// Is this UTF-8? Asked piece by piece, where a character may be cut between two pieces.

import { isUtf8 } from 'node:buffer'

const NOTHING = Buffer.alloc(0)
/** What a character of several bytes may begin with. */
const FIRST_LEAD = 0xc2
const LAST_LEAD = 0xf4

export class Utf8Checker {
  /** The beginning of a character whose end is still to come: at most three bytes. */
  #begun = NOTHING

  /** Whether all so far can be UTF-8. */
  push(bytes: Buffer): boolean {
    const all = this.#begun.length === 0 ? bytes : Buffer.concat([this.#begun, bytes])
    const whole = wholeCharacters(all)
    this.#begun = whole === all.length ? NOTHING : Buffer.from(all.subarray(whole))
    return isUtf8(whole === all.length ? all : all.subarray(0, whole))
  }

  /** Whether the text may end here; afterwards a new one begins. */
  end(): boolean {
    const complete = this.#begun.length === 0
    this.#begun = NOTHING
    return complete
  }
}

/** How many bytes there are before a character that is cut off at the end. */
export function wholeCharacters(bytes: Buffer): number {
  const { length } = bytes
  for (let back = 1; back <= 3 && back <= length; back += 1) {
    const byte = bytes[length - back] ?? 0
    if (byte < 0x80 || byte > LAST_LEAD) return length
    if (byte >= FIRST_LEAD) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return needed > back ? length - back : length
    }
  }
  return length
}
