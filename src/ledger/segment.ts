// The files of one writer: ledger/<writer>/<first seq, 16 digits>[-<edition>].seg
//
// A later edition repeats frames of a file whose sync failed, byte for byte and under the same sequence
// numbers, so readers pass over what they know already.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { SEGMENT_MAGIC } from './frame.ts'

const SEGMENT_NAME = /^(\d{16})(?:-(\d{1,6}))?\.seg$/
const WRITER_BYTES = 36
export const SEGMENT_HEAD = SEGMENT_MAGIC.length + WRITER_BYTES + 8

export interface SegmentFile {
  readonly path: string
  readonly firstSeq: number
  readonly edition: number
}

/** The segments of a writer, oldest first. */
export function segmentsOf(folder: string): SegmentFile[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .flatMap((name) => {
      const [, digits, edition = '0'] = SEGMENT_NAME.exec(name) ?? []
      return digits === undefined
        ? []
        : [{ path: join(folder, name), firstSeq: Number(digits), edition: Number(edition) }]
    })
    .toSorted((a, b) => a.firstSeq - b.firstSeq || a.edition - b.edition)
}

/** Creates a segment and makes its name durable (fsync of the folder). */
export function createSegment(
  folder: string,
  writer: string,
  firstSeq: number,
): { readonly fd: number; readonly path: string } {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { fd, path } = openNext(folder, firstSeq)
  try {
    const head = Buffer.alloc(SEGMENT_HEAD)
    SEGMENT_MAGIC.copy(head)
    head.write(writer, SEGMENT_MAGIC.length, 'latin1')
    head.writeBigUInt64LE(BigInt(firstSeq), SEGMENT_MAGIC.length + WRITER_BYTES)
    let written = 0
    while (written < head.length) written += writeSync(fd, head, written)
    syncFolder(folder)
    return { fd, path }
  } catch (error) {
    closeSync(fd)
    rmSync(path, { force: true })
    throw error
  }
}

export function syncFolder(folder: string): void {
  const dir = openSync(folder, 'r')
  try {
    fsyncSync(dir)
  } finally {
    closeSync(dir)
  }
}

function openNext(
  folder: string,
  firstSeq: number,
): { readonly fd: number; readonly path: string } {
  const same = segmentsOf(folder).filter((segment) => segment.firstSeq === firstSeq)
  const edition = same.length === 0 ? 0 : Math.max(...same.map((segment) => segment.edition)) + 1
  const suffix = edition === 0 ? '' : `-${edition}`
  const path = join(folder, `${String(firstSeq).padStart(16, '0')}${suffix}.seg`)
  return { fd: openSync(path, 'ax', 0o600), path }
}

/** The bytes of a segment with its head; undefined where the head is not one of ours. */
export function readSegment(path: string): Buffer | undefined {
  const bytes = readFileSync(path)
  return bytes.length >= SEGMENT_HEAD &&
    bytes.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)
    ? bytes
    : undefined
}
