// Undoes the chunked coding (RFC 9112 section 7.1), one byte of framing after the other.
//
// A size is hexadecimal digits and nothing else; extensions are checked and forgotten; every line ends
// in CRLF. States: size -> extension -> line end -> data -> data end -> size ... -> trailers -> done.

import { CR, is, LF, QUOTED, TOKEN } from './characters.ts'
import {
  BAD_CHUNK_END,
  BAD_CHUNK_EXTENSION,
  BAD_CHUNK_SIZE,
  LONG_CHUNK_EXTENSION,
} from './failures.ts'
import type { Failure } from './message.ts'

const MAX_SIZE_DIGITS = 13
/** Of all chunks of one message; nobody needs them, and they can be endless. */
const MAX_EXTENSION_BYTES = 4096

const SIZE = 0
const EXTENSION_NAME = 1
const EXTENSION_VALUE = 2
const EXTENSION_QUOTED = 3
const EXTENSION_ESCAPED = 4
const EXTENSION_CLOSED = 5
const LINE_END = 6
const DATA = 7
const DATA_CR = 8
const DATA_LF = 9
const TRAILERS = 10

const SEMICOLON = 0x3b
const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c

export class ChunkedDecoder {
  #state = SIZE
  #digits = 0
  #size = 0
  #extensionBytes = 0
  /** Characters of the extension name or value so far: neither may be empty. */
  #partLength = 0
  /** Index after what the last `take` used. */
  end = 0
  failure: Failure | undefined

  reset(): void {
    this.#state = SIZE
    this.#digits = 0
    this.#size = 0
    this.#extensionBytes = 0
    this.failure = undefined
  }

  /** Whether the last chunk has been read: what follows is the trailer section. */
  get atTrailers(): boolean {
    return this.#state === TRAILERS
  }

  /** The next bytes of content, undefined where more input is needed, trailers follow, or it failed. */
  take(input: Buffer, at: number): Buffer | undefined {
    let index = at
    while (index < input.length) {
      if (this.#state === DATA) {
        const until = Math.min(input.length, index + this.#size)
        this.#size -= until - index
        if (this.#size === 0) this.#state = DATA_CR
        this.end = until
        return input.subarray(index, until)
      }
      this.failure = this.#step(input[index] ?? 0)
      index += 1
      if (this.failure !== undefined || this.#state === TRAILERS) break
    }
    this.end = index
    return undefined
  }

  #step(code: number): Failure | undefined {
    switch (this.#state) {
      case SIZE:
        return this.#sizeByte(code)
      case LINE_END:
        return this.#lineEnd(code)
      case DATA_CR:
        this.#state = DATA_LF
        return code === CR ? undefined : BAD_CHUNK_END
      case DATA_LF:
        this.#state = SIZE
        this.#digits = 0
        this.#size = 0
        return code === LF ? undefined : BAD_CHUNK_END
      default:
        return this.#extensionByte(code)
    }
  }

  #sizeByte(code: number): Failure | undefined {
    const digit = hexDigit(code)
    if (digit !== -1) {
      if (++this.#digits > MAX_SIZE_DIGITS) return BAD_CHUNK_SIZE
      this.#size = this.#size * 16 + digit
      return undefined
    }
    if (this.#digits === 0) return BAD_CHUNK_SIZE
    if (code === CR) this.#state = LINE_END
    else if (code === SEMICOLON) this.#extension(EXTENSION_NAME)
    else return BAD_CHUNK_SIZE
    return undefined
  }

  #lineEnd(code: number): Failure | undefined {
    if (code !== LF) return BAD_CHUNK_SIZE
    this.#state = this.#size === 0 ? TRAILERS : DATA
    return undefined
  }

  #extension(state: number): void {
    this.#state = state
    this.#partLength = 0
  }

  #extensionByte(code: number): Failure | undefined {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return LONG_CHUNK_EXTENSION
    if (this.#state === EXTENSION_ESCAPED) {
      this.#state = EXTENSION_QUOTED
      return is(code, QUOTED) || code === QUOTE || code === BACKSLASH
        ? undefined
        : BAD_CHUNK_EXTENSION
    }
    if (this.#state === EXTENSION_QUOTED) {
      if (code === QUOTE) this.#state = EXTENSION_CLOSED
      else if (code === BACKSLASH) this.#state = EXTENSION_ESCAPED
      else if (!is(code, QUOTED)) return BAD_CHUNK_EXTENSION
      return undefined
    }
    const complete = this.#partLength > 0 || this.#state === EXTENSION_CLOSED
    if (complete && code === CR) this.#state = LINE_END
    else if (complete && code === SEMICOLON) this.#extension(EXTENSION_NAME)
    else if (complete && code === EQUALS && this.#state === EXTENSION_NAME)
      this.#extension(EXTENSION_VALUE)
    else if (code === QUOTE && this.#state === EXTENSION_VALUE && this.#partLength === 0)
      this.#state = EXTENSION_QUOTED
    else if (this.#state !== EXTENSION_CLOSED && is(code, TOKEN)) this.#partLength += 1
    else return BAD_CHUNK_EXTENSION
    return undefined
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
