// Replays that were asked for: each in a thread of its own, so that traffic does not notice, and in the memory of this
// process alone. They end with it; whoever asks afterwards is told so.

import { rmSync } from 'node:fs'
import type { Worker } from 'node:worker_threads'
import type { Kysely } from 'kysely'
import { CordonError, type ErrorCode, type Problem } from '../base/errors.ts'
import { openThread } from '../base/thread.ts'
import type { PreparedReplay, ReplayJob, ReplayJobs, ReplayOrder } from '../governance/replays.ts'
import type { Log } from '../observe/log.ts'
import type { CombineOptions } from '../policy/combine.ts'
import type { RecordedRow } from '../policy/recorded-input.ts'
import type { ReplayEnd, ReplayReport } from '../policy/replay.ts'
import { type Period, recordedCount, recordedPages } from '../store/recorded.ts'
import type { Tables } from '../store/tables.ts'
import { writeDraft } from './draft-folder.ts'
import type { Environment } from './rules.ts'

/** What the thread needs: plain data. */
export interface ReplayTask {
  readonly env: Environment
  readonly dirs: readonly string[]
  readonly combining: CombineOptions
  readonly pseudonymous: boolean
  readonly tenant: string
  readonly period: Period
  readonly limit: number
  /** Empty: the main thread reads. */
  readonly databaseUrl: string
  readonly migrationsDir: string
}

export type FromThread =
  | { readonly kind: 'next' }
  | {
      readonly kind: 'progress'
      readonly decisions: number
      /** Milliseconds since the epoch, of the decision that was read last. */
      readonly time: number
      readonly report: ReplayReport
    }
  | { readonly kind: 'ended'; readonly end: ReplayEnd; readonly report: ReplayReport }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      readonly problems: readonly Problem[]
    }

/** `rows`: undefined behind the last page. */
export type ToThread =
  | { readonly kind: 'page'; readonly rows: readonly RecordedRow[] | undefined }
  | { readonly kind: 'cancel' }

export interface ReplayJobsParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly env: Environment
  readonly log: Log
  readonly now: () => number
  readonly nextId: () => string
  readonly migrationsDir: string
  /** As they are now. */
  readonly settings: () => {
    readonly databaseUrl: string
    readonly combining: CombineOptions
    readonly pseudonymous: boolean
    /** Folders that are active beside the stored policies. */
    readonly dirs: readonly string[]
  }
}

/** At a time; each keeps a core busy. */
const MOST_RUNNING = 2
/** The last ones that ended are remembered. */
const MOST_KEPT = 20
const MOST_MB = 1024
/** A draft that compiles or hangs does not hear that it is cancelled. */
const CANCEL_MS = 5000

interface Running {
  readonly thread: Worker
  readonly remove: () => void
  readonly cancelled: AbortController
  late: NodeJS.Timeout | undefined
}

interface Job {
  view: ReplayJob
  running: Running | undefined
}

export class ThreadedReplays implements ReplayJobs {
  readonly #parts: ReplayJobsParts
  /** In the order in which they began. */
  readonly #jobs = new Map<string, Job>()
  /** Places that are kept for jobs to come. */
  #prepared = 0

  constructor(parts: ReplayJobsParts) {
    this.#parts = parts
  }

  prepare(): PreparedReplay {
    const running = [...this.#jobs.values()].filter((job) => job.running !== undefined).length
    if (running + this.#prepared >= MOST_RUNNING)
      throw new CordonError(
        'TOO_MANY',
        `${MOST_RUNNING} replays run here already: wait for one to end, or cancel one`,
      )
    const replay_id = this.#parts.nextId()
    let taken: { readonly order: ReplayOrder; readonly folder: string } | undefined
    this.#prepared += 1
    return {
      replay_id,
      take: (order) => {
        taken = { order, folder: writeDraft(order.files) }
      },
      start: () => {
        if (taken === undefined) throw new CordonError('INTERNAL', 'a replay without policies')
        this.#prepared -= 1
        return this.#start(replay_id, taken.order, taken.folder)
      },
      giveUp: () => {
        this.#prepared -= 1
        if (taken !== undefined) rmSync(taken.folder, { recursive: true, force: true })
      },
    }
  }

  list(): readonly ReplayJob[] {
    return [...this.#jobs.values()].map(({ view }) => ({ ...view, report: null })).toReversed()
  }

  get(id: string): ReplayJob | undefined {
    return this.#jobs.get(id)?.view
  }

  /** What was seen so far stays to be read; nothing changes for one that has ended. */
  cancel(id: string): ReplayJob | undefined {
    const job = this.#jobs.get(id)
    if (job === undefined) return undefined
    const { running } = job
    if (running !== undefined && !running.cancelled.signal.aborted) {
      running.cancelled.abort()
      running.thread.postMessage({ kind: 'cancel' } satisfies ToThread)
      running.late = setTimeout(() => {
        this.#end(job, { state: 'cancelled' })
        void running.thread.terminate()
      }, CANCEL_MS)
    }
    return job.view
  }

  async close(): Promise<void> {
    const threads = [...this.#jobs.values()].flatMap(({ running }) => running?.thread ?? [])
    for (const job of this.#jobs.values()) this.#end(job, { state: 'cancelled' })
    await Promise.all(threads.map((thread) => thread.terminate()))
  }

  #start(replay_id: string, order: ReplayOrder, folder: string): ReplayJob {
    const { tenant, env, migrationsDir, now, settings } = this.#parts
    const { period, limit, isAlone } = order
    const { databaseUrl, combining, pseudonymous, dirs } = settings()
    const task: ReplayTask = {
      env: { ...env },
      dirs: isAlone ? [folder] : [...dirs, folder],
      combining,
      pseudonymous,
      tenant,
      period,
      limit,
      databaseUrl,
      migrationsDir,
    }
    const thread = openThread(new URL('./replay-thread.ts', import.meta.url), task, MOST_MB)
    const job: Job = {
      view: {
        replay_id,
        state: 'running',
        policies: order.policies,
        from: new Date(period.from).toISOString(),
        to: new Date(period.to).toISOString(),
        limit: Number.isFinite(limit) ? limit : null,
        started_at: new Date(now()).toISOString(),
        ended_at: null,
        progress: { decisions: 0, expected: null, share: 0 },
        error: null,
        report: null,
      },
      running: {
        thread,
        remove: () => rmSync(folder, { recursive: true, force: true }),
        cancelled: new AbortController(),
        late: undefined,
      },
    }
    this.#jobs.set(replay_id, job)
    this.#forgetOld()
    this.#listen(job, thread, folder, period)
    void this.#count(job, period)
    return job.view
  }

  #listen(job: Job, thread: Worker, folder: string, period: Period): void {
    const signal = job.running?.cancelled.signal
    const pages = recordedPages(this.#parts.db, this.#parts.tenant, period, signal)
    const send = (message: ToThread): void => thread.postMessage(message)
    thread.on('message', (message: FromThread) => {
      switch (message.kind) {
        case 'next':
          void pages.next().then(
            ({ done, value }) =>
              send({ kind: 'page', rows: done === true ? undefined : value.map(plain) }),
            // Of one that is cancelled no page is read any more.
            (error: unknown) => {
              if (signal?.aborted === true) send({ kind: 'page', rows: undefined })
              else {
                this.#end(job, { state: 'failed', error: failureOf(error, folder) })
                void thread.terminate()
              }
            },
          )
          return
        case 'progress':
          this.#progress(job, message.decisions, message.time, message.report)
          return
        case 'ended':
          this.#progress(job, message.report.decisions, period.from, message.report)
          this.#end(job, { state: message.end })
          return
        case 'failed':
          this.#end(job, {
            state: 'failed',
            error: {
              code: message.code,
              message: relative(message.message, folder),
              problems: message.problems.map((problem) => ({
                ...problem,
                file: relative(problem.file, folder),
                message: relative(problem.message, folder),
              })),
            },
          })
      }
    })
    const gone = (error?: Error): void =>
      this.#end(job, { state: 'failed', error: failureOf(error, folder) })
    thread.on('error', gone)
    thread.on('exit', () => gone())
  }

  async #count(job: Job, period: Period): Promise<void> {
    try {
      const expected = await recordedCount(this.#parts.db, this.#parts.tenant, period)
      const { progress, limit } = job.view
      job.view = {
        ...job.view,
        progress: { ...progress, expected: Math.min(expected, limit ?? Infinity) },
      }
    } catch (error) {
      this.#parts.log.warn({ err: String(error) }, 'the decisions of a replay were not counted')
    }
  }

  #progress(job: Job, decisions: number, time: number, report: ReplayReport): void {
    const { progress, limit, from, to } = job.view
    const [begin, end] = [Date.parse(from), Date.parse(to)]
    const ofTime = end > begin ? (end - Math.max(begin, time)) / (end - begin) : 1
    const ofCount =
      progress.expected === null || progress.expected === 0 ? ofTime : decisions / progress.expected
    const share = Math.min(1, Math.max(limit === null ? ofTime : 0, ofCount))
    job.view = { ...job.view, progress: { ...progress, decisions, share }, report }
  }

  /** Only what ends it first counts. */
  #end(
    job: Job,
    {
      state,
      error = null,
    }: { readonly state: ReplayJob['state']; readonly error?: ReplayJob['error'] },
  ): void {
    const { running } = job
    if (running === undefined) return
    job.running = undefined
    clearTimeout(running.late)
    running.cancelled.abort()
    running.remove()
    job.view = {
      ...job.view,
      state,
      error,
      ended_at: new Date(this.#parts.now()).toISOString(),
      progress: { ...job.view.progress, ...(state === 'complete' ? { share: 1 } : {}) },
    }
  }

  #forgetOld(): void {
    const ended = [...this.#jobs].filter(([, job]) => job.running === undefined)
    for (const [id] of ended.slice(0, Math.max(0, this.#jobs.size - MOST_KEPT)))
      this.#jobs.delete(id)
  }
}

/** Buffers share their memory, all of which a message would take along. */
function plain({ record, personal }: RecordedRow): RecordedRow {
  return { record, personal: personal === null ? null : Uint8Array.from(personal) }
}

function failureOf(error: unknown, folder: string): NonNullable<ReplayJob['error']> {
  if (error instanceof CordonError)
    return { code: error.code, message: relative(error.message, folder), problems: error.problems }
  return {
    code: 'INTERNAL',
    message: error instanceof Error ? error.message : 'the thread of the replay has ended',
    problems: [],
  }
}

/** Nobody knows the folder that a draft was tried in. */
function relative(text: string, folder: string): string {
  return text.replaceAll(`${folder}/`, '').replaceAll(folder, 'the draft')
}
