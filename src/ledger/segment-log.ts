// Frames into segment files, and the files onto the disk.
//
// A failed sync is final for its file: the kernel may have thrown away what it could not write, and a second
// call would succeed all the same. So frames are kept in memory until a sync has covered them; after a
// failure they go into a new file, and the old descriptor is closed for good.
//
// States: sound -> (a sync fails, that of the new file too) -> in trouble, until a further file takes it -> sound.

import { type Disk, writeAll } from './disk.ts'
import { frameEnd } from './frame.ts'
import { closeQuietly, createSegment, cutOff, SEGMENT_HEAD } from './segment.ts'

interface Segment {
  readonly fd: number
  readonly path: string
  /** The end of its last whole frame, and of the last one that a sync has covered. */
  bytes: number
  synced: number
  /** A torn frame could not be taken off its end: nothing more is written to it. */
  isTorn: boolean
}

interface Unsynced {
  readonly firstSeq: number
  readonly frames: Buffer
}

/** What became of the frames of a batch. */
export interface LogWrite {
  /** How many are whole in a file: their numbers are used up. */
  readonly kept: number
  readonly bytes: number
  /** Why the others are not. */
  readonly error?: unknown
}

export class SegmentLog {
  readonly #disk: Disk
  readonly #folder: string
  readonly #writer: string
  #current: Segment | undefined
  /** In the current segment, or in trouble in none. */
  #unsynced: Unsynced[] = []
  #unsyncedBytes = 0
  #trouble: Error | undefined
  /** Files whose sync failed: what is behind `keep` stands in the next one, too. */
  readonly #repeats: { readonly path: string; readonly keep: number }[] = []

  constructor(disk: Disk, folder: string, writer: string) {
    this.#disk = disk
    this.#folder = folder
    this.#writer = writer
  }

  /** Bytes that no sync has covered yet. */
  get unsyncedBytes(): number {
    return this.#unsyncedBytes
  }

  /** Why what was written is on no disk; undefined while all is well. */
  get trouble(): Error | undefined {
    return this.#trouble
  }

  /** Writes frames behind the last ones. Takes no other memory than a reference to them. */
  write(frames: Buffer, firstSeq: number): LogWrite {
    let segment
    try {
      segment = this.#segmentFor(firstSeq)
    } catch (error) {
      return { kept: 0, bytes: 0, error }
    }
    let written = 0
    let failure: { readonly error: unknown } | undefined
    try {
      while (written < frames.length) written += this.#disk.write(segment.fd, frames, written)
    } catch (error) {
      failure = { error }
    }
    // A whole frame may have been read and shipped already, so it stays and its number is used up.
    let kept = 0
    let whole = 0
    for (;;) {
      if (whole + 4 > written) break
      const end = frameEnd(frames, whole)
      if (end > written) break
      whole = end
      kept += 1
    }
    segment.bytes += whole
    if (whole > 0) {
      this.#unsynced.push({ firstSeq, frames: frames.subarray(0, whole) })
      this.#unsyncedBytes += whole
    }
    if (failure === undefined) return { kept, bytes: whole }
    if (written > whole) this.#cut(segment)
    return { kept, bytes: whole, error: failure.error }
  }

  /** Syncs what was written, in a new file where the old one fails; throws where that fails too. */
  sync(): void {
    if (this.#unsynced.length === 0) return
    const segment = this.#current
    if (segment !== undefined) {
      try {
        this.#disk.sync(segment.fd)
        segment.synced = segment.bytes
        this.#safe()
        return
      } catch {
        closeQuietly(this.#disk, segment.fd)
        this.#repeats.push({ path: segment.path, keep: segment.synced })
        this.#current = undefined
      }
    }
    try {
      this.#move()
    } catch (error) {
      this.#trouble = error instanceof Error ? error : new Error('unknown error')
      throw error
    }
    this.#trouble = undefined
    this.#safe()
  }

  /** Ends the segment, once all of it is synced; the next frame begins another. */
  end(): void {
    this.sync()
    if (this.#current !== undefined) closeQuietly(this.#disk, this.#current.fd)
    this.#current = undefined
  }

  #safe(): void {
    this.#unsynced = []
    this.#unsyncedBytes = 0
    try {
      for (let last = this.#repeats.at(-1); last !== undefined; last = this.#repeats.at(-1)) {
        cutOff(this.#disk, last.path, last.keep)
        this.#repeats.pop()
      }
    } catch {
      // Readers pass over what they know; the next time, perhaps, or when the folder is taken again.
    }
  }

  /** Puts all that is not safe into a new file. */
  #move(): void {
    const [first] = this.#unsynced
    if (first === undefined) return
    const disk = this.#disk
    const fresh = createSegment(this.#folder, this.#writer, first.firstSeq, disk)
    let isWhole = false
    try {
      for (const { frames } of this.#unsynced) writeAll(disk, fresh.fd, frames)
      isWhole = true
      disk.sync(fresh.fd)
    } catch (error) {
      closeQuietly(disk, fresh.fd)
      // One that is whole may be what a reader is reading: it goes when a better one is there.
      if (isWhole) this.#repeats.push({ path: fresh.path, keep: 0 })
      else disk.remove(fresh.path)
      throw error
    }
    const bytes = SEGMENT_HEAD + this.#unsyncedBytes
    this.#current = { ...fresh, bytes, synced: bytes, isTorn: false }
  }

  #segmentFor(firstSeq: number): Segment {
    if (this.#trouble !== undefined) throw this.#trouble
    if (this.#current?.isTorn === true) this.end()
    this.#current ??= {
      ...createSegment(this.#folder, this.#writer, firstSeq, this.#disk),
      bytes: SEGMENT_HEAD,
      synced: SEGMENT_HEAD,
      isTorn: false,
    }
    return this.#current
  }

  /** Takes a torn frame off the end; where that is impossible, nothing more is written behind it. */
  #cut(segment: Segment): void {
    try {
      this.#disk.truncate(segment.fd, segment.bytes)
    } catch {
      segment.isTorn = true
    }
  }
}
