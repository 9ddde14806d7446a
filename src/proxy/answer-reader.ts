// Reads in passing what an answer says of its cost; it holds nothing up. Where a budget runs out meanwhile, it has the
// answer end.

import type { RunningAnswer } from '../decision/running-answer.ts'
import { fieldValue, type ResponseHead } from '../http1/message.ts'
import type { Decision } from '../model/decision.ts'
import { AnswerMeter } from '../wire/answer.ts'
import type { AnswerTap, LastEvent } from './relay.ts'
import { type StreamForm, streamFormOf } from './stream-end.ts'

export interface Usage {
  readonly input_tokens?: number
  readonly output_tokens?: number
}

/** An answer that may have to end before its origin ends it. */
export interface Limited {
  readonly running: RunningAnswer
  /** How its client is told. */
  readonly lastEvent: (decision: Decision) => LastEvent
}

export class AnswerReader implements AnswerTap {
  readonly #format: string
  readonly #limited: Limited | undefined
  #meter: AnswerMeter | undefined
  #form: StreamForm | undefined
  #bytes = 0
  /** The answer was told to end. */
  isCut = false

  constructor(format: string, limited?: Limited) {
    this.#format = format
    this.#limited = limited
  }

  head(head: ResponseHead): void {
    if (head.status !== 200) return
    const { fields } = head
    this.#meter = new AnswerMeter(
      this.#format,
      fieldValue(fields, 'content-type'),
      fieldValue(fields, 'content-encoding'),
      this.#limited !== undefined,
    )
    // A document was made whole: to break it off would save nothing.
    if (this.#limited !== undefined) this.#form = streamFormOf(head)
  }

  content(bytes: Buffer): LastEvent | undefined {
    this.#meter?.push(bytes)
    if (this.#limited === undefined || this.#form === undefined || this.isCut) return undefined
    const { running, lastEvent } = this.#limited
    this.#bytes += bytes.length
    const decision = running.passed(this.measured ?? 0, this.#bytes)
    if (decision === undefined) return undefined
    this.isCut = true
    return lastEvent(decision)
  }

  /** Once, at the end; `whole`: the answer did not break off. */
  usage(whole: boolean): Usage | Promise<Usage | undefined> | undefined {
    if (whole) return this.#meter?.end()
    this.#meter?.abort()
    return undefined
  }

  /** Tokens of the answer so far, about; undefined where nobody wanted to know. */
  get measured(): number | undefined {
    return this.#limited === undefined ? undefined : this.#meter?.outputTokens
  }
}
