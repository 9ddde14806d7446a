// Who is asking? Memory, then Redis, then the database.
//
// Unknown people are a case that policies see, never an error. Redis gone or slow costs one bounded wait,
// then the breaker leaves it alone for a while. When the database is gone too, what memory last knew
// serves on, however old; only somebody never seen before cannot be told from somebody unknown: that
// request fails, so that nobody slips through a policy that names people.

import {
  circuitBreaker,
  type CircuitBreakerPolicy,
  ConsecutiveBreaker,
  handleAll,
  timeout,
  TimeoutStrategy,
  wrap,
} from 'cockatiel'
import { LRUCache } from 'lru-cache'
import type { Principal, RequestContext } from '../model/request.ts'
import type { Asset, Subject } from '../model/subject.ts'

/** The database, near or behind another process. */
export interface DirectorySource {
  find(principal: Principal): Promise<Subject | undefined>
  asset(hostname: string): Promise<Asset | undefined>
}

/** The shared tier between memory and database. */
export interface SharedCache {
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlMs: number): Promise<void>
  /** Calls back when any process invalidates; an absent key means everything. */
  onInvalidate(listener: () => void): void
  invalidate(): Promise<void>
  close(): Promise<void>
}

export interface DirectoryMetrics {
  readonly contextCache: { inc(labels: { tier: string; outcome: string }): void }
}

export interface DirectoryParts {
  readonly source: DirectorySource
  readonly shared?: SharedCache
  readonly metrics: DirectoryMetrics
  readonly tenant: string
}

const PEOPLE = 50_000
const DEVICES = 20_000
const FRESH_MS = 60_000
/** How long an entry may still serve while the database is away. */
const STALE_MS = 24 * 3_600_000
const SHARED_TTL_MS = 300_000
const SHARED_WAIT_MS = 50
const BREAK_MS = 5000

interface Entry<T> {
  readonly value: T
  readonly until: number
}

const NOBODY: ReadonlySet<string> = new Set()

export class Directory {
  readonly #parts: DirectoryParts
  readonly #people = new LRUCache<string, Entry<Subject | null>>({ max: PEOPLE, ttl: STALE_MS })
  readonly #assets = new LRUCache<string, Entry<Asset | null>>({ max: DEVICES, ttl: STALE_MS })
  readonly #open = new Map<string, Promise<Subject>>()
  readonly #guard: ReturnType<typeof wrap> | undefined
  readonly #breaker: CircuitBreakerPolicy
  #generation = 0

  constructor(parts: DirectoryParts) {
    this.#parts = parts
    this.#breaker = circuitBreaker(handleAll, {
      halfOpenAfter: BREAK_MS,
      breaker: new ConsecutiveBreaker(3),
    })
    this.#guard = wrap(this.#breaker, timeout(SHARED_WAIT_MS, TimeoutStrategy.Aggressive))
    parts.shared?.onInvalidate(() => this.forget())
  }

  /** At once when memory knows; rejects only when nobody can tell. */
  find(principal: Principal): Subject | Promise<Subject> {
    const key = keyOf(principal)
    if (key === undefined) return unknown(principal)
    const entry = this.#people.get(key)
    if (entry !== undefined && entry.until > performance.now()) {
      this.#count('memory', 'hit')
      return entry.value ?? unknown(principal)
    }
    this.#count('memory', 'miss')
    const running = this.#open.get(key)
    if (running !== undefined) return running
    const looking = this.#look(key, principal, entry).finally(() => this.#open.delete(key))
    this.#open.set(key, looking)
    return looking
  }

  /** The device of a request, by its host name. */
  asset({ device }: RequestContext): Asset | undefined | Promise<Asset | undefined> {
    const hostname = device?.['hostname']
    if (typeof hostname !== 'string' || hostname === '' || hostname.length > 253) return undefined
    const key = hostname.toLowerCase()
    const entry = this.#assets.get(key)
    if (entry !== undefined && entry.until > performance.now()) return entry.value ?? undefined
    return this.#parts.source.asset(key).then(
      (asset) => {
        this.#assets.set(key, { value: asset ?? null, until: performance.now() + FRESH_MS })
        return asset
      },
      (error: unknown) => {
        if (entry === undefined) throw error
        return entry.value ?? undefined
      },
    )
  }

  /** Something about people has changed, here or elsewhere: what memory knows may be old. */
  forget(): void {
    this.#generation += 1
    for (const [key, entry] of this.#people.entries())
      this.#people.set(key, { value: entry.value, until: 0 })
    for (const [key, entry] of this.#assets.entries())
      this.#assets.set(key, { value: entry.value, until: 0 })
  }

  async #look(
    key: string,
    principal: Principal,
    old: Entry<Subject | null> | undefined,
  ): Promise<Subject> {
    const generation = this.#generation
    const keep = (value: Subject | null): void => {
      if (generation === this.#generation)
        this.#people.set(key, { value, until: performance.now() + FRESH_MS })
    }
    const shared = await this.#fromShared(key)
    if (shared !== undefined) {
      keep(shared)
      return shared
    }
    try {
      const found = await this.#parts.source.find(principal)
      this.#count('database', found === undefined ? 'unknown' : 'hit')
      keep(found ?? null)
      if (found !== undefined) this.#toShared(key, found)
      return found ?? unknown(principal)
    } catch (error) {
      this.#count('database', 'error')
      if (old === undefined) throw error
      this.#count('memory', 'stale')
      return old.value ?? unknown(principal)
    }
  }

  async #fromShared(key: string): Promise<Subject | undefined> {
    const { shared } = this.#parts
    if (shared === undefined || this.#guard === undefined) return undefined
    try {
      const text = await this.#guard.execute(() => shared.get(`${this.#parts.tenant}:${key}`))
      this.#count('redis', text === null ? 'miss' : 'hit')
      return typeof text === 'string' ? reviveSubject(text) : undefined
    } catch {
      this.#count('redis', 'error')
      return undefined
    }
  }

  #toShared(key: string, subject: Subject): void {
    const { shared } = this.#parts
    if (shared === undefined || this.#guard === undefined) return
    this.#guard
      .execute(() =>
        shared.set(`${this.#parts.tenant}:${key}`, serialiseSubject(subject), SHARED_TTL_MS),
      )
      .catch(() => this.#count('redis', 'error'))
  }

  #count(tier: string, outcome: string): void {
    this.#parts.metrics.contextCache.inc({ tier, outcome })
  }
}

/** Undefined: anonymous. */
function keyOf({
  login,
  user_id: userId,
  email,
  external_id: externalId,
  name,
}: Principal): string | undefined {
  if (login !== undefined) return `login:${login.toLowerCase()}`
  if (userId === undefined && email === undefined && externalId === undefined && name === undefined)
    return undefined
  return `person:${JSON.stringify([userId, email, externalId, name].map((part) => part?.toLowerCase() ?? null))}`
}

/** Somebody whom the directory does not know, with what they came with. */
function unknown({ login, name, email, department }: Principal): Subject {
  const shown = name ?? login
  const person = shown ?? email
  return {
    user: {
      known: false,
      ...(shown === undefined ? {} : { name: shown }),
      ...(email === undefined ? {} : { email }),
      ...(department === undefined ? {} : { department: { name: department, path: [department] } }),
    },
    ...(person === undefined ? {} : { person }),
    allowed_services: NOBODY,
    prohibited_services: NOBODY,
    units: department === undefined ? NOBODY : new Set([department]),
  }
}

export function serialiseSubject({
  user,
  person,
  allowed_services: allowed,
  prohibited_services: prohibited,
  units,
}: Subject): string {
  return JSON.stringify({
    user,
    person,
    allowed: [...allowed],
    prohibited: [...prohibited],
    units: [...units],
  })
}

function reviveSubject(text: string): Subject {
  const { user, person, allowed, prohibited, units } = JSON.parse(text) as {
    user: Subject['user']
    person?: string
    allowed: string[]
    prohibited: string[]
    units: string[]
  }
  return {
    user,
    ...(person === undefined ? {} : { person }),
    allowed_services: new Set(allowed),
    prohibited_services: new Set(prohibited),
    units: new Set(units),
  }
}
