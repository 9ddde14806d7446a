// What came of an exchange: for the access log, the counters and the record of its decision.

import type { Outcome } from '../decision/decide.ts'
import { fieldValue, type RequestHead } from '../http1/message.ts'
import type { Seen, VisibilityReason } from '../model/record.ts'
import type { AnswerCost } from './answer-reader.ts'
import type { Inspection } from './inspector.ts'
import type { Caller, ClientLeg, ProxyMetrics, RequestLog, Target } from './ports.ts'
import { publicPart } from './public-part.ts'

export interface AccountParts {
  readonly metrics: ProxyMetrics
  readonly log: RequestLog
}

export class Account {
  readonly #parts: AccountParts
  readonly #client: ClientLeg
  readonly #head: RequestHead
  readonly #startedAt = performance.now()
  #finished = false
  #outcomeFinished = false
  caller: (Caller & { readonly ok: true }) | undefined
  target: Target | undefined
  inspection: Inspection | undefined
  outcome: Outcome | undefined
  answer: AnswerCost | undefined
  /** Of a tunnel: why nothing inside it is seen. */
  unseen: VisibilityReason | undefined
  /** Of the answer that the client got; 0 where it got none. */
  status = 0
  bytesIn = 0
  bytesOut = 0
  result: 'allowed' | 'denied' | 'review' | 'refused' | 'failed' | 'aborted' = 'allowed'

  constructor(parts: AccountParts, client: ClientLeg, head: RequestHead) {
    this.#parts = parts
    this.#client = client
    this.#head = head
  }

  /** Closes the account, once; an outcome that comes later is finished by `finishOutcome`. */
  finish(): void {
    if (this.#finished) return
    this.#finished = true
    const { log, metrics } = this.#parts
    metrics.requests.inc({ door: 'proxy', outcome: this.result })
    const { method, minor, fields } = this.#head
    const referer = fieldValue(fields, 'referer')
    log.write({
      address: this.#client.address,
      login: this.caller?.principal.login ?? this.caller?.login,
      method,
      target: publicPart(this.#loggedTarget()),
      minor,
      status: this.status,
      bytesOut: this.bytesOut,
      durationMs: performance.now() - this.#startedAt,
      referer: referer === undefined ? undefined : publicPart(referer),
      userAgent: fieldValue(fields, 'user-agent'),
    })
    this.inspection?.release()
    this.finishOutcome()
  }

  finishOutcome(): void {
    const { outcome } = this
    if (outcome === undefined || this.#outcomeFinished) return
    this.#outcomeFinished = true
    const ending = {
      status: this.status,
      bytes_in: this.bytesIn,
      bytes_out: this.bytesOut,
      duration_ms: Math.round(performance.now() - this.#startedAt),
      ...this.#seen(),
      ...(this.answer?.measured === undefined ? {} : { measured_tokens: this.answer.measured }),
    }
    const usage = this.answer?.usage(this.result === 'allowed')
    if (!(usage instanceof Promise)) outcome.finish({ ...ending, ...usage })
    else
      usage.then(
        (found) => outcome.finish({ ...ending, ...found }),
        () => outcome.finish(ending),
      )
  }

  /** Inside a tunnel the request line does not name its host, the log does. */
  #loggedTarget(): string {
    const { target } = this.#head
    const { inside } = this.#client
    if (inside === undefined || !target.startsWith('/') || this.target === undefined) return target
    return `${inside.tls === undefined ? 'http' : 'https'}://${this.target.authority}${target}`
  }

  /** How much of the exchange could be seen, and why not more. */
  #seen(): Seen {
    if (this.target?.kind === 'connect')
      return {
        visibility: 'sni',
        ...(this.unseen === undefined ? {} : { visibility_reason: this.unseen }),
      }
    const hasBody = this.#head.chunked || this.#head.contentLength > 0
    const { format, unseen, foretold } = this.inspection ?? {}
    // What was said in text has outcomes of its own; of the rest nobody read what it says.
    if (this.status === 101)
      return {
        visibility: 'metadata',
        visibility_reason: foretold?.readsMessages === true ? 'websocket' : 'not_read',
        ...(format === undefined ? {} : { format }),
      }
    const seen: Seen =
      hasBody && unseen !== undefined
        ? { visibility: 'metadata', visibility_reason: unseen }
        : { visibility: 'content' }
    return format === undefined ? seen : { ...seen, format }
  }
}
