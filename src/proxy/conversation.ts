// What a WebSocket costs its budgets while it is open. Bytes belong to the upgrade; what the origin says belongs to the
// message before it, and to the upgrade before the first one.
//
// A service counts the whole conversation with every answer: what it tells takes the place of all that was estimated since
// it told the last time, so in the end each token was charged once.

import type { RunningAnswer } from '../decision/running-answer.ts'
import { OutputScan } from '../wire/output-scan.ts'
import { tellsUsage, UsageScan } from '../wire/usage-scan.ts'
import type { Usage } from '../wire/usage.ts'

/** What was let through, and is charged what the origin says after it. */
export interface Question {
  readonly running: RunningAnswer
  /** Once, when nothing more is charged to it. */
  settle(cost: QuestionCost): void
}

/** As an outcome takes it: what the service told, else about. */
export type QuestionCost = Usage & { readonly measured_tokens: number }

/** Clients that say more than this before anything is answered are not waited for. */
const MOST_OPEN = 100

export class Conversation {
  readonly #format: string
  readonly #first: Open | undefined
  #current: Open | undefined
  /** Before the current one; their answers are under way, or part of its answer. */
  readonly #open: Open[] = []
  #usage: UsageScan | undefined
  #bytes = 0
  #isOver = false

  /** `format`: of the messages. `upgrade`: undefined where no budget counts it. */
  constructor(format: string | undefined, upgrade: Question | undefined) {
    this.#format = format ?? ''
    if (upgrade !== undefined) this.#first = new Open(this.#format, upgrade)
    this.#current = this.#first
  }

  /** The bytes of both sides so far, without those of messages that are counted by themselves. */
  passed(bytes: number): void {
    this.#bytes = bytes
    this.#first?.tell(bytes)
  }

  /** A message has gone out. */
  asked(question: Question): void {
    if (this.#isOver) {
      question.settle({ measured_tokens: 0 })
      return
    }
    if (this.#current !== undefined) this.#open.push(this.#current)
    this.#current = new Open(this.#format, question)
    if (!tellsUsage(this.#format)) this.#settle()
    else if (this.#open.length > MOST_OPEN) this.#end(this.#open.shift())
  }

  /** Text of the origin, in pieces. */
  said(piece: Buffer): void {
    const current = this.#current
    if (current === undefined) return
    if (tellsUsage(this.#format)) {
      this.#usage ??= new UsageScan(this.#format)
      this.#usage.push(piece)
    }
    current.output.push(piece)
    this.#tell(current)
  }

  /** A message of the origin is whole. */
  saidAll(): void {
    const current = this.#current
    const usage = this.#usage?.usage
    this.#usage = undefined
    if (current === undefined || usage === undefined) return
    for (const open of this.#open) open.isToldLater = true
    this.#settle()
    current.told(usage)
    this.#tell(current)
  }

  end(): void {
    this.#isOver = true
    if (this.#current !== undefined) this.#open.push(this.#current)
    this.#current = undefined
    this.#settle()
    this.#first?.settle()
  }

  #settle(): void {
    for (const open of this.#open.splice(0)) this.#end(open)
  }

  /** The upgrade goes on to the end, for its bytes. */
  #end(open: Open | undefined): void {
    if (open !== this.#first) open?.settle()
  }

  #tell(open: Open): void {
    open.tell(open === this.#first ? this.#bytes : 0)
  }
}

/** A question, and what has been told of its answer. */
class Open {
  readonly #format: string
  readonly #question: Question
  #asked: number | undefined
  #answered: number | undefined
  /** What was said since the service told the last time. */
  output: OutputScan
  /** Its tokens are part of what was told with a later message. */
  isToldLater = false

  constructor(format: string, question: Question) {
    this.#format = format
    this.#question = question
    this.output = new OutputScan(format)
  }

  told({ input_tokens: input, output_tokens: output }: Usage): void {
    this.#asked = (this.#asked ?? 0) + (input ?? 0)
    this.#answered = (this.#answered ?? 0) + (output ?? this.output.tokens)
    this.output = new OutputScan(this.#format)
  }

  tell(bytes: number): void {
    const asked = this.#asked
    const told = asked === undefined ? {} : { asked }
    this.#question.running.passed({ tokens: this.#measured, bytes, ...told })
  }

  settle(): void {
    // Of an answer that was counted, and of one that has begun since, both count.
    const isWhole = this.output.tokens === 0
    const told = {
      ...(this.#asked === undefined ? {} : { input_tokens: this.#asked }),
      ...(this.#answered === undefined || !isWhole ? {} : { output_tokens: this.#answered }),
    }
    const later = { input_tokens: this.#asked ?? 0, output_tokens: this.#answered ?? 0 }
    this.#question.settle({
      ...(this.isToldLater ? later : told),
      measured_tokens: this.#measured,
    })
  }

  get #measured(): number {
    return (this.#answered ?? 0) + this.output.tokens
  }
}
