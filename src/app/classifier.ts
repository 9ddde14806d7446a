// Searches content where it stops nobody: short texts at once, long ones in a thread of their own.
//
// A text of 10 MiB takes half a second, a hostile one some seconds; in the main thread every other
// request would wait for it. The same goes for reading the format of a large body. What waits is bounded in
// bytes; beyond that the answer is TOO_BUSY.

import type { Worker } from 'node:worker_threads'
import { CordonError } from '../base/errors.ts'
import { openThread } from '../base/thread.ts'
import { detect } from '../content/detect.ts'
import type { Classified } from '../decision/decide.ts'
import type { Span } from '../model/finding.ts'
import type { ContentInput } from '../model/input.ts'
import type { OfferedContent } from '../model/request.ts'
import type { BodyReader, BodyReading, BodyToRead } from '../proxy/body-reader.ts'
import { readRequest, type WireReading } from '../wire/request.ts'

/** What the thread is asked. */
export type ThreadQuestion =
  | {
      readonly kind: 'classify'
      readonly id: number
      readonly content: OfferedContent
      readonly maxBytes: number
    }
  | { readonly kind: 'read'; readonly id: number; readonly body: BodyInThread }
  /** Of a body that was read before. */
  | {
      readonly kind: 'redact'
      readonly id: number
      readonly of: number
      readonly spans: readonly Span[]
    }
  | { readonly kind: 'forget'; readonly of: number }

/** Plain data: the head's fields instead of a function that finds them. */
export interface BodyInThread {
  readonly method: string
  readonly path: string
  readonly query?: string
  readonly protocol?: string
  readonly fields: readonly string[]
  readonly bytes: Uint8Array
  readonly truncated: boolean
  readonly maxBytes: number
}

export interface Searched {
  readonly input: ContentInput
  readonly spans: readonly Span[]
}

/** A reading without its functions. */
export type ReadFacts = Omit<WireReading, 'redact'>

export type ThreadAnswer = { readonly id: number } & (
  | { readonly searched: Searched }
  | { readonly facts: ReadFacts; readonly searched: Searched | undefined }
  | { readonly redacted: Uint8Array | undefined }
  | { readonly error: string }
)

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void
  readonly reject: (error: Error) => void
  readonly size: number
}

/** Some milliseconds of work. */
const AT_ONCE_MOST = 32 * 1024
const READ_AT_ONCE_MOST = 128 * 1024
const WAITING_MOST = 64 * 1024 * 1024

export class Classifier implements BodyReader {
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
    return this.#ask(size, (id) => ({ kind: 'classify', id, content, maxBytes })).then((answer) =>
      classifiedOf('searched' in answer ? answer.searched : undefined),
    )
  }

  read(body: BodyToRead): BodyReading | Promise<BodyReading> {
    const { head, fields, bytes, truncated, maxBytes } = body
    if (bytes.length <= READ_AT_ONCE_MOST) return readRequest(head, bytes, truncated)
    const { method, path, query, protocol } = head
    const question = {
      method,
      path,
      fields,
      bytes,
      truncated,
      maxBytes,
      ...(query === undefined ? {} : { query }),
      ...(protocol === undefined ? {} : { protocol }),
    }
    return this.#ask(bytes.length, (id) => ({ kind: 'read', id, body: question })).then(
      (answer) => {
        if (!('facts' in answer)) throw new CordonError('INTERNAL', 'a body was not read')
        return this.#reading(answer.id, answer.facts, answer.searched)
      },
    )
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #reading(of: number, facts: ReadFacts, searched: Searched | undefined): BodyReading {
    const thread = this.#thread
    return {
      ...facts,
      ...(searched === undefined ? {} : { searched: classifiedOf(searched) }),
      redact: async (spans) => {
        const answer = await this.#ask(0, (id) => ({ kind: 'redact', id, of, spans }))
        const redacted = 'redacted' in answer ? answer.redacted : undefined
        return redacted === undefined ? undefined : Buffer.from(redacted)
      },
      release: () => {
        if (thread !== undefined && thread === this.#thread) this.#tell({ kind: 'forget', of })
      },
    }
  }

  #ask(size: number, question: (id: number) => ThreadQuestion): Promise<ThreadAnswer> {
    if (this.#waitingSize + size > WAITING_MOST) {
      this.#onBusy()
      return Promise.reject(new CordonError('TOO_BUSY', 'too much content waits to be searched'))
    }
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, size })
      this.#waitingSize += size
      this.#tell(question(id))
    })
  }

  #tell(question: ThreadQuestion): void {
    this.#open().postMessage(question)
  }

  #open(): Worker {
    if (this.#thread !== undefined) return this.#thread
    const thread = openThread(new URL('./classify-thread.ts', import.meta.url))
    thread.unref()
    thread.on('message', (answer: ThreadAnswer) => this.#answered(answer))
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

  #answered(answer: ThreadAnswer): void {
    const waiting = this.#take(answer.id)
    if ('error' in answer) waiting?.reject(new CordonError('INTERNAL', answer.error))
    else waiting?.resolve(answer)
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

function classifiedOf(searched: Searched | undefined): Classified {
  if (searched === undefined) throw new CordonError('INTERNAL', 'a text was not searched')
  return { input: searched.input, spans: () => searched.spans }
}
