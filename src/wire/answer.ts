// What an answer cost, read in passing: nothing is delayed, and little is held.

import type { Transform } from 'node:stream'
import { codingsOf, openDecoder } from './coding.ts'
import { tellsUsage, UsageScan } from './usage-scan.ts'
import type { Usage } from './usage.ts'

export type { Usage } from './usage.ts'

/** Compressed bytes that wait for the decoder. */
const WAITING_MOST = 256 * 1024
/** Of a coded answer so much is looked through. */
const DECODED_MOST = 256 * 1024 * 1024
const TEXTUAL = /json|event-stream|^text\/|eventstream|^application\/(?:grpc|connect)/i

export class AnswerMeter {
  readonly #scan: UsageScan | undefined
  readonly #coding: string | undefined
  #decoder: Transform | undefined
  #decoded = 0
  #ended: Promise<void> | undefined
  #gaveUp = false

  /** `format`: of the request. */
  constructor(
    format: string,
    contentType: string | undefined,
    contentEncoding: string | undefined,
  ) {
    const codings = codingsOf(contentEncoding ?? '')
    const isReadable = contentType === undefined || TEXTUAL.test(contentType)
    this.#scan =
      tellsUsage(format) && isReadable && codings.length <= 1 ? new UsageScan(format) : undefined
    this.#coding = codings[0]
  }

  /** The rest of the answer is not worth handing over. */
  get isDone(): boolean {
    return this.#scan === undefined || this.#gaveUp
  }

  push(bytes: Buffer): void {
    if (this.#scan === undefined || this.#gaveUp || bytes.length === 0) return
    if (this.#coding === undefined) {
      this.#scan.push(bytes)
      return
    }
    this.#decoder ??= this.#open(this.#coding, bytes, this.#scan)
    if (this.#decoder === undefined || this.#decoder.writableLength > WAITING_MOST) this.#giveUp()
    // The caller's bytes may be used again once this returns.
    else this.#decoder.write(Buffer.from(bytes))
  }

  /** What the answer told, once all of it is here. */
  end(): Usage | Promise<Usage | undefined> | undefined {
    const decoder = this.#decoder
    if (decoder === undefined || this.#ended === undefined) return this.#scan?.usage
    decoder.end()
    return this.#ended.then(() => this.#scan?.usage)
  }

  /** The answer broke off. */
  abort(): void {
    this.#giveUp()
  }

  #open(coding: string, first: Buffer, scan: UsageScan): Transform | undefined {
    const decoder = openDecoder(coding, first)
    if (decoder === undefined) return undefined
    decoder.on('data', (part: Buffer) => {
      this.#decoded += part.length
      if (this.#decoded > DECODED_MOST) this.#giveUp()
      else scan.push(part)
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
