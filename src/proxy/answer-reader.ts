// Reads in passing what an answer says of its cost; it holds nothing up.

import { fieldValue, type ResponseHead } from '../http1/message.ts'
import { AnswerMeter } from '../wire/answer.ts'
import type { AnswerTap } from './relay.ts'

export interface Usage {
  readonly input_tokens?: number
  readonly output_tokens?: number
}

export class AnswerReader implements AnswerTap {
  readonly #format: string
  #meter: AnswerMeter | undefined

  constructor(format: string) {
    this.#format = format
  }

  head({ status, fields }: ResponseHead): void {
    if (status !== 200) return
    this.#meter = new AnswerMeter(
      this.#format,
      fieldValue(fields, 'content-type'),
      fieldValue(fields, 'content-encoding'),
    )
  }

  content(bytes: Buffer): void {
    this.#meter?.push(bytes)
  }

  /** Once, at the end; `whole`: the answer did not break off. */
  usage(whole: boolean): Usage | Promise<Usage | undefined> | undefined {
    if (whole) return this.#meter?.end()
    this.#meter?.abort()
    return undefined
  }
}
