// A record as bytes: canonical text, and a salted personal part that the text commits to by hash.
//
// The text is JSON with a fixed order of keys; it is stored as it is, so nobody has to make it again. The
// personal part can be overwritten (erasure) and every proof over the text stays valid.
//
// A record is prepared when it is appended and numbered when it is written: until then nobody knows its number.

import { hash, randomFillSync } from 'node:crypto'
import { stringifyExact } from '../base/exact-json.ts'
import { decisionJson } from '../model/decision-json.ts'
import {
  type DecisionRecord,
  type LedgerRecord,
  type PersonalPart,
  SALT_BYTES,
} from '../model/record.ts'

const RECORD_VERSION = 1
const MAX_RECORD_BYTES = 256 * 1024
const SALTS = 256
/** UTF-8 of one UTF-16 unit, at most. */
const MAX_BYTES_A_UNIT = 3

export interface Position {
  readonly writer: string
  readonly seq: number
}

export interface EncodedRecord {
  readonly record: Buffer
  /** Salt and JSON of the personal part; empty where there is none. */
  readonly personal: Buffer
}

/** A record without its number. */
export interface PreparedRecord {
  /** The text before the number, and behind it. */
  readonly before: string
  readonly behind: string
  readonly personal: Buffer
  /** Milliseconds since the epoch. */
  readonly time: number
}

const NONE = Buffer.alloc(0)

/** Makes text of records; one a writer, because salts come from a pool. */
export class RecordEncoder {
  readonly #salts = Buffer.alloc(SALT_BYTES * SALTS)
  #salt = this.#salts.length

  /** Throws RangeError for a record beyond the limit. */
  prepare(record: LedgerRecord, writer: string): PreparedRecord {
    const { kind, tenant, time, personal, ...body } = record
    const side = personal === undefined ? NONE : this.#seal(personal)
    const sideHash = side.length === 0 ? 'null' : `"${hash('sha256', side)}"`
    const before = `{"v":${RECORD_VERSION},"kind":"${kind}","tenant":${JSON.stringify(tenant)},"writer":"${writer}","seq":`
    const behind = `,"time":${time},"personal_hash":${sideHash},${bodyOf(body).slice(1)}`
    if (bytesOf(before, behind) + side.length > MAX_RECORD_BYTES)
      throw new RangeError('the record is too large')
    return { before, behind, personal: side, time }
  }

  /** Throws RangeError for a record beyond the limit. */
  encode(record: LedgerRecord, { writer, seq }: Position): EncodedRecord {
    const prepared = this.prepare(record, writer)
    return { record: Buffer.from(textOf(prepared, seq)), personal: prepared.personal }
  }

  #seal(personal: PersonalPart): Buffer {
    if (this.#salt === this.#salts.length) {
      randomFillSync(this.#salts)
      this.#salt = 0
    }
    const text = stringifyExact(personal)
    const side = Buffer.allocUnsafe(SALT_BYTES + text.length * MAX_BYTES_A_UNIT)
    this.#salts.copy(side, 0, this.#salt, this.#salt + SALT_BYTES)
    this.#salt += SALT_BYTES
    return side.subarray(0, SALT_BYTES + side.write(text, SALT_BYTES))
  }
}

/** The text of a record, which its leaf is the hash of. */
export function textOf({ before, behind }: PreparedRecord, seq: number): string {
  return `${before}${seq}${behind}`
}

function bodyOf(body: object): string {
  if (!('decision' in body)) return stringifyExact(body)
  const { decision, ...rest } = body as Pick<DecisionRecord, 'decision'>
  return `${stringifyExact(rest).slice(0, -1)},"decision":${decisionJson(decision)}}`
}

/** Counted only where it could matter: counting costs as much as writing. */
function bytesOf(before: string, behind: string): number {
  const units = before.length + behind.length
  return units * MAX_BYTES_A_UNIT <= MAX_RECORD_BYTES
    ? units
    : Buffer.byteLength(before) + Buffer.byteLength(behind)
}

/** The fields of a personal part, or undefined where it is absent, erased or damaged. */
export function readPersonal(personal: Buffer): PersonalPart | undefined {
  if (personal.length <= SALT_BYTES || isErased(personal)) return undefined
  try {
    return JSON.parse(personal.toString('utf8', SALT_BYTES)) as PersonalPart
  } catch {
    // Its hash tells, too.
    return undefined
  }
}

const ERASED = Buffer.from('ERASED\0\0')

/** What stands in a frame in place of an erased personal part of that many bytes: `ERASED` and zeros. */
export function erasedPersonal(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  ERASED.copy(bytes)
  return bytes
}

/** Whether a personal part was erased; damaged bytes are not. */
export function isErased(personal: Uint8Array): boolean {
  // The first byte of a salt seldom is the first one of the mark.
  return personal[0] === ERASED[0] && erasedPersonal(personal.length).equals(personal)
}
