// Has the store looked after: soon after the start, then every few minutes; what fails is told and tried again.

import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { lacks } from '../store/series.ts'
import type { Upkeep, UpkeepRun } from '../store/upkeep.ts'
import type { Check } from './observe-door.ts'

const FIRST_MS = 10_000
const EVERY_MS = 5 * 60_000

export class UpkeepTimer {
  readonly #parts: { readonly upkeep: Upkeep; readonly log: Log; readonly metrics: Metrics }
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #last: UpkeepRun | undefined
  #failure: string | undefined
  #lacks: readonly string[] | undefined

  constructor(parts: { readonly upkeep: Upkeep; readonly log: Log; readonly metrics: Metrics }) {
    this.#parts = parts
  }

  start(): void {
    this.#next(FIRST_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#parts.upkeep.stop()
    await this.#running
  }

  /** Never keeps anybody from being ready. */
  check(): Check {
    const lack = (this.#lacks ?? []).join('; ')
    const last = this.#last === undefined ? 'no run yet' : `last run ${toldRun(this.#last)}`
    const failed = this.#failure === undefined ? '' : `failed: ${this.#failure}; `
    const detail = `${failed}${last}${lack === '' ? '' : `; ${lack}`}`
    return { name: 'upkeep', ok: true, detail }
  }

  #next(ms: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => this.#next(EVERY_MS))
    }, ms).unref()
  }

  async #run(): Promise<void> {
    const { upkeep, log, metrics } = this.#parts
    try {
      await this.#tellMeans()
      const run = await upkeep.run()
      // Another process over the same store does it.
      if (run === undefined) return
      this.#last = run
      if (run.error !== null) throw new Error(run.error)
      this.#failure = undefined
      metrics.upkeepRuns.inc({ outcome: 'done' })
      metrics.upkeepDone.set(Date.now() / 1000)
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error)
      metrics.upkeepRuns.inc({ outcome: 'failed' })
      log.warn(
        { err: this.#failure },
        'the store could not be looked after; tried again in minutes',
      )
    }
    if (this.#last !== undefined) this.#measure(this.#last)
  }

  /** What this store does not do is said once, where it starts. */
  async #tellMeans(): Promise<void> {
    if (this.#lacks !== undefined) return
    const { upkeep, log, metrics } = this.#parts
    const means = await upkeep.means()
    this.#lacks = lacks(means)
    metrics.storeInfo.set(
      {
        timescaledb: means.timescale?.version ?? '',
        licence: means.timescale?.licence ?? '',
        series: means.hypertables ? 'hypertables' : 'partitions',
        aggregates: means.continuous ? 'continuous' : 'summed',
        compression: means.compresses ? 'yes' : 'no',
      },
      1,
    )
    for (const lack of this.#lacks) log.info({}, `store: ${lack}`)
  }

  #measure({ steps }: UpkeepRun): void {
    const { metrics } = this.#parts
    for (const { name, ms, done } of steps) {
      metrics.upkeepSeconds.set({ step: name }, ms / 1000)
      if (name === 'retention' && typeof done === 'object')
        for (const [table, rows] of Object.entries(done)) metrics.storeRemoved.inc({ table }, rows)
    }
  }
}

function toldRun({ began_at: began, steps }: UpkeepRun): string {
  const ms = steps.reduce((sum, step) => sum + step.ms, 0)
  return `${began.toISOString()} took ${ms} ms`
}
