// Who calls the API, and what they may: bearer keys with scopes (INTERFACES section 1, `cordon key create`).

import type { FastifyReply, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { CordonError } from '../base/errors.ts'

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
const MAX_TOKEN = 256

/** Finds keys, remembering them for ten seconds: a revoked key stops working within that time. */
export class KeyRing {
  readonly #finder: KeyFinder
  readonly #known = new LRUCache<string, ApiKey>({ max: 1000, ttl: CACHE_MS })

  constructor(finder: KeyFinder) {
    this.#finder = finder
  }

  /** The key of a request that holds one of the scopes; throws UNAUTHENTICATED or FORBIDDEN. */
  async require(request: FastifyRequest, scopes: readonly string[]): Promise<ApiKey> {
    const token = bearerOf(request.headers.authorization)
    if (token === undefined)
      throw new CordonError('UNAUTHENTICATED', 'send an API key: Authorization: Bearer KEY')
    let key = this.#known.get(token)
    if (key === undefined) {
      key = await this.#finder.findKey(token)
      if (key === undefined) throw new CordonError('UNAUTHENTICATED', 'this API key is not known')
      this.#known.set(token, key)
    }
    const held = key.scopes
    if (!held.includes('admin') && !scopes.some((scope) => grants(held, scope))) {
      throw new CordonError('FORBIDDEN', `this API key lacks the scope ${scopes.join(' or ')}`)
    }
    return key
  }
}

/** A route's `onRequest`: puts the caller's key on the request. */
export function requires(ring: KeyRing, ...scopes: string[]) {
  return async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    request.apiKey = await ring.require(request, scopes)
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    apiKey: ApiKey | null
  }
}

/** `x:write` includes reading x; `decisions:read` covers decisions, violations, reviews, exceptions, services. */
function grants(held: readonly string[], wanted: string): boolean {
  if (held.includes(wanted)) return true
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
