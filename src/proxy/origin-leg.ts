// The origin's side of one exchange, whichever version of HTTP it speaks.

import type { FieldList, RequestHead, ResponseHead } from '../http1/message.ts'

/** Who made the request that is on its way. Calls come in this order; `flush` ends each batch. */
export interface ResponseTaker {
  interim(head: ResponseHead): void
  response(head: ResponseHead): void
  content(bytes: Buffer): void
  /** The response is complete; the leg is free, or closed where it cannot be used again. */
  responseEnd(trailers: FieldList): void
  /** Everything that this read brought has been handed over. */
  flush(): void
  /** The origin takes bytes again after a `flush` that said no. */
  writable(): void
  /** The protocol changes: the socket is the taker's from now on, `rest` was read beyond the head. */
  switched(head: ResponseHead, rest: Buffer): void
  /** No more will come: the connection has died, or the response was malformed (`reason`). */
  originFailed(reason: string, malformed: boolean): void
}

/** What is asked of an origin. */
export interface OriginRequest {
  readonly head: RequestHead
  readonly target: string
  readonly host: string
  /** The protocol to change to; HTTP/1.1 only. */
  readonly upgrade: string | undefined
  /** Fields to add. */
  readonly extra: FieldList
}

export interface OriginLeg {
  /** Requests begun here. */
  readonly requests: number
  /** Whether a byte of the request at hand was given to the socket. */
  readonly sent: boolean
  /** Whether a byte of the response at hand has come. */
  readonly answered: boolean
  readonly usable: boolean
  /** Gathers the head; `flush` sends what has gathered. */
  begin(taker: ResponseTaker, request: OriginRequest): void
  content(bytes: Buffer): void
  end(trailers: FieldList): void
  /** False where the origin should be given no more until `writable`. */
  flush(): boolean
  pause(): void
  resume(): void
  /** The exchange is over, and in order: the leg may serve another. */
  giveBack(): void
  /** Gives up a request that is on its way, so that the origin stops working on it. */
  abort(): void
}
