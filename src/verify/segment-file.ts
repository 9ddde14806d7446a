// The segments of one writer as files: which there are, and what each holds, frame by frame.

import { basename } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { nextFrame, readFrame, SEGMENT_MAGIC } from '../ledger/frame.ts'
import { Damaged } from './report.ts'
import { readSmall } from './small-file.ts'

/** All files that hold one edition of a segment: compressed or not, moved or not. */
export interface SegmentFiles {
  readonly firstSeq: number
  readonly edition: number
  readonly paths: readonly string[]
}

export interface Frame {
  readonly record: Buffer
  readonly personal: Buffer
  readonly offset: number
}

/** What a segment ends with, behind its last whole frame. */
export interface Rest {
  readonly offset: number
  readonly bytes: number
  /** `none`; `torn`: a frame that was not written to its end; `damaged`: bytes that are no frame. */
  readonly kind: 'none' | 'torn' | 'damaged'
}

const WRITER_BYTES = 36
const HEAD_BYTES = SEGMENT_MAGIC.length + WRITER_BYTES + 8
/** A segment is 16 MiB and what was written at once beyond that. */
const MAX_SEGMENT_BYTES = 64 * 1024 * 1024
const MAX_FRAME_BYTES = 1024 * 1024 + 8
/** Bytes behind the last frame are searched for another one only so far: it takes a checksum a byte. */
const MAX_SEARCH_BYTES = 64 * 1024

/** The bytes of a segment, whose head is that of this writer and number. Throws Damaged; ENOENT where it is gone. */
export function readSegmentFile({ paths, firstSeq }: SegmentFiles, writer: string): Buffer {
  let bytes: Buffer | undefined
  for (const path of paths) {
    const file = basename(path)
    const read = contentOf(path, writer)
    if (bytes !== undefined && !bytes.equals(read))
      throw new Damaged({ writer, seq: firstSeq, file, what: 'is there twice, with other content' })
    bytes = read
    // A process that died between making the file and writing its head has left it empty.
    if (
      read.length < HEAD_BYTES &&
      SEGMENT_MAGIC.subarray(0, read.length).equals(read.subarray(0, SEGMENT_MAGIC.length))
    )
      continue
    if (!read.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC))
      throw new Damaged({ writer, seq: firstSeq, file, offset: 0, what: 'is no segment' })
    const owner = read.toString('latin1', SEGMENT_MAGIC.length, SEGMENT_MAGIC.length + WRITER_BYTES)
    const first = read.readBigUInt64LE(SEGMENT_MAGIC.length + WRITER_BYTES)
    if (owner !== writer)
      throw new Damaged({ writer, file, offset: 8, what: `is a segment of writer ${owner}` })
    if (first !== BigInt(firstSeq))
      throw new Damaged({
        writer,
        file,
        offset: 8 + WRITER_BYTES,
        what: `is a segment that begins with record ${first}, under another name`,
      })
  }
  return bytes ?? Buffer.alloc(0)
}

function contentOf(path: string, writer: string): Buffer {
  const file = basename(path)
  const bytes = readSmall(path, MAX_SEGMENT_BYTES, { writer })
  if (!path.endsWith('.zst')) return bytes
  const { read, content } = decompressed(bytes, { writer, file })
  if (read !== bytes.length)
    throw new Damaged({ writer, file, offset: read, what: 'has bytes behind what was compressed' })
  return content
}

function decompressed(
  bytes: Buffer,
  place: { readonly writer: string; readonly file: string },
): { readonly content: Buffer; readonly read: number } {
  try {
    const options = { maxOutputLength: MAX_SEGMENT_BYTES, info: true }
    // What comes with `info` is not in the types.
    const { buffer, engine } = zstdDecompressSync(bytes, options) as unknown as {
      readonly buffer: Buffer
      readonly engine: { readonly bytesWritten: number }
    }
    return { content: buffer, read: engine.bytesWritten }
  } catch {
    throw new Damaged({ ...place, what: 'cannot be decompressed' })
  }
}

/** The frames of a segment, and what is behind the last of them. */
export function* framesOf(bytes: Buffer): Generator<Frame, Rest> {
  let at = HEAD_BYTES
  for (;;) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') return restOf(bytes, at, read.kind)
    yield { record: read.record, personal: read.personal, offset: at }
    at = read.next
  }
}

function restOf(bytes: Buffer, at: number, kind: 'end' | 'damaged'): Rest {
  const rest = { offset: Math.min(at, bytes.length), bytes: Math.max(0, bytes.length - at) }
  if (rest.bytes === 0) return { ...rest, kind: 'none' }
  if (kind === 'damaged' || rest.bytes > MAX_FRAME_BYTES) return { ...rest, kind: 'damaged' }
  // A length that was changed makes a frame look as if the file ended in it.
  const searched = bytes.subarray(at, at + MAX_SEARCH_BYTES)
  return { ...rest, kind: nextFrame(searched, 1) === undefined ? 'torn' : 'damaged' }
}
