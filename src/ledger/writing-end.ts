// Writes the batches of a spool and keeps their proof: whatever happens to a writer's files happens here.
//
// It blocks while the disk works, so a gateway runs it in a thread of its own (writer-thread.ts); a command,
// which has nothing else to do, runs it where it is. Nothing in it knows which of the two it is.

import { join } from 'node:path'
import type { GapRecord } from '../model/record.ts'
import { codeOf, type Disk, writeAll } from './disk.ts'
import { Evidence, type Progress, type WriterPlace } from './evidence.ts'
import { frameEnd, leafAt, sealFrame } from './frame.ts'
import { Room } from './room.ts'
import { type LogWrite, SegmentLog } from './segment-log.ts'
import { closeQuietly, END_WANTED } from './segment.ts'
import type { Ending } from './writer-folder.ts'

export type Fsync = 'batch' | 'record' | 'off'

export interface WritingEndOptions {
  readonly disk: Disk
  readonly place: WriterPlace
  readonly progress: Progress
  readonly fsync: Fsync
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds of a clock that nobody sets; default: `performance.now`. */
  readonly steady?: () => number
  readonly tell: (news: News) => void
}

/** Frames without CRC, side by side, whose numbers follow the last one that was kept; without any it asks whether the disk works again. */
export interface Batch {
  /** Belongs to the writing end from here on. */
  readonly frames: Buffer
  /** Times of the records, milliseconds since the epoch. */
  readonly times: { readonly from: number; readonly to: number }
  /** Gap records and what administrators do: they may use what is kept back for them. */
  readonly isUrgent: boolean
}

/** What became of a batch. */
export interface Written {
  /** How many of its records are kept: their numbers are used up. */
  readonly kept: number
  readonly bytes: number
  /** Why the others are not. */
  readonly refused?: Failure
  /** `record` only: they are written, but on no disk. They are kept in memory and tried again. */
  readonly unsafe?: Failure
  /** How long a sync took that was part of it. */
  readonly syncSeconds?: number
}

export interface Failure {
  readonly reason: GapRecord['reason'] & `spool_${string}`
  readonly message: string
}

/** What a writing end tells without being asked. */
export type News =
  /** What was written is on no disk, and is tried again each second; undefined once it is. */
  | { readonly kind: 'trouble'; readonly failure: Failure | undefined }
  | { readonly kind: 'synced'; readonly seconds: number }
  /** A checkpoint covers everything up to here. */
  | { readonly kind: 'signed'; readonly size: number }
  /** For the log. */
  | { readonly kind: 'problem'; readonly message: string }

const SEGMENT_BYTES = 16 * 1024 * 1024
const SEGMENT_MS = 10 * 60_000
/** The promise is 200 ms; the rest is for the sync itself. */
const SYNC_AFTER_MS = 150
const CHECKPOINT_EVERY_MS = 10_000
const RETRY_MS = 1000
/** By its name a draft, which nobody reads. */
const PROBE_FILE = 'probe.part'
const PROBE = Buffer.alloc(4096)
/** What waits for a sync is in memory, so it is bounded, whatever is promised. */
const MAX_UNSYNCED_BYTES = 16 * 1024 * 1024

export class WritingEnd {
  readonly #options: WritingEndOptions
  readonly #steady: () => number
  readonly #log: SegmentLog
  readonly #evidence: Evidence
  readonly #room: Room
  #syncAt = Infinity
  #checkpointAt: number
  /** When there was last something to sign. */
  #newsAt: number
  #retryAt = Infinity
  #problem = ''
  #syncSeconds: number | undefined

  /** Throws CordonError LEDGER_KEY where nothing can be signed. */
  constructor(options: WritingEndOptions) {
    const { disk, place, progress, tell } = options
    this.#options = options
    this.#steady = options.steady ?? (() => performance.now())
    this.#log = new SegmentLog(disk, place.folder, place.writer)
    this.#evidence = new Evidence(disk, place, progress, (message) =>
      tell({ kind: 'problem', message }),
    )
    this.#room = new Room(disk, place.ledgerDir)
    this.#newsAt = this.#steady()
    this.#checkpointAt = this.#newsAt + CHECKPOINT_EVERY_MS
  }

  write({ frames, times, isUrgent }: Batch): Written {
    const at = this.#steady()
    this.#syncSeconds = undefined
    try {
      this.#makeRoom(frames.length, isUrgent, at)
      if (frames.length === 0) this.#probe()
    } catch (error) {
      return { kept: 0, bytes: 0, refused: failureOf(error) }
    }
    const leaves: Buffer[] = []
    for (let start = 0; start < frames.length; start = frameEnd(frames, start)) {
      sealFrame(frames, start)
      leaves.push(leafAt(frames, start))
    }
    let { kept, bytes, error } = this.#append(frames, leaves, times)
    if (error !== undefined && isUrgent && isFull(error) && this.#room.release()) {
      const more = this.#append(frames.subarray(bytes), leaves.slice(kept), times)
      kept += more.kept
      bytes += more.bytes
      error = more.error
    }
    const unsafe = kept === 0 ? undefined : this.#secure(at)
    // After a quiet time the first record is signed at once: what no checkpoint covers is never old.
    if (kept > 0 && at - this.#newsAt >= CHECKPOINT_EVERY_MS) this.#checkpointAt = at
    return {
      kept,
      bytes,
      ...(error === undefined ? {} : { refused: failureOf(error) }),
      ...(unsafe === undefined ? {} : { unsafe }),
      ...(this.#syncSeconds === undefined ? {} : { syncSeconds: this.#syncSeconds }),
    }
  }

  /** Does what is due. */
  tick(): void {
    const at = this.#steady()
    if (at >= Math.min(this.#syncAt, this.#retryAt)) {
      const isSynced = this.#sync(at) === undefined
      if (isSynced && this.#syncSeconds !== undefined)
        this.#options.tell({ kind: 'synced', seconds: this.#syncSeconds })
    }
    if (at < this.#checkpointAt) return
    this.#checkpointAt = at + CHECKPOINT_EVERY_MS
    if (this.#evidence.hasNews()) this.#newsAt = at
    this.#sign(at)
    this.#room.restore()
  }

  /** Milliseconds until something is due. */
  idleMs(): number {
    const due = Math.min(this.#syncAt, this.#retryAt, this.#checkpointAt)
    return Math.max(0, due - this.#steady())
  }

  close(): Ending {
    const at = this.#steady()
    const isSound = this.#sync(at) === undefined
    if (isSound) {
      this.#sign(at)
      this.#attempt(() => this.#log.end())
    }
    this.#evidence.close()
    if (!isSound) return 'unsafe'
    return this.#evidence.signed?.size === this.#evidence.size ? 'proved' : 'synced'
  }

  #makeRoom(bytes: number, isUrgent: boolean, at: number): void {
    if (this.#isDueToEnd()) {
      // What is urgent goes into the old segment, however long it gets.
      if (isUrgent) this.#attempt(() => this.#endStretch(at))
      else this.#endStretch(at)
    }
    if (!isUrgent) this.#room.require(bytes, at)
  }

  #append(
    frames: Buffer,
    leaves: readonly Buffer[],
    times: { readonly from: number; readonly to: number },
  ): LogWrite {
    if (frames.length === 0) return { kept: 0, bytes: 0 }
    const result = this.#log.write(frames, this.#evidence.size + 1)
    for (const leaf of leaves.slice(0, result.kept)) this.#evidence.append(leaf)
    if (result.kept > 0) this.#evidence.extend(result.bytes, times)
    return result
  }

  /** Throws what a write would: so that a spool that nobody writes to learns that its disk is well again. */
  #probe(): void {
    if (this.#log.trouble !== undefined) throw this.#log.trouble
    const { disk, place } = this.#options
    const path = join(place.folder, PROBE_FILE)
    const fd = disk.open(path, 'over')
    try {
      writeAll(disk, fd, PROBE)
      disk.sync(fd)
    } finally {
      closeQuietly(disk, fd)
      disk.remove(path)
    }
  }

  /** Keeps the promise of `fsync`, or says when it will be kept. */
  #secure(at: number): Failure | undefined {
    const { fsync } = this.#options
    if (fsync === 'record') return this.#sync(at)
    if (this.#log.unsyncedBytes >= MAX_UNSYNCED_BYTES) this.#sync(at)
    else if (fsync === 'batch') this.#syncAt = Math.min(this.#syncAt, at + SYNC_AFTER_MS)
    return undefined
  }

  #sync(at: number): Failure | undefined {
    this.#syncAt = Infinity
    if (this.#log.unsyncedBytes === 0) return undefined
    const wasInTrouble = this.#log.trouble !== undefined
    const began = this.#steady()
    try {
      this.#log.sync()
    } catch (error) {
      const failure = failureOf(error, 'synced')
      this.#retryAt = at + RETRY_MS
      this.#options.tell({ kind: 'trouble', failure })
      return failure
    }
    this.#retryAt = Infinity
    this.#syncSeconds = (this.#steady() - began) / 1000
    if (wasInTrouble) this.#options.tell({ kind: 'trouble', failure: undefined })
    return undefined
  }

  #isDueToEnd(): boolean {
    const { stretchBytes, stretchBegan } = this.#evidence
    return (
      stretchBytes >= SEGMENT_BYTES ||
      (stretchBegan !== undefined && this.#options.now() - stretchBegan >= SEGMENT_MS)
    )
  }

  /** Whoever erases a person has to wait for the end of a segment that names them. */
  #isAskedToEnd(): boolean {
    const { disk, place } = this.#options
    const path = join(place.folder, END_WANTED)
    if (!disk.has(path)) return false
    disk.remove(path)
    return true
  }

  #endStretch(at: number): void {
    this.#sync(at)
    if (this.#log.trouble !== undefined) throw this.#log.trouble
    this.#log.end()
    this.#evidence.seal(this.#options.now())
    this.#tellSigned()
  }

  /** A checkpoint, where there is something new; a seal, where the time for it has come. */
  #sign(at: number): void {
    if (this.#log.trouble !== undefined) return
    this.#attempt(() => {
      if (this.#isDueToEnd() || this.#isAskedToEnd()) this.#endStretch(at)
      // A failed sync tells itself.
      if (!this.#evidence.hasNews() || this.#sync(at) !== undefined) return
      this.#evidence.checkpoint(this.#options.now())
      this.#tellSigned()
    })
  }

  #tellSigned(): void {
    this.#options.tell({ kind: 'signed', size: this.#evidence.size })
  }

  /** What proves the records can be late; it is told once, and tried again. */
  #attempt(act: () => void): void {
    try {
      act()
      this.#problem = ''
    } catch (error) {
      const message = `the ledger cannot be signed: ${messageOf(error)}`
      if (message !== this.#problem) this.#options.tell({ kind: 'problem', message })
      this.#problem = message
    }
  }
}

function failureOf(error: unknown, what: 'written' | 'synced' = 'written'): Failure {
  const code = codeOf(error)
  return {
    reason: isFull(error) ? 'spool_full' : 'spool_failed',
    message: `the spool cannot be ${what} (${code === '' ? messageOf(error) : code})`,
  }
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(codeOf(error))
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
