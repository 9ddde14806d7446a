// From spool to store: follows the segments of all writers of a data directory and ships them in batches.
//
// At least once plus idempotent rows = exactly once in the store: the cursor of a writer moves in the same
// transaction as its rows. A store that is away costs nothing but lag; a poison record is found by
// bisection, set aside and reported, and never blocks the others.

import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import type { ShippedRecord, Sink } from '../model/record.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { leafHash, readPersonal } from './encode.ts'
import { nextFrame, readFrame } from './frame.ts'
import { SEGMENT_HEAD, segmentsOf, type SegmentFile } from './segment.ts'
import { WRITER } from './spool.ts'

export interface RecorderOptions {
  readonly dir: string
  /** Where shipped segments go; empty: they are deleted. */
  readonly archiveDir: string
  readonly now: () => number
}

export interface Backlog {
  readonly bytes: number
  readonly records: number
}

interface WriterState {
  readonly writer: string
  path: string | undefined
  offset: number
  shipped: number
}

const LOOK_EVERY_MS = 100
const BATCH_RECORDS = 1000
const READ_BYTES = 4 * 1024 * 1024
const BACKOFF_MS = { least: 200, most: 30_000 }
/** Data exceptions and integrity violations: this row will never be taken. */
const POISON = /^(?:22|23)/

export class Recorder {
  readonly #sink: Sink
  readonly #options: RecorderOptions
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #onBacklog: (backlog: Backlog) => void
  readonly #writers = new Map<string, WriterState>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #busy = false
  #stopped = false
  #delayMs = 0
  #lastShippedAt: number
  #oldestMs: number | undefined

  constructor(
    parts: { sink: Sink; metrics: Metrics; log: Log; onBacklog: (backlog: Backlog) => void },
    options: RecorderOptions,
  ) {
    this.#sink = parts.sink
    this.#metrics = parts.metrics
    this.#log = parts.log
    this.#onBacklog = parts.onBacklog
    this.#options = options
    this.#lastShippedAt = options.now()
  }

  start(): void {
    this.#schedule(0)
  }

  /** Something was written: look soon. */
  poke(): void {
    if (this.#delayMs === 0) this.#schedule(5)
  }

  /** Milliseconds that the oldest unshipped record has waited; 0 where nothing waits. */
  lagMs(): number {
    return this.#oldestMs === undefined ? 0 : Math.max(0, this.#options.now() - this.#oldestMs)
  }

  /** Ships what is there, as far as the store takes it, and stops. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
    await this.#look().catch(() => undefined)
  }

  /** Ships what is there now; for commands that work while nothing runs. */
  async flush(): Promise<void> {
    await this.#running
    await this.#look()
  }

  #schedule(afterMs: number): void {
    if (this.#stopped || this.#busy) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#busy = true
      this.#running = this.#round().finally(() => {
        this.#busy = false
        this.#schedule(this.#delayMs > 0 ? this.#delayMs : LOOK_EVERY_MS)
      })
    }, afterMs)
  }

  async #round(): Promise<void> {
    try {
      await this.#look()
      this.#delayMs = 0
    } catch (error) {
      // Full jitter, so that several recorders do not come back together.
      const ceiling = Math.min(BACKOFF_MS.most, Math.max(BACKOFF_MS.least, this.#delayMs * 2))
      this.#delayMs = BACKOFF_MS.least + Math.round(Math.random() * (ceiling - BACKOFF_MS.least))
      this.#metrics.recorderBatches.inc({ outcome: 'retried' })
      this.#log.warn(
        { err: messageOf(error), retry_ms: this.#delayMs },
        'the store does not take records',
      )
    } finally {
      this.#measure()
    }
  }

  async #look(): Promise<void> {
    const known = this.#discover()
    if (known.some((writer) => !this.#writers.has(writer))) {
      const cursors = await this.#sink.cursors()
      for (const writer of known) {
        if (!this.#writers.has(writer))
          this.#writers.set(writer, {
            writer,
            path: undefined,
            offset: 0,
            shipped: cursors.get(writer) ?? 0,
          })
      }
    }
    let more = true
    while (more) {
      more = false
      for (const state of this.#writers.values()) more = (await this.#shipSome(state)) || more
    }
  }

  #discover(): string[] {
    if (!existsSync(this.#options.dir)) return []
    return readdirSync(this.#options.dir).filter((name) => WRITER.test(name))
  }

  /** One batch of a writer; whether there may be more. */
  async #shipSome(state: WriterState): Promise<boolean> {
    const segments = segmentsOf(join(this.#options.dir, state.writer))
    const current =
      segments.findLast(
        ({ path, firstSeq }) => path === state.path || firstSeq <= state.shipped + 1,
      ) ?? segments[0]
    if (current === undefined) return false
    if (state.path !== current.path) {
      const next = segments.find(({ path }) => path === state.path)
      if (next === undefined)
        [state.path, state.offset] = [(segments[0] ?? current).path, SEGMENT_HEAD]
    }
    const at = segments.findIndex(({ path }) => path === state.path)
    const bytes = readFrom(state.path ?? current.path, state.offset)
    const { records, end, damaged } = this.#parse(bytes, at < segments.length - 1)
    if (damaged > 0)
      this.#log.error(
        { writer: state.writer, segment: basename(state.path ?? ''), damaged },
        'damaged frames in the spool',
      )
    const fresh = records.filter(({ seq }) => seq > state.shipped)
    if (fresh.length > 0) {
      await this.#write(state.writer, fresh)
      state.shipped = fresh.at(-1)?.seq ?? state.shipped
      this.#lastShippedAt = this.#options.now()
    }
    state.offset += end
    const following = segments[at + 1]
    if (following !== undefined && bytes.length < READ_BYTES && end === bytes.length) {
      this.#finish(segments[at])
      state.path = following.path
      state.offset = SEGMENT_HEAD
      return true
    }
    return end > 0 && bytes.length > end
  }

  #parse(
    bytes: Buffer,
    isSealed: boolean,
  ): { records: ShippedRecord[]; end: number; damaged: number } {
    const records: ShippedRecord[] = []
    let at = 0
    let damaged = 0
    while (records.length < BATCH_RECORDS) {
      const read = readFrame(bytes, at)
      if (read.kind === 'frame') {
        records.push(shipped(read.record, read.personal))
        at = read.next
        continue
      }
      if (at >= bytes.length) break
      const next = nextFrame(bytes, at + 1)
      if (next === undefined) {
        if (isSealed && bytes.length < READ_BYTES) at = bytes.length
        break
      }
      damaged += 1
      at = next
    }
    return { records, end: at, damaged }
  }

  async #write(writer: string, records: readonly ShippedRecord[]): Promise<void> {
    try {
      await this.#sink.write(writer, records)
      this.#metrics.recorderBatches.inc({ outcome: 'written' })
    } catch (error) {
      if (!POISON.test(sqlState(error))) throw error
      const [only] = records
      if (records.length > 1 || only === undefined) {
        const half = Math.ceil(records.length / 2)
        await this.#write(writer, records.slice(0, half))
        await this.#write(writer, records.slice(half))
        return
      }
      await this.#sink.setAside(only, messageOf(error))
      this.#metrics.recorderBatches.inc({ outcome: 'set_aside' })
      this.#log.error(
        { writer, seq: only.seq, code: sqlState(error) },
        'a record was refused by the store and set aside',
      )
    }
  }

  #finish(segment: SegmentFile | undefined): void {
    if (segment === undefined) return
    const { archiveDir } = this.#options
    if (archiveDir === '') rmSync(segment.path, { force: true })
    else {
      const folder = join(archiveDir, basename(join(segment.path, '..')))
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      renameSync(segment.path, join(folder, basename(segment.path)))
    }
  }

  #measure(): void {
    let bytes = 0
    for (const state of this.#writers.values()) {
      const segments = segmentsOf(join(this.#options.dir, state.writer))
      const from = segments.findIndex(({ path }) => path === state.path)
      for (const [index, { path }] of segments.entries()) {
        const size = sizeOf(path) - (index === from ? state.offset : SEGMENT_HEAD)
        if (index >= from) bytes += Math.max(0, size)
      }
    }
    const records = Math.round(bytes / TYPICAL_RECORD_BYTES)
    this.#oldestMs = bytes === 0 ? undefined : (this.#oldestMs ?? this.#lastShippedAt)
    this.#metrics.spoolBytes.set(bytes)
    this.#metrics.spoolRecords.set(bytes === 0 ? 0 : Math.max(1, records))
    this.#metrics.recorderLagSeconds.set(this.lagMs() / 1000)
    this.#onBacklog({ bytes, records })
  }
}

/** To tell records from bytes without reading them again. */
const TYPICAL_RECORD_BYTES = 1500

function shipped(record: Buffer, personal: Buffer): ShippedRecord {
  const text = record.toString('utf8')
  const parsed = JSON.parse(text) as ShippedRecord['record']
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

function readFrom(path: string, offset: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const size = Math.min(READ_BYTES, Math.max(0, fstatSync(fd).size - offset))
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

function sqlState(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
