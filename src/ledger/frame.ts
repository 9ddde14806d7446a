// Frames of a segment: u32 length, u32 CRC-32 of what follows, u32 length of the record, record, personal part.
//
// Little-endian. The CRC finds torn and rotten frames; it proves nothing, the leaf hash does.

import { crc32 } from 'node:zlib'
import type { EncodedRecord } from './encode.ts'

export const SEGMENT_MAGIC = Buffer.from('CORDSEG1')
const FRAME_HEAD = 8
const RECORD_LENGTH = 4
const MAX_FRAME = 1024 * 1024

export function frameOf({ record, personal }: EncodedRecord): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD + RECORD_LENGTH + record.length + personal.length)
  frame.writeUInt32LE(RECORD_LENGTH + record.length + personal.length, 0)
  frame.writeUInt32LE(record.length, FRAME_HEAD)
  record.copy(frame, FRAME_HEAD + RECORD_LENGTH)
  personal.copy(frame, FRAME_HEAD + RECORD_LENGTH + record.length)
  frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEAD)), 4)
  return frame
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
  if (at + FRAME_HEAD > bytes.length) return { kind: 'end' }
  const length = bytes.readUInt32LE(at)
  if (length < RECORD_LENGTH || length > MAX_FRAME) return { kind: 'damaged' }
  const next = at + FRAME_HEAD + length
  if (next > bytes.length) return { kind: 'end' }
  const body = bytes.subarray(at + FRAME_HEAD, next)
  if (crc32(body) !== bytes.readUInt32LE(at + 4)) return { kind: 'damaged' }
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
