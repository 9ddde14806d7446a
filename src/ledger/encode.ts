// A record as bytes: canonical text, and a salted personal part that the text commits to by hash.
//
// The text is JSON with a fixed order of keys; it is stored as it is, so nobody has to make it again. The
// personal part can be overwritten (erasure) and every proof over the text stays valid.

import { createHash, hash, randomFillSync } from 'node:crypto'
import { stringifyExact } from '../base/exact-json.ts'
import { decisionJson } from '../model/decision-json.ts'
import type { DecisionRecord, LedgerRecord, PersonalPart } from '../model/record.ts'

const RECORD_VERSION = 1
const MAX_RECORD_BYTES = 256 * 1024
const SALT_BYTES = 16
const SALTS = 256

export interface Position {
  readonly writer: string
  readonly seq: number
}

export interface EncodedRecord {
  readonly record: Buffer
  /** Salt and JSON of the personal part; empty where there is none. */
  readonly personal: Buffer
}

const NONE = Buffer.alloc(0)

/** Makes bytes of records; one a writer, because salts come from a pool. */
export class RecordEncoder {
  readonly #salts = Buffer.alloc(SALT_BYTES * SALTS)
  #salt = this.#salts.length

  /** Throws RangeError for a record beyond the limit. */
  encode(record: LedgerRecord, { writer, seq }: Position): EncodedRecord {
    const { kind, tenant, time, personal, ...body } = record
    const side = personal === undefined ? NONE : this.#seal(personal)
    const personalHash = side.length === 0 ? null : hash('sha256', side)
    const head = { v: RECORD_VERSION, kind, tenant, writer, seq, time, personal_hash: personalHash }
    const bytes = Buffer.from(textOf(head, body))
    if (bytes.length + side.length > MAX_RECORD_BYTES)
      throw new RangeError('the record is too large')
    return { record: bytes, personal: side }
  }

  #seal(personal: PersonalPart): Buffer {
    if (this.#salt === this.#salts.length) {
      randomFillSync(this.#salts)
      this.#salt = 0
    }
    const salt = this.#salts.subarray(this.#salt, this.#salt + SALT_BYTES)
    this.#salt += SALT_BYTES
    return Buffer.concat([salt, Buffer.from(stringifyExact(personal))])
  }
}

function textOf(head: object, body: object): string {
  if (!('decision' in body)) return stringifyExact({ ...head, ...body })
  const { decision, ...rest } = body as Pick<DecisionRecord, 'decision'>
  return `${stringifyExact({ ...head, ...rest }).slice(0, -1)},"decision":${decisionJson(decision)}}`
}

/** The leaf of a record in its writer's tree: SHA-256(0x00 || record text), RFC 9162 section 2.1.1. */
export function leafHash(record: Uint8Array): Buffer {
  return createHash('sha256').update(LEAF_PREFIX).update(record).digest()
}

const LEAF_PREFIX = Buffer.from([0])

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
