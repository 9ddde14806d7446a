// Whose folder is it? A writer is a folder that one living process holds; its sequence numbers never start over.
//
// A folder is taken again only where everything that anybody may have read of it is still there: after a
// clean stop, or after a process that died while the machine lived on (what it wrote is in the page cache).
// After a power loss frames may be missing that the store has already, and their numbers would be given
// to other records, which the store would take for repeats. Such a folder is marked `left` and drained.

import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { type Lock, tryLock } from '../base/process-lock.ts'
import { nextFrame, readFrame } from './frame.ts'
import { readSegment, SEGMENT_HEAD, segmentsOf, type SegmentFile } from './segment.ts'

export const WRITER = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** Holds the boot id while a process writes. */
const OPEN = 'open'
const LEFT = 'left'
const LOCK = 'lock'
/** A failed sync leaves up to three files with the same frames; the newest frame is in one of these. */
const NEWEST_SEGMENTS = 4

export interface WriterFolder {
  readonly writer: string
  readonly folder: string
  /** The next sequence number. */
  readonly seq: number
  /** `sound`: everything is synced, the folder can be taken again. */
  release(sound: boolean): void
}

export function writersIn(dir: string): string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir)
    .filter((name) => WRITER.test(name))
    .toSorted()
}

/** Nobody will write here any more. */
export function isLeft(folder: string): boolean {
  return existsSync(join(folder, LEFT))
}

/** Takes a folder that nobody holds, or makes a new writer. */
export function claimWriter(dir: string): WriterFolder {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  for (const writer of writersIn(dir)) {
    const folder = join(dir, writer)
    if (isLeft(folder) || isBeingMade(folder)) continue
    const lock = tryLock(join(folder, LOCK))
    if (lock === undefined) continue
    const seq = isIntact(folder) ? nextSeq(folder) : undefined
    if (seq !== undefined) return taken(writer, folder, seq, lock)
    writeFileSync(join(folder, LEFT), '')
    lock.release()
  }
  const writer = randomUUID()
  const folder = join(dir, writer)
  mkdirSync(folder, { mode: 0o700 })
  const lock = tryLock(join(folder, LOCK))
  if (lock === undefined)
    throw new CordonError('SPOOL_FAILED', `${dir}: no writer folder could be claimed`)
  return taken(writer, folder, 1, lock)
}

/** Between its mkdir and its lock; touching it would take it from whoever makes it. */
function isBeingMade(folder: string): boolean {
  return !existsSync(join(folder, OPEN)) && segmentsOf(folder).length === 0
}

function taken(writer: string, folder: string, seq: number, lock: Lock): WriterFolder {
  writeFileSync(join(folder, OPEN), bootId(), { mode: 0o600 })
  return {
    writer,
    folder,
    seq,
    release: (sound) => {
      if (sound) rmSync(join(folder, OPEN), { force: true })
      else writeFileSync(join(folder, LEFT), '')
      lock.release()
    },
  }
}

function isIntact(folder: string): boolean {
  const mark = join(folder, OPEN)
  if (!existsSync(mark)) return true
  const boot = bootId()
  return boot !== '' && readFileSync(mark, 'utf8') === boot
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

/** The number after the newest frame; undefined where that cannot be told. */
function nextSeq(folder: string): number | undefined {
  const newest = segmentsOf(folder).slice(-NEWEST_SEGMENTS)
  // Without a segment nobody knows how far the writer had come.
  if (newest.length === 0) return undefined
  let seq = 0
  for (const segment of newest) {
    const last = lastSeqOf(segment)
    if (last === undefined) return undefined
    seq = Math.max(seq, last)
  }
  return seq + 1
}

/** The number of a segment's last frame, `firstSeq - 1` where it has none; undefined for a damaged end. */
function lastSeqOf({ path, firstSeq }: SegmentFile): number | undefined {
  const bytes = readSegment(path)
  if (bytes === undefined) return firstSeq - 1
  let last = firstSeq - 1
  let at = SEGMENT_HEAD
  for (;;) {
    const read = readFrame(bytes, at)
    if (read.kind === 'frame') {
      last = (JSON.parse(read.record.toString('utf8')) as { seq: number }).seq
      at = read.next
      continue
    }
    if (at >= bytes.length) return last
    const next = nextFrame(bytes, at + 1)
    if (next !== undefined) at = next
    else return read.kind === 'end' ? last : undefined
  }
}
