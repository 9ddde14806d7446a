// Frames of a segment: u32 length, u32 CRC-32 of what follows, u32 length of the record, record, personal part.
//
// Little-endian. The CRC finds torn and rotten frames; it proves nothing, the leaf hash does.

import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type EncodedRecord, type PreparedRecord, textOf } from './encode.ts'

export const SEGMENT_MAGIC = Buffer.from('CORDSEG1')
export const FRAME_HEAD = 8
const RECORD_LENGTH = 4
const MAX_FRAME = 1024 * 1024
/** No record is shorter: its keys, its writer and its time are longer than that. */
export const MIN_FRAME_BYTES = 100
/** With its head. */
export const MAX_FRAME_BYTES = FRAME_HEAD + MAX_FRAME
/** UTF-8 of one UTF-16 unit, at most. */
const MAX_BYTES_A_UNIT = 3

export function frameOf({ record, personal }: EncodedRecord): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD + RECORD_LENGTH + record.length + personal.length)
  frame.writeUInt32LE(RECORD_LENGTH + record.length + personal.length, 0)
  frame.writeUInt32LE(record.length, FRAME_HEAD)
  record.copy(frame, FRAME_HEAD + RECORD_LENGTH)
  personal.copy(frame, FRAME_HEAD + RECORD_LENGTH + record.length)
  frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEAD)), 4)
  return frame
}

/** Puts the frame of a record into a batch, but for its CRC; where it ends, or undefined where it does not fit. */
export function putFrame(
  batch: Buffer,
  at: number,
  record: PreparedRecord,
  seq: number,
): number | undefined {
  const text = textOf(record, seq)
  const start = at + FRAME_HEAD + RECORD_LENGTH
  if (start + text.length * MAX_BYTES_A_UNIT + record.personal.length > batch.length)
    return undefined
  const length = batch.write(text, start)
  record.personal.copy(batch, start + length)
  batch.writeUInt32LE(RECORD_LENGTH + length + record.personal.length, at)
  batch.writeUInt32LE(length, at + FRAME_HEAD)
  return start + length + record.personal.length
}

/** Where the frame that begins at an offset of a batch ends. */
export function frameEnd(batch: Buffer, at: number): number {
  return at + FRAME_HEAD + batch.readUInt32LE(at)
}

/** Puts the CRC into the frame at an offset of a batch. */
export function sealFrame(batch: Buffer, at: number): void {
  batch.writeUInt32LE(crc32(batch.subarray(at + FRAME_HEAD, frameEnd(batch, at))), at + 4)
}

/** The leaf of the record whose frame is at an offset of a batch: SHA-256(0x00 || text). */
export function leafAt(batch: Buffer, at: number): Buffer {
  const length = batch.readUInt32LE(at + FRAME_HEAD)
  const start = at + FRAME_HEAD + RECORD_LENGTH
  // A record is shorter than 2^24 bytes, so the last byte of its length, which stands before its text, is the
  // 0x00 that a leaf is hashed with: no copy is needed.
  return Buffer.from(hash('sha256', batch.subarray(start - 1, start + length), 'binary'), 'binary')
}

export type FrameRead =
  | {
      readonly kind: 'frame'
      readonly record: Buffer
      readonly personal: Buffer
      readonly next: number
    }
  /** The bytes end before the frame does: torn, or not yet written. */
  | { readonly kind: 'end' }
  | { readonly kind: 'damaged' }

/** The frame at an offset. */
export function readFrame(bytes: Buffer, at: number): FrameRead {
  const frame = frameAt(bytes, at)
  if (frame.kind !== 'frame') return frame
  const isSound = crc32(bytes.subarray(at + FRAME_HEAD, frame.next)) === bytes.readUInt32LE(at + 4)
  return isSound ? frame : { kind: 'damaged' }
}

/** The frame at an offset as its lengths tell it, whatever its CRC. */
export function frameAt(bytes: Buffer, at: number): FrameRead {
  if (at + FRAME_HEAD > bytes.length) return { kind: 'end' }
  const length = bytes.readUInt32LE(at)
  if (length < RECORD_LENGTH || length > MAX_FRAME) return { kind: 'damaged' }
  const next = at + FRAME_HEAD + length
  if (next > bytes.length) return { kind: 'end' }
  const body = bytes.subarray(at + FRAME_HEAD, next)
  const recordLength = body.readUInt32LE(0)
  if (RECORD_LENGTH + recordLength > length) return { kind: 'damaged' }
  return {
    kind: 'frame',
    record: body.subarray(RECORD_LENGTH, RECORD_LENGTH + recordLength),
    personal: body.subarray(RECORD_LENGTH + recordLength),
    next,
  }
}

/** The next offset from which a whole frame can be read, or undefined: to tell a torn tail from a hole. */
export function nextFrame(bytes: Buffer, from: number): number | undefined {
  for (let at = from; at + FRAME_HEAD + RECORD_LENGTH <= bytes.length; at++)
    if (readFrame(bytes, at).kind === 'frame') return at
  return undefined
}
