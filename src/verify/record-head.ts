// What stands at the front of every record's text, read without parsing the rest of it.

import { isUtf8 } from 'node:buffer'
import { exceedsDepth, stringifyExact } from '../base/exact-json.ts'
import type { LedgerRecord } from '../model/record.ts'

export interface RecordHead {
  readonly kind: string
  readonly writer: string
  readonly seq: number
  /** Milliseconds since the epoch. */
  readonly time: number
  /** Hex; undefined where the record has no personal part. */
  readonly personalHash: string | undefined
}

/** A record as its text says it. */
export type ReadRecord = LedgerRecord & {
  readonly v: number
  readonly writer: string
  readonly seq: number
  readonly personal_hash: string | null
}

/** A head is hardly longer; where it is, because a tenant has a long name, the whole text is looked at. */
const HEAD_BYTES = 512
const HEAD =
  /^\{"v":\d{1,4},"kind":"([a-z_]{1,32})","tenant":"(?:[^"\\]|\\.)*","writer":"([0-9a-f-]{36})","seq":([1-9]\d{0,15}),"time":(-?\d{1,16}(?:\.\d{1,16})?),"personal_hash":(?:null|"([0-9a-f]{64})")[,}]/s
const CLOSING_BRACE = 0x7d
/** No record is nested deeper: whoever writes one could not make a text of it. A short text costs nothing, whatever it is. */
const MOST_LEVELS = 10_000
const SHORT_CHARACTERS = 16_384

/** The head of a record's text; undefined where the text is no record. */
export function readHead(text: Buffer): RecordHead | undefined {
  if (text.at(-1) !== CLOSING_BRACE || !isUtf8(text)) return undefined
  const found =
    HEAD.exec(text.toString('latin1', 0, HEAD_BYTES)) ??
    (text.length > HEAD_BYTES ? HEAD.exec(text.toString('latin1')) : null)
  if (found === null) return undefined
  const [, kind = '', writer = '', seq, time, personalHash] = found
  return { kind, writer, seq: Number(seq), time: Number(time), personalHash }
}

/** The whole record; undefined where its text is not JSON in the form in which records are written. */
export function readRecord(text: Buffer): ReadRecord | undefined {
  const exact = text.toString('utf8')
  if (exact.length > SHORT_CHARACTERS && exceedsDepth(exact, MOST_LEVELS)) return undefined
  try {
    const record = JSON.parse(exact) as ReadRecord
    return JSON.stringify(record) === exact || stringifyExact(withIntegers(exact)) === exact
      ? record
      : undefined
  } catch {
    return undefined
  }
}

/** Integers beyond 2^53 as bigint: JSON.parse alone would round them. */
function withIntegers(exact: string): unknown {
  return JSON.parse(exact, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' &&
    !Number.isSafeInteger(value) &&
    /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context?.source ?? '')
      : value,
  )
}
