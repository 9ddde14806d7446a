// Carries one allowed request to its origin and the response back, with back-pressure both ways.
//
// States: connecting -> sending and receiving -> over. A request is sent again only where that is
// harmless: no byte of it went out, or it is idempotent, has no body, and the connection that it was
// reused on died before any byte of a response.

import {
  type FieldList,
  fieldValue,
  type RequestHead,
  type ResponseHead,
  withoutFields,
} from '../http1/message.ts'
import { OriginConnection } from './origin-connection.ts'
import type { OriginLeg, ResponseTaker } from './origin-leg.ts'
import { refusalOfTls } from './origin-tls.ts'
import type { Origins, Way } from './origins.ts'
import type { ClientLeg, ProxyMetrics, Refusal } from './ports.ts'
import { ORIGIN_GONE, PARENT_CREDENTIALS, refusalOfMalformed } from './refusals.ts'
import { isRefusal } from './results.ts'
import { StreamEnd, type StreamForm, streamFormOf } from './stream-end.ts'

/** What is relayed, and where to. */
export interface Errand {
  readonly way: Way
  readonly head: RequestHead
  readonly requestTarget: string
  readonly host: string
  /** Fields to add to the request and to the response. */
  readonly extraRequest: FieldList
  readonly extraResponse: FieldList
  /** What was read of the body before this began. */
  readonly held?: HeldBody
  /** Whether TLS was opened for it: then no other way to the origin is passed on. */
  readonly opened: boolean
  /** Sees the answer as it passes. */
  readonly onAnswer?: AnswerTap
  /** Why a change of protocol is not what was asked for. */
  readonly faultOfSwitch?: (head: ResponseHead) => string | undefined
}

export interface HeldBody {
  readonly parts: readonly Buffer[]
  /** The trailers; undefined while more of the body is to come. */
  readonly trailers: FieldList | undefined
  /** It will not be sent again. */
  release(): void
}

/** Whoever reads answers in passing; it may not hold them. */
export interface AnswerTap {
  head(head: ResponseHead): void
  content(bytes: Buffer): void
}

/** The event that ends a stream in the middle, in the form of the stream. */
export type LastEvent = (form: Exclude<StreamForm, 'opaque'>) => Buffer

/** What goes out last. */
interface LastPart {
  readonly bytes: Buffer
  /** False: nothing can be said, so the client must not take it for a whole answer. */
  readonly isWhole: boolean
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
  readonly origins: Origins
  readonly metrics: ProxyMetrics
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

export class Relay implements ResponseTaker {
  readonly #parts: RelayParts
  readonly #client: ClientLeg
  readonly #errand: Errand
  readonly #owner: RelayOwner
  readonly #upgrade: string | undefined
  readonly #hasBody: boolean
  #origin: OriginLeg | undefined
  #cancelOpening: (() => void) | undefined
  #retried = false
  #over = false
  #requestEnded: boolean
  /** Body bytes went to an origin that cannot be had again from the client. */
  #bodyGiven = false
  #responded = false
  #flushed = false
  #keepAlive = false
  #sentAt = 0
  #form: StreamForm | undefined
  /** Where an answer in parts may be ended. */
  #end: StreamEnd | undefined
  /** With this the answer ends, as soon as what is open in it has ended. */
  #lastWord: Buffer | undefined
  #lastWordTimer: NodeJS.Timeout | undefined
  #overrun = 0
  /** Of the final response; 0 before. */
  status = 0
  /** Body bytes to the client. */
  bytesOut = 0

  constructor(parts: RelayParts, client: ClientLeg, errand: Errand, owner: RelayOwner) {
    this.#parts = parts
    this.#client = client
    this.#errand = errand
    this.#owner = owner
    const { head, held } = errand
    this.#hasBody = head.chunked || head.contentLength > 0
    this.#requestEnded = !this.#hasBody || held?.trailers !== undefined
    this.#upgrade = upgradeOf(head, client)
  }

  start(): void {
    const taken = this.#parts.origins.take(this.#errand.way)
    if (taken === undefined) this.#open()
    // The end of an idle connection may be waiting to be read: a request that cannot be repeated
    // lets the event loop look first.
    else if (this.#repeatable || taken.requests === 0) this.#begin(taken)
    else setImmediate(() => this.#beginIfAlive(taken))
  }

  /** The client has gone: nobody wants the response. */
  abort(): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#lastWordTimer)
    this.#cancelOpening?.()
    this.#origin?.abort()
  }

  /** Ends an answer that has begun: with a last event where its client can read one, else so that it is not taken for whole. */
  cut(lastEvent: LastEvent): void {
    if (this.#over || this.#lastWord !== undefined) return
    const form = this.#form
    if (this.#end === undefined || form === undefined || form === 'opaque') {
      this.#endWith(BROKEN)
      return
    }
    this.#lastWord = lastEvent(form)
    if (this.#end.placeIn(NO_BYTES) === 0) this.#endWith({ bytes: this.#lastWord, isWhole: true })
    else this.#lastWordTimer = setTimeout(() => this.#endWith(BROKEN), LAST_WORD_MS).unref()
  }

  get responded(): boolean {
    return this.#responded
  }

  requestContent(bytes: Buffer): void {
    if (this.#over) return
    // What was held before this has been given to the origin.
    if (!this.#bodyGiven) this.#errand.held?.release()
    this.#bodyGiven = true
    this.#origin?.content(bytes)
  }

  requestEnd(trailers: FieldList): void {
    if (this.#over) return
    this.#requestEnded = true
    this.#origin?.end(trailers)
  }

  flushRequest(): void {
    if (this.#over || this.#origin === undefined) return
    if (!this.#origin.flush()) this.#client.pauseBody()
  }

  /** The client takes bytes again. */
  clientWritable(): void {
    this.#origin?.resume()
  }

  writable(): void {
    this.#client.resumeBody()
  }

  interim(head: ResponseHead): void {
    const { minor, expectContinue } = this.#errand.head
    // RFC 9110 section 15.2: an HTTP/1.0 client knows no 1xx, and a 100 is for whoever asked.
    if (minor === 0 || (head.status === 100 && !expectContinue)) return
    this.#client.touch()
    this.#client.interim(head)
  }

  response(head: ResponseHead): void {
    // Only the parent asks for proxy credentials, and ours are not the client's to give.
    if (head.status === 407) {
      this.#origin?.abort()
      this.#refuse(PARENT_CREDENTIALS)
      return
    }
    const { head: request, extraResponse, onAnswer, opened, held } = this.#errand
    held?.release()
    this.#client.touch()
    this.#parts.metrics.upstreamSeconds.observe((performance.now() - this.#sentAt) / 1000)
    this.status = head.status
    this.#responded = true
    onAnswer?.head(head)
    if (request.method !== 'HEAD') this.#form = streamFormOf(head)
    if (this.#form === 'events' || this.#form === 'lines') this.#end = new StreamEnd(this.#form)
    this.#keepAlive = this.#client.respond(opened ? withoutAltSvc(head) : head, {
      request,
      ended: this.#requestEnded,
      extra: extraResponse,
    })
  }

  content(bytes: Buffer): void {
    if (this.#over) return
    this.#errand.onAnswer?.content(bytes)
    if (this.#lastWord !== undefined && this.#endsWithin(bytes, this.#lastWord)) return
    this.#end?.passed(bytes)
    this.bytesOut += bytes.length
    this.#client.content(bytes)
  }

  flush(): void {
    if (this.#over) return
    this.#client.touch()
    this.#flushed ||= this.#responded
    if (!this.#client.flush()) this.#origin?.pause()
  }

  responseEnd(trailers: FieldList): void {
    if (this.#over) return
    clearTimeout(this.#lastWordTimer)
    this.#client.end(trailers)
    this.#client.flush()
    this.#over = true
    const origin = this.#origin
    this.#origin = undefined
    if (this.#requestEnded) origin?.giveBack()
    else origin?.abort()
    this.#owner.relayDone(this.#keepAlive)
  }

  switched(head: ResponseHead, rest: Buffer): void {
    const origin = this.#origin
    if (this.#over || !(origin instanceof OriginConnection)) return
    this.#over = true
    const fault =
      head.upgrade?.toLowerCase() === this.#upgrade?.toLowerCase()
        ? this.#errand.faultOfSwitch?.(head)
        : 'a change to another protocol than was asked for'
    if (fault !== undefined) {
      origin.socket.destroy()
      this.#owner.relayRefused(refusalOfMalformed(fault))
      return
    }
    const { head: request, extraResponse } = this.#errand
    this.status = 101
    this.#errand.onAnswer?.head(head)
    this.#client.respond(head, { request, ended: true, extra: extraResponse })
    this.#client.flush()
    this.#owner.relaySwitched(origin, rest)
  }

  originFailed(reason: string, malformed: boolean): void {
    const origin = this.#origin
    if (this.#over || origin === undefined) return
    this.#origin = undefined
    if (!malformed && this.#mayRepeat(origin)) {
      this.#retried = true
      this.#open()
      return
    }
    this.#over = true
    if (this.#flushed) this.#owner.relayBroken()
    else this.#owner.relayRefused(refusalOfEnd(reason, malformed))
  }

  /** Whether what was open has ended with these bytes, and the answer with it. */
  #endsWithin(bytes: Buffer, lastWord: Buffer): boolean {
    const place = this.#end?.placeIn(bytes)
    this.#overrun += bytes.length
    if (place === undefined && this.#overrun <= LONGEST_EVENT) return false
    this.#endWith(
      place === undefined
        ? BROKEN
        : { bytes: Buffer.concat([bytes.subarray(0, place), lastWord]), isWhole: true },
    )
    return true
  }

  /** The answer ends here, whatever its origin has still to say. */
  #endWith({ bytes, isWhole }: LastPart): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#lastWordTimer)
    this.#origin?.abort()
    this.#origin = undefined
    if (!isWhole) {
      this.#owner.relayBroken()
      return
    }
    this.bytesOut += bytes.length
    this.#client.content(bytes)
    this.#client.end([])
    this.#client.flush()
    this.#owner.relayDone(this.#keepAlive && this.#requestEnded)
  }

  #mayRepeat(origin: OriginLeg): boolean {
    if (this.#retried || this.#responded || origin.answered || this.#bodyGiven) return false
    if (!origin.sent) return true
    return origin.requests > 1 && this.#repeatable
  }

  get #repeatable(): boolean {
    return !this.#hasBody && IDEMPOTENT.has(this.#errand.head.method)
  }

  #beginIfAlive(taken: OriginLeg): void {
    if (this.#over) taken.giveBack()
    else if (taken.usable) this.#begin(taken)
    else this.start()
  }

  #open(): void {
    this.#cancelOpening = this.#parts.origins.open(this.#errand.way, (leg) => {
      this.#cancelOpening = undefined
      if (this.#over) {
        if (!isRefusal(leg)) leg.giveBack()
      } else if (isRefusal(leg)) this.#refuse(leg)
      else this.#begin(leg)
    })
  }

  #begin(origin: OriginLeg): void {
    const { head, requestTarget, host, extraRequest, held } = this.#errand
    this.#origin = origin
    this.#sentAt = performance.now()
    origin.begin(this, {
      head,
      target: requestTarget,
      host,
      upgrade: this.#upgrade,
      extra: extraRequest,
    })
    for (const part of held?.parts ?? NONE) origin.content(part)
    if (held?.trailers !== undefined) origin.end(held.trailers)
    // With a body the client's bytes, as far as they are here, go out together with the head.
    if (this.#hasBody && !this.#requestEnded) this.#client.readBody()
    else this.flushRequest()
  }

  #refuse(refusal: Refusal): void {
    if (this.#over) return
    this.#over = true
    this.#owner.relayRefused(refusal)
  }
}

const NONE: readonly Buffer[] = []
const NO_BYTES = Buffer.alloc(0)
const BROKEN: LastPart = { bytes: NO_BYTES, isWhole: false }
/** For what is open in an answer to end, before it is broken off. */
const LAST_WORD_MS = 2000
const LONGEST_EVENT = 256 * 1024

/** TLS 1.3 tells a client only after the handshake that its certificate, or the lack of one, is not accepted. */
function refusalOfEnd(reason: string, malformed: boolean): Refusal {
  if (malformed) return refusalOfMalformed(reason)
  return reason.startsWith('ERR_SSL') ? refusalOfTls({ code: reason }) : ORIGIN_GONE
}

/** RFC 7838: what a client reaches past the proxy is seen by nobody. */
function withoutAltSvc(head: ResponseHead): ResponseHead {
  return fieldValue(head.fields, 'alt-svc') === undefined
    ? head
    : { ...head, fields: withoutFields(head.fields, ALT_SVC) }
}

const ALT_SVC: ReadonlySet<string> = new Set(['alt-svc'])

/** One protocol that is not HTTP again: h2c and TLS would carry requests past the policies. */
function upgradeOf(
  { method, chunked, contentLength, upgrade }: RequestHead,
  { connection }: ClientLeg,
): string | undefined {
  if (connection === undefined || method !== 'GET' || chunked || contentLength > 0) return undefined
  if (upgrade === undefined || !/^[\w.+-]+(?:\/[\w.]+)?$/.test(upgrade)) return undefined
  return /^(?:h2c?|http|tls|ssl|connect)/i.test(upgrade) ? undefined : upgrade
}
