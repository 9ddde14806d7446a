// Who is calling? Client network first (403), then credentials (wrong ones are always 407, never anonymous),
// then the network's own mapping, then anonymous by configuration.
//
// Verified credentials are remembered by the hash of their header; what must be hashed slowly waits in a short
// queue; guessing is slowed down for each user and address together, so that nobody is locked out by others.

import { createHash } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Principal } from '../model/request.ts'
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

const REMEMBERED = 20_000
const REMEMBER_MS = 60_000
const MAX_HEADER = 4096
const MAX_VERIFYING = 256
const FREE_FAILURES = 10
const WINDOW_MS = 60_000
const SLOW_MS = 1000

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

export class Callers implements Identifier {
  readonly #options: CallersOptions
  readonly #clients = new BlockList()
  readonly #mappings: readonly { readonly list: BlockList; readonly mapping: NetworkMapping }[]
  readonly #known = new LRUCache<string, Principal>({ max: REMEMBERED, ttl: REMEMBER_MS })
  readonly #failures = new LRUCache<string, number>({ max: REMEMBERED, ttl: WINDOW_MS })
  #verifying = 0

  constructor(options: CallersOptions) {
    this.#options = options
    for (const network of options.clients) addNetwork(this.#clients, network)
    // The longest prefix first, whatever its family.
    this.#mappings = options.networks
      .toSorted((a, b) => bitsOf(b.cidr) - bitsOf(a.cidr))
      .map((mapping) => {
        const list = new BlockList()
        addNetwork(list, mapping.cidr)
        return { list, mapping }
      })
  }

  identify(
    proxyAuthorization: string | undefined,
    clientAddress: string | undefined,
  ): Caller | Promise<Caller> {
    const address = clientAddress === undefined ? undefined : plainAddress(clientAddress)
    if (address !== undefined && !contains(this.#clients, address))
      return { ok: false, refusal: NOT_A_CLIENT }
    const mapping =
      address === undefined
        ? undefined
        : this.#mappings.find(({ list }) => contains(list, address))?.mapping
    const seen = {
      ...(address === undefined ? {} : { address }),
      ...(mapping?.label === undefined ? {} : { network: mapping.label }),
    }
    if (proxyAuthorization !== undefined) {
      const known = this.#known.get(keyOf(proxyAuthorization))
      if (known !== undefined) return { ok: true, principal: known, ...seen }
      return this.#verify(proxyAuthorization, address ?? 'local').then((result) =>
        'status' in result
          ? { ok: false, refusal: result }
          : { ok: true, principal: result, ...seen },
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
    this.#known.clear()
  }

  async #verify(header: string, address: string): Promise<Principal | Refusal> {
    const credentials = readBasic(header)
    if (credentials === undefined) return WRONG_CREDENTIALS
    const { user, password } = credentials
    const guesser = `${address} ${user.toLowerCase()}`
    if ((this.#failures.get(guesser) ?? 0) >= FREE_FAILURES) await sleep(SLOW_MS)
    if (this.#verifying >= MAX_VERIFYING) return CANNOT_VERIFY
    this.#verifying += 1
    try {
      const principal = await this.#principalOf(user, password)
      if (principal === undefined) {
        this.#failures.set(guesser, (this.#failures.get(guesser) ?? 0) + 1)
        return WRONG_CREDENTIALS
      }
      this.#failures.delete(guesser)
      this.#known.set(keyOf(header), principal)
      return principal
    } catch {
      return CANNOT_VERIFY
    } finally {
      this.#verifying -= 1
    }
  }

  async #principalOf(user: string, password: string): Promise<Principal | undefined> {
    const login = await this.#options.htpasswd?.verify(user, password)
    if (login !== undefined) return { login }
    const owner = await this.#options.verifyToken(user, password)
    return owner === undefined ? undefined : { user_id: owner.user_id }
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
  if (colon < 1 || /[\u0000-\u001F\u007F]/.test(text)) return undefined
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

function contains(list: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

function addNetwork(list: BlockList, network: string): void {
  const [address = '', bits] = network.split('/')
  const family = isIP(address)
  list.addSubnet(
    address,
    bits === undefined ? (family === 4 ? 32 : 128) : Number(bits),
    family === 4 ? 'ipv4' : 'ipv6',
  )
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
