// HTTP/2 to an origin: one session, a stream a request.
//
// States: open -> retired (no new streams, those that run may end) -> closed.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import { type FieldList, type Http1Limits, NO_LENGTH } from '../http1/message.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import { headersOf, pairsOf, responseOf, responseTrailers } from './http2-fields.ts'
import type { OriginLeg, OriginRequest, ResponseTaker } from './origin-leg.ts'

const IDLE_MS = 60_000
const STREAM_WINDOW = 256 * 1024
const SESSION_WINDOW = 4 * 1024 * 1024
const MAX_INTERIM = 16
/** A client may repeat what it likes, as over HTTP/1.1. */
const AS_IT_COMES: object = { strictSingleValueFields: false }
const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants

export class OriginSession implements Expiring {
  readonly #session: ClientHttp2Session
  readonly #limits: Http1Limits
  readonly #deadlines: Deadlines
  readonly #onClosed: () => void
  readonly #open = new Set<OriginStream>()
  #requests = 0
  #retired = false
  #closed = false
  #fault: string | undefined
  expiresAt: number

  constructor(socket: Socket, limits: Http1Limits, deadlines: Deadlines, onClosed: () => void) {
    this.#limits = limits
    this.#deadlines = deadlines
    this.#onClosed = onClosed
    this.expiresAt = deadlines.now + IDLE_MS
    this.#session = connect('https://origin.invalid', {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW,
        maxHeaderListSize: 2 * limits.headerBytes,
      },
      maxHeaderListPairs: 2 * limits.headers,
      ...AS_IT_COMES,
    })
    this.#session.once('connect', () => this.#session.setLocalWindowSize(SESSION_WINDOW))
    this.#session.on('goaway', () => this.retire())
    this.#session.on('error', ({ code }: NodeJS.ErrnoException) => {
      this.#fault = code
      this.#end()
    })
    this.#session.on('close', () => this.#end())
    // Our side may stay open without its, and node:http2 takes no notice: nothing more will be answered.
    socket.once('end', () => this.#ended())
    deadlines.add(this)
  }

  get usable(): boolean {
    const { maxConcurrentStreams } = this.#session.remoteSettings
    return (
      !this.#retired &&
      !this.#session.closed &&
      !this.#session.destroyed &&
      (maxConcurrentStreams === undefined || this.#open.size < maxConcurrentStreams)
    )
  }

  /** Why it ended, where there was a reason. */
  get fault(): string | undefined {
    return this.#fault
  }

  leg(): OriginLeg {
    this.#requests += 1
    this.expiresAt = Infinity
    const stream = new OriginStream(this, this.#session, this.#limits, this.#requests)
    this.#open.add(stream)
    return stream
  }

  /** A stream is over. */
  released(stream: OriginStream): void {
    this.#open.delete(stream)
    if (this.#open.size > 0) return
    this.expiresAt = this.#deadlines.now + IDLE_MS
    if (this.#retired) this.#session.close()
  }

  /** No more streams are begun; those that run may end. */
  retire(): void {
    this.#retired = true
    if (this.#open.size === 0) this.#session.close()
  }

  expire(): void {
    this.retire()
  }

  #ended(): void {
    this.retire()
    for (const stream of this.#open) stream.ended()
  }

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#deadlines.delete(this)
    this.#session.destroy()
    this.#onClosed()
  }
}

class OriginStream implements OriginLeg {
  readonly #owner: OriginSession
  readonly #session: ClientHttp2Session
  readonly #limits: Http1Limits
  #stream: ClientHttp2Stream | undefined
  #taker: ResponseTaker | undefined
  #bodiless = false
  #parts: Buffer[] = []
  #ended = false
  #interims = 0
  #trailers: FieldList = []
  #sentTrailers: FieldList = []
  #over = false
  /** The origin has said that its answer is complete. */
  #complete = false
  /** Of the session: one that served before may have died of its own. */
  readonly requests: number
  sent = false
  answered = false

  constructor(
    owner: OriginSession,
    session: ClientHttp2Session,
    limits: Http1Limits,
    requests: number,
  ) {
    this.#owner = owner
    this.#session = session
    this.#limits = limits
    this.requests = requests
  }

  get usable(): boolean {
    return !this.#session.destroyed && !this.#session.closed
  }

  begin(taker: ResponseTaker, { head, target, host, extra }: OriginRequest): void {
    this.#taker = taker
    this.#bodiless = !head.chunked && head.contentLength <= 0
    const own: string[] = []
    if (head.contentLength !== NO_LENGTH && !head.chunked)
      own.push('', 'content-length', String(head.contentLength))
    if (head.expectContinue) own.push('', 'expect', '100-continue')
    if (head.teTrailers) own.push('', 'te', 'trailers')
    try {
      const stream = this.#session.request(
        {
          ...headersOf(head.fields, extra, own),
          ':method': head.method,
          ':path': target,
          ':authority': host.endsWith(':443') ? host.slice(0, -4) : host,
          ':scheme': 'https',
        },
        { endStream: this.#bodiless, waitForTrailers: head.chunked },
      )
      this.#stream = stream
      this.#listen(stream)
    } catch {
      // The session ended between being chosen and being used.
      queueMicrotask(() => this.#fail('closed'))
    }
  }

  content(bytes: Buffer): void {
    this.#parts.push(bytes)
  }

  end(trailers: FieldList): void {
    this.#sentTrailers = trailers
    this.#ended = true
  }

  flush(): boolean {
    const stream = this.#stream
    if (stream === undefined || this.#over) return true
    this.sent = true
    const parts = this.#parts
    let open = true
    if (parts.length > 0) {
      this.#parts = []
      open = stream.write(parts.length === 1 ? parts[0] : Buffer.concat(parts))
    }
    if (this.#ended && !this.#bodiless && !stream.writableEnded) stream.end()
    return open
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  giveBack(): void {
    this.#release()
  }

  /** Nothing more comes: what is complete may be read to its end. */
  ended(): void {
    if (!this.#complete) this.#fail('closed')
  }

  abort(): void {
    this.#taker = undefined
    this.#stream?.close(NGHTTP2_CANCEL)
    this.#release()
  }

  #listen(stream: ClientHttp2Stream): void {
    stream.on('headers', (headers: IncomingHttpHeaders, _flags: number, raw?: unknown) =>
      this.#interim(headers, raw),
    )
    stream.on('response', (headers: IncomingHttpHeaders, _flags: number, raw?: unknown) =>
      this.#response(headers, raw),
    )
    stream.on('trailers', (headers: IncomingHttpHeaders, _flags: number, raw?: unknown) => {
      this.#trailers = responseTrailers(pairsOf(headers, raw), this.#limits)
    })
    stream.on('data', (chunk: Buffer) => {
      this.#taker?.content(chunk)
      this.#taker?.flush()
    })
    stream.on('drain', () => this.#taker?.writable())
    stream.on('wantTrailers', () => stream.sendTrailers(headersOf(this.#sentTrailers)))
    stream.on('end', () => this.#responseEnd())
    // A reset without an error ends the readable side as well, but it is closed first.
    const push = stream.push.bind(stream)
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null) this.#complete = !stream.closed
      return push(chunk, encoding)
    }
    stream.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? 'reset'))
    stream.on('close', () => this.#fail('closed'))
  }

  #interim(headers: IncomingHttpHeaders, raw: unknown): void {
    this.answered = true
    const head = responseOf(headers, pairsOf(headers, raw), this.#limits)
    if ('reason' in head && 'fields' in head && head.status !== 101) {
      this.#interims += 1
      if (this.#interims > MAX_INTERIM) this.#fail('too many interim responses', true)
      else {
        this.#taker?.interim(head)
        this.#taker?.flush()
      }
    }
  }

  #response(headers: IncomingHttpHeaders, raw: unknown): void {
    this.answered = true
    const head = responseOf(headers, pairsOf(headers, raw), this.#limits)
    if (!('fields' in head)) this.#fail(head.reason, true)
    else {
      this.#taker?.response(head)
      this.#taker?.flush()
    }
  }

  #responseEnd(): void {
    const taker = this.#taker
    if (this.#over || !this.answered || taker === undefined) return
    this.#taker = undefined
    // A stream that was reset in the middle ends its readable side as well.
    if (!this.#complete) {
      this.#release()
      taker.originFailed('reset', false)
      return
    }
    taker.responseEnd(this.#trailers)
    // An answer before the end of the request: the rest of it is not wanted.
    if (!this.#bodiless && !this.#ended) this.#stream?.close(NGHTTP2_CANCEL)
    this.#release()
  }

  #fail(reason: string, malformed = false): void {
    const taker = this.#taker
    this.#taker = undefined
    // RFC 9113 section 8.7: of a refused stream nothing was processed.
    if (this.#stream?.rstCode === NGHTTP2_REFUSED_STREAM) this.sent = false
    if (malformed) this.#stream?.close(NGHTTP2_CANCEL)
    this.#release()
    taker?.originFailed(this.#owner.fault ?? reason, malformed)
  }

  #release(): void {
    if (this.#over) return
    this.#over = true
    this.#owner.released(this)
  }
}
