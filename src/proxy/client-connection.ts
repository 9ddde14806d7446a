// One connection of a client: its requests, one after the other, each as an exchange of its own.
//
// Phases: head -> judging -> body -> answering -> head ... | lingering | surrendered.
//   head       waiting for a request, or in the middle of its head
//   judging    a head is there, the body is not to be read yet
//   body       the body goes to the exchange as it comes
//   answering  the request has been read whole; pipelined ones wait until it has been answered
//   lingering  the last answer is out; what still comes is forgotten, so that the client can read it
//   surrendered  the socket is a tunnel's

import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import {
  type FieldList,
  type Http1Limits,
  NO_LENGTH,
  type RequestHead,
  type ResponseHead,
} from '../http1/message.ts'
import { RequestReader } from '../http1/request-reader.ts'
import { ownHead, responseHead } from '../http1/write.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import { Exchange, type ExchangeParts } from './exchange.ts'
import { Outgoing } from './outgoing.ts'
import type {
  AnsweredRequest,
  ClientLeg,
  ClientSocket,
  Inside,
  OwnAnswer,
  ProxyMetrics,
  Refusal,
  RefusedRequest,
  Wording,
} from './ports.ts'
import { refusalOfFailure, REQUEST_SLOW } from './refusals.ts'

interface ClientTimes {
  /** From the first byte of a head to its last. */
  readonly headMs: number
  /** Between requests. */
  readonly keepAliveMs: number
  /** Between two bytes of a body. */
  readonly bodyMs: number
  /** Anything else, such as waiting for an origin. */
  readonly idleMs: number
}

export interface ClientParts extends ExchangeParts {
  readonly deadlines: Deadlines
  readonly metrics: ProxyMetrics
  readonly wording: Wording
  readonly limits: Http1Limits
  readonly times: ClientTimes
}

/** A connection as whoever counts it sees it. */
export interface CountedConnection {
  readonly address: string | undefined
  /** Nothing more will be accepted: an idle one ends now, others with their next answer. */
  drain(): void
  destroy(): void
}

/** Whoever counts connections. */
export interface ConnectionOwner {
  readonly draining: boolean
  closed(connection: CountedConnection): void
}

type Phase = 'head' | 'judging' | 'body' | 'answering' | 'lingering' | 'surrendered'

/** Bytes taken ahead of their turn: pipelined requests, or a body that waits for the decision. */
const AHEAD_BYTES = 131_072
/** A client that has shut its side down wants its answer, or has gone: the next moment tells. */
const HALF_CLOSED_MS = 1600
const LINGER_MS = 2000
const NO_FIELDS: FieldList = []
/** What is known of bytes that are no request. */
const NOT_READ: RefusedRequest = {
  method: 'GET',
  host: '',
  header: () => undefined,
  isConnect: false,
  keepAlive: false,
}
const LINGER_BYTES = 4 << 20

export class ClientConnection implements ClientLeg, ClientSocket, CountedConnection, Expiring {
  readonly socket: Socket
  readonly address: string | undefined
  readonly #parts: ClientParts
  readonly #owner: ConnectionOwner
  readonly #reader: RequestReader
  readonly #out = new Outgoing()
  #phase: Phase = 'head'
  #exchange: Exchange | undefined
  #advancing = false
  #headBegun = false
  #halfClosed = false
  /** What has been read of the body waits, too. */
  #bodyPaused = false
  #lingered = 0
  /** Ours alone: a TLS socket has listeners of its own, which must stay when the socket is handed on. */
  readonly #listeners: Readonly<Record<string, (argument: unknown) => void>> = {
    data: (chunk) => this.#read(chunk as Buffer),
    drain: () => this.#drained(),
    end: () => this.#ended(),
    error: () => this.#gone(),
    close: () => this.#gone(),
  }
  inside: Inside | undefined
  expiresAt: number

  constructor(socket: Socket, parts: ClientParts, owner: ConnectionOwner, inside?: Inside) {
    this.socket = socket
    this.inside = inside
    this.address = inside === undefined ? socket.remoteAddress : inside.address
    this.#parts = parts
    this.#owner = owner
    this.#reader = new RequestReader(parts.limits)
    this.expiresAt = parts.deadlines.now + parts.times.headMs
    parts.deadlines.add(this)
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener)
  }

  get connection(): ClientSocket {
    return this
  }

  get keepAlive(): boolean {
    // Of a client that has shut its side down, what it sent before still counts.
    return !this.#owner.draining && (!this.#halfClosed || this.#reader.unread > 0)
  }

  /** Whether a request is being dealt with. */
  get busy(): boolean {
    return this.#exchange !== undefined || this.#phase === 'lingering'
  }

  touch(): void {
    this.expiresAt =
      this.#parts.deadlines.now + (this.#halfClosed ? HALF_CLOSED_MS : this.#parts.times.idleMs)
  }

  readBody(): void {
    if (this.#phase === 'body') {
      this.resumeBody()
      return
    }
    if (this.#phase !== 'judging') return
    this.#phase = 'body'
    this.expiresAt = this.#parts.deadlines.now + this.#parts.times.bodyMs
    this.socket.resume()
    this.#advance()
  }

  pauseBody(): void {
    // While nobody takes anything, the client is not the one to blame.
    this.touch()
    this.#bodyPaused = true
    this.socket.pause()
  }

  resumeBody(): void {
    if (this.#phase === 'body')
      this.expiresAt = this.#parts.deadlines.now + this.#parts.times.bodyMs
    const paused = this.#bodyPaused
    this.#bodyPaused = false
    if (this.#phase === 'surrendered') return
    this.socket.resume()
    if (paused && this.#phase === 'body') this.#advance()
  }

  interim(head: ResponseHead): void {
    this.#out.head(
      responseHead(head, { framing: 'as-declared', connection: undefined, extra: NO_FIELDS }),
    )
  }

  respond(head: ResponseHead, { request, ended, extra }: AnsweredRequest): boolean {
    if (head.status === 101) {
      this.#out.head(responseHead(head, { framing: 'as-declared', connection: 'upgrade', extra }))
      return false
    }
    const bodiless = request.method === 'HEAD' || head.status === 204 || head.status === 304
    const sized = bodiless || (head.contentLength !== NO_LENGTH && !head.chunked)
    const framing = sized ? 'as-declared' : request.minor === 1 ? 'chunked' : 'until-close'
    this.#out.chunked = framing === 'chunked'
    const keepAlive = this.keepAlive && request.keepAlive && ended && framing !== 'until-close'
    const connection = keepAlive ? (request.minor === 0 ? 'keep-alive' : undefined) : 'close'
    this.#out.head(responseHead(head, { framing, connection, extra }))
    return keepAlive
  }

  content(bytes: Buffer): void {
    this.#out.content(bytes)
  }

  end(trailers: FieldList): void {
    this.#out.end(trailers)
  }

  flush(): boolean {
    return this.#out.flush(this.socket)
  }

  refuse(refusal: Refusal, request: RefusedRequest): number {
    const answer = this.#parts.wording.refusalOf(refusal, request)
    this.#write(answer, request.keepAlive, request.minor ?? 1)
    return answer.body.length
  }

  answer(answer: OwnAnswer, { minor }: RequestHead, keepAlive: boolean): void {
    this.#write(answer, keepAlive, minor)
  }

  abort(): void {
    this.socket.destroy()
  }

  done(keepAlive: boolean): void {
    this.#exchange = undefined
    if (!keepAlive || (this.#phase !== 'judging' && this.#phase !== 'answering')) this.#linger()
    else {
      if (this.#phase === 'judging') this.#skipEnd()
      this.#phase = 'head'
      this.#bodyPaused = false
      this.#headBegun = false
      this.#waitForHead()
      if (!this.keepAlive && this.#reader.unread === 0) this.#linger()
      else {
        this.socket.resume()
        this.#advance()
      }
    }
  }

  enter(inside: Inside): void {
    this.inside = inside
  }

  surrender(): Buffer {
    this.#phase = 'surrendered'
    this.#exchange = undefined
    for (const [event, listener] of Object.entries(this.#listeners))
      this.socket.off(event, listener)
    this.socket.pause()
    this.#parts.deadlines.delete(this)
    // The tunnel tells nobody when its socket closes: the count must be kept right here.
    this.socket.once('close', () => this.#owner.closed(this))
    return this.#reader.rest()
  }

  /** Nothing more will be accepted: idle connections end now, others with their next answer. */
  drain(): void {
    if (this.#phase === 'head' && this.#exchange === undefined) this.#linger()
  }

  destroy(): void {
    this.socket.destroy()
  }

  expire(): void {
    const { metrics, deadlines } = this.#parts
    if (this.#phase === 'lingering' || this.#halfClosed) this.socket.destroy()
    else if (this.#exchange !== undefined) {
      metrics.limits.inc({ limit: 'idle' })
      this.expiresAt = deadlines.now + LINGER_MS
      this.#exchange.expired()
    } else if (this.#headBegun) {
      metrics.limits.inc({ limit: 'header_time' })
      this.#answerUnread(REQUEST_SLOW)
    } else this.#linger()
  }

  #read(chunk: Buffer): void {
    if (this.#phase === 'lingering') {
      this.#lingered += chunk.length
      if (this.#lingered > LINGER_BYTES) this.socket.destroy()
      return
    }
    this.#reader.push(chunk)
    if (this.#phase === 'head') {
      if (!this.#headBegun) {
        this.#headBegun = true
        this.expiresAt = this.#parts.deadlines.now + this.#parts.times.headMs
      }
    } else if (this.#phase === 'body') {
      this.expiresAt = this.#parts.deadlines.now + this.#parts.times.bodyMs
    } else {
      if (this.#reader.unread > AHEAD_BYTES) this.socket.pause()
      return
    }
    this.#advance()
  }

  /** Reads on, until more bytes or an answer are needed. */
  #advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    while (this.#step()) {
      // Each step does one event.
    }
    this.#advancing = false
    this.#exchange?.flushRequest()
  }

  #step(): boolean {
    if (this.#phase !== 'head' && this.#phase !== 'body') return false
    if (this.#phase === 'body' && this.#bodyPaused) return false
    if (this.#phase === 'head' && this.socket.writableNeedDrain) {
      // Answers that nobody takes must not pile up: the next request waits until they are taken.
      this.touch()
      this.socket.pause()
      return false
    }
    const reader = this.#reader
    const event = reader.next()
    switch (event) {
      case 'head':
        this.#phase = 'judging'
        this.touch()
        this.#exchange = new Exchange(this.#parts, this, reader.head)
        this.#exchange.start()
        return true
      case 'body':
        this.#exchange?.requestContent(reader.content)
        return true
      case 'end':
        this.#phase = 'answering'
        this.touch()
        this.#exchange?.requestEnd(reader.trailers)
        return true
      case 'failed':
        if (reader.failure.status === 431) this.#parts.metrics.limits.inc({ limit: 'header' })
        if (this.#exchange === undefined) this.#answerUnread(refusalOfFailure(reader.failure))
        else this.#exchange.requestBroken(refusalOfFailure(reader.failure))
        return false
      default:
        if (this.#halfClosed) this.#broken()
        return false
    }
  }

  /** A request without a body has an end that nobody has read yet. */
  #skipEnd(): void {
    this.#reader.next()
  }

  #waitForHead(): void {
    const { deadlines, times } = this.#parts
    this.#headBegun = this.#reader.unread > 0
    this.expiresAt = deadlines.now + (this.#headBegun ? times.headMs : times.keepAliveMs)
  }

  /** Answers what is no request, and ends the connection. */
  #answerUnread(refusal: Refusal): void {
    const answer = this.#parts.wording.refusalOf(refusal, NOT_READ)
    this.#parts.metrics.requests.inc({ door: 'proxy', outcome: 'refused' })
    this.#parts.log.write({
      address: this.address,
      login: undefined,
      method: '-',
      target: '-',
      minor: 1,
      status: refusal.status,
      bytesOut: 0,
      durationMs: 0,
      referer: undefined,
      userAgent: undefined,
    })
    this.#write(answer, false, 1)
    this.#linger()
  }

  #write({ status, fields, body }: OwnAnswer, keeps: boolean, minor: 0 | 1): void {
    const connection = keeps ? (minor === 0 ? 'keep-alive' : undefined) : 'close'
    // The head of an origin's answer that turned out malformed may have been gathered.
    this.#out.clear()
    const head = ownHead(status, STATUS_CODES[status] ?? 'Refused', fields, connection)
    this.socket.write(Buffer.concat([Buffer.from(head), body]))
  }

  /** Ends our side after what was written, and reads on for a while: a reset would take the answer away. */
  #linger(): void {
    if (this.#phase === 'lingering') return
    this.#phase = 'lingering'
    this.#exchange = undefined
    // A slow reader may take as long for the last bytes as it might for those before.
    this.expiresAt = this.#parts.deadlines.now + this.#parts.times.idleMs
    this.socket.end(() => {
      this.expiresAt = this.#parts.deadlines.now + LINGER_MS
    })
    if (this.#halfClosed) return
    this.socket.resume()
  }

  /** The client takes bytes again. */
  #drained(): void {
    this.#exchange?.clientWritable()
    if (this.#phase !== 'head') return
    this.#waitForHead()
    this.socket.resume()
    this.#advance()
  }

  /** The client has ended in the middle of a request. */
  #broken(): void {
    if (this.#phase === 'head') this.#linger()
    else {
      this.#exchange?.clientGone()
      this.socket.destroy()
    }
  }

  #ended(): void {
    this.#halfClosed = true
    const phase = this.#phase
    if (phase === 'head') {
      if (!this.socket.writableNeedDrain) this.#linger()
    } else if (phase === 'body' || (phase === 'judging' && this.#bodyMissing())) {
      this.#exchange?.clientGone()
      this.socket.destroy()
    } else if (phase !== 'lingering') {
      this.expiresAt = this.#parts.deadlines.now + HALF_CLOSED_MS
    }
  }

  /** Whether the client ended before all of the body was here: a guess by what was declared. */
  #bodyMissing(): boolean {
    const { contentLength } = this.#reader.head
    return contentLength > this.#reader.unread
  }

  #gone(): void {
    this.#parts.deadlines.delete(this)
    const exchange = this.#exchange
    this.#exchange = undefined
    exchange?.clientGone()
    this.socket.destroy()
    this.#owner.closed(this)
  }
}
