// From spool to store: follows the segments of all writers of a data directory and ships them in batches.
//
// At least once plus idempotent rows = exactly once in the store: the cursor of a writer moves in the same
// transaction as its rows. A store that is away costs nothing but lag; a poison record is found by
// bisection, set aside and reported, and never blocks the others.
//
// Writers are shipped side by side, each in its own order. Beside that: what the store has is archived, and what
// proves it goes into the store.

import type { ShippedRecord, Sink } from '../model/record.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { Archive, type Held } from './archive.ts'
import { deliver } from './deliver.ts'
import { codeOf } from './disk.ts'
import { EvidenceCourier } from './evidence-courier.ts'
import { type Backlog, Follower, type Missing } from './follower.ts'

export interface RecorderOptions {
  /** `data_dir/ledger`. */
  readonly dir: string
  /** Where shipped segments go; empty: they stay in the folders of their writers. */
  readonly archiveDir: string
  /** How long and how many bytes are kept; without: everything. */
  readonly archiveKeepMs?: number
  readonly archiveLimitBytes?: number
  /** How many writers are shipped at the same time. */
  readonly lanes?: number
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
  /** What must not be pruned; asked before each pruning. Default: nothing. */
  readonly held?: () => Promise<readonly Held[]>
}

const LOOK_EVERY_MS = 100
/**
 * How long records are shipped without a look at anything else: under a load that the store cannot keep up with
 * there is always more, and what waits must be measured (it is bounded), proved and archived all the same.
 */
const SHIP_MS = 1000
/** How long the end waits for what is left; it lies in the spool, for the next one to ship. */
const LAST_SHIP_MS = 5000
/** How often it is measured what waits while the store is away. */
const MEASURE_EVERY_MS = 1000
/** New folders are looked for, and what is left to do beside shipping. */
const TIDY_EVERY_MS = 10_000
const PRUNE_EVERY_MS = 60_000
const BACKOFF_MS = { least: 200, most: 30_000 }

export class Recorder {
  readonly #parts: RecorderParts
  readonly #options: RecorderOptions
  readonly #archive: Archive
  readonly #courier: EvidenceCourier
  readonly #followers = new Map<string, Follower>()
  /** Writers that are gone and wholly in the store: nothing more comes from them. */
  readonly #drained = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #busy = false
  /** Whether the last round left something for the next one. */
  #isBehind = false
  #stopped = false
  #delayMs = 0
  #retryAt = -Infinity
  #isAwaited = false
  #tidiedAt = -Infinity
  #prunedAt = -Infinity
  /** Whether the cursors have to be asked for again: the store was away, and may be another one. */
  #isUnsure = true
  /** What works on the archive, one after the other. */
  #archiving: Promise<unknown> = Promise.resolve()
  #isArchiving = false
  #archiveFailed = false
  #oldest: number | undefined

  constructor(parts: RecorderParts, options: RecorderOptions) {
    this.#parts = parts
    this.#options = options
    this.#courier = new EvidenceCourier(options.dir)
    this.#archive = new Archive({
      ledgerDir: options.dir,
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

  /** Somebody waits for what is written, and for its proof: bring both soon. */
  hasten(): void {
    this.#isAwaited = true
    this.poke()
  }

  /** Milliseconds since the oldest record that is not in the store was made; 0 where nothing waits. */
  lagMs(): number {
    return this.#oldest === undefined ? 0 : Math.max(0, this.#options.now() - this.#oldest)
  }

  /** Ships what is there, as far as the store takes it within some seconds, and stops. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
    await this.#shipAll(LAST_SHIP_MS).catch(() => undefined)
    await this.#bringEvidence().catch(() => undefined)
    await this.#archiving
    this.#measure()
  }

  /** Ships what is there now, and its proof; for commands that work while nothing runs. */
  async flush(): Promise<void> {
    await this.#running
    this.#findWriters()
    await this.#shipAll(Infinity)
    await this.#bringEvidence()
    this.#measure()
  }

  /** Archives and prunes what the store has. Never rejects: what the archive does not take is tried again. */
  archive(): Promise<void> {
    return this.withoutArchiving(() => this.#archiveAll())
  }

  /** Runs it while no segment is archived, compressed or removed. */
  withoutArchiving<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#archiving.then(act)
    this.#archiving = done.catch(() => undefined)
    return done
  }

  #schedule(afterMs: number): void {
    if (this.#stopped || this.#busy) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#busy = true
      this.#running = this.#round().finally(() => {
        this.#busy = false
        const idleMs = this.#isBehind ? 0 : LOOK_EVERY_MS
        this.#schedule(this.#delayMs > 0 ? Math.min(this.#delayMs, MEASURE_EVERY_MS) : idleMs)
      })
    }, afterMs)
  }

  async #round(): Promise<void> {
    const { metrics, log } = this.#parts
    try {
      if (performance.now() < this.#retryAt) return
      const isTidying = performance.now() - this.#tidiedAt >= TIDY_EVERY_MS
      this.#findWriters()
      this.#isBehind = await this.#shipAll(SHIP_MS)
      if (isTidying || this.#isAwaited) await this.#bringEvidence()
      this.#isAwaited = false
      if (isTidying) {
        this.#tidiedAt = performance.now()
        if (!this.#isArchiving) void this.archive()
      }
      this.#delayMs = 0
    } catch (error) {
      // Full jitter, so that several recorders do not come back together.
      const ceiling = Math.min(BACKOFF_MS.most, Math.max(BACKOFF_MS.least, this.#delayMs * 2))
      this.#delayMs = BACKOFF_MS.least + Math.round(Math.random() * (ceiling - BACKOFF_MS.least))
      this.#retryAt = performance.now() + this.#delayMs
      this.#isUnsure = true
      this.#isBehind = false
      metrics.recorderBatches.inc({ outcome: 'retried' })
      log.warn(
        { err: messageOf(error), code: codeOf(error), retry_ms: this.#delayMs },
        'the store does not take records',
      )
    } finally {
      this.#measure()
    }
  }

  #findWriters(): void {
    for (const writer of this.#archive.writers()) {
      if (this.#followers.has(writer)) continue
      this.#followers.set(writer, new Follower(this.#archive.foldersOf(writer), writer, undefined))
      this.#isUnsure = true
    }
  }

  /** Whether something is left after that time. */
  async #shipAll(forMs: number): Promise<boolean> {
    if (this.#followers.size === 0) return false
    if (this.#isUnsure) await this.#askCursors()
    const until = performance.now() + forMs
    const queue = [...this.#followers.values()].filter(({ writer }) => !this.#drained.has(writer))
    const lane = async (): Promise<void> => {
      // One batch of each in turn, so that a writer that is far behind does not keep the others waiting.
      while (performance.now() < until) {
        const next = queue.shift()
        if (next === undefined) return
        if (await this.#ship(next)) queue.push(next)
        else if (next.isDrained()) this.#drained.add(next.writer)
      }
    }
    const lanes = Array.from({ length: this.#options.lanes ?? 1 }, () => lane())
    const failed = (await Promise.allSettled(lanes)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
    return queue.length > 0
  }

  /** What the store has of each writer: less than before where an older one was restored. */
  async #askCursors(): Promise<void> {
    const cursors = await this.#parts.sink.cursors()
    let isOlder = false
    for (const follower of this.#followers.values()) {
      const shipped = cursors.get(follower.writer)
      isOlder ||= (shipped ?? 0) < follower.shipped
      follower.resume(shipped)
    }
    this.#drained.clear()
    if (isOlder) this.#courier.again()
    this.#isUnsure = false
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

  #write(writer: string, records: readonly ShippedRecord[]): Promise<void> {
    const { sink, metrics, log } = this.#parts
    return deliver(sink, writer, records, (news) => {
      metrics.recorderBatches.inc({ outcome: news.outcome })
      if (news.outcome === 'set_aside')
        log.error(
          { writer, seq: news.record.seq, code: news.code, reason: news.reason },
          'a record was refused by the store and set aside',
        )
    })
  }

  async #bringEvidence(): Promise<void> {
    for (;;) {
      const writers = [...this.#followers.values()].map(({ writer, shipped }) => ({
        writer,
        shipped,
        folders: this.#archive.foldersOf(writer),
      }))
      const parcel = this.#courier.next(writers)
      if (parcel === undefined) return
      await this.#parts.sink.keepEvidence(parcel.evidence)
      parcel.confirm()
    }
  }

  /** A full archive never stops records from reaching the store. */
  async #archiveAll(): Promise<void> {
    this.#isArchiving = true
    try {
      let taken = 0
      for (const { writer, shipped } of this.#followers.values())
        taken += await this.#archive.take(writer, shipped, this.#drained.has(writer))
      if (taken > 0 || performance.now() - this.#prunedAt >= PRUNE_EVERY_MS) await this.#prune()
      this.#archiveFailed = false
    } catch (error) {
      if (!this.#archiveFailed)
        this.#parts.log.error({ err: messageOf(error) }, 'the archive does not take segments')
      this.#archiveFailed = true
    } finally {
      this.#isArchiving = false
    }
  }

  async #prune(): Promise<void> {
    const shippedOf = (writer: string): number => this.#followers.get(writer)?.shipped ?? 0
    this.#archive.prune(shippedOf, (await this.#parts.held?.()) ?? [])
    for (const writer of this.#drained) {
      if (!this.#archive.end(writer, shippedOf(writer))) continue
      this.#followers.delete(writer)
      this.#drained.delete(writer)
    }
    this.#prunedAt = performance.now()
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
      if (this.#drained.has(follower.writer)) continue
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
