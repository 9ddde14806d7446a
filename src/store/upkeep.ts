// The work that a store needs from time to time: sums, compression, what is too old. One at a time over a store,
// however many recorders there are; each step is short or lets others work, and what fails is told and tried again.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { AuditRecord } from '../model/record.ts'
import { type Ages, tellAges } from './ages.ts'
import { sumUp } from './aggregates.ts'
import { compress } from './compression.ts'
import { trimFeed } from './feed.ts'
import { applyRetention } from './retention.ts'
import { lacks, type Means, meansOf } from './series.ts'
import { standingOf, type TableStanding } from './standing.ts'
import type { Tables } from './tables.ts'

export interface UpkeepParts {
  readonly db: Kysely<Tables>
  /** The embedded database has one connection, which no work may keep to itself. */
  readonly kind: 'embedded' | 'postgres'
  readonly tenant: string
  /** This tenant's, as configured now. */
  readonly ages: () => Ages
  /** Who does the work, for the table of runs. */
  readonly by: string
  readonly nextId: () => string
  readonly now: () => number
  /** Resolves when the record is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** Ships what waits, soon. */
  readonly ship: () => Promise<void> | void
}

export interface UpkeepStep {
  readonly name: 'aggregates' | 'compression' | 'retention' | 'following'
  readonly ms: number
  /** Chunks that were compressed; rows that went, by table. */
  readonly done?: number | Readonly<Record<string, number>>
  readonly error?: string
}

export interface UpkeepRun {
  readonly began_at: Date
  readonly ended_at: Date | null
  readonly by: string
  readonly steps: readonly UpkeepStep[]
  readonly error: string | null
}

export interface RetentionReport {
  readonly tables: readonly TableStanding[]
  /** What this store cannot do by itself, in words. */
  readonly lacks: readonly string[]
  readonly last: UpkeepRun | null
}

const UPKEEP_LOCK = 7_303_605
const RUNS_KEPT = 1000
const ARRIVAL_MS = 30_000
const ARRIVAL_LOOK_MS = 200
/** For so long a reader of the stream may be away and miss nothing. */
const FOLLOWED_MS = 7 * 24 * 3_600_000

export class Upkeep {
  readonly #parts: UpkeepParts
  #running: Promise<unknown> = Promise.resolve()
  /** Of the connection that does the work. */
  #backend: number | undefined
  readonly #stopped = new AbortController()
  #busy = false

  constructor(parts: UpkeepParts) {
    this.#parts = parts
  }

  means(): Promise<Means> {
    return meansOf(this.#parts.db)
  }

  /** Undefined where another process is at it, or this one already. Throws only where the store is away. */
  run(): Promise<UpkeepRun | undefined> {
    const running = this.#run()
    this.#running = Promise.allSettled([this.#running, running])
    return running
  }

  /** Breaks off what is being done, which is then as if it had not begun; the next run does it. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('stopped'))
    if (this.#backend !== undefined)
      await sql`select pg_cancel_backend(${this.#backend})`
        .execute(this.#parts.db)
        .catch(() => undefined)
    await this.#running
  }

  async #run(): Promise<UpkeepRun | undefined> {
    if (this.#busy) return undefined
    this.#busy = true
    try {
      return await this.#runAlone()
    } finally {
      this.#busy = false
    }
  }

  async #runAlone(): Promise<UpkeepRun | undefined> {
    const { db, kind, tenant, ages } = this.#parts
    await tellAges(db, tenant, ages())
    if (kind === 'embedded') return this.#work(db)
    return db.connection().execute(async (connection) => {
      const { rows } = await sql<{ mine: boolean; backend: number }>`
        select pg_try_advisory_lock(${UPKEEP_LOCK}) as mine, pg_backend_pid() as backend`.execute(
        connection,
      )
      if (rows[0]?.mine !== true) return undefined
      this.#backend = rows[0].backend
      try {
        // Sums of a year take longer than any query of a person may.
        await sql`set statement_timeout = 0`.execute(connection)
        return await this.#work(connection)
      } finally {
        this.#backend = undefined
        await sql`reset statement_timeout`.execute(connection)
        await sql`select pg_advisory_unlock(${UPKEEP_LOCK})`.execute(connection)
      }
    })
  }

  /** How it stands with this tenant's ages, and with the work. */
  async report(): Promise<RetentionReport> {
    const { db, tenant, ages, now } = this.#parts
    return {
      tables: await standingOf(db, tenant, ages(), new Date(now())),
      lacks: lacks(await meansOf(db)),
      last: (await this.runs(1))[0] ?? null,
    }
  }

  /** The newest first. */
  async runs(limit: number): Promise<readonly UpkeepRun[]> {
    const { rows } = await sql<UpkeepRun>`
      select began_at, ended_at, by, steps, error from upkeep_runs order by id desc limit ${limit}`.execute(
      this.#parts.db,
    )
    return rows
  }

  async #work(db: Kysely<Tables>): Promise<UpkeepRun> {
    const { nextId, audit, ship, by } = this.#parts
    const { signal } = this.#stopped
    const { rows } = await sql<{ id: string; began_at: Date; now: Date }>`
      insert into upkeep_runs (by) values (${by}) returning id, began_at, clock_timestamp() as now`.execute(
      db,
    )
    const [begun] = rows
    if (begun === undefined) throw new Error('the run could not be noted')
    // A clock that is wrong by years must not cost years: the earlier of the two counts.
    const now = new Date(Math.min(this.#parts.now(), begun.now.getTime()))
    const means = await meansOf(db)
    const steps: UpkeepStep[] = []
    const step = async (
      name: UpkeepStep['name'],
      work: () => Promise<UpkeepStep['done']>,
    ): Promise<boolean> => {
      const start = performance.now()
      const ms = (): number => Math.round(performance.now() - start)
      try {
        signal.throwIfAborted()
        const done = await work()
        steps.push({ name, ms: ms(), ...(done === undefined ? {} : { done }) })
        return true
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        steps.push({ name, ms: ms(), error: message })
        return false
      }
    }
    const summed = await step('aggregates', async () => {
      await sumUp(db, means, now, signal)
      return undefined
    })
    await step('retention', async () => {
      if (!summed) throw new Error('waits for the aggregates: what goes must be in the sums')
      const gone: Record<string, number> = {}
      await applyRetention({
        db,
        means,
        now,
        signal,
        nextId,
        // Whoever checks the store alone must find the reason before anything is missing.
        audit: async (record) => {
          await audit(record)
          await arrival(db, record, ship, signal)
        },
        onGone: (table, count) => {
          if (count > 0) gone[table] = (gone[table] ?? 0) + count
        },
      })
      return gone
    })
    await step('compression', () => compress(db, means, now, signal))
    await step('following', () => trimFeed(db, new Date(now.getTime() - FOLLOWED_MS)))
    const failed = steps.filter(({ error }) => error !== undefined)
    const error =
      failed.length === 0 ? null : failed.map((each) => `${each.name}: ${each.error}`).join('; ')
    const ended = await sql<{ ended_at: Date }>`
      update upkeep_runs set ended_at = clock_timestamp(), steps = ${JSON.stringify(steps)}, error = ${error} where id = ${begun.id}
      returning ended_at`.execute(db)
    await sql`delete from upkeep_runs where id <= ${begun.id}::bigint - ${RUNS_KEPT}`.execute(db)
    return { began_at: begun.began_at, ended_at: ended.rows[0]?.ended_at ?? null, by, steps, error }
  }
}

/** Until the record is in the store; throws where that takes long. */
async function arrival(
  db: Kysely<Tables>,
  { tenant, time, event_id: id }: AuditRecord,
  ship: UpkeepParts['ship'],
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + ARRIVAL_MS
  await ship()
  for (;;) {
    const { rows } = await sql`
      select from audit_events where tenant = ${tenant} and time = ${new Date(time)}::timestamptz and event_id = ${id}`.execute(
      db,
    )
    if (rows.length > 0) return
    signal.throwIfAborted()
    if (performance.now() > end)
      throw new Error('the record of it has not reached the store yet, so nothing is deleted')
    await sleep(ARRIVAL_LOOK_MS)
  }
}
