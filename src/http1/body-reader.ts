// Where does a body end? By length, by its chunks, or with the connection (responses only).

import { CR, LF } from './characters.ts'
import { ChunkedDecoder } from './chunked.ts'
import { BARE_LINE_END } from './failures.ts'
import type { KindOf } from './field-kinds.ts'
import { readTrailers } from './fields.ts'
import type { Failure, FieldList, Http1Limits } from './message.ts'
import { Section } from './section.ts'

export type BodyKind = 'none' | 'length' | 'chunked' | 'until-close'
type BodyEvent = 'more' | 'body' | 'end' | 'failed'

const NO_FIELDS: FieldList = []
const NOTHING: Buffer = Buffer.alloc(0)

export class BodyReader {
  readonly #limits: Http1Limits
  readonly #kindOf: KindOf
  readonly #chunks = new ChunkedDecoder()
  #section: Section | undefined
  #kind: BodyKind = 'none'
  #left = 0
  #sawReturn = false
  /** The content that the last 'body' event stands for: a slice of the input. */
  content: Buffer = NOTHING
  /** Trailer fields that may be sent on, once the body has ended. */
  trailers: FieldList = NO_FIELDS
  failure: Failure | undefined
  /** Index after what the last `next` used. */
  end = 0

  constructor(limits: Http1Limits, kindOf: KindOf) {
    this.#limits = limits
    this.#kindOf = kindOf
  }

  /** Begins a body; `length` counts for the kind 'length' only. */
  begin(kind: BodyKind, length: number): void {
    this.#kind = kind
    this.#left = length
    this.trailers = NO_FIELDS
    if (kind === 'chunked') {
      this.#chunks.reset()
      this.#section = undefined
      this.#sawReturn = false
    }
  }

  next(input: Buffer, at: number): BodyEvent {
    this.end = at
    // What was handed out has been written by now: an idle connection must not keep it alive.
    this.content = NOTHING
    if (this.#kind === 'none') return 'end'
    if (this.#kind === 'length') return this.#byLength(input, at)
    if (this.#kind === 'chunked') return this.#byChunks(input, at)
    if (at === input.length) return 'more'
    this.end = input.length
    this.content = at === 0 ? input : input.subarray(at)
    return 'body'
  }

  #byLength(input: Buffer, at: number): BodyEvent {
    if (this.#left === 0) return 'end'
    if (at === input.length) return 'more'
    const until = Math.min(input.length, at + this.#left)
    this.#left -= until - at
    this.end = until
    this.content = at === 0 && until === input.length ? input : input.subarray(at, until)
    return 'body'
  }

  #byChunks(input: Buffer, at: number): BodyEvent {
    const chunks = this.#chunks
    if (!chunks.atTrailers) {
      const content = chunks.take(input, at)
      this.end = chunks.end
      if (content !== undefined) {
        this.content = content
        return 'body'
      }
      if (chunks.failure !== undefined) return this.#fail(chunks.failure)
      if (!chunks.atTrailers) return 'more'
    }
    return this.#trailers(input, this.end)
  }

  /** A lone CRLF, or a section as of a head. */
  #trailers(input: Buffer, at: number): BodyEvent {
    if (at === input.length) return 'more'
    if (this.#section === undefined) {
      let index = at
      if (!this.#sawReturn && input[index] === CR) {
        this.#sawReturn = true
        index += 1
        this.end = index
        if (index === input.length) return 'more'
      }
      if (this.#sawReturn) {
        this.end = index + 1
        return input[index] === LF ? 'end' : this.#fail(BARE_LINE_END)
      }
      this.#section = new Section(this.#limits.headerBytes, this.#limits.headerBytes)
    }
    const text = this.#section.take(input, at)
    this.end = this.#section.end
    if (text === undefined) {
      return this.#section.failure === undefined ? 'more' : this.#fail(this.#section.failure)
    }
    const trailers = readTrailers(text, this.#limits.headers, this.#kindOf)
    if ('status' in trailers) return this.#fail(this.#section.faultIn(text) ?? trailers)
    this.trailers = trailers
    return 'end'
  }

  #fail(failure: Failure): 'failed' {
    this.failure = failure
    return 'failed'
  }
}
