// The files of one writer: ledger/<writer>/<first seq, 16 digits>.seg

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { SEGMENT_MAGIC } from './frame.ts'

export const SEGMENT_NAME = /^(\d{16})\.seg$/
const WRITER_BYTES = 36
export const SEGMENT_HEAD = SEGMENT_MAGIC.length + WRITER_BYTES + 8

export interface SegmentFile {
  readonly path: string
  readonly firstSeq: number
}

/** The segments of a writer, oldest first. */
export function segmentsOf(folder: string): SegmentFile[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .flatMap((name) => {
      const [, digits] = SEGMENT_NAME.exec(name) ?? []
      return digits === undefined ? [] : [{ path: join(folder, name), firstSeq: Number(digits) }]
    })
    .toSorted((a, b) => a.firstSeq - b.firstSeq)
}

/** Creates a segment and makes its name durable (fsync of the folder). Returns the descriptor. */
export function createSegment(
  folder: string,
  writer: string,
  firstSeq: number,
): { readonly fd: number; readonly path: string } {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `${String(firstSeq).padStart(16, '0')}.seg`)
  const fd = openSync(path, 'ax', 0o600)
  try {
    const head = Buffer.alloc(SEGMENT_HEAD)
    SEGMENT_MAGIC.copy(head)
    head.write(writer, SEGMENT_MAGIC.length, 'latin1')
    head.writeBigUInt64LE(BigInt(firstSeq), SEGMENT_MAGIC.length + WRITER_BYTES)
    writeSync(fd, head)
    const dir = openSync(folder, 'r')
    try {
      fsyncSync(dir)
    } finally {
      closeSync(dir)
    }
    return { fd, path }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** The frames' bytes start after the head; undefined where the head is not one of ours. */
export function readSegment(path: string): Buffer | undefined {
  const bytes = readFileSync(path)
  return bytes.length >= SEGMENT_HEAD &&
    bytes.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)
    ? bytes
    : undefined
}
