// HTTP/2 of a client inside an intercepted tunnel: a session, and an exchange for each of its streams.
//
// Floods are bounded by `http2-limits.ts`; a stream has the same times as a request of HTTP/1.1.

import {
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { type FieldList, NO_LENGTH, type RequestHead, type ResponseHead } from '../http1/message.ts'
import type { ClientParts, ConnectionOwner, CountedConnection } from './client-connection.ts'
import type { Expiring } from './deadlines.ts'
import { Exchange } from './exchange.ts'
import { headersOf, pairsOf, requestOf, requestTrailers } from './http2-fields.ts'
import { serverOptions, SESSION_WINDOW } from './http2-limits.ts'
import type {
  AnsweredRequest,
  ClientLeg,
  Inside,
  OwnAnswer,
  Refusal,
  RefusedRequest,
} from './ports.ts'
import { refusalOfFailure } from './refusals.ts'

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants

export class ClientSession implements CountedConnection, Expiring {
  readonly address: string | undefined
  readonly #session: ServerHttp2Session
  readonly #parts: ClientParts
  readonly #owner: ConnectionOwner
  readonly #inside: Inside
  readonly #streams = new Set<ClientStream>()
  #over = false
  expiresAt: number

  constructor(socket: TLSSocket, parts: ClientParts, owner: ConnectionOwner, inside: Inside) {
    this.#parts = parts
    this.#owner = owner
    this.#inside = inside
    this.address = inside.address
    this.expiresAt = parts.deadlines.now + parts.times.headMs
    this.#session = performServerHandshake(socket, serverOptions(parts.limits))
    this.#session.setLocalWindowSize(SESSION_WINDOW)
    this.#session.on('stream', (stream, headers, flags, raw: unknown) =>
      this.#begin(stream, headers, flags, raw),
    )
    this.#session.on('error', (error: NodeJS.ErrnoException) => this.#failed(error))
    this.#session.on('close', () => this.#closed())
    // Our side may stay open without the client's, and node:http2 takes no notice: who has gone reads no answer.
    socket.once('end', () => this.#session.destroy())
    parts.deadlines.add(this)
  }

  get draining(): boolean {
    return this.#owner.draining
  }

  /** No new streams; those that run may end. */
  drain(): void {
    this.#session.close()
  }

  destroy(): void {
    this.#session.destroy()
  }

  expire(): void {
    const { deadlines, times } = this.#parts
    if (this.#streams.size > 0) this.expiresAt = Infinity
    else if (this.#session.closed) this.#session.destroy()
    else {
      // What was answered may not have been read yet: that has its time, and no more.
      this.expiresAt = deadlines.now + times.idleMs
      this.#session.close(() => this.#session.destroy())
    }
  }

  ended(stream: ClientStream): void {
    this.#streams.delete(stream)
    const { deadlines, times } = this.#parts
    if (this.#streams.size === 0)
      this.expiresAt = deadlines.now + (this.#session.closed ? times.idleMs : times.keepAliveMs)
  }

  #begin(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    raw: unknown,
  ): void {
    const ends = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
    const head = requestOf(headers, pairsOf(headers, raw), ends, this.#parts.limits)
    stream.on('error', () => undefined)
    if ('reason' in head) {
      refuseStream(stream, this.#parts, refusalOfFailure(head))
      // Nobody reads its body, which would wait here for as long as the session lasts.
      if (!ends) stream.close(NGHTTP2_NO_ERROR)
      return
    }
    this.expiresAt = Infinity
    const leg = new ClientStream(stream, this.#parts, this, this.#inside)
    this.#streams.add(leg)
    leg.start(head, ends)
  }

  #failed({ code }: NodeJS.ErrnoException): void {
    // What nghttp2 ends by itself is a flood or no HTTP/2.
    const flood = code === 'ERR_HTTP2_ERROR' || code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES'
    if (flood) this.#parts.metrics.limits.inc({ limit: 'http2' })
    if (!this.#session.destroyed) this.#session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM)
  }

  #closed(): void {
    if (this.#over) return
    this.#over = true
    this.#parts.deadlines.delete(this)
    for (const stream of this.#streams) stream.gone()
    this.#owner.closed(this)
  }
}

class ClientStream implements ClientLeg, Expiring {
  readonly connection = undefined
  readonly inside: Inside
  readonly #stream: ServerHttp2Stream
  readonly #parts: ClientParts
  readonly #session: ClientSession
  #exchange: Exchange | undefined
  #declared = NO_LENGTH
  #received = 0
  #ends = false
  #reading = false
  #trailers: FieldList = []
  #head: OutgoingHttpHeaders | undefined
  #mayTrail = false
  #out: Buffer[] = []
  #ended = false
  #bodiless = false
  #sentTrailers: FieldList = []
  expiresAt: number

  constructor(
    stream: ServerHttp2Stream,
    parts: ClientParts,
    session: ClientSession,
    inside: Inside,
  ) {
    this.#stream = stream
    this.#parts = parts
    this.#session = session
    this.inside = inside
    this.expiresAt = parts.deadlines.now + parts.times.idleMs
  }

  get address(): string | undefined {
    return this.inside.address
  }

  get keepAlive(): boolean {
    return !this.#session.draining
  }

  start(head: RequestHead, ends: boolean): void {
    const stream = this.#stream
    this.#ends = ends
    this.#declared = head.contentLength
    stream.on('drain', () => this.#exchange?.clientWritable())
    stream.on('aborted', () => this.gone())
    stream.on('close', () => this.gone())
    stream.on('wantTrailers', () =>
      this.#send(() => stream.sendTrailers(headersOf(this.#sentTrailers))),
    )
    stream.on('trailers', (headers: IncomingHttpHeaders, _flags: number, raw?: unknown) => {
      this.#trailers = requestTrailers(pairsOf(headers, raw), this.#parts.limits)
    })
    // Without a reader, a stream would not end.
    if (ends) stream.resume()
    this.#parts.deadlines.add(this)
    this.#exchange = new Exchange(this.#parts, this, head)
    this.#exchange.start()
  }

  touch(): void {
    this.expiresAt = this.#parts.deadlines.now + this.#parts.times.idleMs
  }

  readBody(): void {
    if (this.#ends || this.#reading) {
      this.#stream.resume()
      return
    }
    this.#reading = true
    this.#wait()
    this.#stream.on('data', (chunk: Buffer) => this.#content(chunk))
    this.#stream.on('end', () => this.#requestEnd())
  }

  pauseBody(): void {
    this.touch()
    this.#stream.pause()
  }

  resumeBody(): void {
    this.#wait()
    if (this.#reading) this.#stream.resume()
  }

  interim(head: ResponseHead): void {
    const stream = this.#stream
    if (stream.headersSent || head.status === 101) return
    const headers = { ...headersOf(head.fields), ':status': head.status }
    this.#send(() => stream.additionalHeaders(headers))
  }

  respond(head: ResponseHead, { request, extra }: AnsweredRequest): boolean {
    if (this.#stream.destroyed || this.#stream.headersSent) return false
    const { status, contentLength, chunked } = head
    this.#bodiless =
      request.method === 'HEAD' || EMPTY_STATUS.has(status) || (contentLength === 0 && !chunked)
    const length =
      contentLength === NO_LENGTH || chunked || status === 204 || status === 205
        ? []
        : ['', 'content-length', String(contentLength)]
    // Sent by `flush`: until then the answer may turn out malformed, and another one takes its place.
    this.#head = {
      ...headersOf(head.fields, extra, length),
      ':status': status > MOST_STATUS ? UNKNOWN_STATUS : status,
    }
    this.#mayTrail = head.chunked
    return true
  }

  content(bytes: Buffer): void {
    if (!this.#bodiless) this.#out.push(bytes)
  }

  end(trailers: FieldList): void {
    this.#sentTrailers = trailers
    this.#ended = true
  }

  flush(): boolean {
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) return true
    const head = this.#head
    if (head !== undefined) {
      this.#head = undefined
      const options = {
        endStream: this.#bodiless,
        waitForTrailers: !this.#bodiless && this.#mayTrail,
        ...AS_IT_IS,
      }
      if (!this.#send(() => stream.respond(head, options))) return true
    }
    const parts = this.#out
    let open = true
    if (parts.length > 0) {
      this.#out = []
      open = stream.write(parts.length === 1 ? parts[0] : Buffer.concat(parts))
    }
    if (this.#ended && !this.#bodiless) stream.end()
    return open
  }

  refuse(refusal: Refusal, request: RefusedRequest): number {
    this.#head = undefined
    return refuseStream(this.#stream, this.#parts, refusal, request)
  }

  answer(answer: OwnAnswer): void {
    answerStream(this.#stream, answer)
  }

  abort(): void {
    this.#forget()
    this.#stream.close(NGHTTP2_INTERNAL_ERROR)
  }

  done(): void {
    this.#forget()
    // RFC 9113 section 8.1: after a whole answer the rest of a request is not wanted, and that is no error.
    if (!this.#ends) this.#stream.end(() => this.#stream.close(NGHTTP2_NO_ERROR))
  }

  /** The client has given the stream up, or gone. */
  gone(): void {
    const exchange = this.#exchange
    this.#forget()
    exchange?.clientGone()
  }

  expire(): void {
    this.#parts.metrics.limits.inc({ limit: 'idle' })
    this.touch()
    this.#exchange?.expired()
  }

  #wait(): void {
    this.expiresAt = this.#parts.deadlines.now + this.#parts.times.bodyMs
  }

  #content(chunk: Buffer): void {
    this.#wait()
    this.#received += chunk.length
    if (this.#declared !== NO_LENGTH && this.#received > this.#declared) {
      this.#exchange?.requestBroken(OTHER_LENGTH)
      return
    }
    this.#exchange?.requestContent(chunk)
    this.#exchange?.flushRequest()
  }

  #requestEnd(): void {
    if (this.#ends) return
    // The end of a stream that was reset is no end of a request.
    if (this.#stream.aborted || this.#stream.rstCode) return
    this.#ends = true
    if (this.#declared !== NO_LENGTH && this.#received !== this.#declared) {
      this.#exchange?.requestBroken(OTHER_LENGTH)
      return
    }
    this.touch()
    this.#exchange?.requestEnd(this.#trailers)
    this.#exchange?.flushRequest()
  }

  /** What node:http2 does not take after all ends one stream, never the process. */
  #send(step: () => void): boolean {
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return false
    try {
      step()
      return true
    } catch {
      stream.close(NGHTTP2_INTERNAL_ERROR)
      return false
    }
  }

  #forget(): void {
    this.#exchange = undefined
    this.#parts.deadlines.delete(this)
    this.#session.ended(this)
  }
}

/** Answers without content (RFC 9110 section 15): node:http2 ends their streams by itself. */
const EMPTY_STATUS: ReadonlySet<number> = new Set([204, 205, 304])
/** RFC 9110 section 15: a status beyond is treated as one of 5xx; node:http2 sends none. */
const MOST_STATUS = 599
const UNKNOWN_STATUS = 502

/** The origin's answer gets no Date of ours. */
const AS_IT_IS: object = { sendDate: false }

const OTHER_LENGTH: Refusal = {
  status: 400,
  error: 'http_request_error',
  details: 'the body is not as long as content-length says',
}

const UNREAD: RefusedRequest = {
  method: 'GET',
  host: '',
  header: () => undefined,
  isConnect: false,
  keepAlive: true,
}

function refuseStream(
  stream: ServerHttp2Stream,
  { wording }: ClientParts,
  refusal: Refusal,
  request: RefusedRequest = UNREAD,
): number {
  const answer = wording.refusalOf(refusal, request)
  answerStream(stream, answer)
  return answer.body.length
}

function answerStream(stream: ServerHttp2Stream, { status, fields, body }: OwnAnswer): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return
  const list = fields.flatMap(([name, value]) => [name, name.toLowerCase(), value])
  stream.respond({ ...headersOf(list), ':status': status }, { endStream: body.length === 0 })
  if (body.length > 0) stream.end(body)
}
