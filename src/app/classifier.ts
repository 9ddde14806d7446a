// Searches content where it stops nobody: short texts at once, long ones in a thread of their own.
//
// A text of 10 MiB takes half a second, a hostile one some seconds; in the main thread every other
// request would wait for it. What waits is bounded in bytes; beyond that the answer is TOO_BUSY.

import type { Worker } from 'node:worker_threads'
import { CordonError } from '../base/errors.ts'
import { openThread } from '../base/thread.ts'
import { detect } from '../content/detect.ts'
import type { Classified } from '../decision/decide.ts'
import type { Span } from '../model/finding.ts'
import type { ContentInput } from '../model/input.ts'
import type { OfferedContent } from '../model/request.ts'

/** A question to the thread, and its answer. */
export interface ClassifyQuestion {
  readonly id: number
  readonly content: OfferedContent
  readonly maxBytes: number
}
export type ClassifyAnswer =
  | { readonly id: number; readonly input: ContentInput; readonly spans: readonly Span[] }
  | { readonly id: number; readonly error: string }

interface Waiting {
  readonly resolve: (classified: Classified) => void
  readonly reject: (error: Error) => void
  readonly size: number
}

/** Some milliseconds of work. */
const AT_ONCE_MOST = 32 * 1024
const WAITING_MOST = 64 * 1024 * 1024

export class Classifier {
  readonly #waiting = new Map<number, Waiting>()
  readonly #onBusy: () => void
  #thread: Worker | undefined
  #next = 1
  #waitingSize = 0

  constructor(onBusy: () => void) {
    this.#onBusy = onBusy
  }

  classify(content: OfferedContent, maxBytes: number): Classified | Promise<Classified> {
    const size = content.text.length
    if (size <= AT_ONCE_MOST) return detect(content, maxBytes)
    if (this.#waitingSize + size > WAITING_MOST) {
      this.#onBusy()
      return Promise.reject(new CordonError('TOO_BUSY', 'too much content waits to be searched'))
    }
    const id = this.#next++
    const question: ClassifyQuestion = { id, content, maxBytes }
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, size })
      this.#waitingSize += size
      this.#open().postMessage(question)
    })
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #open(): Worker {
    if (this.#thread !== undefined) return this.#thread
    const thread = openThread(new URL('./classify-thread.ts', import.meta.url))
    thread.unref()
    thread.on('message', (answer: ClassifyAnswer) => this.#answered(answer))
    const gone = (): void => {
      if (this.#thread === thread) this.#thread = undefined
      for (const id of this.#waiting.keys())
        this.#take(id)?.reject(new CordonError('INTERNAL', 'the search of content has ended'))
    }
    thread.on('error', gone)
    thread.on('exit', gone)
    this.#thread = thread
    return thread
  }

  #answered(answer: ClassifyAnswer): void {
    const waiting = this.#take(answer.id)
    if ('error' in answer) waiting?.reject(new CordonError('INTERNAL', answer.error))
    else waiting?.resolve({ input: answer.input, spans: () => answer.spans })
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    if (waiting !== undefined) {
      this.#waiting.delete(id)
      this.#waitingSize -= waiting.size
    }
    return waiting
  }
}
