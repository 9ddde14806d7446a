// One connection to an origin: a request goes out, its response comes in, then the next one may follow.
//
// States: idle (in the pool) -> busy (one exchange) -> idle ... -> closed. Whatever an origin sends while
// idle, or beyond a response, makes the connection unusable: nobody asked for it.

import type { Socket } from 'node:net'
import type { FieldList, Http1Limits, ResponseHead } from '../http1/message.ts'
import { type Expectation, ResponseReader } from '../http1/response-reader.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { Outgoing } from './outgoing.ts'

/** Who made the request that is on its way. Calls come in this order; `flush` ends each batch. */
export interface ResponseTaker {
  interim(head: ResponseHead): void
  response(head: ResponseHead): void
  content(bytes: Buffer): void
  /** The response is complete; the connection is free, or closed where it cannot be used again. */
  responseEnd(trailers: FieldList): void
  /** Everything that this read brought has been handed over. */
  flush(): void
  /** The origin takes bytes again after a `write` that said no. */
  writable(): void
  /** The protocol changes: the socket is the taker's from now on, `rest` was read beyond the head. */
  switched(head: ResponseHead, rest: Buffer): void
  /** No more will come: the connection has died, or the response was malformed (`reason`). */
  originFailed(reason: string, malformed: boolean): void
}

/** How long an origin may be silent before it is asked again, unless it says less. */
const DEFAULT_IDLE_MS = 4000
const MAX_IDLE_MS = 60_000

export class OriginConnection implements Expiring {
  readonly key: string
  readonly socket: Socket
  readonly #reader: ResponseReader
  readonly #deadlines: Deadlines
  #taker: ResponseTaker | undefined
  #closed = false
  #keepAlive = true
  /** Half of the origin's keep-alive time: after that it may be closing while we write. */
  #idleMs = DEFAULT_IDLE_MS
  /** Requests begun here. */
  requests = 0
  /** Whether a byte of the request at hand was given to the socket. */
  sent = false
  expiresAt = Infinity
  /** Called once, when the connection can no longer be used. */
  onClosed: (() => void) | undefined

  constructor(key: string, socket: Socket, limits: Http1Limits, deadlines: Deadlines) {
    this.key = key
    this.socket = socket
    this.#reader = new ResponseReader(limits)
    this.#deadlines = deadlines
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => this.#taker?.writable())
    socket.on('end', () => this.#ended())
    socket.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? 'socket error'))
    socket.on('close', () => this.#fail('closed'))
  }

  get usable(): boolean {
    return !this.#closed && !this.socket.destroyed && !this.socket.readableEnded
  }

  /** Whether a byte of the response at hand has come. */
  get answered(): boolean {
    return this.#reader.begun
  }

  begin(taker: ResponseTaker, expectation: Expectation): void {
    this.#taker = taker
    this.requests += 1
    this.sent = false
    this.expiresAt = Infinity
    this.#reader.expect(expectation)
  }

  /** False where the origin should be given no more until `writable`. */
  send(outgoing: Outgoing): boolean {
    this.sent = true
    return outgoing.flush(this.socket)
  }

  /** Back to the pool: nobody waits for anything. */
  rest(): void {
    this.expiresAt = this.#deadlines.now + this.#idleMs
  }

  expire(): void {
    this.destroy()
  }

  /** Gives the connection up, without telling its taker. */
  destroy(): void {
    this.#taker = undefined
    this.#close()
    this.socket.destroy()
  }

  /** Gives up a request that is on its way: a reset, so that the origin stops working on it. */
  abort(): void {
    this.#taker = undefined
    this.#close()
    this.socket.resetAndDestroy()
  }

  /** Lets the socket go, paused: it is somebody else's now. */
  release(): void {
    this.#taker = undefined
    this.#close()
    this.socket.removeAllListeners()
    this.socket.pause()
  }

  #read(chunk: Buffer): void {
    const taker = this.#taker
    if (taker === undefined) {
      this.destroy()
      return
    }
    const reader = this.#reader
    reader.push(chunk)
    for (;;) {
      const event = reader.next()
      if (event === 'body') taker.content(reader.content)
      else if (event === 'end') {
        this.#responseEnd(taker)
        break
      } else if (event === 'head') {
        const { head } = reader
        if (reader.switched) {
          this.#switch(taker)
          return
        }
        this.#note(head)
        taker.response(head)
      } else if (event === 'interim') taker.interim(reader.head)
      else if (event === 'failed') {
        this.#fail(reader.failure.reason, true)
        return
      } else break
      // The taker may have given up meanwhile.
      if (this.#taker !== taker) return
    }
    taker.flush()
  }

  #note({ status, contentLength, keepAlive, keepAliveSeconds }: ResponseHead): void {
    // A 204 that announces a body may send it yet, and the next request would get it as its answer.
    this.#keepAlive = keepAlive && (status !== 204 || contentLength <= 0)
    if (keepAliveSeconds !== undefined) this.#idleMs = Math.min(keepAliveSeconds * 500, MAX_IDLE_MS)
  }

  #responseEnd(taker: ResponseTaker): void {
    this.#taker = undefined
    if (!this.#keepAlive || this.#reader.unread > 0 || this.#idleMs === 0) {
      this.#close()
      this.socket.destroy()
    }
    taker.responseEnd(this.#reader.trailers)
  }

  #switch(taker: ResponseTaker): void {
    this.release()
    taker.switched(this.#reader.head, this.#reader.rest())
  }

  #ended(): void {
    const taker = this.#taker
    if (taker !== undefined && this.#reader.untilClose && this.#reader.close() === 'end') {
      this.#keepAlive = false
      this.#responseEnd(taker)
      taker.flush()
    } else {
      this.#fail('closed')
    }
  }

  #fail(reason: string, malformed = false): void {
    const taker = this.#taker
    this.destroy()
    taker?.originFailed(reason, malformed)
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.onClosed?.()
  }
}
