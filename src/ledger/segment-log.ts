// Frames into segment files, and the files onto the disk.
//
// A failed sync is final for its file: the kernel may have thrown away what it could not write, and a second
// call would succeed all the same. So frames are kept in memory until a sync has covered them; after a
// failure they go into a new file, and the old descriptor is closed. One sync runs at a time, and only the
// loop that waits for it closes what it synced: a number is never reused under a sync that is under way.
//
// States: sound -> (a sync fails, the new file too) -> in trouble, one more try a second -> sound.

import { closeSync, ftruncateSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { createSegment, SEGMENT_HEAD } from './segment.ts'
import type { Syncer } from './syncer.ts'

export interface SegmentLogOptions {
  readonly folder: string
  readonly writer: string
  readonly syncer: Syncer
  /** False: nothing is ever synced, and nothing kept for it. */
  readonly syncs: boolean
  readonly onTrouble: (error: unknown) => void
  /** Everything is on the disk again. */
  readonly onSound: () => void
}

/** Told once: when the frames are safe, or when a new file did not take them either. */
export interface Settled {
  resolve(): void
  reject(error: unknown): void
}

interface Segment {
  readonly fd: number
  readonly path: string
  bytes: number
  /** Nothing more is written to it. */
  sealed: boolean
  /** A sync of it has succeeded, so it holds what no other file does. */
  kept: boolean
}

interface Group {
  readonly firstSeq: number
  readonly bytes: Buffer
  /** Undefined while no file has it: the last one failed. */
  segment: Segment | undefined
  settled: Settled | undefined
  moved: boolean
}

const SEGMENT_BYTES = 16 * 1024 * 1024
const RETRY_MS = 1000
/** Never fill the disk: other things need a little of it too. */
const DISK_FLOOR_BYTES = 64 * 1024 * 1024

export class SegmentLog {
  readonly #options: SegmentLogOptions
  #current: Segment | undefined
  #unsynced: Group[] = []
  #unsyncedBytes = 0
  /** The last group that somebody wants on the disk: what comes after it can wait for the next call. */
  #until: Group | undefined
  #running: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #isInTrouble = false
  /** Files that hold only what the next one will hold, too. */
  readonly #repeats: string[] = []

  constructor(options: SegmentLogOptions) {
    this.#options = options
  }

  /** Bytes that no sync has covered yet. */
  get unsyncedBytes(): number {
    return this.#unsyncedBytes
  }

  get isInTrouble(): boolean {
    return this.#isInTrouble
  }

  /** How many of the frames are whole in a file, and why the others are not. */
  write(
    frames: readonly Buffer[],
    firstSeq: number,
  ): { readonly kept: number; readonly bytes: number; readonly error?: unknown } {
    let segment
    try {
      segment = this.#segmentFor(firstSeq)
    } catch (error) {
      return { kept: 0, bytes: 0, error }
    }
    const bytes = Buffer.concat(frames)
    let written = 0
    let failure: { readonly error: unknown } | undefined
    try {
      while (written < bytes.length) written += writeSync(segment.fd, bytes, written)
    } catch (error) {
      failure = { error }
    }
    // A whole frame may have been read and shipped already, so it stays and its number is used up.
    let kept = 0
    let whole = 0
    for (const frame of frames) {
      if (whole + frame.length > written) break
      whole += frame.length
      kept += 1
    }
    segment.bytes += whole
    if (whole > 0 && this.#options.syncs) {
      const group = bytes.subarray(0, whole)
      this.#unsynced.push({ firstSeq, bytes: group, segment, settled: undefined, moved: false })
      this.#unsyncedBytes += whole
    }
    if (failure === undefined) return { kept, bytes: whole }
    if (written > whole) this.#cut(segment)
    return { kept, bytes: whole, error: failure.error }
  }

  /** Settles what the last `write` wrote when a sync has covered it. */
  whenSafe(settled: Settled): void {
    const group = this.#unsynced.at(-1)
    if (group === undefined) return settled.resolve()
    group.settled = settled
    void this.sync()
  }

  /** Syncs what was written until now, as far as the disk lets it; never rejects. */
  sync(): Promise<void> {
    this.#until = this.#unsynced.at(-1)
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Whether everything is on the disk. */
  async close(): Promise<boolean> {
    clearTimeout(this.#retry)
    await this.sync()
    clearTimeout(this.#retry)
    if (this.#current !== undefined) this.#seal(this.#current)
    for (const { settled } of this.#unsynced) settled?.reject(new Error('the spool is closed'))
    return this.#unsynced.length === 0
  }

  async #drain(): Promise<void> {
    while (this.#until !== undefined && this.#unsynced.includes(this.#until)) {
      const segment = this.#unsynced.find((group) => group.segment !== undefined)?.segment
      if (segment === undefined) break
      const covered = this.#unsynced.filter((group) => group.segment === segment)
      try {
        await this.#options.syncer.sync(segment.fd)
      } catch (error) {
        if (this.#abandon(segment)) continue
        this.#isInTrouble = true
        this.#options.onTrouble(error)
        this.#retryLater()
        return
      }
      segment.kept = true
      this.#settle(covered)
      this.#closeIfDone(segment)
    }
    if (!this.#isInTrouble || this.#unsynced.length > 0) return
    this.#isInTrouble = false
    this.#options.onSound()
  }

  #settle(covered: readonly Group[]): void {
    const done = new Set(covered)
    this.#unsynced = this.#unsynced.filter((group) => !done.has(group))
    for (const { bytes, settled } of covered) {
      this.#unsyncedBytes -= bytes.length
      settled?.resolve()
    }
  }

  /** Moves the frames of a file whose sync failed into a new one; whether that went well for the first time. */
  #abandon(segment: Segment): boolean {
    const groups = this.#unsynced.filter((group) => group.segment === segment)
    close(segment.fd)
    const wasCurrent = this.#current === segment
    if (wasCurrent) this.#current = undefined
    const isSecond = groups.some(({ moved }) => moved)
    try {
      if (isSecond) throw new Error('the sync of a second file failed too')
      this.#moveTo(groups, wasCurrent)
    } catch (error) {
      for (const group of groups) {
        group.segment = undefined
        group.settled?.reject(error)
        group.settled = undefined
      }
      if (isSecond && !segment.kept) this.#repeats.push(segment.path)
      return false
    }
    return true
  }

  #moveTo(groups: readonly Group[], asCurrent: boolean): void {
    const [first] = groups
    if (first === undefined) return
    const { folder, writer } = this.#options
    const fresh: Segment = {
      ...createSegment(folder, writer, first.firstSeq),
      bytes: SEGMENT_HEAD,
      sealed: !asCurrent,
      kept: false,
    }
    try {
      for (const { bytes } of groups) {
        let written = 0
        while (written < bytes.length) written += writeSync(fresh.fd, bytes, written)
        fresh.bytes += bytes.length
      }
    } catch (error) {
      close(fresh.fd)
      rmSync(fresh.path, { force: true })
      throw error
    }
    if (asCurrent) this.#current = fresh
    for (const group of groups) Object.assign(group, { segment: fresh, moved: true })
  }

  #retryLater(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      const groups = this.#unsynced.filter(({ segment }) => segment === undefined)
      try {
        this.#moveTo(groups, false)
        for (const path of this.#repeats.splice(0)) rmSync(path, { force: true })
      } catch (error) {
        this.#options.onTrouble(error)
        return this.#retryLater()
      }
      void this.sync()
    }, RETRY_MS).unref()
  }

  #segmentFor(firstSeq: number): Segment {
    const old = this.#current
    if (old !== undefined && old.bytes < SEGMENT_BYTES) return old
    const { folder, writer } = this.#options
    const { bavail, bsize } = statfsSync(folder)
    if (bavail * bsize < DISK_FLOOR_BYTES)
      throw Object.assign(new Error('the disk is nearly full'), { code: 'ENOSPC' })
    const fresh = createSegment(folder, writer, firstSeq)
    if (old !== undefined) this.#seal(old)
    this.#current = { ...fresh, bytes: SEGMENT_HEAD, sealed: false, kept: false }
    return this.#current
  }

  /** Takes a torn frame off the end; where that is impossible, nothing more is written behind it. */
  #cut(segment: Segment): void {
    try {
      ftruncateSync(segment.fd, segment.bytes)
    } catch {
      this.#seal(segment)
    }
  }

  #seal(segment: Segment): void {
    segment.sealed = true
    if (this.#current === segment) this.#current = undefined
    this.#closeIfDone(segment)
  }

  #closeIfDone(segment: Segment): void {
    if (segment.sealed && !this.#unsynced.some((group) => group.segment === segment))
      close(segment.fd)
  }
}

function close(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // A disk that fails here has failed before, and that was told.
  }
}
