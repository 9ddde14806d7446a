// Where a stream may be ended in the middle, so that its client reads a last event of ours and no half of another.

import type { ResponseHead } from '../http1/message.ts'
import { fieldValue } from '../http1/message.ts'

/** events: server-sent ones. lines: a JSON text a line. opaque: nothing can be added to it, it can only break off. */
export type StreamForm = 'events' | 'lines' | 'opaque'

/** Undefined for an answer that is no stream: it was made whole, and to break it off would save nothing. */
export function streamFormOf({ fields, contentLength }: ResponseHead): StreamForm | undefined {
  const type = (fieldValue(fields, 'content-type') ?? '').toLowerCase()
  if (/^application\/json\b/.test(type)) return undefined
  const codings = fieldValue(fields, 'content-encoding') ?? ''
  if ((codings !== '' && codings.toLowerCase() !== 'identity') || contentLength >= 0)
    return 'opaque'
  if (type.startsWith('text/event-stream')) return 'events'
  return /ndjson|jsonl|json-lines|json-seq/.test(type) ? 'lines' : 'opaque'
}

const ENDS: Readonly<Record<Exclude<StreamForm, 'opaque'>, readonly string[]>> = {
  events: ['\n\n', '\n\r\n'],
  lines: ['\n'],
}
/** One byte less than the longest end. */
const TAIL_BYTES = 2

/** Follows what passes, and tells where what is open ends. */
export class StreamEnd {
  readonly #ends: readonly string[]
  #tail: Buffer = Buffer.alloc(0)
  /** Nothing is open: before the first byte, and behind an end. */
  #isBetween = true

  constructor(form: Exclude<StreamForm, 'opaque'>) {
    this.#ends = ENDS[form]
  }

  passed(bytes: Buffer): void {
    if (bytes.length === 0) return
    const last = this.#joined(bytes.subarray(-TAIL_BYTES - 1)).toString('latin1')
    this.#isBetween = this.#ends.some((end) => last.endsWith(end))
    this.#tail = Buffer.from(last.slice(-TAIL_BYTES), 'latin1')
  }

  /** How many of the bytes that come next still belong to what is open; undefined where it does not end in them. */
  placeIn(bytes: Buffer): number | undefined {
    if (this.#isBetween) return 0
    const joined = this.#joined(bytes)
    const places = this.#ends.flatMap((end) => {
      const at = joined.indexOf(end, 0, 'latin1')
      return at === -1 ? [] : [at + end.length - this.#tail.length]
    })
    return places.length === 0 ? undefined : Math.min(...places)
  }

  #joined(bytes: Buffer): Buffer {
    return Buffer.concat([this.#tail, bytes])
  }
}
