// Remember it before anybody learns of it: the writing end of the ledger, one a process.
//
// States of a spool: open -> (write or sync fails) -> failed -> (a new segment can be written) -> open.
// While it has failed or is full, `when_full` decides: refuse (append rejects), or drop_counted (append
// passes, and a gap record tells how many and when as soon as writing works again).
//
// fsync   batch    resolves after write(2); synced within 200 ms: survives kill -9
//         record   resolves after fdatasync, one for all that wait: survives power loss
//         off      resolves at once, written when convenient

import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { CordonError } from '../base/errors.ts'
import type { GapRecord, LedgerRecord } from '../model/record.ts'
import { RecordEncoder } from './encode.ts'
import { frameOf, nextFrame, readFrame } from './frame.ts'
import { createSegment, readSegment, SEGMENT_HEAD, segmentsOf } from './segment.ts'

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
}

interface Waiting {
  readonly record: LedgerRecord
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const SEGMENT_BYTES = 16 * 1024 * 1024
const SYNC_EVERY_MS = 150
const RETRY_MS = 1000
/** The recorder looks by itself, too: telling it of every write would wake it thousands of times a second. */
const TELL_EVERY_MS = 50
const MAX_WAITING = 10_000
/** Never fill the disk: other things need a little of it too. */
const DISK_FLOOR_BYTES = 64 * 1024 * 1024

export class Spool {
  readonly writer: string
  readonly #options: SpoolOptions
  readonly #folder: string
  readonly #lock: string
  readonly #encoder = new RecordEncoder()
  readonly #syncer: Syncer
  #fd: number | undefined
  #segmentBytes = 0
  #seq: number
  #waiting: Waiting[] = []
  #scheduled = false
  #unsynced = false
  #toldAt = -Infinity
  #syncTimer: NodeJS.Timeout | undefined
  #failure:
    | {
        readonly code: 'SPOOL_FULL' | 'SPOOL_FAILED'
        readonly message: string
        readonly at: number
      }
    | undefined
  #gap: { from: number; to: number; count: number } | undefined
  #backlogBytes = 0
  #closed = false

  constructor(options: SpoolOptions) {
    this.#options = options
    const { writer, folder, lock } = claimWriter(options.dir)
    this.writer = writer
    this.#folder = folder
    this.#lock = lock
    const { seq, damaged } = recover(folder)
    this.#seq = seq
    this.#syncer = new Syncer()
    if (damaged > 0)
      this.#note({
        kind: 'gap',
        tenant: options.tenant,
        time: options.now(),
        from: 0,
        to: options.now(),
        count: damaged,
        reason: 'corrupt',
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
    if (refused !== undefined) return this.#lose(refused)
    if (this.#options.fsync === 'off') {
      this.#waiting.push({ record, resolve: nothing, reject: nothing })
      this.#schedule()
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject })
      this.#schedule()
    })
  }

  /** Keeps a record when it can; never waits, never throws. */
  note(record: LedgerRecord): void {
    if (this.#refusal() !== undefined) return
    this.#note(record)
  }

  /** Writes and syncs what waits, and lets the writer's folder go. */
  async close(): Promise<void> {
    this.#flush()
    this.#closed = true
    clearTimeout(this.#syncTimer)
    if (this.#fd !== undefined) {
      await this.#syncer.sync(this.#fd).catch(nothing)
      closeSync(this.#fd)
      this.#fd = undefined
    }
    await this.#syncer.close()
    rmSync(this.#lock, { force: true })
  }

  #note(record: LedgerRecord): void {
    this.#waiting.push({ record, resolve: nothing, reject: nothing })
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  #refusal(): CordonError | undefined {
    const failure = this.#failure
    if (failure !== undefined && this.#options.now() - failure.at < RETRY_MS)
      return new CordonError(failure.code, failure.message)
    if (this.#closed) return new CordonError('SPOOL_FAILED', 'the spool is closed')
    if (this.#backlogBytes >= this.#options.limitBytes)
      return this.#fail('SPOOL_FULL', 'the spool has reached ledger.spool_limit')
    if (this.#waiting.length >= MAX_WAITING)
      return new CordonError('SPOOL_FULL', 'too many records wait for the disk')
    return undefined
  }

  #lose(error: CordonError): Promise<void> | undefined {
    if (this.#options.whenFull === 'refuse') return Promise.reject(error)
    const now = this.#options.now()
    this.#gap = { from: this.#gap?.from ?? now, to: now, count: (this.#gap?.count ?? 0) + 1 }
    this.#options.onLost?.(1)
    return undefined
  }

  /** One write(2) for all that wait. */
  #flush(): void {
    this.#scheduled = false
    const waiting = this.#waiting
    if (waiting.length === 0 || this.#closed) return
    this.#waiting = []
    const frames: Buffer[] = []
    const kept: Waiting[] = []
    const first = this.#seq
    const lost = this.#gap
    if (lost !== undefined) {
      const gap: GapRecord = {
        kind: 'gap',
        tenant: this.#options.tenant,
        time: this.#options.now(),
        ...lost,
        reason: 'spool_full',
      }
      frames.push(frameOf(this.#encoder.encode(gap, { writer: this.writer, seq: this.#seq++ })))
    }
    for (const item of waiting) {
      try {
        frames.push(
          frameOf(this.#encoder.encode(item.record, { writer: this.writer, seq: this.#seq })),
        )
        this.#seq += 1
        kept.push(item)
      } catch (error) {
        item.reject(error instanceof Error ? error : new Error('the record cannot be encoded'))
      }
    }
    try {
      this.#write(Buffer.concat(frames), first)
    } catch (error) {
      this.#seq = first
      this.#failed(error, kept)
      return
    }
    this.#failure = undefined
    if (lost !== undefined) this.#gap = undefined
    if (this.#options.fsync === 'record') this.#syncThen(kept, frames, first)
    else {
      for (const { resolve } of kept) resolve()
      this.#syncSoon()
    }
    const now = performance.now()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#options.onWritten?.()
  }

  #write(bytes: Buffer, firstSeq: number): void {
    if (this.#fd === undefined || this.#segmentBytes >= SEGMENT_BYTES) this.#rotate(firstSeq)
    const fd = this.#fd
    if (fd === undefined) throw new Error('no segment')
    const before = this.#segmentBytes
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(fd, bytes, written)
    } catch (error) {
      // A half written frame would hide those that come after it.
      try {
        ftruncateSync(fd, before)
      } catch {
        this.#fd = undefined
      }
      throw error
    }
    this.#segmentBytes += written
    this.#backlogBytes += written
    this.#unsynced = true
  }

  #rotate(firstSeq: number): void {
    const { bavail, bsize } = statfsSync(this.#options.dir)
    if (bavail * bsize < DISK_FLOOR_BYTES)
      throw Object.assign(new Error('the disk is nearly full'), { code: 'ENOSPC' })
    const old = this.#fd
    this.#fd = undefined
    const { fd } = createSegment(this.#folder, this.writer, firstSeq)
    this.#fd = fd
    this.#segmentBytes = SEGMENT_HEAD
    if (old !== undefined) {
      void this.#syncer
        .sync(old)
        .catch(nothing)
        .finally(() => closeSync(old))
    }
  }

  #failed(error: unknown, waiting: readonly Waiting[]): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    const refusal = this.#fail(
      code === 'ENOSPC' || code === 'EDQUOT' ? 'SPOOL_FULL' : 'SPOOL_FAILED',
      `the spool cannot be written (${code === '' ? 'unknown error' : code})`,
    )
    for (const { resolve, reject } of waiting) {
      if (this.#options.whenFull === 'refuse') reject(refusal)
      else {
        void this.#lose(refusal)
        resolve()
      }
    }
  }

  #fail(code: 'SPOOL_FULL' | 'SPOOL_FAILED', message: string): CordonError {
    this.#failure = { code, message, at: this.#options.now() }
    return new CordonError(code, message)
  }

  #syncSoon(): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined
      const fd = this.#fd
      if (fd === undefined || !this.#unsynced) return
      this.#unsynced = false
      this.#syncer.sync(fd).catch((error: unknown) => this.#syncFailed(fd, error))
    }, SYNC_EVERY_MS).unref()
  }

  #syncThen(waiting: readonly Waiting[], frames: readonly Buffer[], firstSeq: number): void {
    const fd = this.#fd
    if (fd === undefined) return
    this.#syncer.sync(fd).then(
      () => {
        for (const { resolve } of waiting) resolve()
      },
      (error: unknown) => {
        this.#syncFailed(fd, error)
        // A failed sync is final for its file: the same frames go into a new one, once.
        try {
          this.#rotate(firstSeq)
          this.#write(Buffer.concat(frames), firstSeq)
          const fresh = this.#fd
          if (fresh === undefined) throw new Error('no segment')
          this.#syncer.sync(fresh).then(
            () => {
              for (const { resolve } of waiting) resolve()
            },
            (again: unknown) => this.#failed(again, waiting),
          )
        } catch (again) {
          this.#failed(again, waiting)
        }
      },
    )
  }

  /** Never sync the same descriptor again: what it holds may be lost although a second call succeeds. */
  #syncFailed(fd: number, error: unknown): void {
    this.#fail(
      'SPOOL_FAILED',
      `the spool cannot be synced (${error instanceof Error ? error.message : 'unknown error'})`,
    )
    if (this.#fd !== fd) return
    this.#fd = undefined
    closeSync(fd)
  }
}

function nothing(): void {}

/** fdatasync on a thread of its own: the shared pool also serves DNS and decompression. */
class Syncer {
  readonly #worker = new Worker(new URL('./sync-thread.ts', import.meta.url))
  readonly #open = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  #next = 1

  constructor() {
    this.#worker.unref()
    this.#worker.on('message', ({ id, error }: { id: number; error?: string }) => {
      const open = this.#open.get(id)
      this.#open.delete(id)
      if (error === undefined) open?.resolve()
      else open?.reject(new Error(error))
    })
  }

  sync(fd: number): Promise<void> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject })
      this.#worker.postMessage({ id, fd })
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** Takes a folder that no living process holds, or makes a new writer. */
function claimWriter(dir: string): { writer: string; folder: string; lock: string } {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const known = readdirSync(dir, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && WRITER.test(entry.name),
  )
  for (const writer of [...known.map(({ name }) => name).toSorted(), randomUUID()]) {
    const folder = join(dir, writer)
    const lock = join(folder, 'lock')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (claim(lock)) return { writer, folder, lock }
  }
  throw new CordonError('SPOOL_FAILED', `${dir}: no writer folder could be claimed`)
}

export const WRITER = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** An exclusive lock file with our pid and start time; one of a process that has ended is taken over. */
function claim(lock: string): boolean {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const fd = openSync(lock, 'wx', 0o600)
      writeSync(fd, `${process.pid} ${startOf(process.pid)}`)
      closeSync(fd)
      return true
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error
      const [pid = '0', start = ''] = readFileSync(lock, 'utf8').split(' ')
      if (start !== '' && startOf(Number(pid)) === start) return false
      rmSync(lock, { force: true })
    }
  }
  return false
}

/** When a process started, so that a reused pid is not mistaken for it; empty where it is gone. */
function startOf(pid: number): string {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return ''
  return readFileSync(file, 'latin1').split(') ').at(-1)?.split(' ')[19] ?? ''
}

/** Cuts a torn tail of the newest segment and tells the next sequence number and how many frames are damaged. */
function recover(folder: string): { seq: number; damaged: number } {
  const newest = segmentsOf(folder).at(-1)
  if (newest === undefined) return { seq: 1, damaged: 0 }
  const bytes = readSegment(newest.path)
  if (bytes === undefined) {
    // Died while the head was being written: no record can be in it.
    rmSync(newest.path, { force: true })
    return recover(folder)
  }
  let at = SEGMENT_HEAD
  let seq = newest.firstSeq
  let damaged = 0
  for (;;) {
    const read = readFrame(bytes, at)
    if (read.kind === 'frame') {
      seq = Math.max(seq, (JSON.parse(read.record.toString('utf8')) as { seq: number }).seq) + 1
      at = read.next
      continue
    }
    if (at >= bytes.length) break
    const next = nextFrame(bytes, at + 1)
    if (next === undefined) {
      const fd = openSync(newest.path, 'r+')
      ftruncateSync(fd, at)
      closeSync(fd)
      break
    }
    damaged += 1
    at = next
  }
  return { seq, damaged }
}
