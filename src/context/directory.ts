// Who is asking? Memory, then Redis, then the database.
//
// Unknown people are a case that policies see, never an error. Redis gone or slow costs one bounded wait,
// then the breaker leaves it alone for a while. When the database is gone too, what memory last knew
// serves on, however old; only somebody never seen before cannot be told from somebody unknown: that
// request fails, so that nobody slips through a policy that names people.

import {
  circuitBreaker,
  ConsecutiveBreaker,
  handleAll,
  timeout,
  TimeoutStrategy,
  wrap,
} from 'cockatiel'
import { LRUCache } from 'lru-cache'
import type { Principal, RequestContext } from '../model/request.ts'
import type { OwnRisk } from '../model/risk.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { MovedRisk, SharedCache } from './shared-cache.ts'
import { Tier } from './tier.ts'

/** The database, near or behind another process. */
export interface DirectorySource {
  find(principal: Principal): Promise<Subject | undefined>
  asset(hostname: string): Promise<Asset | undefined>
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
const SHARED_WAIT_MS = 50
const BREAK_MS = 5000

/** Until then whatever is cached of a person has been read anew. */
const MOVED_MS = 600_000

const NOBODY: ReadonlySet<string> = new Set()

export class Directory {
  readonly #parts: DirectoryParts
  readonly #people: Tier<Subject>
  readonly #devices: Tier<Asset>
  /** By user id: own risks that have moved since their people were read. */
  readonly #moved = new LRUCache<string, OwnRisk>({ max: PEOPLE, ttl: MOVED_MS })

  constructor(parts: DirectoryParts) {
    this.#parts = parts
    const breaker = circuitBreaker(handleAll, {
      halfOpenAfter: BREAK_MS,
      breaker: new ConsecutiveBreaker(3),
    })
    const guard = wrap(breaker, timeout(SHARED_WAIT_MS, TimeoutStrategy.Aggressive))
    const count = (tier: string, outcome: string): void =>
      parts.metrics.contextCache.inc({ tier, outcome })
    this.#people = new Tier(PEOPLE, {
      ...parts,
      guard,
      count,
      write: serialiseSubject,
      read: reviveSubject,
    })
    this.#devices = new Tier(DEVICES, {
      ...parts,
      guard,
      count,
      write: JSON.stringify,
      read: (text) => JSON.parse(text) as Asset,
    })
    parts.shared?.onInvalidate(() => this.forget())
    parts.shared?.onRisk((moved) => this.moveRisks(moved))
  }

  /** At once when memory knows; rejects only when nobody can tell. */
  find(principal: Principal): Subject | Promise<Subject> {
    const key = keyOf(principal)
    if (key === undefined) return unknown(principal)
    const found = this.#people.find(key, () => this.#parts.source.find(principal))
    return found instanceof Promise
      ? found.then((subject) => subject ?? unknown(principal))
      : (found ?? unknown(principal))
  }

  /** What a person's violations come to, as far as this process has heard. */
  ownRisk({ user, own_risk: read }: Subject): OwnRisk | undefined {
    const moved = user.id === undefined ? undefined : this.#moved.get(user.id)
    if (moved === undefined || read === undefined) return moved ?? read
    // Points only grow within a day.
    const isNewer = moved.as_of - read.as_of || moved.points - read.points
    return isNewer > 0 ? moved : read
  }

  /** The own risks of people have moved. */
  moveRisks(moved: readonly MovedRisk[]): void {
    for (const { tenant, user_id: id, own } of moved)
      if (tenant === this.#parts.tenant) this.#moved.set(id, own)
  }

  /** The device of a request, by its host name. */
  asset({ device }: RequestContext): Asset | undefined | Promise<Asset | undefined> {
    const hostname = device?.['hostname']
    if (typeof hostname !== 'string' || hostname === '' || hostname.length > 253) return undefined
    const key = hostname.toLowerCase()
    return this.#devices.find(`asset:${key}`, () => this.#parts.source.asset(key))
  }

  /** Something about people has changed, here or elsewhere: what memory knows may be old. */
  forget(): void {
    this.#people.forget()
    this.#devices.forget()
    this.#moved.clear()
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

function serialiseSubject({
  user,
  person,
  own_risk,
  allowed_services: allowed,
  prohibited_services: prohibited,
  units,
}: Subject): string {
  return JSON.stringify({
    user,
    person,
    own_risk,
    allowed: [...allowed],
    prohibited: [...prohibited],
    units: [...units],
  })
}

function reviveSubject(text: string): Subject {
  const { user, person, own_risk, allowed, prohibited, units } = JSON.parse(text) as {
    user: Subject['user']
    person?: string
    own_risk?: OwnRisk
    allowed: string[]
    prohibited: string[]
    units: string[]
  }
  return {
    user,
    ...(person === undefined ? {} : { person }),
    ...(own_risk === undefined ? {} : { own_risk }),
    allowed_services: new Set(allowed),
    prohibited_services: new Set(prohibited),
    units: new Set(units),
  }
}
