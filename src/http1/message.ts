// What a message head says once it has been read: a start line, its end-to-end fields, and the facts
// that decide framing and connection. Framing and hop-by-hop fields never stay in the list of fields,
// so nothing that was received about them can be sent on by accident.

/** Where a read stands: what `next()` has for its caller. */
export type ReadEvent = 'more' | 'head' | 'interim' | 'body' | 'end' | 'failed'

/** Why bytes were refused, with the status that a server answers. */
export interface Failure {
  readonly status: 400 | 405 | 414 | 417 | 431 | 501 | 505
  readonly reason: string
}

export interface Http1Limits {
  /** Start line and fields of one head, or one trailer section, in bytes. */
  readonly headerBytes: number
  /** Fields of one head, or one trailer section. */
  readonly headers: number
}

/** `Content-Length` where none was sent. */
export const NO_LENGTH = -1

/** Three entries a field: name as received, name in lower case, value. */
export type FieldList = readonly string[]
export const FIELD_STRIDE = 3

interface HeadFacts {
  readonly minor: 0 | 1
  /** End-to-end fields only. */
  readonly fields: FieldList
  /** The declared length, or NO_LENGTH. */
  readonly contentLength: number
  readonly chunked: boolean
  /** Whether the connection outlives this message, as far as its sender says. */
  readonly keepAlive: boolean
  /** The `Upgrade` value where `Connection` names it. */
  readonly upgrade: string | undefined
}

export interface RequestHead extends HeadFacts {
  readonly method: string
  readonly target: string
  readonly host: string | undefined
  readonly expectContinue: boolean
  readonly teTrailers: boolean
  readonly proxyAuthorization: string | undefined
}

export interface ResponseHead extends HeadFacts {
  readonly status: number
  readonly reason: string
  /** Seconds of `Keep-Alive: timeout=`, where the origin tells. */
  readonly keepAliveSeconds: number | undefined
}

/** The value of the first field of that lower-case name. */
export function fieldValue(fields: FieldList, lowerName: string): string | undefined {
  for (let index = 1; index < fields.length; index += FIELD_STRIDE) {
    if (fields[index] === lowerName) return fields[index + 1]
  }
  return undefined
}

/** The fields without those of these lower-case names. */
export function withoutFields(fields: FieldList, names: ReadonlySet<string>): FieldList {
  const kept: string[] = []
  for (let index = 0; index < fields.length; index += FIELD_STRIDE) {
    const lower = fields[index + 1] ?? ''
    if (!names.has(lower)) kept.push(fields[index] ?? '', lower, fields[index + 2] ?? '')
  }
  return kept
}
