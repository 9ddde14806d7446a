// Reads one writer's segments in order: what is next, and how much waits.
//
// Sequence numbers are without holes, so a missing one is a record that was lost: the damaged middle of a
// file, or a file that somebody took away. The reader passes over it and tells how many.

import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs'
import type { ShippedRecord } from '../model/record.ts'
import { leafHash } from '../proof/tree.ts'
import { readPersonal } from './encode.ts'
import { nextFrame, readFrame } from './frame.ts'
import { SEGMENT_HEAD, type SegmentFile, segmentsOf } from './segment.ts'
import { isLeft } from './writer-folder.ts'

/** Records that should be there and are not. */
export interface Missing {
  readonly writer: string
  /** Times of the records around the hole. */
  readonly from: number
  readonly to: number
  readonly count: number
}

export interface Batch {
  readonly records: readonly ShippedRecord[]
  readonly missing: readonly Missing[]
  readonly path: string
  readonly end: number
}

export interface Backlog {
  readonly bytes: number
  readonly records: number
  /** When the oldest of them was made. */
  readonly oldest: number | undefined
}

interface Position {
  readonly path: string
  readonly offset: number
}

const BATCH_RECORDS = 1000
const READ_BYTES = 4 * 1024 * 1024
const MAX_FRAME_BYTES = 1024 * 1024 + 8
const NOTHING: Backlog = { bytes: 0, records: 0, oldest: undefined }

export class Follower {
  readonly writer: string
  readonly #folder: string
  /** The last number that the store has; undefined until the first record of a writer that it does not know. */
  #last: number | undefined
  #lastTime: number | undefined
  #at: Position | undefined
  #batch: Batch | undefined
  /** How far `backlog` has counted. */
  #seen: (Position & { readonly seq: number }) | undefined

  constructor(folder: string, writer: string, shipped: number | undefined) {
    this.#folder = folder
    this.writer = writer
    this.#last = shipped
  }

  /** The same batch until it is taken; undefined where nothing waits. */
  next(): Batch | undefined {
    if (this.#batch !== undefined) return this.#batch
    for (;;) {
      const segments = segmentsOf(this.#folder)
      const index = this.#indexIn(segments)
      const segment = segments[index]
      if (segment === undefined || this.#at === undefined) return undefined
      const isSealed = index < segments.length - 1 || isLeft(this.#folder)
      const { path, offset } = this.#at
      const window = readFrom(path, offset, READ_BYTES)
      const { end, ...found } = this.#parse(window, isSealed)
      if (found.records.length > 0) {
        this.#batch = { ...found, path, end: offset + end }
        return this.#batch
      }
      this.#at = { path, offset: offset + end }
      if (end > 0) continue
      if (window.length > 0 || index === segments.length - 1) return undefined
      const following = segments[index + 1]
      if (following !== undefined) this.#at = { path: following.path, offset: SEGMENT_HEAD }
    }
  }

  /** The store has the batch: go on behind it. */
  take(batch: Batch): void {
    const last = batch.records.at(-1)
    this.#last = last?.seq ?? this.#last
    this.#lastTime = last?.record.time ?? this.#lastTime
    this.#at = { path: batch.path, offset: batch.end }
    this.#batch = undefined
  }

  /** Segments of which the store has everything. The newest one of a living writer tells its next number and stays. */
  done(): SegmentFile[] {
    const segments = segmentsOf(this.#folder)
    const index = segments.findIndex(({ path }) => path === this.#at?.path)
    if (index === -1) return []
    const newest = segments[index]
    const isDrained =
      isLeft(this.#folder) &&
      index === segments.length - 1 &&
      newest !== undefined &&
      sizeOf(newest.path) <= (this.#at?.offset ?? 0)
    return segments.slice(0, isDrained ? index + 1 : index)
  }

  /** Removes the folder of a writer that is gone and wholly in the store; whether it did. */
  removeIfEmpty(): boolean {
    if (!isLeft(this.#folder) || segmentsOf(this.#folder).length > 0) return false
    rmSync(this.#folder, { recursive: true, force: true })
    return true
  }

  /** What the store does not have, to the record. */
  backlog(): Backlog {
    const batch = this.next()
    const [oldest] = batch?.records ?? []
    if (batch === undefined || oldest === undefined) {
      this.#seen = undefined
      return NOTHING
    }
    const segments = segmentsOf(this.#folder)
    const last = this.#countOn(batch, segments)
    const from = segments.findIndex(({ path }) => path === batch.path)
    let bytes = 0
    for (const [index, { path }] of segments.entries()) {
      const start = index === from ? (this.#at?.offset ?? 0) : SEGMENT_HEAD
      if (index >= from) bytes += Math.max(0, sizeOf(path) - start)
    }
    const records = Math.max(1, last - (this.#last ?? oldest.seq - 1))
    return { bytes, records, oldest: oldest.record.time }
  }

  /** The number of the newest record, found by walking on from where the last count ended. */
  #countOn(batch: Batch, segments: readonly SegmentFile[]): number {
    const inBatch = batch.records.at(-1)?.seq ?? 0
    let seen = this.#seen
    if (
      seen === undefined ||
      seen.seq < inBatch ||
      !segments.some(({ path }) => path === seen?.path)
    )
      seen = { path: batch.path, offset: batch.end, seq: inBatch }
    let { path, offset, seq } = seen
    for (const segment of segments.slice(segments.findIndex((each) => each.path === path))) {
      if (segment.path !== path) offset = SEGMENT_HEAD
      path = segment.path
      for (;;) {
        const { end, lastSeq } = walk(readFrom(path, offset, READ_BYTES))
        seq = Math.max(seq, lastSeq ?? 0)
        offset += end
        if (end === 0) break
      }
    }
    this.#seen = { path, offset, seq }
    return seq
  }

  /** Where reading goes on; at first, and where the file is gone, behind what the store has. */
  #indexIn(segments: readonly SegmentFile[]): number {
    const known = segments.findIndex(({ path }) => path === this.#at?.path)
    if (known !== -1) return known
    let index = 0
    const wanted = (this.#last ?? 0) + 1
    while ((segments[index + 1]?.firstSeq ?? Infinity) <= wanted) index += 1
    const segment = segments[index]
    this.#at = segment === undefined ? undefined : { path: segment.path, offset: SEGMENT_HEAD }
    return index
  }

  #parse(
    window: Buffer,
    isSealed: boolean,
  ): { records: ShippedRecord[]; missing: Missing[]; end: number } {
    const records: ShippedRecord[] = []
    const missing: Missing[] = []
    let last = this.#last
    let lastTime = this.#lastTime
    let at = 0
    while (records.length < BATCH_RECORDS) {
      const read = readFrame(window, at)
      const record = read.kind === 'frame' ? recordOf(read.record, read.personal) : undefined
      if (read.kind === 'frame' && record !== undefined) {
        at = read.next
        const { seq } = record
        const { time } = record.record
        if (last !== undefined && seq <= last) {
          lastTime = time
          continue
        }
        if (last !== undefined && seq > last + 1)
          missing.push({
            writer: this.writer,
            from: lastTime ?? time,
            to: time,
            count: seq - last - 1,
          })
        records.push(record)
        last = seq
        lastTime = time
        continue
      }
      if (at >= window.length) break
      const step = passOver(window, at, isSealed)
      if (step === undefined) break
      at = step
    }
    this.#lastTime ??= lastTime
    return { records, missing, end: at }
  }
}

/** Where reading goes on behind bytes that are no frame; undefined: more may still come. */
function passOver(window: Buffer, at: number, isSealed: boolean): number | undefined {
  const next = nextFrame(window, at + 1)
  if (next !== undefined) return next
  // The file ends here: a torn tail, or one that is being written.
  if (window.length < READ_BYTES) return isSealed ? window.length : undefined
  // The window ends here, perhaps in the middle of a frame that a window from there will show whole.
  if (at > 0) return undefined
  return window.length - MAX_FRAME_BYTES
}

/** Hops over frames without reading what is in them, but for the last. */
function walk(window: Buffer): { end: number; lastSeq: number | undefined } {
  let end = 0
  let newest: Buffer | undefined
  for (;;) {
    const read = readFrame(window, end)
    if (read.kind === 'frame') {
      newest = read.record
      end = read.next
      continue
    }
    const next = end < window.length ? nextFrame(window, end + 1) : undefined
    if (next === undefined) break
    end = next
  }
  const parsed =
    newest === undefined ? undefined : (JSON.parse(newest.toString('utf8')) as { seq: number })
  return { end, lastSeq: parsed?.seq }
}

/** Undefined for a frame whose text is no record: it passed the checksum, so another program wrote it. */
function recordOf(record: Buffer, personal: Buffer): ShippedRecord | undefined {
  const text = record.toString('utf8')
  let parsed
  try {
    parsed = JSON.parse(text) as ShippedRecord['record']
  } catch {
    return undefined
  }
  return {
    writer: parsed.writer,
    seq: parsed.seq,
    leaf: leafHash(record),
    text,
    record: parsed,
    personal: readPersonal(personal),
    personalBytes: Buffer.from(personal),
  }
}

function readFrom(path: string, offset: number, most: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const size = Math.min(most, Math.max(0, fstatSync(fd).size - offset))
    const bytes = Buffer.allocUnsafe(size)
    let read = 0
    while (read < size) {
      const got = readSync(fd, bytes, read, size - read, offset + read)
      if (got === 0) break
      read += got
    }
    return bytes.subarray(0, read)
  } finally {
    closeSync(fd)
  }
}

function sizeOf(path: string): number {
  try {
    const fd = openSync(path, 'r')
    try {
      return fstatSync(fd).size
    } finally {
      closeSync(fd)
    }
  } catch {
    // Shipped and gone between the listing and now.
    return 0
  }
}
