// The server half: bytes of a client in, requests out, strictly by RFC 9112.
//
// `push` bytes, then call `next()` until it says 'more' or 'failed'. After 'head' come 'body' events and
// one 'end'; then the next request may follow. Nothing is read ahead: what follows an 'end' stays where
// it is. After 'failed' there is no way back, because nobody knows where the next message begins.

import { BodyReader } from './body-reader.ts'
import { CR, endOf, HOST, isAll, LF, TARGET, USER } from './characters.ts'
import {
  BAD_REQUEST_LINE,
  BAD_START,
  BAD_TARGET,
  CODING_IN_1_0,
  CONNECT_BODY,
  LENGTH_AND_CODING,
  NO_HOST,
  TARGET_TOO_LONG,
  TRACE_REFUSED,
  UNKNOWN_METHOD,
  UNKNOWN_VERSION,
} from './failures.ts'
import { requestKind } from './field-kinds.ts'
import { Fields, readFields } from './fields.ts'
import { Input } from './input.ts'
import {
  type Failure,
  type FieldList,
  type Http1Limits,
  NO_LENGTH,
  type ReadEvent,
  type RequestHead,
} from './message.ts'
import { Section } from './section.ts'

/** Of the request line, its CRLF included. */
const REQUEST_LINE_BYTES = 8190
/** Empty lines before a request (RFC 9112 section 2.2). */
const MAX_EMPTY_LINES = 4

/** Those that a strict parser knows; a method is case-sensitive. */
export const METHODS: ReadonlySet<string> = new Set(
  [
    'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL',
    'MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE',
    'SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE',
  ].flatMap((line) => line.split(' ')),
)

const HOST_OR_USER = HOST | USER

const HEAD = 0
const BODY = 1
const FAILED = 2

export class RequestReader {
  readonly #limits: Http1Limits
  readonly #input = new Input()
  readonly #section: Section
  readonly #body: BodyReader
  #state = HEAD
  #emptyLines = 0
  #sawReturn = false
  #head: RequestHead | undefined
  #failure: Failure | undefined

  constructor(limits: Http1Limits) {
    this.#limits = limits
    this.#section = new Section(limits.headerBytes, REQUEST_LINE_BYTES)
    this.#body = new BodyReader(limits, requestKind)
  }

  push(chunk: Buffer): void {
    this.#input.push(chunk)
  }

  /** The head of the last 'head' event. */
  get head(): RequestHead {
    if (this.#head === undefined) throw new TypeError('no head has been read')
    return this.#head
  }

  /** The content of the last 'body' event: valid until `push`, a slice of what was pushed. */
  get content(): Buffer {
    return this.#body.content
  }

  /** Trailer fields that may be sent on; set at 'end'. */
  get trailers(): FieldList {
    return this.#body.trailers
  }

  /** Why the last event was 'failed'. */
  get failure(): Failure {
    return this.#failure ?? BAD_START
  }

  /** Bytes that have arrived and were not read. */
  get unread(): number {
    return this.#input.length
  }

  /** Whether a message has begun and not ended. */
  get midMessage(): boolean {
    return this.#state === BODY || this.#section.begun || this.#sawReturn
  }

  /** Whether the body of the message at hand has ended, or there is none. */
  get atBoundary(): boolean {
    return this.#state === HEAD
  }

  /** All bytes not read, for a connection that stops being HTTP. */
  rest(): Buffer {
    return this.#input.rest()
  }

  next(): Exclude<ReadEvent, 'interim'> {
    const input = this.#input
    if (this.#state === FAILED) return 'failed'
    if (this.#state === BODY) {
      void input.ready
      const event = this.#body.next(input.chunk, input.at)
      input.at = this.#body.end
      if (event === 'end') this.#state = HEAD
      if (event === 'failed') return this.#fail(this.#body.failure)
      return event === 'more' && input.ready ? this.next() : event
    }
    while (input.ready) {
      if (!this.#section.begun && !this.#skipEmptyLines()) {
        if (this.#state === FAILED) return 'failed'
        continue
      }
      const text = this.#section.take(input.chunk, input.at)
      input.at = this.#section.end
      if (text === undefined) {
        if (this.#section.failure !== undefined) return this.#fail(this.#section.failure)
        continue
      }
      const head = readRequestHead(text, this.#limits)
      if ('status' in head) return this.#fail(this.#section.faultIn(text) ?? head)
      return this.#begin(head)
    }
    return 'more'
  }

  #begin(head: RequestHead): 'head' {
    this.#head = head
    this.#emptyLines = 0
    this.#state = BODY
    if (head.chunked) this.#body.begin('chunked', 0)
    else if (head.contentLength > 0) this.#body.begin('length', head.contentLength)
    else this.#body.begin('none', 0)
    return 'head'
  }

  /** True where the next byte begins a request line. */
  #skipEmptyLines(): boolean {
    const input = this.#input
    while (input.at < input.chunk.length) {
      const code = input.chunk[input.at]
      if (this.#sawReturn) {
        if (code !== LF) return this.#failStart()
        this.#sawReturn = false
        if (++this.#emptyLines > MAX_EMPTY_LINES) return this.#failStart()
      } else if (code === CR) this.#sawReturn = true
      else return true
      input.at += 1
    }
    return false
  }

  #failStart(): false {
    this.#fail(BAD_START)
    return false
  }

  #fail(failure: Failure | undefined): 'failed' {
    this.#failure = failure
    this.#state = FAILED
    return 'failed'
  }
}

function readRequestHead(text: string, limits: Http1Limits): RequestHead | Failure {
  const lineEnd = text.indexOf('\r\n')
  const methodEnd = text.indexOf(' ')
  if (methodEnd < 1 || methodEnd > lineEnd) return BAD_REQUEST_LINE
  const targetEnd = text.indexOf(' ', methodEnd + 1)
  if (targetEnd === -1 || targetEnd > lineEnd || targetEnd === methodEnd + 1)
    return BAD_REQUEST_LINE
  if (lineEnd + 2 > REQUEST_LINE_BYTES) return TARGET_TOO_LONG
  const minor = readVersion(text, targetEnd + 1, lineEnd)
  if (typeof minor !== 'number') return minor

  const method = text.slice(0, methodEnd)
  if (!METHODS.has(method)) return UNKNOWN_METHOD
  if (method === 'TRACE') return TRACE_REFUSED
  const target = text.slice(methodEnd + 1, targetEnd)
  if (!isAll(target, TARGET) || !hasKnownForm(method, target)) return BAD_TARGET

  const fields = new Fields()
  const failure = readFields(text, lineEnd + 2, limits.headers, requestKind, fields)
  if (failure !== undefined) return failure
  const { host, contentLength, chunked, upgrade, upgradeNamed, expectContinue } = fields
  if (host === undefined && minor === 1) return NO_HOST
  if (chunked && contentLength !== NO_LENGTH) return LENGTH_AND_CODING
  if (chunked && minor === 0) return CODING_IN_1_0
  if (method === 'CONNECT' && (chunked || contentLength > 0)) return CONNECT_BODY
  return {
    method,
    target,
    minor,
    fields: fields.list,
    host,
    contentLength,
    chunked,
    keepAlive: !fields.close && (minor === 1 || fields.keepAlive),
    upgrade: upgradeNamed && minor === 1 ? upgrade : undefined,
    // An expectation of an HTTP/1.0 client counts for nothing (RFC 9110 section 10.1.1).
    expectContinue: expectContinue && minor === 1 && (chunked || contentLength > 0),
    teTrailers: fields.teTrailers,
    proxyAuthorization: fields.proxyAuthorization,
  }
}

/** Origin-form, absolute-form or `*`; what follows CONNECT is an authority (RFC 9112 section 3.2). */
function hasKnownForm(method: string, target: string): boolean {
  if (target.startsWith('/') || method === 'CONNECT' || target === '*') return true
  const [scheme] = /^[a-z]+:\/\//i.exec(target) ?? []
  if (scheme === undefined) return false
  const authority = scheme.length
  const end = endOf(target, authority, HOST_OR_USER)
  return end > authority && (end === target.length || '/?#'.includes(target[end] ?? ''))
}

function readVersion(text: string, from: number, to: number): 0 | 1 | Failure {
  const version = text.slice(from, to)
  if (version === 'HTTP/1.1') return 1
  if (version === 'HTTP/1.0') return 0
  return /^HTTP\/\d\.\d$/.test(version) ? UNKNOWN_VERSION : BAD_REQUEST_LINE
}
