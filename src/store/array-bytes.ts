// A column of values as PostgreSQL takes it in binary: array_recv of src/backend/utils/adt/arrayfuncs.c. Pure.
//
//   i32 dimensions (1), i32 whether a value may be null (1), u32 OID of the elements' type, i32 length, i32 first index (1)
//   each element: i32 bytes (-1: null), its binary form
//
// The server copies such elements, where it would have to read and convert the text of an array.

/** OIDs of the element types: src/include/catalog/pg_type.dat. */
const OID = {
  boolean: 16,
  bytea: 17,
  bigint: 20,
  integer: 23,
  text: 25,
  'double precision': 701,
  timestamptz: 1184,
  jsonb: 3802,
} as const
export type ElementType = keyof typeof OID

const HEAD_BYTES = 20
const UTF8_BYTES_MOST = 3
/** PostgreSQL counts microseconds from 2000-01-01, and has no finite time beyond these. */
const EPOCH_2000_MS = 946_684_800_000
const TIMES = { least: Date.parse('-004000-01-01'), most: Date.parse('+200000-01-01') }

/** What is built last; grows to the largest column and is copied from. */
let scratch = Buffer.allocUnsafe(1024 * 1024)

/** A value that no column takes: the record that holds it will never be stored. `code` as PostgreSQL tells the same. */
export class UnstorableError extends Error {
  /** SQLSTATE data_exception. */
  readonly code = '22000'
}

/** Throws UnstorableError for a value that is not of the type. null and undefined are null. */
export function arrayBytes(type: ElementType, values: readonly unknown[]): Buffer {
  const write = WRITERS[type]
  let at = HEAD_BYTES
  for (const value of values) {
    if (value === undefined || value === null) {
      reserve(at + 4)
      scratch.writeInt32BE(-1, at)
      at += 4
    } else {
      const size = write(value, at + 4)
      scratch.writeInt32BE(size, at)
      at += 4 + size
    }
  }
  scratch.writeInt32BE(1, 0)
  scratch.writeInt32BE(1, 4)
  scratch.writeUInt32BE(OID[type], 8)
  scratch.writeInt32BE(values.length, 12)
  scratch.writeInt32BE(1, 16)
  return Buffer.from(scratch.subarray(0, at))
}

/** Writes a value where it belongs, behind its length; how many bytes that are. */
type Write = (value: unknown, at: number) => number

const WRITERS: Readonly<Record<ElementType, Write>> = {
  text: (value, at) => {
    const text = storable(typeof value === 'string' ? value : JSON.stringify(value))
    reserve(at + text.length * UTF8_BYTES_MOST)
    return scratch.write(text, at, 'utf8')
  },
  // Its version, then its text.
  jsonb: (value, at) => {
    if (typeof value !== 'string') throw wrong('jsonb', value)
    reserve(at + 1 + value.length * UTF8_BYTES_MOST)
    scratch[at] = 1
    return 1 + scratch.write(value, at + 1, 'utf8')
  },
  bytea: (value, at) => {
    if (!Buffer.isBuffer(value)) throw wrong('bytea', value)
    reserve(at + value.length)
    value.copy(scratch, at)
    return value.length
  },
  boolean: (value, at) => {
    if (typeof value !== 'boolean') throw wrong('boolean', value)
    reserve(at + 1)
    scratch[at] = value ? 1 : 0
    return 1
  },
  integer: (value, at) => {
    if (typeof value !== 'number' || (value | 0) !== value) throw wrong('integer', value)
    reserve(at + 4)
    scratch.writeInt32BE(value, at)
    return 4
  },
  bigint: (value, at) => {
    if (!Number.isSafeInteger(value)) throw wrong('bigint', value)
    return writeInt64(value as number, at)
  },
  'double precision': (value, at) => {
    if (typeof value !== 'number') throw wrong('double precision', value)
    reserve(at + 8)
    scratch.writeDoubleBE(value, at)
    return 8
  },
  timestamptz: (value, at) => {
    const ms = typeof value === 'string' ? Date.parse(value) : value
    if (typeof ms !== 'number' || !(ms >= TIMES.least && ms <= TIMES.most))
      throw wrong('timestamptz', value)
    return writeInt64((Math.trunc(ms) - EPOCH_2000_MS) * 1000, at)
  },
}

/** Two halves: a BigInt a value costs more than the rest of it. */
function writeInt64(value: number, at: number): number {
  reserve(at + 8)
  if (Number.isSafeInteger(value)) {
    scratch.writeInt32BE(Math.floor(value / 2 ** 32), at)
    scratch.writeUInt32BE(value - Math.floor(value / 2 ** 32) * 2 ** 32, at + 4)
  } else {
    scratch.writeBigInt64BE(BigInt(value), at)
  }
  return 8
}

function reserve(bytes: number): void {
  if (bytes <= scratch.length) return
  const larger = Buffer.allocUnsafe(Math.max(bytes, scratch.length * 2))
  scratch.copy(larger)
  scratch = larger
}

/** PostgreSQL has no NUL in a text; the record beside the columns keeps it in its JSON. */
function storable(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text
}

function wrong(type: ElementType, value: unknown): UnstorableError {
  return new UnstorableError(`a ${typeof value} is no ${type}`)
}
