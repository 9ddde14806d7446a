// Who reads what a body says: at once where it is short, elsewhere where reading it would hold others up.

import type { Span } from '../model/finding.ts'
import type { SearchedContent } from '../model/request.ts'
import type { WireHead, WireReading } from '../wire/request.ts'

export interface BodyToRead {
  readonly head: WireHead
  /** Of the head: name, name in lower case, value. */
  readonly fields: readonly string[]
  /** Content codings undone. */
  readonly bytes: Buffer
  /** Whether more of the body follows, unread. */
  readonly truncated: boolean
  /** So much of its text is searched. */
  readonly maxBytes: number
}

export interface BodyReading extends Omit<WireReading, 'redact'> {
  /** What was found, where the text was searched together with reading it. */
  readonly searched?: SearchedContent
  redact(spans: readonly Span[]): Buffer | undefined | Promise<Buffer | undefined>
  /** Nothing more will be asked. */
  release?(): void
}

export interface BodyReader {
  read(body: BodyToRead): BodyReading | Promise<BodyReading>
}
