// One kind of thing that the directory knows, looked up in memory, then in the shared cache, then at its source.

import type { IPolicy } from 'cockatiel'
import { LRUCache } from 'lru-cache'
import type { SharedCache } from './shared-cache.ts'

export interface TierParts<T> {
  readonly shared?: SharedCache
  readonly tenant: string
  /** Bounds what one look into the shared cache may cost. */
  readonly guard: IPolicy
  readonly count: (tier: string, outcome: string) => void
  readonly write: (value: T) => string
  readonly read: (text: string) => T
}

interface Entry<T> {
  /** Null: nobody by that name. */
  readonly value: T | null
  readonly until: number
  /** Of the time when it was read; after a `forget` it is old. */
  readonly generation: number
}

const FRESH_MS = 60_000
/** How long an entry may still serve while the source is away. */
const STALE_MS = 24 * 3_600_000
/** After the source failed, what memory knows serves for so long before it is asked again. */
const SOURCE_PAUSE_MS = 2000
/** How long the source may take where memory knows an older answer. */
const SOURCE_WAIT_MS = 1000
const SHARED_TTL_MS = 300_000

export class Tier<T extends object> {
  readonly #parts: TierParts<T>
  readonly #memory: LRUCache<string, Entry<T>>
  readonly #open = new Map<string, Promise<T | undefined>>()
  #generation = 0

  constructor(size: number, parts: TierParts<T>) {
    this.#parts = parts
    this.#memory = new LRUCache({ max: size, ttl: STALE_MS })
  }

  /** At once when memory knows; rejects only when nobody can tell. */
  find(key: string, source: () => Promise<T | undefined>): T | undefined | Promise<T | undefined> {
    const entry = this.#memory.get(key)
    if (entry?.generation === this.#generation && entry.until > performance.now()) {
      this.#parts.count('memory', 'hit')
      return entry.value ?? undefined
    }
    this.#parts.count('memory', 'miss')
    const running = this.#open.get(key)
    if (running !== undefined) return running
    const looking = this.#look(key, source, entry).finally(() => {
      if (this.#open.get(key) === looking) this.#open.delete(key)
    })
    this.#open.set(key, looking)
    return looking
  }

  /** What memory knows may be old: it is asked for again, and serves only where nobody else can tell. */
  forget(): void {
    this.#generation += 1
    // Whoever asks from now on must not be given what was read before.
    this.#open.clear()
  }

  async #look(
    key: string,
    source: () => Promise<T | undefined>,
    old: Entry<T> | undefined,
  ): Promise<T | undefined> {
    const generation = this.#generation
    const keep = (value: T | null, forMs: number): void => {
      if (generation === this.#generation)
        this.#memory.set(key, { value, until: performance.now() + forMs, generation })
    }
    const shared = await this.#fromShared(key)
    if (shared !== undefined) {
      keep(shared, FRESH_MS)
      return shared
    }
    try {
      const found = await (old === undefined ? source() : within(SOURCE_WAIT_MS, source()))
      this.#parts.count('database', found === undefined ? 'unknown' : 'hit')
      keep(found ?? null, FRESH_MS)
      // What was read before a change must not be shared as if it had been read after it.
      if (found !== undefined && generation === this.#generation) this.#toShared(key, found)
      return found
    } catch (error) {
      this.#parts.count('database', 'error')
      if (old === undefined) throw error
      this.#parts.count('memory', 'stale')
      keep(old.value, SOURCE_PAUSE_MS)
      return old.value ?? undefined
    }
  }

  async #fromShared(key: string): Promise<T | undefined> {
    const { shared, guard, tenant, read, count } = this.#parts
    if (shared === undefined) return undefined
    try {
      const text = await guard.execute(() => shared.get(`${tenant}:${key}`))
      const value = typeof text === 'string' ? read(text) : undefined
      count('redis', value === undefined ? 'miss' : 'hit')
      return value
    } catch {
      count('redis', 'error')
      return undefined
    }
  }

  #toShared(key: string, value: T): void {
    const { shared, guard, tenant, write, count } = this.#parts
    if (shared === undefined) return
    guard
      .execute(() => shared.set(`${tenant}:${key}`, write(value), SHARED_TTL_MS))
      .catch(() => count('redis', 'error'))
  }
}

/** Rejects when the work takes longer; it goes on by itself. */
function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
