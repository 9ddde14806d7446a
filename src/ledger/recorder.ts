// From spool to store: follows the segments of all writers of a data directory and ships them in batches.
//
// At least once plus idempotent rows = exactly once in the store: the cursor of a writer moves in the same
// transaction as its rows. A store that is away costs nothing but lag; a poison record is found by
// bisection, set aside and reported, and never blocks the others.

import { join } from 'node:path'
import type { ShippedRecord, Sink } from '../model/record.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { Archive } from './archive.ts'
import { type Backlog, Follower, type Missing } from './follower.ts'
import { writersIn } from './writer-folder.ts'

export interface RecorderOptions {
  readonly dir: string
  /** Where shipped segments go; empty: they are deleted. */
  readonly archiveDir: string
  /** How long and how many bytes the archive keeps; without: everything. */
  readonly archiveKeepMs?: number
  readonly archiveLimitBytes?: number
  readonly now: () => number
}

export interface SpoolBacklog {
  readonly bytes: number
  readonly records: number
}

export interface RecorderParts {
  readonly sink: Sink
  readonly metrics: Metrics
  readonly log: Log
  readonly onBacklog: (backlog: SpoolBacklog) => void
  /** Told of records that are missing between those that arrived: whoever has a spool keeps a gap record. */
  readonly onMissing?: (missing: Missing) => void
}

const LOOK_EVERY_MS = 100
/** How often it is measured what waits while the store is away. */
const MEASURE_EVERY_MS = 1000
const BACKOFF_MS = { least: 200, most: 30_000 }
/** Data exceptions and integrity violations: this row will never be taken. */
const POISON = /^(?:22|23)/

export class Recorder {
  readonly #parts: RecorderParts
  readonly #options: RecorderOptions
  readonly #archive: Archive
  readonly #followers = new Map<string, Follower>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #busy = false
  #stopped = false
  #delayMs = 0
  #retryAt = -Infinity
  #archiveFailed = false
  #oldest: number | undefined

  constructor(parts: RecorderParts, options: RecorderOptions) {
    this.#parts = parts
    this.#options = options
    this.#archive = new Archive({
      dir: options.archiveDir,
      keepMs: options.archiveKeepMs ?? Infinity,
      limitBytes: options.archiveLimitBytes ?? Infinity,
      now: options.now,
    })
  }

  start(): void {
    this.#schedule(0)
  }

  /** Something was written: look soon. */
  poke(): void {
    if (this.#delayMs === 0) this.#schedule(5)
  }

  /** Milliseconds since the oldest record that is not in the store was made; 0 where nothing waits. */
  lagMs(): number {
    return this.#oldest === undefined ? 0 : Math.max(0, this.#options.now() - this.#oldest)
  }

  /** Ships what is there, as far as the store takes it, and stops. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
    await this.#look().catch(() => undefined)
    this.#measure()
  }

  /** Ships what is there now; for commands that work while nothing runs. */
  async flush(): Promise<void> {
    await this.#running
    await this.#look()
    this.#measure()
  }

  #schedule(afterMs: number): void {
    if (this.#stopped || this.#busy) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#busy = true
      this.#running = this.#round().finally(() => {
        this.#busy = false
        this.#schedule(
          this.#delayMs > 0 ? Math.min(this.#delayMs, MEASURE_EVERY_MS) : LOOK_EVERY_MS,
        )
      })
    }, afterMs)
  }

  async #round(): Promise<void> {
    const { metrics, log } = this.#parts
    try {
      if (performance.now() < this.#retryAt) return
      await this.#look()
      this.#delayMs = 0
    } catch (error) {
      // Full jitter, so that several recorders do not come back together.
      const ceiling = Math.min(BACKOFF_MS.most, Math.max(BACKOFF_MS.least, this.#delayMs * 2))
      this.#delayMs = BACKOFF_MS.least + Math.round(Math.random() * (ceiling - BACKOFF_MS.least))
      this.#retryAt = performance.now() + this.#delayMs
      metrics.recorderBatches.inc({ outcome: 'retried' })
      log.warn(
        { err: messageOf(error), retry_ms: this.#delayMs },
        'the store does not take records',
      )
    } finally {
      this.#measure()
    }
  }

  async #look(): Promise<void> {
    const { dir } = this.#options
    const fresh = writersIn(dir).filter((writer) => !this.#followers.has(writer))
    if (fresh.length > 0) {
      const cursors = await this.#parts.sink.cursors()
      for (const writer of fresh)
        this.#followers.set(writer, new Follower(join(dir, writer), writer, cursors.get(writer)))
    }
    // One batch of each in turn, so that a writer that is far behind does not keep the others waiting.
    let more = true
    while (more) {
      more = false
      for (const follower of this.#followers.values()) more = (await this.#ship(follower)) || more
    }
    for (const [writer, follower] of this.#followers) {
      this.#clear(follower)
      if (follower.removeIfEmpty()) this.#followers.delete(writer)
    }
  }

  /** One batch of a writer; whether there may be more. */
  async #ship(follower: Follower): Promise<boolean> {
    const batch = follower.next()
    if (batch === undefined) return false
    await this.#write(follower.writer, batch.records)
    follower.take(batch)
    for (const missing of batch.missing) {
      const { count, from, to } = missing
      this.#parts.log.error(
        { writer: follower.writer, count, from, to },
        'records are missing from the spool: damaged or taken away',
      )
      this.#parts.metrics.spoolGapRecords.inc(count)
      this.#parts.onMissing?.(missing)
    }
    return true
  }

  async #write(writer: string, records: readonly ShippedRecord[]): Promise<void> {
    const { sink, metrics, log } = this.#parts
    try {
      await sink.write(writer, records)
      metrics.recorderBatches.inc({ outcome: 'written' })
    } catch (error) {
      if (!POISON.test(sqlState(error))) throw error
      const [only] = records
      if (records.length > 1 || only === undefined) {
        const half = Math.ceil(records.length / 2)
        await this.#write(writer, records.slice(0, half))
        await this.#write(writer, records.slice(half))
        return
      }
      await sink.setAside(only, messageOf(error))
      metrics.recorderBatches.inc({ outcome: 'set_aside' })
      log.error(
        { writer, seq: only.seq, code: sqlState(error) },
        'a record was refused by the store and set aside',
      )
    }
  }

  /** A full archive never stops records from reaching the store: what it does not take is tried again. */
  #clear(follower: Follower): void {
    try {
      for (const segment of follower.done()) this.#archive.take(follower.writer, segment)
      this.#archiveFailed = false
    } catch (error) {
      if (!this.#archiveFailed)
        this.#parts.log.error({ err: messageOf(error) }, 'the archive does not take segments')
      this.#archiveFailed = true
    }
  }

  #backlogOf(follower: Follower): Backlog {
    try {
      return follower.backlog()
    } catch (error) {
      this.#parts.log.error(
        { writer: follower.writer, err: messageOf(error) },
        'the spool of a writer cannot be read',
      )
      return { bytes: 0, records: 0, oldest: undefined }
    }
  }

  #measure(): void {
    let bytes = 0
    let records = 0
    let oldest: number | undefined
    for (const follower of this.#followers.values()) {
      const waits = this.#backlogOf(follower)
      bytes += waits.bytes
      records += waits.records
      if (waits.oldest !== undefined) oldest = Math.min(oldest ?? Infinity, waits.oldest)
    }
    this.#oldest = oldest
    const { metrics, onBacklog } = this.#parts
    metrics.spoolBytes.set(bytes)
    metrics.spoolRecords.set(records)
    metrics.recorderLagSeconds.set(this.lagMs() / 1000)
    onBacklog({ bytes, records })
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
