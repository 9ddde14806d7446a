// The store as a start finds it. Where it is away, a gateway comes up with what was in force here last; what writes to the
// store begins once it is back and has been looked at as a start would have.

import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import type { Sink } from '../model/record.ts'
import type { Log } from '../observe/log.ts'
import {
  type AwaitedStore,
  isAway,
  openAwaited,
  openStore,
  type Store,
  type StoreOptions,
} from '../store/open.ts'
import { checkLedgerAge } from './ledger-age.ts'
import type { Check } from './observe-door.ts'
import { ownPersonSecret, personSecret } from './person-secret.ts'

export interface StoreContactParts {
  readonly options: StoreOptions
  readonly tenant: string
  /** Whether there is something to do without the store: a gateway has traffic. */
  readonly mayWait: boolean
  readonly log: Log
}

const RETRY_MS = 1000

/** Throws what keeps a start from going on: STORE_UNAVAILABLE, STORE_LOCKED, LEDGER_OLDER. */
export async function contactStore(parts: StoreContactParts): Promise<StoreContact> {
  const { options, tenant, mayWait, log } = parts
  try {
    const store = await openStore(options)
    try {
      return new StoreContact(parts, store, await lookedAt(store, options.dataDir, tenant))
    } catch (error) {
      await store.close()
      throw error
    }
  } catch (error) {
    if (!mayWait || options.databaseUrl === '' || !isAway(error)) throw error
    const secret = ownPersonSecret(options.dataDir)
    if (secret === undefined)
      throw new CordonError(
        'STORE_UNAVAILABLE',
        `${messageOf(error)}; this data directory has never met a store, so there is nothing to begin with meanwhile`,
        { cause: error },
      )
    log.warn(
      { err: messageOf(error) },
      'the store is away: what was in force here last is begun with, and records wait in the spool',
    )
    return new StoreContact(parts, openAwaited(options), secret, messageOf(error))
  }
}

export class StoreContact {
  readonly store: Store
  /** Of the tenant: what keys of people are made with. */
  readonly personSecret: Buffer
  /** Rejects where the store that came back shows that this process must not go on. */
  readonly fault: Promise<never>
  readonly #parts: StoreContactParts
  readonly #waiting: (() => void)[] = []
  #away: string | undefined
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> = Promise.resolve()
  #closed = false
  readonly #fail: (error: unknown) => void

  /** `away`: why the store could not be reached; absent where it was, and has been looked at. */
  constructor(
    parts: StoreContactParts,
    store: Store | AwaitedStore,
    secret: Buffer,
    away?: string,
  ) {
    this.#parts = parts
    this.store = store
    this.personSecret = secret
    const fault = Promise.withResolvers<never>()
    this.fault = fault.promise
    this.#fail = fault.reject
    // Whoever runs the process listens once it has begun.
    fault.promise.catch(() => undefined)
    if (away === undefined || !('prepare' in store)) return
    this.#away = away
    this.#lookSoon(store)
  }

  get isThere(): boolean {
    return this.#away === undefined
  }

  /** Runs it now where the store is there, else once it is back. */
  whenThere(begin: () => void): void {
    if (this.isThere) begin()
    else this.#waiting.push(begin)
  }

  /** Nothing reaches a store that has not been looked at; it counts as one that is away. */
  guarded(sink: Sink): Sink {
    const there = (): Promise<void> =>
      this.isThere
        ? Promise.resolve()
        : Promise.reject(new CordonError('STORE_UNAVAILABLE', this.#away ?? 'away'))
    return {
      cursors: () => there().then(() => sink.cursors()),
      write: (...batch) => there().then(() => sink.write(...batch)),
      setAside: (...refused) => there().then(() => sink.setAside(...refused)),
      keepEvidence: (evidence) => there().then(() => sink.keepEvidence(evidence)),
    }
  }

  /** Undefined: it was reached, and how it is now is for others to tell. */
  check(): Check | undefined {
    return this.#away === undefined
      ? undefined
      : { name: 'store', ok: true, detail: `away since before the start: ${this.#away}` }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.store.close()
    await this.#looking
  }

  #lookSoon(store: AwaitedStore): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#looking = this.#look(store)
    }, RETRY_MS).unref()
  }

  async #look(store: AwaitedStore): Promise<void> {
    const { options, tenant, log } = this.#parts
    try {
      await store.prepare()
      const secret = await lookedAt(store, options.dataDir, tenant)
      if (!secret.equals(this.personSecret))
        throw new CordonError(
          'CONFIG_INVALID',
          `the store that came back has another secret of people than ${join(options.dataDir, 'keys', 'people.key')} had: start again, and the store's is used`,
        )
    } catch (error) {
      if (this.#closed) return
      if (isFinal(error)) {
        log.fatal({ err: messageOf(error) }, 'the store is back, and this process cannot go on')
        this.#fail(error)
        return
      }
      if (this.#away !== messageOf(error))
        log.warn({ err: messageOf(error) }, 'the store is still away')
      this.#away = messageOf(error)
      this.#lookSoon(store)
      return
    }
    if (this.#closed) return
    this.#away = undefined
    log.info({}, 'the store is back: what waited for it begins')
    for (const begin of this.#waiting.splice(0)) begin()
  }
}

/** What is asked before anything is written to a store; the secret that it keeps for the tenant. */
async function lookedAt(store: Store, dataDir: string, tenant: string): Promise<Buffer> {
  await checkLedgerAge(dataDir, store.db)
  return personSecret(store.db, tenant, dataDir)
}

/** Trying again would change nothing. */
function isFinal(error: unknown): boolean {
  return error instanceof CordonError && error.code !== 'STORE_UNAVAILABLE'
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}
