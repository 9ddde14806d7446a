// Reads one writer's segments in order, wherever they are: what is next, and how much waits.
//
// Sequence numbers are without holes, so a missing one is a record that was lost: the damaged middle of a
// file, or a file that somebody took away. The reader passes over it and tells how many. It keeps no record:
// a batch that was not taken is read again, so that a store that is away costs no memory.

import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ShippedRecord } from '../model/record.ts'
import { readCheckpoint } from '../proof/checkpoint.ts'
import { openNote } from '../proof/note.ts'
import { codeOf } from './disk.ts'
import { CHECKPOINT_FILE } from './evidence.ts'
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES, nextFrame, readFrame } from './frame.ts'
import { recordOf, timeOf } from './record-of.ts'
import { SEGMENT_HEAD } from './segment.ts'
import {
  decompressed,
  Listing,
  MAX_SEGMENT_BYTES,
  type StoredSegment,
  storedSegments,
} from './stored-segment.ts'
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
  readonly end: Position
}

export interface Backlog {
  readonly bytes: number
  readonly records: number
  /** When the oldest of them was made. */
  readonly oldest: number | undefined
}

/** A place in a segment, whatever file holds it. */
interface Position extends Numbers {
  readonly key: string
  readonly offset: number
}

/** Which number the next record of a segment has: a frame with another one was put there by somebody else. */
interface Numbers {
  readonly least: number
  /** Behind bytes that are no record it may be greater, by as many as had room in them. */
  readonly passed: number
}

const BATCH_RECORDS = 1000
const READ_BYTES = 4 * 1024 * 1024
const NOTHING: Backlog = { bytes: 0, records: 0, oldest: undefined }
const MAX_NOTE_BYTES = 64 * 1024
const NO_BYTES = Buffer.alloc(0)
const NO_NAMES: readonly string[] = []
/** No segment holds more. */
const SEGMENT_RECORDS = Math.ceil(MAX_SEGMENT_BYTES / MIN_FRAME_BYTES)
/** How often a file may go between a listing and its reading before somebody has to look. */
const MAX_MISSED = 10

export class Follower {
  readonly writer: string
  readonly #folders: readonly string[]
  readonly #listings: readonly Listing[]
  #listed: {
    readonly names: readonly (readonly string[])[]
    readonly segments: readonly StoredSegment[]
  } = { names: [], segments: [] }
  /** The last number that the store has; undefined until the first record of a writer that it does not know. */
  #last: number | undefined
  #lastTime: number | undefined
  #at: Position | undefined
  /** Why the archive could not be listed. */
  #unread: Error | undefined
  /** The compressed segment that is being read, and the length of the last one that was. */
  #opened: { readonly key: string; readonly bytes: Buffer } | undefined
  #ended: { readonly key: string; readonly length: number } | undefined
  /** How far `backlog` has counted in the newest segment. */
  #counted: { readonly key: string; readonly offset: number; readonly seq: number } | undefined
  #oldest:
    | { readonly key: string; readonly offset: number; readonly time: number | undefined }
    | undefined

  /** `folders`: those of the writer; the first is where it writes. `shipped`: the last number that the store has. */
  constructor(folders: readonly string[], writer: string, shipped: number | undefined) {
    this.#folders = folders
    this.#listings = folders.map((folder) => new Listing(folder))
    this.writer = writer
    this.#last = shipped
  }

  /** The last number that the store has. */
  get shipped(): number {
    return this.#last ?? 0
  }

  /**
   * What the store says that it has: less than before where an older one was restored. Where it is more, reading goes
   * on as it was, so that what is missing is told even if nobody learned that its batch had arrived.
   */
  resume(shipped: number | undefined): void {
    if (this.#last !== undefined && this.#last <= (shipped ?? 0)) return
    this.#last = shipped
    this.#lastTime = undefined
    this.#at = undefined
  }

  /** The same batch until it is taken; undefined where nothing waits. */
  next(): Batch | undefined {
    for (let missed = 0; ;) {
      const segments = this.#segments()
      const index = this.#indexIn(segments)
      const segment = segments[index]
      if (segment === undefined || this.#at === undefined) return undefined
      const isSealed = index < segments.length - 1 || isLeft(this.#folders[0] ?? '')
      const { key, offset } = this.#at
      const window = this.#read(segment, offset)
      // Compressed, moved or removed since it was listed.
      if (window === undefined && missed++ < MAX_MISSED) continue
      if (window === undefined) return undefined
      missed = 0
      const { end, numbers, ...found } = this.#parse(window, isSealed, this.#at)
      const at = { key, offset: offset + end, ...numbers }
      if (found.records.length > 0) return { ...found, end: at }
      this.#at = at
      if (end > 0) continue
      if (window.length > 0 || index === segments.length - 1) return undefined
      const following = segments[index + 1]
      if (following !== undefined) this.#at = beginOf(following)
    }
  }

  /** The store has the batch: go on behind it. */
  take({ records, end }: Batch): void {
    const last = records.at(-1)
    this.#last = last?.seq ?? this.#last
    this.#lastTime = last?.record.time ?? this.#lastTime
    this.#at = end
  }

  /** Lets go of what was read ahead. */
  release(): void {
    this.#opened = undefined
  }

  /** Whether nobody will write here any more, and the store has everything. */
  isDrained(): boolean {
    return isLeft(this.#folders[0] ?? '') && this.next() === undefined
  }

  /** What the store does not have, to the record; bytes only of what is not archived, which some store has had. */
  backlog(): Backlog {
    const segments = this.#segments()
    const from = this.#indexIn(segments)
    const at = this.#at
    const newest = segments.at(-1)
    if (at === undefined || newest === undefined) return NOTHING
    const records = this.#newestSeq(newest) - this.shipped
    let bytes = 0
    for (const [index, { path, isCompressed }] of segments.entries()) {
      const start = index === from ? at.offset : SEGMENT_HEAD
      if (index >= from && !isCompressed) bytes += Math.max(0, sizeOf(path) - start)
    }
    if (records <= 0) return NOTHING
    return { bytes, records, oldest: this.#oldestTime(segments[from], at) }
  }

  /** Sorted anew only where a folder has changed. */
  #segments(): readonly StoredSegment[] {
    this.#unread = undefined
    const names = this.#listings.map((listing, index) => this.#namesIn(listing, index))
    if (names.some((each, index) => each !== this.#listed.names[index])) {
      const folders = this.#folders.map((folder, index) => ({ folder, names: names[index] ?? [] }))
      this.#listed = { names, segments: this.#own(storedSegments(folders)) }
    }
    return this.#listed.segments
  }

  /**
   * Without files whose number the writer cannot have come to, as its checkpoint and the files before them say: whoever
   * read on there would never come back. `cordon ledger verify` names them.
   */
  #own(segments: readonly StoredSegment[]): readonly StoredSegment[] {
    const signed = signedIn(this.#folders[0] ?? '')
    if (signed === undefined) return segments
    let most = Math.max(signed, this.shipped)
    const end = segments.findIndex(({ firstSeq }) => {
      const isFarOff = firstSeq > most + SEGMENT_RECORDS
      most = Math.max(most, firstSeq + SEGMENT_RECORDS)
      return isFarOff
    })
    return end === -1 ? segments : segments.slice(0, end)
  }

  /** An archive that cannot be read matters only where the store lacks what is in it. */
  #namesIn(listing: Listing, index: number): readonly string[] {
    try {
      return listing.names()
    } catch (error) {
      if (index === 0) throw error
      this.#unread = error instanceof Error ? error : new Error(String(error))
      return NO_NAMES
    }
  }

  /** When the first record that waits was made: looked up once for each place. */
  #oldestTime(segment: StoredSegment | undefined, at: Position): number | undefined {
    if (this.#oldest?.key !== at.key || this.#oldest.offset !== at.offset) {
      const window = segment === undefined ? undefined : this.#read(segment, at.offset)
      this.#oldest = {
        ...at,
        time: window === undefined ? undefined : timeOf(window, this.shipped),
      }
    }
    return this.#oldest.time
  }

  /** The number of the newest record, found by walking on from where the last count ended. */
  #newestSeq(newest: StoredSegment): number {
    const known = this.#counted?.key === newest.key ? this.#counted : undefined
    let { offset, seq } = known ?? { offset: SEGMENT_HEAD, seq: newest.firstSeq - 1 }
    for (;;) {
      const { end, lastSeq } = walk(this.#read(newest, offset) ?? NO_BYTES)
      if (end === 0) break
      offset += end
      if (lastSeq <= newest.firstSeq + offset / MIN_FRAME_BYTES) seq = Math.max(seq, lastSeq)
    }
    this.#counted = { key: newest.key, offset, seq }
    return seq
  }

  /** Where reading goes on; at first, and where the segment is gone, behind what the store has. */
  #indexIn(segments: readonly StoredSegment[]): number {
    const known = segments.findIndex(({ key }) => key === this.#at?.key)
    if (known !== -1) return known
    let index = 0
    const wanted = this.shipped + 1
    while ((segments[index + 1]?.firstSeq ?? Infinity) <= wanted) index += 1
    const segment = segments[index]
    if (this.#unread !== undefined && (segment?.firstSeq ?? wanted) > wanted) throw this.#unread
    this.#at = segment === undefined ? undefined : beginOf(segment)
    return index
  }

  /** The bytes from an offset on, at most a window; undefined where the file is gone. */
  #read(segment: StoredSegment, offset: number): Buffer | undefined {
    try {
      if (!segment.isCompressed) return readFrom(segment.path, offset, READ_BYTES)
      if (this.#ended?.key === segment.key && offset >= this.#ended.length) return NO_BYTES
      if (this.#opened?.key !== segment.key)
        this.#opened = { key: segment.key, bytes: contentOf(segment.path) }
      const { key, bytes } = this.#opened
      const window = bytes.subarray(offset, offset + READ_BYTES)
      if (window.length === 0) {
        this.#ended = { key, length: bytes.length }
        this.#opened = undefined
      }
      return window
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  #parse(
    window: Buffer,
    isSealed: boolean,
    numbers: Numbers,
  ): { records: ShippedRecord[]; missing: Missing[]; end: number; numbers: Numbers } {
    const records: ShippedRecord[] = []
    const missing: Missing[] = []
    let last = this.#last
    let lastTime = this.#lastTime
    let at = 0
    let { least, passed } = numbers
    while (records.length < BATCH_RECORDS) {
      const read = readFrame(window, at)
      const record = read.kind === 'frame' ? recordOf(window, at, read, this.writer) : undefined
      if (read.kind === 'frame' && record !== undefined) {
        const { seq } = record
        const isNext = seq >= least && seq - least <= passed / MIN_FRAME_BYTES
        passed = isNext ? 0 : passed + read.next - at
        at = read.next
        if (!isNext) continue
        least = seq + 1
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
      passed += step - at
      at = step
    }
    this.#lastTime ??= lastTime
    return { records, missing, end: at, numbers: { least, passed } }
  }
}

function beginOf({ key, firstSeq }: StoredSegment): Position {
  return { key, offset: SEGMENT_HEAD, least: firstSeq, passed: 0 }
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
function walk(window: Buffer): { end: number; lastSeq: number } {
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
  return { end, lastSeq: newest === undefined ? 0 : seqOf(newest) }
}

function seqOf(record: Buffer): number {
  try {
    const { seq } = JSON.parse(record.toString('utf8')) as { seq?: unknown }
    return Number.isSafeInteger(seq) ? (seq as number) : 0
  } catch {
    return 0
  }
}

/** Of an archive that is damaged nothing can be read: its records are missing, which is told. */
function contentOf(path: string): Buffer {
  const bytes = readFileSync(path)
  try {
    return decompressed(bytes)
  } catch {
    return NO_BYTES
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

/** How many records the newest checkpoint in a folder covers, whoever signed it; undefined where there is none. */
function signedIn(folder: string): number | undefined {
  const path = join(folder, CHECKPOINT_FILE)
  if (sizeOf(path) === 0 || sizeOf(path) > MAX_NOTE_BYTES) return undefined
  try {
    return readCheckpoint(openNote(readFileSync(path, 'utf8'), [])?.text ?? '')?.size
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
