// The exceptions in force, in every process that decides: the primary looks for what has changed in the store, whoever
// changed it, and tells its workers. Uses are counted in the store, before anything passes.

import type { Kysely } from 'kysely'
import { withTimeout } from '../base/time-limit.ts'
import { type ExceptionDesk, LiveExceptions } from '../decision/exceptions.ts'
import type { LiveException } from '../model/exception.ts'
import type { InputDocument } from '../model/input.ts'
import type { Log } from '../observe/log.ts'
import { claimUses, exceptionChanges } from '../store/exceptions.ts'
import type { Tables } from '../store/tables.ts'

/** One change after the other, so that a worker notices one that it has missed. */
export interface ExceptionChange {
  readonly version: number
  /** The version that it changes; null: these are all. */
  readonly after: number | null
  readonly live: readonly LiveException[]
  /** Ids of those that are in force no longer. */
  readonly ended: readonly string[]
}

const LOOK_MS = 1000
const CLAIM_MS = 2000
const LOOK_TIMEOUT_MS = 30_000
/** As long as the store cannot be asked, nobody can revoke through it either; but not for ever. */
const AWAY_MS = 3_600_000

export interface StoredExceptionsParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly log: Log
  /** Told to every worker. */
  readonly tell: (change: ExceptionChange) => void
  /** What one of them let through is open, maybe. */
  readonly onRevoked: () => void
}

/** In the primary. */
export class StoredExceptions implements ExceptionDesk {
  readonly #parts: StoredExceptionsParts
  readonly #live = new LiveExceptions()
  #version = 0
  #position: string | undefined
  #lookedAt = performance.now()
  #looking: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StoredExceptionsParts) {
    this.#parts = parts
  }

  /** Looks every second from now on. */
  start(): void {
    this.#timer = setTimeout(() => {
      void this.look().finally(() => this.#timer !== undefined && this.start())
    }, LOOK_MS).unref()
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#looking
  }

  /** Takes what has changed; after this nothing is used that had ended before. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look())
    return this.#looking
  }

  of(input: InputDocument, service: string): readonly LiveException[] {
    return this.#live.of(input, service)
  }

  async claim(exceptions: readonly LiveException[]): Promise<LiveException | undefined> {
    const spent = await this.claimUses(exceptions.map(({ exception_id: id }) => id))
    return exceptions.find(({ exception_id: id }) => id === spent)
  }

  /** The first that has no use left; then none is counted. Rejects where the store does not answer soon. */
  async claimUses(ids: readonly string[]): Promise<string | undefined> {
    const { db, tenant } = this.#parts
    const spent = await withTimeout(claimUses(db, tenant, ids), CLAIM_MS)
    if (spent !== undefined) this.#live.spend(spent)
    return spent
  }

  /** For a worker that begins, or has missed something. */
  all(): ExceptionChange {
    return { version: this.#version, after: null, live: this.#live.list(), ended: [] }
  }

  async #look(): Promise<void> {
    const { db, tenant, log } = this.#parts
    try {
      const isFirst = this.#position === undefined
      const found = await withTimeout(exceptionChanges(db, tenant, this.#position), LOOK_TIMEOUT_MS)
      this.#position = found.position
      this.#lookedAt = performance.now()
      // What an open transaction holds back is found again and again.
      const live = found.live.filter(({ exception_id: id }) => !this.#live.has(id))
      const ended = found.ended.filter((id) => this.#live.has(id))
      const isRevoked = found.revoked.some((id) => this.#live.has(id))
      if (isFirst || live.length + ended.length > 0) this.#take(live, ended)
      if (isRevoked) this.#parts.onRevoked()
    } catch (error) {
      if (this.#live.size === 0 || performance.now() - this.#lookedAt < AWAY_MS) return
      log.warn(
        { err: String(error) },
        'the store has been away for an hour: no exception holds until it is back',
      )
      this.#position = undefined
      this.#live.replace([])
      this.#version += 1
      this.#parts.tell(this.all())
    }
  }

  #take(live: readonly LiveException[], ended: readonly string[]): void {
    this.#live.change(live, ended)
    const after = this.#version
    this.#version += 1
    this.#parts.tell({ version: this.#version, after, live, ended })
  }
}

export interface ToldExceptionsParts {
  /** All of them, as the primary has them. */
  readonly all: () => Promise<ExceptionChange>
  readonly claim: (ids: readonly string[]) => Promise<string | undefined>
}

/** In a worker. */
export class ToldExceptions implements ExceptionDesk {
  readonly #parts: ToldExceptionsParts
  readonly #live = new LiveExceptions()
  #version = -1
  #asking = false
  #missed = false

  constructor(parts: ToldExceptionsParts) {
    this.#parts = parts
  }

  /** Asks for all; until they are here, none holds. Resolves in any case, and asks again where nobody answers. */
  async begin(): Promise<void> {
    // What is on its way may be older than what was missed meanwhile.
    this.#missed = true
    if (this.#asking) return
    this.#asking = true
    try {
      while (this.#missed) {
        this.#missed = false
        this.take(await this.#parts.all())
      }
    } catch {
      setTimeout(() => void this.begin(), LOOK_MS).unref()
    } finally {
      this.#asking = false
    }
  }

  take({ version, after, live, ended }: ExceptionChange): void {
    if (version <= this.#version) return
    if (after === null) this.#live.replace(live)
    else if (after === this.#version) this.#live.change(live, ended)
    else {
      // What has ended is taken at once, whatever else was missed.
      this.#live.change([], ended)
      void this.begin()
      return
    }
    this.#version = version
  }

  of(input: InputDocument, service: string): readonly LiveException[] {
    return this.#live.of(input, service)
  }

  async claim(exceptions: readonly LiveException[]): Promise<LiveException | undefined> {
    const spent = await this.#parts.claim(exceptions.map(({ exception_id: id }) => id))
    if (spent !== undefined) this.#live.spend(spent)
    return exceptions.find(({ exception_id: id }) => id === spent)
  }
}
