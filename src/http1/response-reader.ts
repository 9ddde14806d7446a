// The client half: bytes of an origin in, responses out, as strict as the server half.
//
// Call `expect` for each request that was sent; then `push` and `next()` as for requests. 'interim' is a
// 1xx head that a final one follows. Bytes beyond 'end' make the connection unusable (`unread` tells):
// nobody asked for them, so they can only belong to somebody else's answer.

import { BodyReader } from './body-reader.ts'
import { isAll, VALUE } from './characters.ts'
import {
  BAD_CODING,
  BAD_STATUS_LINE,
  CLOSING_INTERIM,
  CODING_IN_1_0,
  LENGTH_AND_CODING,
  TOO_MANY_INTERIM,
  UNASKED_SWITCH,
  UNKNOWN_VERSION,
} from './failures.ts'
import { responseKind } from './field-kinds.ts'
import { Fields, readFields } from './fields.ts'
import { Input } from './input.ts'
import {
  type Failure,
  type FieldList,
  type Http1Limits,
  NO_LENGTH,
  type ReadEvent,
  type ResponseHead,
} from './message.ts'
import { Section } from './section.ts'

const MAX_INTERIM = 16
const STATUS_LINE_BYTES = 8190

const IDLE = 0
const HEAD = 1
const BODY = 2
const FAILED = 3

/** What the request was, as far as it decides how the response is framed. */
export interface Expectation {
  readonly method: string
  /** Whether a change of protocol was asked for. */
  readonly upgrade: boolean
}

export class ResponseReader {
  readonly #limits: Http1Limits
  readonly #input = new Input()
  readonly #section: Section
  readonly #body: BodyReader
  #state = IDLE
  #method = ''
  #upgrade = false
  #interim = 0
  #untilClose = false
  #switched = false
  #head: ResponseHead | undefined
  #failure: Failure | undefined

  constructor(limits: Http1Limits) {
    this.#limits = limits
    this.#section = new Section(limits.headerBytes, STATUS_LINE_BYTES)
    this.#body = new BodyReader(limits, responseKind)
  }

  /** A request has been sent: read its response. */
  expect({ method, upgrade }: Expectation): void {
    this.#state = HEAD
    this.#method = method
    this.#upgrade = upgrade
    this.#interim = 0
    this.#untilClose = false
    this.#switched = false
  }

  push(chunk: Buffer): void {
    this.#input.push(chunk)
  }

  /** The head of the last 'head' or 'interim' event. */
  get head(): ResponseHead {
    if (this.#head === undefined) throw new TypeError('no head has been read')
    return this.#head
  }

  /** The content of the last 'body' event: a slice of what was pushed. */
  get content(): Buffer {
    return this.#body.content
  }

  get trailers(): FieldList {
    return this.#body.trailers
  }

  get failure(): Failure {
    return this.#failure ?? BAD_STATUS_LINE
  }

  get unread(): number {
    return this.#input.length
  }

  /** Whether the response at hand ends with the connection. */
  get untilClose(): boolean {
    return this.#untilClose
  }

  /** Whether what follows the head is no longer HTTP: take it by `rest`. */
  get switched(): boolean {
    return this.#switched
  }

  /** Whether a byte of a response has come since `expect`. */
  get begun(): boolean {
    return this.#state === BODY || this.#interim > 0 || this.#section.begun
  }

  rest(): Buffer {
    return this.#input.rest()
  }

  /** The connection has ended: 'end' where that ends the body, else 'failed' (truncated). */
  close(): 'end' | 'failed' {
    if (this.#state === BODY && this.#untilClose) {
      this.#state = IDLE
      return 'end'
    }
    return this.#fail(BAD_STATUS_LINE)
  }

  next(): ReadEvent {
    const input = this.#input
    if (this.#state === FAILED) return 'failed'
    if (this.#state === IDLE) return 'more'
    if (this.#state === BODY) {
      void input.ready
      const event = this.#body.next(input.chunk, input.at)
      input.at = this.#body.end
      if (event === 'end') this.#state = IDLE
      if (event === 'failed') return this.#fail(this.#body.failure)
      return event === 'more' && input.ready ? this.next() : event
    }
    while (input.ready) {
      const text = this.#section.take(input.chunk, input.at)
      input.at = this.#section.end
      if (text === undefined) {
        if (this.#section.failure !== undefined) return this.#fail(this.#section.failure)
        continue
      }
      const head = readResponseHead(text, this.#limits)
      if ('means' in head) return this.#fail(this.#section.faultIn(text) ?? head.means)
      return this.#begin(head)
    }
    return 'more'
  }

  #begin(head: ResponseHead): ReadEvent {
    this.#head = head
    const { status } = head
    if (status === 101) {
      if (!this.#upgrade || head.upgrade === undefined) return this.#fail(UNASKED_SWITCH)
      return this.#leaveHttp()
    }
    // RFC 9112 section 6.3: whatever framing such a response declares, a tunnel follows.
    if (this.#method === 'CONNECT' && status >= 200 && status < 300) return this.#leaveHttp()
    if (status < 200) {
      if (!head.keepAlive) return this.#fail(CLOSING_INTERIM)
      if (++this.#interim > MAX_INTERIM) return this.#fail(TOO_MANY_INTERIM)
      return 'interim'
    }
    this.#state = BODY
    if (this.#method === 'HEAD' || status === 204 || status === 304) this.#body.begin('none', 0)
    else if (head.chunked) this.#body.begin('chunked', 0)
    else if (head.contentLength !== NO_LENGTH) this.#body.begin('length', head.contentLength)
    else {
      this.#untilClose = true
      this.#body.begin('until-close', 0)
    }
    return 'head'
  }

  #leaveHttp(): 'head' {
    this.#switched = true
    this.#state = IDLE
    return 'head'
  }

  #fail(failure: Failure | undefined): 'failed' {
    this.#failure = failure
    this.#state = FAILED
    return 'failed'
  }
}

function readResponseHead(
  text: string,
  limits: Http1Limits,
): ResponseHead | { readonly means: Failure } {
  const lineEnd = text.indexOf('\r\n')
  const version = text.slice(0, 9)
  const minor = version === 'HTTP/1.1 ' ? 1 : version === 'HTTP/1.0 ' ? 0 : undefined
  if (minor === undefined)
    return { means: /^HTTP\/\d\.\d $/.test(version) ? UNKNOWN_VERSION : BAD_STATUS_LINE }
  const digits = text.slice(9, 12)
  // The reason and even the space before it are often left out (RFC 9112 section 4).
  const reason = lineEnd > 12 ? text.slice(13, lineEnd) : ''
  if (lineEnd < 12 || !/^[1-9]\d\d$/.test(digits) || (lineEnd > 12 && text[12] !== ' '))
    return { means: BAD_STATUS_LINE }
  if (reason !== '' && !isAll(reason, VALUE)) return { means: BAD_STATUS_LINE }

  const fields = new Fields()
  const failure = readFields(text, lineEnd + 2, limits.headers, responseKind, fields)
  if (failure !== undefined) return { means: failure }
  const { contentLength, chunked } = fields
  if (chunked && contentLength !== NO_LENGTH) return { means: LENGTH_AND_CODING }
  if (chunked && minor === 0) return { means: CODING_IN_1_0 }
  const status = Number(digits)
  if (chunked && (status < 200 || status === 204)) return { means: BAD_CODING }
  return {
    status,
    reason,
    minor,
    fields: fields.list,
    contentLength,
    chunked,
    keepAlive: !fields.close && (minor === 1 || fields.keepAlive),
    upgrade: fields.upgradeNamed ? fields.upgrade : undefined,
    keepAliveSeconds: fields.keepAliveSeconds,
  }
}
