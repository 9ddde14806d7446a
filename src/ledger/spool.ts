// Remember it before anybody learns of it: the writing end of the ledger, one a process.
//
// States of a spool: open -> (write or sync fails) -> failed -> (a write or sync succeeds) -> open.
// While it has failed or is full, `when_full` decides: refuse (append rejects), or drop_counted (append
// passes, and a gap record tells how many and when as soon as writing works again).
//
// fsync   batch    resolves after write(2); synced within 200 ms: survives kill -9
//         record   resolves after fdatasync, one for all that wait: survives power loss
//         off      resolves at once, written when convenient

import { CordonError } from '../base/errors.ts'
import type { GapRecord, LedgerRecord } from '../model/record.ts'
import { RecordEncoder } from './encode.ts'
import { frameOf } from './frame.ts'
import { SegmentLog } from './segment-log.ts'
import { type Syncer, SyncThread } from './syncer.ts'
import { claimWriter, type WriterFolder } from './writer-folder.ts'

export interface SpoolOptions {
  /** `data_dir/ledger`. */
  readonly dir: string
  readonly tenant: string
  readonly fsync: 'batch' | 'record' | 'off'
  readonly whenFull: 'refuse' | 'drop_counted'
  /** Bytes not yet in the store, of all writers together. */
  readonly limitBytes: number
  readonly now: () => number
  /** Told of records that could not be kept. */
  readonly onLost?: (count: number) => void
  /** Told after a write, so that the recorder need not wait for its next look. */
  readonly onWritten?: () => void
  /** Default: a thread that calls fdatasync. */
  readonly syncer?: Syncer
}

interface Waiting {
  readonly record: LedgerRecord
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Nobody waits: a loss is counted whatever `when_full` says. */
  readonly isNote: boolean
}

type FailureCode = 'SPOOL_FULL' | 'SPOOL_FAILED'

const SYNC_EVERY_MS = 150
const RETRY_MS = 1000
/** The recorder looks by itself, too: telling it of every write would wake it thousands of times a second. */
const TELL_EVERY_MS = 50
const MAX_WAITING = 10_000
/** What waits for a sync is kept in memory; a disk that is this far behind has to catch up first. */
const MAX_UNSYNCED_BYTES = 64 * 1024 * 1024

export class Spool {
  readonly writer: string
  readonly #options: SpoolOptions
  readonly #folder: WriterFolder
  readonly #encoder = new RecordEncoder()
  readonly #syncer: Syncer
  readonly #log: SegmentLog
  #seq: number
  #waiting: Waiting[] = []
  #scheduled = false
  #toldAt = -Infinity
  #syncTimer: NodeJS.Timeout | undefined
  #gapTimer: NodeJS.Timeout | undefined
  #failure:
    | { readonly code: FailureCode; readonly message: string; readonly at: number }
    | undefined
  #gap: Pick<GapRecord, 'from' | 'to' | 'count' | 'reason'> | undefined
  #backlogBytes = 0
  #closing: Promise<void> | undefined
  #isClosed = false

  constructor(options: SpoolOptions) {
    this.#options = options
    this.#folder = claimWriter(options.dir)
    this.writer = this.#folder.writer
    this.#seq = this.#folder.seq
    this.#syncer = options.syncer ?? new SyncThread()
    this.#log = new SegmentLog({
      folder: this.#folder.folder,
      writer: this.writer,
      syncer: this.#syncer,
      syncs: options.fsync !== 'off',
      onTrouble: (error) =>
        this.#fail('SPOOL_FAILED', `the spool cannot be synced (${messageOf(error)})`),
      onSound: () => {
        this.#failure = undefined
      },
    })
  }

  /** Whether records are being kept; otherwise why not. */
  get failure(): string | undefined {
    return this.#failure?.message
  }

  /** Bytes of all writers that the store does not have yet, as the recorder counts them. */
  setBacklog(bytes: number): void {
    this.#backlogBytes = bytes
    if (bytes < this.#options.limitBytes && this.#failure?.code === 'SPOOL_FULL')
      this.#failure = undefined
  }

  /** Resolves when the record is as safe as `fsync` promises; rejects with SPOOL_FULL or SPOOL_FAILED. */
  append(record: LedgerRecord): Promise<void> | undefined {
    const refused = this.#refusal()
    if (refused !== undefined) {
      if (this.#options.whenFull === 'refuse') return Promise.reject(refused)
      this.#lose(refused)
      return undefined
    }
    if (this.#options.fsync === 'off') {
      this.#enqueue(record, nothing, nothing, true)
      return undefined
    }
    return new Promise((resolve, reject) => this.#enqueue(record, resolve, reject, false))
  }

  /** Keeps a record when it can; never waits, never throws. One that cannot be kept is counted. */
  note(record: LedgerRecord): void {
    const refused = this.#refusal()
    if (refused === undefined) this.#enqueue(record, nothing, nothing, true)
    else this.#lose(refused)
  }

  /** Writes and syncs what waits, and lets the writer's folder go. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#flush()
    this.#isClosed = true
    clearTimeout(this.#syncTimer)
    clearTimeout(this.#gapTimer)
    const isSound = await this.#log.close()
    await this.#syncer.close()
    this.#folder.release(isSound)
  }

  #enqueue(
    record: LedgerRecord,
    resolve: () => void,
    reject: (error: Error) => void,
    isNote: boolean,
  ): void {
    this.#waiting.push({ record, resolve, reject, isNote })
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  #refusal(): CordonError | undefined {
    if (this.#closing !== undefined) return new CordonError('SPOOL_FAILED', 'the spool is closed')
    const failure = this.#failure
    if (
      failure !== undefined &&
      (this.#log.isInTrouble || this.#options.now() - failure.at < RETRY_MS)
    )
      return new CordonError(failure.code, failure.message)
    if (this.#backlogBytes >= this.#options.limitBytes)
      return this.#fail('SPOOL_FULL', 'the spool has reached ledger.spool_limit')
    if (this.#waiting.length >= MAX_WAITING || this.#log.unsyncedBytes >= MAX_UNSYNCED_BYTES)
      return new CordonError('SPOOL_FULL', 'too many records wait for the disk')
    return undefined
  }

  #lose({ code }: CordonError): void {
    const now = this.#options.now()
    this.#gap = {
      from: this.#gap?.from ?? now,
      to: now,
      count: (this.#gap?.count ?? 0) + 1,
      reason: code === 'SPOOL_FULL' ? 'spool_full' : 'spool_failed',
    }
    this.#options.onLost?.(1)
    this.#tellGapLater()
  }

  /** A gap is told even where no further record comes. */
  #tellGapLater(): void {
    this.#gapTimer ??= setTimeout(() => {
      this.#gapTimer = undefined
      if (this.#refusal() === undefined) this.#flush()
      if (this.#gap !== undefined) this.#tellGapLater()
    }, RETRY_MS).unref()
  }

  /** One write(2) for all that wait. */
  #flush(): void {
    this.#scheduled = false
    const waiting = this.#waiting
    const lost = this.#gap
    if (this.#isClosed || (waiting.length === 0 && lost === undefined)) return
    this.#waiting = []
    const first = this.#seq
    const frames: Buffer[] = []
    const items: (Waiting | undefined)[] = []
    if (lost !== undefined) {
      frames.push(this.#frame(this.#gapRecord(lost), first))
      items.push(undefined)
    }
    for (const item of waiting) {
      try {
        frames.push(this.#frame(item.record, first + frames.length))
        items.push(item)
      } catch (error) {
        this.#drop(item, new CordonError('SPOOL_FAILED', messageOf(error), { cause: error }))
      }
    }
    if (frames.length === 0) return
    const { kept, bytes, error } = this.#log.write(frames, first)
    this.#seq = first + kept
    this.#backlogBytes += bytes
    if (kept > 0 && lost !== undefined && this.#gap === lost) this.#gap = undefined
    if (error !== undefined) this.#failed(error, items.slice(kept))
    else if (!this.#log.isInTrouble) this.#failure = undefined
    if (kept === 0) return
    this.#acknowledge(items.slice(0, kept))
    const now = performance.now()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#options.onWritten?.()
  }

  #frame(record: LedgerRecord, seq: number): Buffer {
    return frameOf(this.#encoder.encode(record, { writer: this.writer, seq }))
  }

  #gapRecord(lost: Pick<GapRecord, 'from' | 'to' | 'count' | 'reason'>): GapRecord {
    return { kind: 'gap', tenant: this.#options.tenant, time: this.#options.now(), ...lost }
  }

  #acknowledge(items: readonly (Waiting | undefined)[]): void {
    if (this.#options.fsync === 'record') {
      this.#log.whenSafe({
        resolve: () => {
          for (const item of items) item?.resolve()
        },
        reject: (error) => this.#refuse(items, this.#failureOf(error)),
      })
      return
    }
    for (const item of items) item?.resolve()
    if (this.#options.fsync === 'batch')
      this.#syncTimer ??= setTimeout(() => {
        this.#syncTimer = undefined
        void this.#log.sync()
      }, SYNC_EVERY_MS).unref()
  }

  #failed(error: unknown, items: readonly (Waiting | undefined)[]): void {
    const refusal = this.#failureOf(error)
    for (const item of items) if (item !== undefined) this.#drop(item, refusal)
  }

  /** Not kept: refused or counted, as `when_full` says. */
  #drop(item: Waiting, refusal: CordonError): void {
    if (!item.isNote && this.#options.whenFull === 'refuse') return item.reject(refusal)
    this.#lose(refusal)
    item.resolve()
  }

  /** Written but not safe: refused where that is asked for. The frames stay and are tried again, so nothing is counted. */
  #refuse(items: readonly (Waiting | undefined)[], refusal: CordonError): void {
    for (const item of items) {
      if (this.#options.whenFull === 'refuse') item?.reject(refusal)
      else item?.resolve()
    }
  }

  #failureOf(error: unknown): CordonError {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    return this.#fail(
      code === 'ENOSPC' || code === 'EDQUOT' ? 'SPOOL_FULL' : 'SPOOL_FAILED',
      `the spool cannot be written (${code === '' ? messageOf(error) : code})`,
    )
  }

  #fail(code: FailureCode, message: string): CordonError {
    this.#failure = { code, message, at: this.#options.now() }
    return new CordonError(code, message)
  }
}

function nothing(): void {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
