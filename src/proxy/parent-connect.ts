// Asks the parent proxy for a tunnel, and reads its answer as strictly as an origin's.

import type { ResponseHead } from '../http1/message.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { OriginConnection } from './origin-connection.ts'
import type { ResponseTaker } from './origin-leg.ts'
import type { ParentProxy, Refusal } from './ports.ts'
import { ORIGIN_GONE, PARENT_SILENT, refusalOfMalformed, refusalOfParent } from './refusals.ts'

export interface ParentConnectOwner {
  readonly deadlines: Deadlines
  readonly waitMs: number
  /** The tunnel stands; `rest` came right behind the answer. */
  opened(rest: Buffer): void
  refused(refusal: Refusal): void
}

export class ParentConnect implements ResponseTaker, Expiring {
  readonly #connection: OriginConnection
  readonly #owner: ParentConnectOwner
  #over = false
  expiresAt: number

  constructor(
    connection: OriginConnection,
    authority: string,
    { credentials: [name, , value] }: ParentProxy,
    owner: ParentConnectOwner,
  ) {
    this.#connection = connection
    this.#owner = owner
    this.expiresAt = owner.deadlines.now + owner.waitMs
    owner.deadlines.add(this)
    const line = name === undefined ? '' : `${name}: ${value ?? ''}\r\n`
    connection.beginConnect(
      this,
      `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${line}\r\n`,
    )
  }

  /** The client has gone. */
  abort(): void {
    if (this.#settle()) this.#connection.abort()
  }

  expire(): void {
    this.#refuse(PARENT_SILENT)
  }

  interim(): void {
    // Nobody asked for progress.
  }

  response({ status }: ResponseHead): void {
    this.#refuse(refusalOfParent(status))
  }

  content(): void {
    // Of a refusal only the status counts.
  }

  responseEnd(): void {
    // Refused at the head already.
  }

  flush(): void {
    // Nothing was gathered.
  }

  writable(): void {
    // One small head was written, and nothing waits.
  }

  switched(_head: ResponseHead, rest: Buffer): void {
    if (this.#settle()) this.#owner.opened(rest)
  }

  originFailed(reason: string, malformed: boolean): void {
    if (this.#settle()) this.#owner.refused(malformed ? refusalOfMalformed(reason) : ORIGIN_GONE)
  }

  #refuse(refusal: Refusal): void {
    if (!this.#settle()) return
    this.#connection.abort()
    this.#owner.refused(refusal)
  }

  #settle(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#owner.deadlines.delete(this)
    return true
  }
}
