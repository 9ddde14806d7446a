// DER read back: the parts of a certificate that node:crypto does not show.

import { CordonError } from '../base/errors.ts'

export interface Element {
  readonly tag: number
  readonly content: Buffer
  /** With its tag and length. */
  readonly raw: Buffer
}

export class DerReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The next value, which must have this tag where one is named. */
  next(tag?: number): Element {
    const begin = this.#at
    const found = this.#byte()
    if (tag !== undefined && found !== tag) throw malformed()
    const first = this.#byte()
    const length = first < 0x80 ? first : this.#long(first & 0x7f)
    const from = this.#at
    const to = from + length
    if (to > this.#bytes.length) throw malformed()
    this.#at = to
    return {
      tag: found,
      content: this.#bytes.subarray(from, to),
      raw: this.#bytes.subarray(begin, to),
    }
  }

  /** The next value if it has this tag. */
  optional(tag: number): Element | undefined {
    return this.#bytes[this.#at] === tag ? this.next() : undefined
  }

  inside(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw malformed()
    return byte
  }

  #long(digits: number): number {
    if (digits === 0 || digits > 3) throw malformed()
    let length = 0
    for (let index = 0; index < digits; index++) length = length * 256 + this.#byte()
    return length
  }
}

function malformed(): CordonError {
  return new CordonError('AUTHORITY_INVALID', 'a certificate is malformed')
}
