// Overwrites the personal parts of erased people in a segment. Records, leaves and proofs stay as they are.

import { concerns, type ErasureOrder } from '../model/erasure.ts'
import type { LedgerRecord } from '../model/record.ts'
import { erasedPersonal, isErased } from './encode.ts'
import { FRAME_HEAD, frameAt, nextFrame, readFrame, sealFrame } from './frame.ts'
import { SEGMENT_HEAD } from './segment.ts'

/** Whether any of the people may be in it: their keys stand in the texts of their records. */
export function mayHold(segment: Buffer, orders: readonly ErasureOrder[]): boolean {
  return orders.some(({ person_keys: keys }) => keys.some((key) => segment.includes(key)))
}

/** Overwrites in place; how many personal parts, or stretches of what was one, there were. */
export function eraseIn(segment: Buffer, orders: readonly ErasureOrder[]): number {
  let erased = 0
  let at = SEGMENT_HEAD
  while (at < segment.length) {
    const whole = readFrame(segment, at)
    const next =
      whole.kind === 'frame' ? whole.next : (nextFrame(segment, at + 1) ?? segment.length)
    const frame = whole.kind === 'frame' ? whole : frameAt(segment, at)
    const record = frame.kind === 'frame' ? recordOf(frame.record) : undefined
    if (frame.kind === 'frame' && record !== undefined) {
      if (isTheirs(record, frame.personal, orders)) {
        erasedPersonal(frame.personal.length).copy(frame.personal)
        // A damaged frame stays one.
        if (whole.kind === 'frame') sealFrame(segment, at)
        erased += 1
      }
    } else if (mayHold(segment.subarray(at, next), orders)) {
      // Nobody can read it any more, but whoever looks for a name would find it. A torn tail stays one by its length.
      const isTorn = frame.kind === 'end' && next === segment.length
      segment.fill(0, isTorn ? Math.min(at + FRAME_HEAD, next) : at, next)
      erased += 1
    }
    at = next
  }
  return erased
}

function isTheirs(
  record: LedgerRecord,
  personal: Buffer,
  orders: readonly ErasureOrder[],
): boolean {
  return (
    personal.length > 0 && !isErased(personal) && orders.some((order) => concerns(order, record))
  )
}

function recordOf(text: Buffer): LedgerRecord | undefined {
  try {
    return JSON.parse(text.toString('utf8')) as LedgerRecord
  } catch {
    return undefined
  }
}
