// Where may a request go? The address that will be dialled decides, and it is pinned.
//
// By default nothing internal is reached: loopback, private, link-local, metadata, carrier NAT, this machine,
// and IPv4 hidden in IPv6. Names are resolved first, refused addresses of a mixed answer are skipped.

import type { LookupAddress, LookupAllOptions } from 'node:dns'
import { isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Destination } from '../model/request.ts'
import { INTERNAL_NETWORKS, Networks, unwrap } from './addresses.ts'
import { HostsFile } from './hosts-file.ts'
import type { Refusal, Route } from './ports.ts'
import { parseAuthority } from './target.ts'

export type Lookup = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export interface EgressOptions {
  readonly ports: readonly number[]
  readonly connectPorts: readonly number[]
  readonly private: 'deny' | 'allow'
  /** Exceptions: network, host or host:port. */
  readonly allow: readonly string[]
  /** `host:port` to `host:port`; an entry is its own exception. */
  readonly resolve: ReadonlyMap<string, string>
  readonly ownAddresses: readonly string[]
  /** Ports that this proxy listens on: with an own address they would lead back here. */
  readonly ownPorts: readonly number[]
  readonly lookup: Lookup
  /** Names that are known without asking; default /etc/hosts. */
  readonly hostsFile?: string
}

const NAMES = 10_000
const FOUND_MS = 30_000
const MISSING_MS = 5000
const LOOKUP_MS = 5000
/** Addresses of one name that are tried, one after the other. */
const MAX_ADDRESSES = 4

export class Egress {
  readonly #options: EgressOptions
  readonly #own: Networks
  readonly #allowedNetworks: Networks
  readonly #allowedHosts: ReadonlySet<string>
  readonly #resolve: ReadonlyMap<string, string>
  readonly #hostsFile: HostsFile
  readonly #names = new LRUCache<string, readonly LookupAddress[]>({ max: NAMES })
  readonly #open = new Map<string, Promise<readonly LookupAddress[]>>()

  constructor(options: EgressOptions) {
    this.#options = options
    this.#own = new Networks(options.ownAddresses)
    const isNetwork = (entry: string): boolean => entry.includes('/') || isIP(entry) !== 0
    this.#allowedNetworks = new Networks(options.allow.filter(isNetwork))
    this.#allowedHosts = new Set(
      options.allow.filter((entry) => !isNetwork(entry)).map((entry) => canonical(entry)),
    )
    this.#resolve = new Map(Array.from(options.resolve, ([from, to]) => [canonical(from), to]))
    this.#hostsFile = new HostsFile(options.hostsFile ?? '/etc/hosts')
  }

  check({ host, port }: Destination, isConnect: boolean): Refusal | undefined {
    const { ports, connectPorts } = this.#options
    const name = `${host}:${port}`
    if (
      !(ports.includes(port) || (isConnect && connectPorts.includes(port))) &&
      !this.#resolve.has(name) &&
      !this.#allowedHosts.has(name)
    ) {
      return {
        status: 403,
        error: 'http_request_denied',
        details: `port ${port} may not be reached through this proxy`,
      }
    }
    if (isIP(host) === 0 || this.#resolve.has(name)) return undefined
    return this.#mayDial(host, port, host) ? undefined : PROHIBITED
  }

  route(
    { host, port }: Destination,
    _isConnect: boolean,
  ): Route | Refusal | Promise<Route | Refusal> {
    const mapped = this.#resolve.get(`${host}:${port}`)
    if (mapped === undefined)
      return this.#find(host, port, (address) => this.#mayDial(address, port, host))
    const at = mapped.lastIndexOf(':')
    const to = mapped.slice(0, at).replace(/^\[(.*)\]$/, '$1')
    return this.#find(to, Number(mapped.slice(at + 1)), () => true)
  }

  #find(
    host: string,
    port: number,
    allowed: (address: string) => boolean,
  ): Route | Refusal | Promise<Route | Refusal> {
    const family = isIP(host)
    if (family !== 0) return choose([{ address: host, family }], port, allowed)
    const known = this.#names.get(host)
    if (known !== undefined) return choose(known, port, allowed)
    let looking = this.#open.get(host)
    if (looking === undefined) {
      looking = this.#lookUp(host).finally(() => this.#open.delete(host))
      this.#open.set(host, looking)
    }
    return looking.then((addresses) => choose(addresses, port, allowed))
  }

  async #lookUp(host: string): Promise<readonly LookupAddress[]> {
    const written = await this.#hostsFile.find(host)
    const addresses = written.length > 0 ? written : await this.#ask(host)
    this.#names.set(host, addresses, { ttl: addresses.length > 0 ? FOUND_MS : MISSING_MS })
    return addresses
  }

  #ask(host: string): Promise<readonly LookupAddress[]> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve([]), LOOKUP_MS)
      // A dot at the end keeps search domains out: an internal name must not answer for a public one.
      const name = host.includes('.') ? `${host}.` : host
      this.#options.lookup(name, { all: true }, (error, found) => {
        clearTimeout(timer)
        resolve(error === null ? found : [])
      })
    })
  }

  /** `host` is the name that was asked for; exceptions may name it. */
  #mayDial(address: string, port: number, host: string): boolean {
    const plain = unwrap(address)
    const isOwn = this.#own.has(plain) || isThisMachine(plain)
    if (isOwn && this.#options.ownPorts.includes(port)) return false
    if (this.#options.private === 'allow') return true
    const names = [host, `${host}:${port}`, `${plain}:${port}`]
    if (names.some((name) => this.#allowedHosts.has(name))) return true
    if (this.#allowedNetworks.has(plain)) return true
    if (isOwn || INTERNAL_NETWORKS.has(plain)) return false
    // IPv4 hidden in IPv6 is a way round rules about IPv4, and whoever needs it (NAT64) can say so.
    return plain === address || this.#allowedNetworks.has(address)
  }
}

const PROHIBITED: Refusal = {
  status: 403,
  error: 'destination_ip_prohibited',
  details: 'internal addresses may not be reached through this proxy',
}

function isThisMachine(address: string): boolean {
  return (
    address === '::1' || address === '0.0.0.0' || address === '::' || address.startsWith('127.')
  )
}

/** Host or host:port as destinations write them. */
function canonical(entry: string): string {
  const authority = parseAuthority(entry)
  if (authority === undefined) return entry.toLowerCase()
  return authority.port === undefined ? authority.host : `${authority.host}:${authority.port}`
}

function choose(
  addresses: readonly LookupAddress[],
  port: number,
  allowed: (address: string) => boolean,
): Route | Refusal {
  if (addresses.length === 0)
    return { status: 502, error: 'dns_error', details: 'the name of the origin cannot be resolved' }
  const [first, ...others] = addresses
    .filter(({ address }) => allowed(address))
    .slice(0, MAX_ADDRESSES)
    .map(({ address, family }) => ({ address, family: family === 4 ? 4 : 6 }) as const)
  if (first === undefined) return PROHIBITED
  return { ...first, port, ...(others.length > 0 ? { others } : {}) }
}
