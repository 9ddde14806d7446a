// Decides on the messages of a WebSocket client, each as a request of its own; those that say nothing share
// the decision of the upgrade.

import type { IdSource } from '../base/ids.ts'
import type { Outcome } from '../decision/decide.ts'
import type { Decision } from '../model/decision.ts'
import type { AccessRequest } from '../model/request.ts'
import { formatOfMessages, readMessage } from '../wire/message.ts'
import type { WireHead, WireReading } from '../wire/request.ts'
import type { Verdict } from './client-messages.ts'
import { Conversation, type Question, type QuestionCost } from './conversation.ts'
import type { ClientMessage } from './held-message.ts'
import type { Judge, Refusal, SocketJudging } from './ports.ts'
import { NOT_REDACTED, refusalOfFault, refusalOfOutcome } from './refusals.ts'

export interface MessageJudgeParts {
  readonly ids: IdSource
  readonly judge: Judge
  readonly closeReason: (refusal: Refusal) => string
  /** A budget of a message has run out: the decision that ends the connection. */
  readonly over: (decision: Decision, outcome: Outcome) => void
}

export class MessageJudge implements SocketJudging {
  readonly #parts: MessageJudgeParts
  /** Of the upgrade. */
  readonly #request: AccessRequest
  readonly #wire: WireHead
  readonly #conversation: Conversation
  #cancel: (() => void) | undefined
  /** Bytes of messages that have an outcome of their own. */
  bytes = 0

  /** `upgrade`: undefined where no budget counts it. */
  constructor(
    parts: MessageJudgeParts,
    { conversation: _opens, ...request }: AccessRequest,
    wire: WireHead,
    upgrade: Question | undefined,
  ) {
    this.#parts = parts
    this.#request = request
    this.#wire = wire
    this.#conversation = new Conversation(formatOfMessages(wire), upgrade)
  }

  /** The connection has ended: nobody waits for a reviewer. */
  end(): void {
    this.#cancel?.()
    this.#conversation.end()
  }

  passed(bytes: number): void {
    this.#conversation.passed(Math.max(0, bytes - this.bytes))
  }

  said(piece: Buffer): void {
    this.#conversation.said(piece)
  }

  saidAll(): void {
    this.#conversation.saidAll()
  }

  async judge({ text, bytes, truncated }: ClientMessage): Promise<Verdict> {
    // Sound and pictures: nothing in them is read.
    if (text === undefined) return PASS
    const reading = readMessage(this.#wire, text, truncated)
    if (reading.action === 'access_ai_service') return PASS
    const startedAt = performance.now()
    let outcome: Outcome
    try {
      outcome = await this.#decide(reading, bytes, truncated)
    } catch (fault) {
      return { pass: false, closeReason: this.#parts.closeReason(refusalOfFault(fault)) }
    }
    this.bytes += bytes
    // What is remembered until it is answered has no text.
    const { parsed, format } = reading
    const finish = (status: number, cost?: QuestionCost): void =>
      outcome.finish({
        status,
        bytes_in: bytes,
        bytes_out: 0,
        duration_ms: Math.round(performance.now() - startedAt),
        ...(parsed
          ? { visibility: 'content' }
          : { visibility: 'metadata', visibility_reason: truncated ? 'too_large' : 'unparsed' }),
        ...(format === undefined ? {} : { format }),
        ...cost,
      })
    const refused = (refusal: Refusal): Verdict => {
      finish(refusal.status)
      return { pass: false, closeReason: this.#parts.closeReason(refusal) }
    }
    if (outcome.refused) return refused(refusalOfOutcome(outcome))
    const passed = { pass: true, finish: () => this.#wentOut(outcome, finish) } as const
    if (outcome.redactions.length === 0) return passed
    const rewritten = reading.redact(outcome.redactions)
    return rewritten === undefined
      ? refused(NOT_REDACTED)
      : { ...passed, text: rewritten.toString('utf8') }
  }

  /** Where a budget counts what is answered, the message is not over before that. */
  #wentOut(outcome: Outcome, finish: (status: number, cost?: QuestionCost) => void): void {
    const { running } = outcome
    if (running === undefined) {
      finish(SWITCHED)
      return
    }
    running.whenOver((decision) => this.#parts.over(decision, outcome))
    this.#conversation.asked({ running, settle: (cost) => finish(SWITCHED, cost) })
  }

  async #decide(reading: WireReading, bytes: number, truncated: boolean): Promise<Outcome> {
    const { ids, judge } = this.#parts
    const { action, format, model, text, parsed, stream, max_tokens, tools, attachments } = reading
    const request = this.#request
    const first = await judge.decide({
      ...request,
      request_id: ids.next(),
      action,
      destination: {
        ...request.destination,
        ...(format === undefined ? {} : { format }),
        ...(model === undefined ? {} : { model }),
      },
      content: {
        text: text ?? '',
        media_type: 'text/plain',
        message: {
          parsed,
          truncated,
          bytes,
          tools,
          attachments,
          ...(stream === undefined ? {} : { stream }),
          ...(max_tokens === undefined ? {} : { max_tokens }),
        },
      },
      context: {
        ...request.context,
        capabilities: parsed && !truncated ? [...SEEN, 'redact'] : SEEN,
      },
    })
    if (first.held === undefined) return first
    this.#cancel = () => first.held?.cancel()
    try {
      return await first.held.answer
    } finally {
      this.#cancel = undefined
    }
  }
}

const PASS: Verdict = { pass: true }
const SEEN = ['inspect', 'cut_stream'] as const
/** What the client got, once, for all of its messages. */
const SWITCHED = 101
