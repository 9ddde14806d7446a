// Who is calling? Client network first (403), then credentials (wrong ones are always 407, never anonymous),
// then the network's own mapping, then anonymous by configuration.
//
// Verified credentials are remembered by the hash of their header; what must be hashed slowly waits in a short
// queue; guessing is slowed down for each user and address together, so that nobody is locked out by others.

import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import { CordonError } from '../base/errors.ts'
import type { Principal } from '../model/request.ts'
import { Networks } from './addresses.ts'
import type { Htpasswd } from './htpasswd.ts'
import type { Caller, Identifier, Refusal } from './ports.ts'

export interface NetworkMapping {
  readonly cidr: string
  readonly user?: string
  readonly department?: string
  readonly label?: string
}

export interface CallersOptions {
  readonly clients: readonly string[]
  readonly networks: readonly NetworkMapping[]
  readonly anonymous: 'allow' | 'deny'
  readonly htpasswd: Htpasswd | undefined
  /** The person whose proxy token it is; the store behind it may be away (rejects). */
  readonly verifyToken: (
    login: string,
    token: string,
  ) => Promise<{ readonly user_id: string } | undefined>
  readonly now: () => number
}

interface Verified {
  readonly principal: Principal
  /** The name that went with the right password. */
  readonly login: string
}

const REMEMBERED = 20_000
const REMEMBER_MS = 60_000
const MAX_HEADER = 4096
const MAX_USER = 256
const MAX_VERIFYING = 256
/** Of one address, so that a guesser leaves room for others. */
const MAX_VERIFYING_OF_ONE = 64
const FREE_FAILURES = 10
const WINDOW_MS = 60_000
const SLOW_MS = 1000
/** Guesses that wait for their turn, of one user and address. */
const MAX_SLOWED = 10

const NOT_A_CLIENT: Refusal = {
  status: 403,
  error: 'http_request_denied',
  details: 'this proxy does not serve your network',
}
const NEEDS_CREDENTIALS: Refusal = {
  status: 407,
  error: 'http_request_denied',
  details: 'say who you are: Basic with your name and proxy token',
  challenge: true,
}
const WRONG_CREDENTIALS: Refusal = {
  status: 407,
  error: 'http_request_denied',
  details: 'the name or the proxy token is not right',
  challenge: true,
}
const CANNOT_VERIFY: Refusal = {
  status: 503,
  error: 'proxy_internal_error',
  details: 'credentials cannot be checked at the moment',
  retryAfterSeconds: 5,
}

const TOO_MANY_GUESSES: Refusal = {
  status: 429,
  error: 'http_request_denied',
  details: 'too many wrong credentials for this name from your address',
  retryAfterSeconds: (MAX_SLOWED * SLOW_MS) / 1000,
}

export class Callers implements Identifier {
  readonly #options: CallersOptions
  readonly #clients: Networks
  readonly #mappings: readonly { readonly list: Networks; readonly mapping: NetworkMapping }[]
  readonly #known = new LRUCache<string, Verified>({ max: REMEMBERED, ttl: REMEMBER_MS })
  readonly #failures = new LRUCache<string, number>({ max: REMEMBERED, ttl: WINDOW_MS })
  /** When the next guess of somebody who has guessed too often may be looked at. */
  readonly #turns = new LRUCache<string, number>({ max: REMEMBERED, ttl: WINDOW_MS })
  /** By the hash of the header: the many connections of a browser ask once. */
  readonly #open = new Map<string, Promise<Verified | Refusal>>()
  readonly #openOf = new Map<string, number>()
  #generation = 0

  constructor(options: CallersOptions) {
    this.#options = options
    this.#clients = new Networks(options.clients)
    // The longest prefix first, whatever its family.
    this.#mappings = options.networks
      .toSorted((a, b) => bitsOf(b.cidr) - bitsOf(a.cidr))
      .map((mapping) => ({ list: new Networks([mapping.cidr]), mapping }))
  }

  identify(
    proxyAuthorization: string | undefined,
    clientAddress: string | undefined,
  ): Caller | Promise<Caller> {
    const address = clientAddress === undefined ? undefined : plainAddress(clientAddress)
    if (address !== undefined && !this.#clients.has(address))
      return { ok: false, refusal: NOT_A_CLIENT }
    const mapping =
      address === undefined
        ? undefined
        : this.#mappings.find(({ list }) => list.has(address))?.mapping
    const seen = {
      ...(address === undefined ? {} : { address }),
      ...(mapping?.label === undefined ? {} : { network: mapping.label }),
    }
    if (proxyAuthorization !== undefined) {
      const key = keyOf(proxyAuthorization)
      const known = this.#known.get(key)
      if (known !== undefined) return { ok: true, ...known, ...seen }
      return this.#verifyOnce(key, proxyAuthorization, address ?? 'local').then((result) =>
        'status' in result ? { ok: false, refusal: result } : { ok: true, ...result, ...seen },
      )
    }
    if (mapping?.user !== undefined || mapping?.department !== undefined) {
      const { user, department } = mapping
      return {
        ok: true,
        principal: {
          ...(user === undefined ? {} : { login: user }),
          ...(department === undefined ? {} : { department }),
        },
        ...seen,
      }
    }
    if (this.#options.anonymous === 'deny' && mapping === undefined)
      return { ok: false, refusal: NEEDS_CREDENTIALS }
    return { ok: true, principal: {}, ...seen }
  }

  /** Tokens may have been revoked, or people renamed. */
  forget(): void {
    this.#generation += 1
    this.#known.clear()
  }

  #verifyOnce(key: string, header: string, address: string): Promise<Verified | Refusal> {
    const asked = `${address} ${key}`
    const open = this.#open.get(asked)
    if (open !== undefined) return open
    const ofOne = this.#openOf.get(address) ?? 0
    if (this.#open.size >= MAX_VERIFYING || ofOne >= MAX_VERIFYING_OF_ONE)
      return Promise.resolve(CANNOT_VERIFY)
    const verifying = this.#verify(key, header, address).finally(() => {
      this.#open.delete(asked)
      const left = (this.#openOf.get(address) ?? 1) - 1
      if (left > 0) this.#openOf.set(address, left)
      else this.#openOf.delete(address)
    })
    this.#open.set(asked, verifying)
    this.#openOf.set(address, ofOne + 1)
    return verifying
  }

  async #verify(key: string, header: string, address: string): Promise<Verified | Refusal> {
    const credentials = readBasic(header)
    if (credentials === undefined) return WRONG_CREDENTIALS
    const { user, password } = credentials
    const guesser = `${address} ${user.toLowerCase()}`
    // Counted before it is known to be wrong: guesses at the same time must not be free.
    const failures = this.#failures.get(guesser) ?? 0
    this.#failures.set(guesser, failures + 1)
    if (failures >= FREE_FAILURES) {
      const waitMs = this.#turn(guesser)
      if (waitMs > MAX_SLOWED * SLOW_MS) return TOO_MANY_GUESSES
      await sleep(waitMs)
    }
    const generation = this.#generation
    try {
      const principal = await this.#principalOf(user, password)
      if (principal === undefined) return WRONG_CREDENTIALS
      this.#failures.delete(guesser)
      const verified = { principal, login: user }
      if (generation === this.#generation) this.#known.set(key, verified)
      return verified
    } catch {
      this.#failures.set(guesser, failures)
      return CANNOT_VERIFY
    }
  }

  /** How long this guess waits, one behind the other. */
  #turn(guesser: string): number {
    const now = this.#options.now()
    const at = Math.max(now, this.#turns.get(guesser) ?? 0) + SLOW_MS
    if (at - now <= MAX_SLOWED * SLOW_MS) this.#turns.set(guesser, at)
    return at - now
  }

  /** The token first: that costs next to nothing, while a password is hashed for a tenth of a second. */
  async #principalOf(user: string, password: string): Promise<Principal | undefined> {
    const { htpasswd, verifyToken } = this.#options
    const asked = await verifyToken(user, password).then(
      (owner) => ({ owner }),
      () => undefined,
    )
    if (asked?.owner !== undefined) return { user_id: asked.owner.user_id }
    const login = await htpasswd?.verify(user, password)
    if (login !== undefined) return { login }
    // Whether it is a token cannot be said, so neither can it be called wrong.
    if (asked === undefined) throw new CordonError('STORE_UNAVAILABLE', 'tokens cannot be checked')
    return undefined
  }
}

/** RFC 7617: UTF-8, the first colon divides, no control characters on either side. */
export function readBasic(
  header: string,
): { readonly user: string; readonly password: string } | undefined {
  if (header.length > MAX_HEADER) return undefined
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header) ?? []
  if (encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  let text
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    text = bytes.toString('latin1')
  }
  const colon = text.indexOf(':')
  // oxlint-disable-next-line no-control-regex -- exactly these are what must not be there
  if (colon < 1 || colon > MAX_USER || /[\u0000-\u001F\u007F]/.test(text)) return undefined
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** The header itself is not kept in memory. */
function keyOf(header: string): string {
  return createHash('sha256').update(header).digest('base64')
}

function plainAddress(address: string): string {
  const [bare = ''] = address.split('%', 1)
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(bare) ? bare.slice(7) : bare
}

function bitsOf(network: string): number {
  const [address = '', bits = '0'] = network.split('/')
  return Number(bits) + (isIP(address) === 4 ? 96 : 0)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
