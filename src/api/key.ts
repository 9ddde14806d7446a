// Who calls the API, and what they may: bearer keys with scopes (INTERFACES section 1, `cordon key create`).

import type { FastifyReply, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { CordonError } from '../base/errors.ts'
import { withTimeout } from '../base/time-limit.ts'

/** A key as the store knows it; the secret itself is not kept anywhere. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  /** The person that the key belongs to, where it does. */
  readonly user?: {
    readonly id: string
    readonly name?: string
    readonly email?: string
    readonly external_id?: string
  }
}

export interface KeyFinder {
  findKey(token: string): Promise<ApiKey | undefined>
}

const CACHE_MS = 10_000
/** As long as the store cannot be asked, nobody can revoke a key through it either. */
const AWAY_MS = 3_600_000
const ASK_MS = 1500
const MAX_TOKEN = 256

interface Known {
  readonly key: ApiKey
  /** When the store last said so, and when it is to be asked again; monotonic milliseconds. */
  readonly since: number
  readonly until: number
}

/**
 * Finds keys, remembering them for ten seconds: a revoked key stops working within that time. While the store
 * does not answer, keys that it has confirmed within the last hour go on working; others get STORE_UNAVAILABLE.
 */
export class KeyRing {
  readonly #finder: KeyFinder
  readonly #now: () => number
  readonly #known = new LRUCache<string, Known>({ max: 1000 })
  /** One question a token at a time. */
  readonly #asked = new Map<string, Promise<ApiKey | undefined>>()

  /** `now`: a monotonic clock in milliseconds. */
  constructor(finder: KeyFinder, now: () => number = () => performance.now()) {
    this.#finder = finder
    this.#now = now
  }

  /** The key of a request that holds one scope of each list; throws UNAUTHENTICATED or FORBIDDEN. */
  async require(
    request: FastifyRequest,
    ...lists: readonly (readonly string[])[]
  ): Promise<ApiKey> {
    const token = bearerOf(request.headers.authorization)
    if (token === undefined)
      throw new CordonError('UNAUTHENTICATED', 'send an API key: Authorization: Bearer KEY')
    const known = this.#known.get(token)
    const isFresh = known !== undefined && this.#now() < known.until
    const key = isFresh ? known.key : await this.#ask(token, known)
    if (key === undefined) throw new CordonError('UNAUTHENTICATED', 'this API key is not known')
    const held = key.scopes
    if (!lists.every((scopes) => scopes.some((scope) => grants(held, scope)))) {
      // A comma, where "and" could be read with one half of an "or".
      const and = lists.some((scopes) => scopes.length > 1) ? ', and ' : ' and '
      const named = lists.map((scopes) => scopes.join(' or ')).join(and)
      throw new CordonError('FORBIDDEN', `this API key lacks the scope ${named}`)
    }
    return key
  }

  async #ask(token: string, known: Known | undefined): Promise<ApiKey | undefined> {
    let answer = this.#asked.get(token)
    if (answer === undefined) {
      answer = withTimeout(this.#finder.findKey(token), ASK_MS).finally(() =>
        this.#asked.delete(token),
      )
      this.#asked.set(token, answer)
    }
    try {
      const key = await answer
      const now = this.#now()
      if (key === undefined) this.#known.delete(token)
      else this.#known.set(token, { key, since: now, until: now + CACHE_MS })
      return key
    } catch (error) {
      const now = this.#now()
      if (known === undefined || now - known.since > AWAY_MS)
        throw new CordonError(
          'STORE_UNAVAILABLE',
          'this API key cannot be looked up: the database does not answer',
          { cause: error },
        )
      this.#known.set(token, { ...known, until: now + CACHE_MS })
      return known.key
    }
  }
}

/** A route's `onRequest`: puts the caller's key on the request. */
export function requires(ring: KeyRing, ...scopes: string[]) {
  return async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    request.apiKey = await ring.require(request, scopes)
  }
}

/** The same where all of the scopes are needed; of a list one of them. */
export function requiresEach(ring: KeyRing, ...scopes: (string | readonly string[])[]) {
  const lists = scopes.map((each) => (typeof each === 'string' ? [each] : each))
  return async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    request.apiKey = await ring.require(request, ...lists)
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    apiKey: ApiKey | null
  }
}

/**
 * Whether the scopes of a key allow what needs another one: `admin` everything, `x:write` reading x, `decisions:read`
 * decisions, violations, reviews, exceptions and services.
 */
export function grants(held: readonly string[], wanted: string): boolean {
  if (held.includes('admin') || held.includes(wanted)) return true
  const [noun, verb] = wanted.split(':')
  if (verb !== 'read') return false
  if (held.includes(`${noun}:write`)) return true
  return COVERED_BY_DECISIONS.has(noun ?? '') && held.includes('decisions:read')
}

const COVERED_BY_DECISIONS = new Set([
  'violations',
  'reviews',
  'exceptions',
  'services',
  'catalogue',
])

function bearerOf(header: string | undefined): string | undefined {
  const [, token] = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(header ?? '') ?? []
  return token !== undefined && token.length <= MAX_TOKEN ? token : undefined
}
