// The gateway workers seen from the primary: started, replaced when they end, told, asked, drained.
//
// States of a worker: forked -> ready (it listens) -> gone. One that ends is replaced, the sooner the longer
// it has served; one whose loop stands still is ended first.

import cluster, { type Worker } from 'node:cluster'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { withTimeout } from '../base/time-limit.ts'
import type { Log } from '../observe/log.ts'
import { Link } from './link.ts'
import type { Beginning, PrimaryCalls, WorkerCalls } from './messages.ts'
import type { Check } from './observe-door.ts'

export interface WorkersParts {
  readonly log: Log
  readonly beginning: () => Beginning
  /** What workers ask of the primary. */
  readonly calls: Omit<PrimaryCalls, 'begin' | 'listening' | 'failed'>
  readonly onRestart: () => void
}

interface Entry {
  readonly link: Link
  readonly worker: Worker
  readonly since: number
  seenAt: number
  ready: boolean
}

const READY_TIMEOUT_MS = 120_000
const DRAIN_MS = 30_000
const PING_MS = 2000
const STALLED_MS = 15_000
const ANSWER_MS = 1000
const RESTART_MS = { least: 500, most: 30_000 }
/** A worker that ends within this time counts as one that does not come up. */
const SETTLED_MS = 60_000

export class Workers {
  readonly #parts: WorkersParts
  readonly #entries = new Map<number, Entry>()
  #wanted = 0
  #watch: NodeJS.Timeout | undefined
  #closing = false
  #restartMs = RESTART_MS.least
  #lookedAt = 0

  constructor(parts: WorkersParts) {
    this.#parts = parts
  }

  /** Resolves with the addresses once all of them listen; rejects with the reason of the first that cannot. */
  async start(count: number): Promise<readonly string[]> {
    // The kernel shares the connections out: no hop through the primary.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: join(import.meta.dirname, '../main.ts'),
      args: ['worker'],
      serialization: 'advanced',
    })
    this.#wanted = count
    const [bound] = await withTimeout(
      Promise.all(Array.from({ length: count }, () => this.#fork())),
      READY_TIMEOUT_MS,
    )
    this.#watch = setInterval(() => this.#look(), PING_MS).unref()
    return bound ?? []
  }

  /** Tells every worker, and waits for none. */
  tell<K extends keyof WorkerCalls>(name: K, argument: Parameters<WorkerCalls[K]>[0]): void {
    for (const { link } of this.#entries.values()) link.notify(name, argument)
  }

  /** Every worker takes the new revision; one that cannot is ended, and its successor begins with it. */
  reload(beginning: Beginning): Promise<void> {
    return this.#change('reload', beginning)
  }

  /** The same for policies alone. */
  takePolicies(folders: readonly string[]): Promise<void> {
    return this.#change('takePolicies', folders)
  }

  async #change<K extends 'reload' | 'takePolicies'>(
    name: K,
    argument: Parameters<WorkerCalls[K]>[0],
  ): Promise<void> {
    await Promise.all(
      [...this.#entries.values()].map(async ({ link, worker }) => {
        try {
          await link.call(name, argument, READY_TIMEOUT_MS)
        } catch (error) {
          this.#parts.log.error(
            { worker: worker.id, err: String(error) },
            'a gateway worker did not take the new revision and is ended',
          )
          worker.process.kill('SIGKILL')
        }
      }),
    )
  }

  /** What each measures; one that does not answer in time is left out. */
  async metrics(): Promise<object[][]> {
    return this.#ask<object[]>('metrics', [...this.#entries.values()])
  }

  async checks(): Promise<Check[]> {
    if (this.#wanted === 0) return []
    const ready = [...this.#entries.values()].filter((entry) => entry.ready)
    const health = await this.#ask<{ spool: string | undefined }>('health', ready)
    const failure = health.find(({ spool }) => spool !== undefined)?.spool
    return [
      {
        name: 'gateways',
        ok: ready.length > 0,
        detail: `${ready.length} of ${this.#wanted} ready`,
      },
      {
        name: 'gateway_spools',
        ok: failure === undefined,
        ...(failure === undefined ? {} : { detail: failure }),
      },
    ]
  }

  /** Drains: running answers finish within the grace. */
  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#watch)
    const entries = [...this.#entries.values()]
    await Promise.allSettled(
      entries.map(({ link, ready }) =>
        ready ? link.call('drain', DRAIN_MS, DRAIN_MS + 5000) : Promise.resolve(),
      ),
    )
    for (const { worker } of this.#entries.values()) worker.process.kill('SIGKILL')
  }

  async #ask<T>(name: 'metrics' | 'health', entries: readonly Entry[]): Promise<T[]> {
    const all = await Promise.allSettled(
      entries.map(({ link }) => link.call<T>(name, undefined, ANSWER_MS)),
    )
    return all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  }

  #fork(): Promise<readonly string[]> {
    const { log, beginning, calls } = this.#parts
    return new Promise((resolve, reject) => {
      const worker = cluster.fork()
      const link = new Link(
        {
          send: (message) =>
            worker.isConnected() &&
            worker.send(
              message as never,
              (error) => error && log.debug({ err: error.message }, 'a worker could not be told'),
            ),
          onMessage: (listener) => worker.on('message', listener),
          onGone: (listener) => worker.on('disconnect', listener),
        },
        {
          ...calls,
          begin: () => Promise.resolve(beginning()),
          listening: (bound: readonly string[]) => {
            const known = this.#entries.get(worker.id)
            if (known !== undefined) {
              known.ready = true
              // Starting may take longer than standing still may.
              known.seenAt = Date.now()
            }
            resolve(bound)
          },
          failed: ({ code, message, problems }) =>
            reject(new CordonError(code, message, { problems })),
        } satisfies { [K in keyof PrimaryCalls]: (argument: never) => unknown },
      )
      const now = Date.now()
      this.#entries.set(worker.id, { link, worker, since: now, seenAt: now, ready: false })
      worker.once('exit', (code, signal) => {
        reject(new CordonError('INTERNAL', `a gateway worker ended (${signal ?? code})`))
        this.#ended(worker.id, code, signal)
      })
    })
  }

  #ended(id: number, code: number, signal: string): void {
    const entry = this.#entries.get(id)
    this.#entries.delete(id)
    if (this.#closing) return
    const { log, onRestart } = this.#parts
    onRestart()
    const settled = entry !== undefined && entry.ready && Date.now() - entry.since > SETTLED_MS
    if (settled) this.#restartMs = RESTART_MS.least
    log.error({ worker: id, code, signal }, 'a gateway worker ended; another one starts')
    setTimeout(() => {
      if (this.#closing) return
      this.#fork().then(
        () => log.info('a gateway worker took the place of one that ended'),
        (error: unknown) => log.error({ err: String(error) }, 'a gateway worker did not start'),
      )
    }, this.#restartMs).unref()
    // One that ends again and again would keep the machine busy with starting.
    if (!settled) this.#restartMs = Math.min(RESTART_MS.most, this.#restartMs * 2)
  }

  /** A worker whose loop stands still serves nobody: another one takes its place. */
  #look(): void {
    const now = Date.now()
    // If it was this process that stood still, the answers lie here unread.
    const wasAway = now - this.#lookedAt > 2 * PING_MS
    this.#lookedAt = now
    for (const entry of this.#entries.values()) {
      if (wasAway) entry.seenAt = now
      entry.link.call('health', undefined, STALLED_MS).then(
        () => {
          entry.seenAt = Date.now()
        },
        () => undefined,
      )
      if (entry.ready && now - entry.seenAt > STALLED_MS) {
        this.#parts.log.error(
          { worker: entry.worker.id },
          'a gateway worker stands still and is ended',
        )
        entry.worker.process.kill('SIGKILL')
      }
    }
  }
}
