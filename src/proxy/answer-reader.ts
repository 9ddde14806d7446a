// Reads in passing what an answer says of its cost; it holds nothing up. Where a budget counts the answer, it is told
// how the answer grows.

import type { RunningAnswer } from '../decision/running-answer.ts'
import { fieldValue, type ResponseHead } from '../http1/message.ts'
import { AnswerMeter } from '../wire/answer.ts'
import type { Usage } from '../wire/usage.ts'
import type { AnswerTap } from './relay.ts'
import { streamFormOf } from './stream-end.ts'

/** What an answer has cost, once it has ended. */
export interface AnswerCost {
  /** Once, at the end; `whole`: the answer did not break off. */
  usage(whole: boolean): Usage | Promise<Usage | undefined> | undefined
  /** Tokens of the answer so far, about; undefined where nobody wanted to know. */
  readonly measured: number | undefined
}

export class AnswerReader implements AnswerTap, AnswerCost {
  readonly #format: string
  readonly #running: RunningAnswer | undefined
  #meter: AnswerMeter | undefined
  #isStream = false
  #bytes = 0

  constructor(format: string, running?: RunningAnswer) {
    this.#format = format
    this.#running = running
  }

  head(head: ResponseHead): void {
    if (head.status < 200 || head.status > 299) return
    const { fields } = head
    this.#meter = new AnswerMeter(
      this.#format,
      fieldValue(fields, 'content-type'),
      fieldValue(fields, 'content-encoding'),
      this.#running !== undefined,
    )
    // A document was made whole: to break it off would save nothing.
    this.#isStream = this.#running !== undefined && streamFormOf(head) !== undefined
  }

  content(bytes: Buffer): void {
    this.#meter?.push(bytes)
    if (!this.#isStream) return
    this.#bytes += bytes.length
    const asked = this.#meter?.usage?.input_tokens
    this.#running?.passed({
      tokens: this.measured ?? 0,
      bytes: this.#bytes,
      ...(asked === undefined ? {} : { asked }),
    })
  }

  usage(whole: boolean): Usage | Promise<Usage | undefined> | undefined {
    if (whole) return this.#meter?.end()
    this.#meter?.abort()
    // What was told of the question holds; of the answer it was not the end.
    const { input_tokens } = this.#meter?.usage ?? {}
    return input_tokens === undefined ? undefined : { input_tokens }
  }

  get measured(): number | undefined {
    return this.#running === undefined ? undefined : this.#meter?.outputTokens
  }
}
