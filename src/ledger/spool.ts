// Remember it before anybody learns of it: the writing end of the ledger, one a process.
//
// Records wait for the batch that is under way, and then make up the next one: so one write, and one sync,
// serves all that came meanwhile. `when_full` decides what becomes of a record that cannot be kept: refuse
// (append rejects), or drop_counted (append passes, and a gap record tells how many and when as soon as that
// can be written).
//
// fsync   batch    resolves after write(2); synced within 200 ms: survives kill -9
//         record   resolves after fdatasync, one for all that wait: survives power loss
//         off      resolves at once, written when convenient
//
// States: open -> failing (a write or a sync failed), stalled (the disk does not answer), full -> open.
// Nobody waits for a disk that does not answer: after a second the spool is stalled and whatever waits is
// answered; what the disk had been given by then may be kept all the same, and is never written twice.

import { dirname } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { IdSource } from '../base/ids.ts'
import type { GapRecord, LedgerRecord } from '../model/record.ts'
import type { Log } from '../observe/log.ts'
import { ClockWatch } from './clock-watch.ts'
import { type Disk, realDisk } from './disk.ts'
import { type PreparedRecord, RecordEncoder } from './encode.ts'
import { putFrame } from './frame.ts'
import { type HandOver, openInline, openThreaded } from './hand-over.ts'
import { claimWriter, type WriterFolder } from './writer-folder.ts'
import type { Failure, Fsync, News, Written } from './writing-end.ts'

export interface SpoolOptions {
  /** `data_dir/ledger`; the key that signs it is in `data_dir/keys`. */
  readonly dir: string
  readonly tenant: string
  readonly fsync: Fsync
  readonly whenFull: 'refuse' | 'drop_counted'
  /** Bytes not yet in the store, of all writers together. */
  readonly limitBytes: number
  readonly now: () => number
  readonly log?: Log
  /** Told of records that could not be kept. */
  readonly onLost?: (count: number) => void
  /** Told after a write, so that the recorder need not wait for its next look. */
  readonly onWritten?: () => void
  /** Seconds from a batch given to the disk to its answer. */
  readonly onWriteSeconds?: (seconds: number) => void
  /** Seconds of an fdatasync. */
  readonly onSyncSeconds?: (seconds: number) => void
  /** Seconds since something was written that no checkpoint covers yet; 0 where all is covered. Told four times a second. */
  readonly onUnproved?: (seconds: number) => void
  /**
   * Absent: a thread of its own writes. A disk: the caller's thread writes to it, as commands do, which have
   * nothing else to do. A URL: a thread writes to the `disk` that this module exports.
   */
  readonly disk?: Disk | URL
}

interface Waiting {
  readonly record: PreparedRecord
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Nobody waits: a loss is counted whatever `when_full` says. */
  readonly isNote: boolean
  /** A gap, or what an administrator did: it may use what is kept back for that. */
  readonly isUrgent: boolean
  readonly units: number
  /** The beat at which it came. */
  readonly beat: number
  /** Whoever waited was told something already. */
  isAnswered: boolean
}

interface UnderWay {
  readonly items: readonly Waiting[]
  readonly gap: Gap | undefined
  readonly isUrgent: boolean
  readonly since: number
}

type Gap = Pick<GapRecord, 'from' | 'to' | 'count' | 'reason'>

const RETRY_MS = 1000
/** The recorder looks by itself, too: telling it of every write would wake it thousands of times a second. */
const TELL_EVERY_MS = 50
const MAX_WAITING = 10_000
/** UTF-16 units of what waits, which is about as many bytes. */
const MAX_WAITING_UNITS = 16 * 1024 * 1024
/** Beyond `spool_limit`, for gap records and what administrators do. */
const URGENT_BYTES = 8 * 1024 * 1024
/** Time is counted in beats: a process that stood still itself counts one, and blames no disk for it. */
const BEAT_MS = 250
const STALLED_BEATS = 4
const PATIENCE_BEATS = 6
/** How often a gap is told while the disk is full. */
const GAP_BEATS = 40
const CLOSE_MS = 5000

export class Spool {
  readonly writer: string
  /** When appending costs no more than it will later on: the thread that writes has begun. */
  readonly ready: Promise<void>
  readonly #options: SpoolOptions
  readonly #folder: WriterFolder
  readonly #encoder = new RecordEncoder()
  readonly #handOver: HandOver
  readonly #heart: NodeJS.Timeout
  readonly #clock: ClockWatch
  #ids: IdSource | undefined
  /** The number of the last record that is kept. */
  #seq: number
  #waiting: Waiting[] = []
  #waitingUnits = 0
  #underWay: UnderWay | undefined
  #answered: (() => void) | undefined
  #scheduled = false
  #toldAt = -Infinity
  #gap: Gap | undefined
  #backlogBytes = 0
  #closing: Promise<void> | undefined
  #isClosed = false
  #isReady = false
  #beat = 0
  /** The work that the writing end was seen at, and for how many beats. */
  #seen: { readonly work: number | undefined; readonly beats: number } = {
    work: undefined,
    beats: 0,
  }
  #failure: (Failure & { readonly at: number }) | undefined
  #toldFailure: string | undefined
  #trouble: Failure | undefined
  #gone: Failure | undefined
  /** When something was written that no checkpoint covers. */
  #unprovedSince: number | undefined

  /** Throws CordonError SPOOL_FAILED or LEDGER_KEY where no writer can begin. */
  constructor(options: SpoolOptions) {
    this.#options = options
    const disk = options.disk instanceof URL ? undefined : options.disk
    this.#folder = claimWriter({
      dataDir: dirname(options.dir),
      ledgerDir: options.dir,
      disk: disk ?? realDisk,
      now: options.now,
      onLeft: (writer, why) =>
        options.log?.error({ writer, why }, 'a writer of the ledger cannot be gone on with'),
    })
    const { dataDir, ledgerDir, folder, writer, progress } = this.#folder
    this.writer = writer
    this.#seq = progress.size
    const ready = Promise.withResolvers<void>()
    this.ready = ready.promise
    const events = {
      onReady: () => {
        this.#isReady = true
        ready.resolve()
      },
      onWritten: (written: Written) => this.#onWritten(written),
      onNews: (news: News) => this.#onNews(news),
      onGone: (error: Error) => {
        ready.resolve()
        this.#onGone(error)
      },
    }
    const place = { dataDir, ledgerDir, folder, writer }
    const begin = { place, progress, fsync: options.fsync }
    this.#handOver =
      disk === undefined
        ? openThreaded(begin, options.disk instanceof URL ? options.disk : undefined, events)
        : openInline(begin, { disk, now: options.now }, events)
    this.#clock = new ClockWatch(options.now)
    this.#heart = setInterval(() => this.#onBeat(), BEAT_MS).unref()
  }

  /** Whether records are being kept; otherwise why not. */
  get failure(): string | undefined {
    return this.#failing()?.message
  }

  /** Bytes of all writers that the store does not have yet, as the recorder counts them. */
  setBacklog(bytes: number): void {
    this.#backlogBytes = bytes
  }

  /** Resolves when the record is as safe as `fsync` promises; rejects with SPOOL_FULL or SPOOL_FAILED, within two seconds. */
  append(record: LedgerRecord): Promise<void> | undefined {
    const refused = this.#refusal(isUrgentKind(record))
    if (refused !== undefined) {
      if (this.#options.whenFull === 'refuse') return Promise.reject(errorOf(refused))
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
    const refused = this.#refusal(isUrgentKind(record))
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
    await withinClose(this.#drained())
    // What was lost on the way is told in a record of its own.
    this.#flush()
    await withinClose(this.#drained())
    clearInterval(this.#heart)
    this.#isClosed = true
    const closed = { reason: 'spool_failed', message: 'the spool is closed' } as const
    for (const item of this.#waiting.splice(0)) this.#drop(item, closed)
    // A disk that does not answer is left alone: the next process finds out how far it came.
    if (this.#underWay !== undefined) return
    const ending = await withinClose(this.#handOver.close())
    if (ending !== undefined) this.#folder.release(ending)
  }

  /** Resolves when nothing waits and nothing is under way. */
  #drained(): Promise<void> | undefined {
    if (this.#underWay === undefined) return undefined
    return new Promise((resolve) => (this.#answered = resolve))
  }

  #enqueue(
    record: LedgerRecord,
    resolve: () => void,
    reject: (error: Error) => void,
    isNote: boolean,
  ): void {
    let prepared
    try {
      prepared = this.#encoder.prepare(record, this.writer)
    } catch (error) {
      const refused = { reason: 'spool_failed', message: messageOf(error) } as const
      if (!isNote && this.#options.whenFull === 'refuse') return reject(errorOf(refused, error))
      this.#lose(refused)
      return resolve()
    }
    const { before, behind, personal } = prepared
    const units = before.length + behind.length + personal.length
    this.#waitingUnits += units
    this.#waiting.push({
      record: prepared,
      resolve,
      reject,
      isNote,
      isUrgent: isUrgentKind(record),
      units,
      beat: this.#beat,
      isAnswered: false,
    })
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay !== undefined) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** Why nothing ordinary is being kept; undefined while all is well. */
  #failing(): Failure | undefined {
    if (this.#gone !== undefined) return this.#gone
    if (this.#trouble !== undefined) return this.#trouble
    if (this.#isStalled())
      return { reason: 'spool_failed', message: 'the disk of the spool does not answer' }
    if (this.#failure !== undefined) return this.#failure
    if (this.#backlogBytes >= this.#options.limitBytes)
      return { reason: 'spool_full', message: 'the spool has reached ledger.spool_limit' }
    return undefined
  }

  /** Why a record is not even tried. */
  #refusal(isUrgent: boolean): Failure | undefined {
    if (this.#closing !== undefined)
      return { reason: 'spool_failed', message: 'the spool is closed' }
    const failing = this.#failing()
    if (failing !== undefined && !this.#isWorthATry(isUrgent)) return failing
    if (this.#waiting.length >= MAX_WAITING || this.#waitingUnits >= MAX_WAITING_UNITS)
      return { reason: 'spool_full', message: 'too many records wait for the disk' }
    return undefined
  }

  #isWorthATry(isUrgent: boolean): boolean {
    if (this.#gone !== undefined || this.#trouble !== undefined || this.#isStalled()) return false
    const failure = this.#failure
    if (failure !== undefined) {
      const isOld = performance.now() - failure.at >= RETRY_MS
      if (!isOld && !(isUrgent && failure.reason === 'spool_full')) return false
    }
    return this.#backlogBytes < this.#options.limitBytes + (isUrgent ? URGENT_BYTES : 0)
  }

  #isStalled(): boolean {
    return this.#seen.beats >= STALLED_BEATS
  }

  #lose({ reason }: Failure): void {
    const now = this.#options.now()
    this.#gap = mergedGaps(this.#gap, { from: now, to: now, count: 1, reason })
    this.#options.onLost?.(1)
  }

  /** Gives the writing end what waits, unless it is still at the last batch. */
  #flush(): void {
    if (this.#underWay !== undefined || this.#isClosed || this.#gone !== undefined) return
    const gap = this.#canTellGap() ? this.#gap : undefined
    if (this.#waiting.length === 0 && gap === undefined) return
    const { area } = this.#handOver
    const times = { from: Infinity, to: -Infinity }
    let seq = this.#seq
    let bytes = 0
    const put = (record: PreparedRecord): boolean => {
      const end = putFrame(area, bytes, record, seq + 1)
      if (end === undefined) return false
      bytes = end
      seq += 1
      times.from = Math.min(times.from, record.time)
      times.to = Math.max(times.to, record.time)
      return true
    }
    if (gap !== undefined) {
      put(this.#encoder.prepare(this.#gapRecord(gap), this.writer))
      this.#gap = undefined
    }
    let count = 0
    let areAllUrgent = true
    for (const item of this.#waiting) {
      if (!put(item.record)) break
      count += 1
      this.#waitingUnits -= item.units
      areAllUrgent &&= item.isUrgent
    }
    const items = this.#waiting.splice(0, count)
    this.#underWay = { items, gap, isUrgent: areAllUrgent, since: performance.now() }
    this.#handOver.write(bytes, times, areAllUrgent)
  }

  /** While the disk is full a gap is told from time to time, at the cost of what is kept back for it. */
  #canTellGap(): boolean {
    if (this.#gap === undefined || this.#trouble !== undefined) return false
    return (
      this.#failing() === undefined || this.#beat % GAP_BEATS === 0 || this.#closing !== undefined
    )
  }

  #gapRecord(gap: Gap): GapRecord {
    return { kind: 'gap', tenant: this.#options.tenant, time: this.#options.now(), ...gap }
  }

  #onWritten({ kept, bytes, refused, unsafe, syncSeconds }: Written): void {
    const underWay = this.#underWay
    if (underWay === undefined) return
    this.#underWay = undefined
    this.#seen = { work: undefined, beats: 0 }
    const now = performance.now()
    const { items, gap, isUrgent } = underWay
    this.#options.onWriteSeconds?.((now - underWay.since) / 1000)
    if (syncSeconds !== undefined) this.#options.onSyncSeconds?.(syncSeconds)
    this.#seq += kept
    this.#backlogBytes += bytes
    if (kept > 0) this.#unprovedSince ??= now
    // What was kept by means of what is held back says nothing about the room for others.
    if (refused === undefined && !(isUrgent && items.length + (gap === undefined ? 0 : 1) > 0))
      this.#failure = undefined
    if (refused !== undefined) this.#failure = { ...refused, at: now }

    const ofItems = gap === undefined ? kept : Math.max(0, kept - 1)
    if (gap !== undefined && kept === 0) this.#gap = mergedGaps(gap, this.#gap)
    for (const item of items.slice(0, ofItems)) {
      if (unsafe === undefined || item.isNote) item.resolve()
      else this.#refuse(item, unsafe)
    }
    if (refused !== undefined) this.#onRefused(refused, items.slice(ofItems), isUrgent)
    if (this.#waiting.length > 0) this.#flush()
    if (this.#underWay === undefined) this.#answered?.()
    if (kept === 0 || now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#options.onWritten?.()
  }

  /** What did not fit, and what waits behind it: only what may use what is kept back is tried once more. */
  #onRefused(refused: Failure, items: readonly Waiting[], wasUrgent: boolean): void {
    const again: Waiting[] = []
    const canTryAgain = refused.reason === 'spool_full'
    for (const item of items) {
      if (canTryAgain && item.isUrgent && !wasUrgent && !item.isAnswered) again.push(item)
      else this.#drop(item, refused)
    }
    for (const item of this.#waiting.splice(0)) {
      this.#waitingUnits -= item.units
      if (canTryAgain && item.isUrgent) again.push(item)
      else this.#drop(item, refused)
    }
    for (const { units } of again) this.#waitingUnits += units
    this.#waiting = again
  }

  #onNews(news: News): void {
    if (news.kind === 'trouble') {
      this.#trouble = news.failure
      if (news.failure === undefined) this.#failure = undefined
    } else if (news.kind === 'synced') {
      this.#options.onSyncSeconds?.(news.seconds)
    } else if (news.kind === 'signed') {
      this.#unprovedSince = news.size >= this.#seq ? undefined : performance.now()
    } else {
      this.#options.log?.error({ writer: this.writer, err: news.message }, 'ledger')
    }
  }

  #onGone(error: Error): void {
    this.#gone = {
      reason: 'spool_failed',
      message: `the spool writes no more (${error.message}): restart Cordon`,
    }
    this.#options.log?.error(
      { writer: this.writer, err: error.message },
      'the spool writes no more',
    )
    const items = [...(this.#underWay?.items ?? []), ...this.#waiting.splice(0)]
    this.#underWay = undefined
    this.#waitingUnits = 0
    for (const item of items) this.#drop(item, this.#gone)
    this.#answered?.()
  }

  #onBeat(): void {
    // That a thread begins slowly says nothing about the disk.
    if (!this.#isReady) return
    this.#beat += 1
    this.#options.onUnproved?.(
      this.#unprovedSince === undefined ? 0 : (performance.now() - this.#unprovedSince) / 1000,
    )
    this.#watchDisk()
    this.#answerTheImpatient()
    this.#tellState()
    const step = this.#clock.look()
    if (step !== undefined) this.note(this.#clockRecord(step))
    if (this.#gap !== undefined) this.#flush()
    this.#probe()
  }

  /** Into the log, once a change. */
  #tellState(): void {
    const { log } = this.#options
    const { failure, writer } = this
    if (failure === this.#toldFailure) return
    this.#toldFailure = failure
    if (failure === undefined) log?.info({ writer }, 'the spool takes records again')
    else log?.error({ writer, err: failure }, 'the spool takes no records')
  }

  #watchDisk(): void {
    const work = this.#handOver.work()
    const isSame = this.#underWay !== undefined || work !== undefined
    const wasSame = work === this.#seen.work
    this.#seen = { work, beats: isSame && wasSame ? this.#seen.beats + 1 : 0 }
  }

  /** Nobody waits longer than two seconds, whatever the disk does. */
  #answerTheImpatient(): void {
    const isStalled = this.#isStalled()
    const isLate = ({ beat }: Waiting): boolean => isStalled || this.#beat - beat >= PATIENCE_BEATS
    const failure = this.#failing() ?? {
      reason: 'spool_failed',
      message: 'the disk of the spool is too slow',
    }
    // Those under way may be kept all the same, so they are not counted as lost before that is known.
    for (const item of this.#underWay?.items ?? [])
      if (!item.isNote && isLate(item)) this.#refuse(item, failure)
    const late = this.#waiting.filter((item) => !item.isNote && isLate(item))
    if (late.length === 0) return
    this.#waiting = this.#waiting.filter((item) => item.isNote || !isLate(item))
    for (const item of late) {
      this.#waitingUnits -= item.units
      this.#drop(item, failure)
    }
  }

  /** A spool that nobody writes to any more, because it is not ready, has to find out by itself that it is well again. */
  #probe(): void {
    const { at = Infinity } = this.#failure ?? {}
    if (performance.now() - at < RETRY_MS || this.#underWay !== undefined) return
    if (this.#isClosed || this.#gone !== undefined) return
    this.#underWay = { items: [], gap: undefined, isUrgent: false, since: performance.now() }
    this.#handOver.write(0, { from: 0, to: 0 }, false)
  }

  #clockRecord(step: { readonly from: number; readonly to: number }): LedgerRecord {
    this.#ids ??= new IdSource(this.#options.now)
    return {
      kind: 'audit',
      tenant: this.#options.tenant,
      time: step.to,
      event_id: this.#ids.next(),
      event_type: 'clock_stepped',
      severity: 'warning',
      actor: { type: 'system', name: 'clock' },
      action: 'step',
      result: 'success',
      data: {
        from: new Date(step.from).toISOString(),
        to: new Date(step.to).toISOString(),
        step_ms: step.to - step.from,
      },
    }
  }

  /** Not kept: refused or counted, as `when_full` says. */
  #drop(item: Waiting, refused: Failure): void {
    if (item.isNote || this.#options.whenFull === 'drop_counted') this.#lose(refused)
    if (!item.isAnswered) this.#refuse(item, refused)
  }

  /** Tells whoever waits, and counts nothing: it may be kept all the same. */
  #refuse(item: Waiting, refused: Failure): void {
    if (item.isAnswered) return
    item.isAnswered = true
    if (item.isNote || this.#options.whenFull === 'drop_counted') item.resolve()
    else item.reject(errorOf(refused))
  }
}

function isUrgentKind({ kind }: LedgerRecord): boolean {
  return kind === 'audit' || kind === 'gap'
}

/** One gap that says as much as two. */
function mergedGaps(first: Gap | undefined, second: Gap | undefined): Gap | undefined {
  if (first === undefined || second === undefined) return first ?? second
  return {
    from: Math.min(first.from, second.from),
    to: Math.max(first.to, second.to),
    count: first.count + second.count,
    reason: second.reason,
  }
}

/** The value of a promise, or undefined where it takes too long to wait for when a process ends. */
function withinClose<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  if (promise === undefined) return Promise.resolve(undefined)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), CLOSE_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function errorOf({ reason, message }: Failure, cause?: unknown): CordonError {
  return new CordonError(reason === 'spool_full' ? 'SPOOL_FULL' : 'SPOOL_FAILED', message, {
    cause,
  })
}

function nothing(): void {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
