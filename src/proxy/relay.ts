// Carries one allowed request to its origin and the response back, with back-pressure both ways.
//
// States: connecting -> sending and receiving -> over. A request is sent again only where that is
// harmless: no byte of it went out, or it is idempotent, has no body, and the connection that it was
// reused on died before any byte of a response.

import type { FieldList, RequestHead, ResponseHead } from '../http1/message.ts'
import { NO_LENGTH } from '../http1/message.ts'
import { requestHead, responseHead } from '../http1/write.ts'
import type { OriginConnection, ResponseTaker } from './origin-connection.ts'
import type { Dialled, OriginPool } from './origin-pool.ts'
import { Outgoing } from './outgoing.ts'
import type { ClientLeg, ProxyMetrics, Refusal, Route } from './ports.ts'
import {
  ORIGIN_GONE,
  PARENT_CREDENTIALS,
  refusalOfFault,
  refusalOfMalformed,
  UNRESOLVED,
} from './refusals.ts'
import { isRefusal } from './results.ts'

/** What is relayed, and where to. */
export interface Errand {
  readonly head: RequestHead
  /** Identifies the origin among pooled connections. */
  readonly key: string
  readonly requestTarget: string
  readonly host: string
  /** Lines to add to the request and to the response, each with its CRLF. */
  readonly extraRequestLines: string
  readonly extraResponseLines: string
  route(): Route | Refusal | Promise<Route | Refusal>
}

/** Who wants to know how it went; exactly one of these is called, unless `abort` was. */
export interface RelayOwner {
  /** No response can be given; the client has seen nothing of one. */
  relayRefused(refusal: Refusal): void
  /** The response has been written whole. */
  relayDone(keepAlive: boolean): void
  /** The response broke off: the client must not take it for a whole one. */
  relayBroken(): void
  /** The client's socket and the origin's are to be joined. */
  relaySwitched(origin: OriginConnection, rest: Buffer): void
}

export interface RelayParts {
  readonly pool: OriginPool
  readonly metrics: ProxyMetrics
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

export class Relay implements ResponseTaker {
  readonly #parts: RelayParts
  readonly #client: ClientLeg
  readonly #errand: Errand
  readonly #owner: RelayOwner
  readonly #toOrigin = new Outgoing()
  readonly #toClient = new Outgoing()
  readonly #upgrade: string | undefined
  readonly #hasBody: boolean
  #origin: OriginConnection | undefined
  #cancelDial: (() => void) | undefined
  #retried = false
  #over = false
  #requestEnded: boolean
  #responded = false
  #flushed = false
  #keepAlive = false
  #sentAt = 0
  /** Of the final response; 0 before. */
  status = 0
  /** Body bytes to the client. */
  bytesOut = 0

  constructor(parts: RelayParts, client: ClientLeg, errand: Errand, owner: RelayOwner) {
    this.#parts = parts
    this.#client = client
    this.#errand = errand
    this.#owner = owner
    const { head } = errand
    this.#hasBody = head.chunked || head.contentLength > 0
    this.#requestEnded = !this.#hasBody
    this.#upgrade = this.#hasBody || head.method !== 'GET' ? undefined : acceptable(head.upgrade)
    this.#toOrigin.chunked = head.chunked
  }

  start(): void {
    const pooled = this.#parts.pool.take(this.#errand.key)
    if (pooled === undefined) this.#dial()
    // The end of an idle connection may be waiting to be read: a request that cannot be repeated
    // lets the event loop look first.
    else if (this.#repeatable) this.#begin(pooled)
    else setImmediate(() => this.#beginIfAlive(pooled))
  }

  /** The client has gone: nobody wants the response. */
  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#cancelDial?.()
    this.#origin?.abort()
  }

  get responded(): boolean {
    return this.#responded
  }

  requestContent(bytes: Buffer): void {
    if (!this.#over) this.#toOrigin.content(bytes)
  }

  requestEnd(trailers: FieldList): void {
    if (this.#over) return
    this.#requestEnded = true
    this.#toOrigin.end(trailers)
  }

  flushRequest(): void {
    if (this.#over || this.#origin === undefined) return
    if (!this.#origin.send(this.#toOrigin)) this.#client.pauseBody()
  }

  /** The client takes bytes again. */
  clientWritable(): void {
    this.#origin?.socket.resume()
  }

  writable(): void {
    this.#client.resumeBody()
  }

  interim(head: ResponseHead): void {
    const { minor, expectContinue } = this.#errand.head
    // RFC 9110 section 15.2: an HTTP/1.0 client knows no 1xx, and a 100 is for whoever asked.
    if (minor === 0 || (head.status === 100 && !expectContinue)) return
    this.#client.touch()
    this.#toClient.head(
      responseHead(head, { framing: 'as-declared', connection: undefined, extra: '' }),
    )
  }

  response(head: ResponseHead): void {
    const request = this.#errand.head
    // Only the parent asks for proxy credentials, and ours are not the client's to give.
    if (head.status === 407) {
      this.#origin?.abort()
      this.#refuse(PARENT_CREDENTIALS)
      return
    }
    const client = this.#client
    client.touch()
    this.#parts.metrics.upstreamSeconds.observe((performance.now() - this.#sentAt) / 1000)
    this.status = head.status
    this.#responded = true
    const bodiless = request.method === 'HEAD' || head.status === 204 || head.status === 304
    const sized = bodiless || (head.contentLength !== NO_LENGTH && !head.chunked)
    const framing = sized ? 'as-declared' : request.minor === 1 ? 'chunked' : 'until-close'
    this.#toClient.chunked = framing === 'chunked'
    // Before the request has been read whole, nobody knows where the next one begins.
    this.#keepAlive =
      client.keepAlive && request.keepAlive && this.#requestEnded && framing !== 'until-close'
    const connection = this.#keepAlive ? (request.minor === 0 ? 'keep-alive' : undefined) : 'close'
    this.#toClient.head(
      responseHead(head, { framing, connection, extra: this.#errand.extraResponseLines }),
    )
  }

  content(bytes: Buffer): void {
    this.bytesOut += bytes.length
    this.#toClient.content(bytes)
  }

  flush(): void {
    if (this.#over) return
    this.#client.touch()
    this.#flushed ||= this.#responded
    if (!this.#toClient.flush(this.#client.socket)) this.#origin?.socket.pause()
  }

  responseEnd(trailers: FieldList): void {
    if (this.#over) return
    this.#toClient.end(trailers)
    this.#toClient.flush(this.#client.socket)
    this.#over = true
    const origin = this.#origin
    this.#origin = undefined
    if (this.#requestEnded) {
      if (origin !== undefined) this.#parts.pool.give(origin)
    } else origin?.destroy()
    this.#owner.relayDone(this.#keepAlive)
  }

  switched(head: ResponseHead, rest: Buffer): void {
    const origin = this.#origin
    if (this.#over || origin === undefined) return
    this.#over = true
    if (head.upgrade?.toLowerCase() !== this.#upgrade?.toLowerCase()) {
      origin.socket.destroy()
      this.#owner.relayRefused(
        refusalOfMalformed('a change to another protocol than was asked for'),
      )
      return
    }
    this.status = 101
    this.#toClient.head(
      responseHead(head, {
        framing: 'as-declared',
        connection: 'upgrade',
        extra: this.#errand.extraResponseLines,
      }),
    )
    this.#toClient.flush(this.#client.socket)
    this.#owner.relaySwitched(origin, rest)
  }

  originFailed(reason: string, malformed: boolean): void {
    const origin = this.#origin
    if (this.#over || origin === undefined) return
    this.#origin = undefined
    if (!malformed && this.#mayRepeat(origin)) {
      this.#retried = true
      this.#toOrigin.clear()
      this.#dial()
      return
    }
    this.#over = true
    if (this.#flushed) this.#owner.relayBroken()
    else this.#owner.relayRefused(malformed ? refusalOfMalformed(reason) : ORIGIN_GONE)
  }

  #mayRepeat(origin: OriginConnection): boolean {
    if (this.#retried || this.#responded || origin.answered) return false
    if (!origin.sent) return true
    return origin.requests > 1 && this.#repeatable
  }

  get #repeatable(): boolean {
    return !this.#hasBody && IDEMPOTENT.has(this.#errand.head.method)
  }

  #beginIfAlive(pooled: OriginConnection): void {
    if (this.#over) this.#parts.pool.give(pooled)
    else if (pooled.usable) this.#begin(pooled)
    else this.start()
  }

  #dial(): void {
    let route: ReturnType<Errand['route']>
    try {
      route = this.#errand.route()
    } catch (fault) {
      this.#refuse(refusalOfFault(fault))
      return
    }
    if (!(route instanceof Promise)) this.#dialRoute(route)
    else {
      route.then(
        (found) => this.#dialRoute(found),
        () => this.#refuse(UNRESOLVED),
      )
    }
  }

  #dialRoute(route: Route | Refusal): void {
    if (this.#over) return
    if (isRefusal(route)) {
      this.#refuse(route)
      return
    }
    this.#cancelDial = this.#parts.pool.dial(this.#errand.key, route, (dialled) =>
      this.#dialled(dialled),
    )
  }

  #dialled(dialled: Dialled): void {
    this.#cancelDial = undefined
    if (dialled.ok) this.#begin(dialled.connection)
    else {
      const { status, error, details } = dialled
      this.#refuse({ status, error, details })
    }
  }

  #begin(origin: OriginConnection): void {
    const { head, requestTarget, host, extraRequestLines } = this.#errand
    this.#origin = origin
    this.#sentAt = performance.now()
    origin.begin(this, { method: head.method, upgrade: this.#upgrade !== undefined })
    this.#toOrigin.head(
      requestHead(head, {
        target: requestTarget,
        host,
        upgrade: this.#upgrade,
        extra: extraRequestLines,
      }),
    )
    // With a body the client's bytes, as far as they are here, go out together with the head.
    if (this.#hasBody) this.#client.readBody()
    else origin.send(this.#toOrigin)
  }

  #refuse(refusal: Refusal): void {
    if (this.#over) return
    this.#over = true
    this.#owner.relayRefused(refusal)
  }
}

/** One protocol that is not HTTP again: h2c and TLS would carry requests past the policies. */
function acceptable(upgrade: string | undefined): string | undefined {
  if (upgrade === undefined || !/^[\w.+-]+(?:\/[\w.]+)?$/.test(upgrade)) return undefined
  return /^(?:h2c?|http|tls|ssl|connect)/i.test(upgrade) ? undefined : upgrade
}
