// What an answer cost, read in passing: nothing is delayed, and little is held.

import type { Transform } from 'node:stream'
import { codingsOf, openDecoder } from './coding.ts'
import { OutputScan } from './output-scan.ts'
import { tellsUsage, UsageScan } from './usage-scan.ts'
import type { Usage } from './usage.ts'

export type { Usage } from './usage.ts'

/** Compressed bytes that wait for the decoder. */
const WAITING_MOST = 256 * 1024
/** Of a coded answer so much is looked through. */
const DECODED_MOST = 256 * 1024 * 1024
const TEXTUAL = /json|event-stream|^text\/|eventstream|^application\/(?:grpc|connect)/i

/** Whatever reads an answer in passing. */
interface Scan {
  push(bytes: Buffer): void
}

export class AnswerMeter {
  readonly #usage: UsageScan | undefined
  readonly #output: OutputScan | undefined
  readonly #scans: readonly Scan[]
  readonly #coding: string | undefined
  #decoder: Transform | undefined
  #decoded = 0
  #ended: Promise<void> | undefined
  #gaveUp = false

  /** `format`: of the request. `counts`: whether the length of the text is wanted too, as it grows. */
  constructor(
    format: string,
    contentType: string | undefined,
    contentEncoding: string | undefined,
    counts = false,
  ) {
    const codings = codingsOf(contentEncoding ?? '')
    const isReadable = contentType === undefined || TEXTUAL.test(contentType)
    const isRead = isReadable && codings.length <= 1
    this.#usage = isRead && tellsUsage(format) ? new UsageScan(format) : undefined
    this.#output = isRead && counts ? new OutputScan(format) : undefined
    this.#scans = [this.#usage, this.#output].filter((scan) => scan !== undefined)
    this.#coding = codings[0]
  }

  /** The rest of the answer is not worth handing over. */
  get isDone(): boolean {
    return this.#scans.length === 0 || this.#gaveUp
  }

  /** What the answer has told so far. */
  get usage(): Usage | undefined {
    return this.#usage?.usage
  }

  /** How many tokens of text have passed, about; what the service has told of it so far counts more. */
  get outputTokens(): number {
    return Math.max(this.#usage?.usage?.output_tokens ?? 0, this.#output?.tokens ?? 0)
  }

  push(bytes: Buffer): void {
    if (this.isDone || bytes.length === 0) return
    if (this.#coding === undefined) {
      this.#scan(bytes)
      return
    }
    this.#decoder ??= this.#open(this.#coding, bytes)
    if (this.#decoder === undefined || this.#decoder.writableLength > WAITING_MOST) this.#giveUp()
    // The caller's bytes may be used again once this returns.
    else this.#decoder.write(Buffer.from(bytes))
  }

  /** What the answer told, once all of it is here. */
  end(): Usage | Promise<Usage | undefined> | undefined {
    const decoder = this.#decoder
    if (decoder === undefined || this.#ended === undefined) return this.#usage?.usage
    decoder.end()
    return this.#ended.then(() => this.#usage?.usage)
  }

  /** The answer broke off. */
  abort(): void {
    this.#giveUp()
  }

  #scan(bytes: Buffer): void {
    for (const scan of this.#scans) scan.push(bytes)
  }

  #open(coding: string, first: Buffer): Transform | undefined {
    const decoder = openDecoder(coding, first)
    if (decoder === undefined) return undefined
    decoder.on('data', (part: Buffer) => {
      this.#decoded += part.length
      if (this.#decoded > DECODED_MOST) this.#giveUp()
      else this.#scan(part)
    })
    this.#ended = new Promise((resolve) => {
      decoder.once('close', resolve)
      decoder.once('end', resolve)
      // What cannot be decoded tells no more than it has told.
      decoder.once('error', () => {
        this.#gaveUp = true
        resolve()
      })
    })
    return decoder
  }

  #giveUp(): void {
    this.#gaveUp = true
    this.#decoder?.destroy()
  }
}
