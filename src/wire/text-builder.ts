// The text that leaves, put together from its parts: what the detectors search.
//
// Each part stands between record separators, so that a value which is nothing but a number is seen to
// stand alone, and no finding reaches from one part into the next.

import type { Span } from '../model/finding.ts'
import type { Attachment } from './media.ts'
import { editsFor, type Edit, type Segment, type View } from './place.ts'

/** Between two parts: the line ends keep values and separators from being read as one word. */
const SEPARATOR = '\n\u001E\n'
const MAX_SEGMENTS = 500_000
const MAX_ATTACHMENTS = 256

export class TextBuilder {
  readonly attachments: Attachment[] = []
  readonly #parts: string[] = []
  readonly #segments: Segment[] = []
  #size = 0
  #overflow = false

  /** More parts than are kept apart: the text is not complete. */
  get overflow(): boolean {
    return this.#overflow
  }

  /** Adds a part. `label` is the key that the value stands under, where it says what the value is. */
  add(value: string, view: View | undefined, label?: string): void {
    if (value === '') return
    if (this.#segments.length >= MAX_SEGMENTS) {
      this.#overflow = true
      return
    }
    if (this.#size > 0) this.#push(SEPARATOR)
    if (label !== undefined) {
      this.#segments.push({ at: this.#size, end: this.#size + label.length, view: undefined })
      this.#push(label)
      this.#push(': ')
    }
    this.#segments.push({ at: this.#size, end: this.#size + value.length, view })
    this.#push(value)
  }

  attach(attachment: Attachment): void {
    if (this.attachments.length < MAX_ATTACHMENTS) this.attachments.push(attachment)
  }

  text(): string {
    return this.#parts.join('')
  }

  edits(text: string, spans: readonly Span[]): readonly Edit[] | undefined {
    return editsFor(text, this.#segments, spans)
  }

  #push(part: string): void {
    this.#parts.push(part)
    this.#size += part.length
  }
}
