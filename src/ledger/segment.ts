// The files of one writer: ledger/<writer>/<first seq, 16 digits>[-<edition>].seg
//
// A later edition repeats frames of a file whose sync failed, byte for byte and under the same sequence
// numbers, so readers pass over what they know already.

import { dirname, join } from 'node:path'
import { type Disk, realDisk, writeAll } from './disk.ts'
import { SEGMENT_MAGIC } from './frame.ts'

const SEGMENT_NAME = /^(\d{16})(?:-(\d{1,6}))?\.seg$/
const WRITER_BYTES = 36
export const SEGMENT_HEAD = SEGMENT_MAGIC.length + WRITER_BYTES + 8

/** A file beside them: whoever writes there ends the segment within ten seconds, with the next checkpoint. */
export const END_WANTED = 'end-wanted'

export interface SegmentFile {
  readonly path: string
  readonly firstSeq: number
  readonly edition: number
}

/** The segments of a writer, oldest first. */
export function segmentsOf(folder: string, disk: Disk = realDisk): SegmentFile[] {
  return disk
    .list(folder)
    .flatMap((name) => {
      const [, digits, edition = '0'] = SEGMENT_NAME.exec(name) ?? []
      return digits === undefined
        ? []
        : [{ path: join(folder, name), firstSeq: Number(digits), edition: Number(edition) }]
    })
    .toSorted((a, b) => a.firstSeq - b.firstSeq || a.edition - b.edition)
}

/** The name of what belongs to the records from a number on, without its ending. */
export function seqName(firstSeq: number): string {
  return String(firstSeq).padStart(16, '0')
}

/** Creates a segment and makes its name durable (fsync of the folder). */
export function createSegment(
  folder: string,
  writer: string,
  firstSeq: number,
  disk: Disk = realDisk,
): { readonly fd: number; readonly path: string } {
  disk.makeFolder(folder)
  const { fd, path } = openNext(disk, folder, firstSeq)
  try {
    const head = Buffer.alloc(SEGMENT_HEAD)
    SEGMENT_MAGIC.copy(head)
    head.write(writer, SEGMENT_MAGIC.length, 'latin1')
    head.writeBigUInt64LE(BigInt(firstSeq), SEGMENT_MAGIC.length + WRITER_BYTES)
    writeAll(disk, fd, head)
    disk.syncFolder(folder)
    return { fd, path }
  } catch (error) {
    closeQuietly(disk, fd)
    disk.remove(path)
    throw error
  }
}

/** Takes away what is behind the first bytes of a segment, and the segment where no frame is left. */
export function cutOff(disk: Disk, path: string, keep: number): void {
  if (keep <= SEGMENT_HEAD) {
    disk.remove(path)
    disk.syncFolder(dirname(path))
    return
  }
  const fd = disk.open(path, 'end')
  try {
    disk.truncate(fd, keep)
    disk.sync(fd)
  } finally {
    closeQuietly(disk, fd)
  }
}

/** A disk that fails here has failed before, and that was told. */
export function closeQuietly(disk: Disk, fd: number): void {
  try {
    disk.close(fd)
  } catch {
    // See above.
  }
}

export function syncFolder(folder: string): void {
  realDisk.syncFolder(folder)
}

function openNext(
  disk: Disk,
  folder: string,
  firstSeq: number,
): { readonly fd: number; readonly path: string } {
  const same = segmentsOf(folder, disk).filter((segment) => segment.firstSeq === firstSeq)
  const edition = same.length === 0 ? 0 : Math.max(...same.map((segment) => segment.edition)) + 1
  const suffix = edition === 0 ? '' : `-${edition}`
  const path = join(folder, `${seqName(firstSeq)}${suffix}.seg`)
  return { fd: disk.open(path, 'new'), path }
}

/** The bytes of a segment with its head; undefined where the head is not one of ours. */
export function readSegment(path: string, disk: Disk = realDisk): Buffer | undefined {
  const bytes = disk.read(path)
  return bytes.length >= SEGMENT_HEAD &&
    bytes.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)
    ? bytes
    : undefined
}
