// One connection to an origin: a request goes out, its response comes in, then the next one may follow.
//
// States: idle (in the pool) -> busy (one exchange) -> idle ... -> closed. Whatever an origin sends while
// idle, or beyond a response, makes the connection unusable: nobody asked for it.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { FieldList, Http1Limits, ResponseHead } from '../http1/message.ts'
import { ResponseReader } from '../http1/response-reader.ts'
import { requestHead } from '../http1/write.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { OriginLeg, OriginRequest, ResponseTaker } from './origin-leg.ts'
import { Outgoing } from './outgoing.ts'

export interface OriginConnectionParts {
  readonly limits: Http1Limits
  readonly deadlines: Deadlines
  readonly keep?: (connection: OriginConnection) => void
}

/** How long an origin may be silent before it is asked again, unless it says less. */
const DEFAULT_IDLE_MS = 4000
const MAX_IDLE_MS = 60_000

export class OriginConnection implements OriginLeg, Expiring {
  readonly key: string
  readonly socket: Socket
  readonly #reader: ResponseReader
  readonly #out = new Outgoing()
  readonly #deadlines: Deadlines
  #taker: ResponseTaker | undefined
  #closed = false
  #keepAlive = true
  /** Half of the origin's keep-alive time: after that it may be closing while we write. */
  #idleMs = DEFAULT_IDLE_MS
  requests = 0
  sent = false
  expiresAt = Infinity
  /** Ours alone: a TLS socket has listeners of its own, which must stay when the socket is handed on. */
  readonly #listeners: Readonly<Record<string, (argument: unknown) => void>> = {
    data: (chunk) => this.#read(chunk as Buffer),
    drain: () => this.#taker?.writable(),
    end: () => this.#ended(),
    error: (error) => this.#fail((error as NodeJS.ErrnoException).code ?? 'socket error'),
    close: () => this.#fail('closed'),
  }
  /** Called once, when the connection can no longer be used. */
  onClosed: (() => void) | undefined
  readonly #keep: ((connection: OriginConnection) => void) | undefined

  /** `keep` is called when an exchange has ended in order. */
  constructor(key: string, socket: Socket, { limits, deadlines, keep }: OriginConnectionParts) {
    this.key = key
    this.socket = socket
    this.#reader = new ResponseReader(limits)
    this.#deadlines = deadlines
    this.#keep = keep
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener)
  }

  get usable(): boolean {
    return !this.#closed && !this.socket.destroyed && !this.socket.readableEnded
  }

  /** Whether a byte of the response at hand has come. */
  get answered(): boolean {
    return this.#reader.begun
  }

  begin(taker: ResponseTaker, request: OriginRequest): void {
    const { head, target, host, upgrade, extra } = request
    this.#taker = taker
    this.requests += 1
    this.sent = false
    this.expiresAt = Infinity
    this.#reader.expect({ method: head.method, upgrade: upgrade !== undefined })
    this.#out.chunked = head.chunked
    this.#out.head(requestHead(head, { target, host, upgrade, extra }))
  }

  /** Asks a parent proxy for a tunnel: CONNECT changes the protocol by itself. */
  beginConnect(taker: ResponseTaker, text: string): void {
    this.#taker = taker
    this.requests += 1
    this.expiresAt = Infinity
    this.#reader.expect({ method: 'CONNECT', upgrade: false })
    this.#out.head(text)
    this.flush()
  }

  content(bytes: Buffer): void {
    this.#out.content(bytes)
  }

  end(trailers: FieldList): void {
    this.#out.end(trailers)
  }

  flush(): boolean {
    this.sent = true
    return this.#out.flush(this.socket)
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  giveBack(): void {
    this.#keep?.(this)
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
    // Only a bare TCP connection can be reset; the end of a TLS connection is told by its alert.
    if (this.socket instanceof TLSSocket) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  /** Lets the socket go, paused: it is somebody else's now. */
  release(): void {
    this.#taker = undefined
    this.#close()
    for (const [event, listener] of Object.entries(this.#listeners))
      this.socket.off(event, listener)
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
