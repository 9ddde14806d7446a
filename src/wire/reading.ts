// What a request turned out to ask.

import type { Span } from '../model/finding.ts'
import type { Attachment } from './media.ts'
import { applyEdits } from './place.ts'
import type { TextBuilder } from './text-builder.ts'

export type WireAction = 'send_prompt' | 'upload_file' | 'access_ai_service'

/** What is said of a request beside its text. */
export interface Judgement {
  /** An id of the wire formats; undefined where none is spoken. */
  readonly format: string | undefined
  /** The format is understood and all of the body was read. */
  readonly parsed: boolean
  readonly action: WireAction
  readonly model?: string
  readonly stream?: boolean
  /** The most tokens that the answer may have, where the request says so. */
  readonly max_tokens?: number
  /** Names of the tools that are offered or called. */
  readonly tools: readonly string[]
}

export interface WireReading extends Judgement {
  readonly attachments: readonly Attachment[]
  /** All text that leaves, for the detectors; undefined where there is none to read. */
  readonly text: string | undefined
  /** The body without what was found. Undefined where that cannot be done. */
  redact(spans: readonly Span[]): Buffer | undefined
}

/** Puts a reading together. `source` is the body as the text that the places count in. */
export function finish(
  judgement: Judgement,
  builder: TextBuilder,
  source: string | Buffer,
  encoding: BufferEncoding,
  truncated: boolean,
): WireReading {
  const text = builder.text()
  const parsed = judgement.parsed && !truncated && !builder.overflow
  return {
    ...judgement,
    parsed,
    attachments: builder.attachments,
    text: text === '' ? undefined : text,
    redact(spans) {
      if (!parsed || typeof source !== 'string') return undefined
      const edits = builder.edits(text, spans)
      return edits === undefined ? undefined : Buffer.from(applyEdits(source, edits), encoding)
    },
  }
}
