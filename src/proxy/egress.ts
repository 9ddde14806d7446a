// Where may a request go? The address that will be dialled decides, and it is pinned.
//
// By default nothing internal is reached: loopback, private, link-local, metadata, carrier NAT, this machine,
// and IPv4 hidden in IPv6. Names are resolved first, refused addresses of a mixed answer are skipped.

import type { LookupAddress, LookupAllOptions } from 'node:dns'
import { BlockList, isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Destination } from '../model/request.ts'
import type { Refusal, Route } from './ports.ts'

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
}

const NAMES = 10_000
const FOUND_MS = 30_000
const MISSING_MS = 5000
const LOOKUP_MS = 5000

/** Networks that are never the public internet (IANA special-purpose registries, cloud metadata). */
const INTERNAL: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '::/128',
  '::1/128',
  '::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]

export class Egress {
  readonly #options: EgressOptions
  readonly #internal = blockList(INTERNAL)
  readonly #own = new BlockList()
  readonly #allowedNetworks: BlockList
  readonly #allowedHosts: ReadonlySet<string>
  readonly #names = new LRUCache<string, readonly LookupAddress[]>({ max: NAMES })
  readonly #open = new Map<string, Promise<readonly LookupAddress[]>>()

  constructor(options: EgressOptions) {
    this.#options = options
    for (const address of options.ownAddresses) addAddress(this.#own, address)
    const networks = options.allow.filter((entry) => entry.includes('/') || isIP(entry) !== 0)
    this.#allowedNetworks = blockList(
      networks.map((entry) =>
        entry.includes('/') ? entry : `${entry}/${isIP(entry) === 4 ? 32 : 128}`,
      ),
    )
    this.#allowedHosts = new Set(
      options.allow
        .filter((entry) => !networks.includes(entry))
        .map((entry) => entry.toLowerCase()),
    )
  }

  check({ host, port }: Destination, isConnect: boolean): Refusal | undefined {
    const { ports, connectPorts, resolve } = this.#options
    if (
      !(ports.includes(port) || (isConnect && connectPorts.includes(port))) &&
      !resolve.has(`${host}:${port}`) &&
      !this.#allowedHosts.has(`${host}:${port}`)
    ) {
      return {
        status: 403,
        error: 'http_request_denied',
        details: `port ${port} may not be reached through this proxy`,
      }
    }
    const family = isIP(host)
    if (family === 0 || resolve.has(`${host}:${port}`)) return undefined
    return this.#mayDial(host, port, host) ? undefined : PROHIBITED
  }

  route(
    { host, port }: Destination,
    _isConnect: boolean,
  ): Route | Refusal | Promise<Route | Refusal> {
    const mapped = this.#options.resolve.get(`${host}:${port}`)
    if (mapped !== undefined) {
      const at = mapped.lastIndexOf(':')
      return this.#find(
        mapped.slice(0, at).replace(/^\[(.*)\]$/, '$1'),
        Number(mapped.slice(at + 1)),
        () => true,
      )
    }
    return this.#find(host, port, (address) => this.#mayDial(address, port, host))
  }

  #find(
    host: string,
    port: number,
    allowed: (address: string) => boolean,
  ): Route | Refusal | Promise<Route | Refusal> {
    const family = isIP(host)
    if (family !== 0)
      return allowed(host) ? { address: host, port, family: family === 4 ? 4 : 6 } : PROHIBITED
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
    const addresses = await new Promise<readonly LookupAddress[]>((resolve) => {
      const timer = setTimeout(() => resolve([]), LOOKUP_MS)
      // A dot at the end keeps search domains out: an internal name must not answer for a public one.
      this.#options.lookup(
        host.includes('.') ? `${host}.` : host,
        { all: true },
        (error, found) => {
          clearTimeout(timer)
          resolve(error === null ? found : [])
        },
      )
    })
    this.#names.set(host, addresses, { ttl: addresses.length > 0 ? FOUND_MS : MISSING_MS })
    return addresses
  }

  /** `host` is the name that was asked for; exceptions may name it. */
  #mayDial(address: string, port: number, host: string): boolean {
    const plain = unwrap(address)
    const family = isIP(plain) === 4 ? 'ipv4' : 'ipv6'
    const isOwn = this.#own.check(plain, family) || this.#loops(plain)
    if (isOwn && this.#options.ownPorts.includes(port)) return false
    if (this.#options.private === 'allow') return true
    if (this.#allowedHosts.has(host) || this.#allowedHosts.has(`${host}:${port}`)) return true
    if (this.#allowedNetworks.check(plain, family)) return true
    return !this.#internal.check(plain, family) && !isOwn
  }

  #loops(address: string): boolean {
    return (
      address === '::1' || address === '0.0.0.0' || address === '::' || address.startsWith('127.')
    )
  }
}

const PROHIBITED: Refusal = {
  status: 403,
  error: 'destination_ip_prohibited',
  details: 'internal addresses may not be reached through this proxy',
}

function choose(
  addresses: readonly LookupAddress[],
  port: number,
  allowed: (address: string) => boolean,
): Route | Refusal {
  if (addresses.length === 0)
    return { status: 502, error: 'dns_error', details: 'the name of the origin cannot be resolved' }
  const found = addresses.find(({ address }) => allowed(address))
  return found === undefined
    ? PROHIBITED
    : { address: found.address, port, family: found.family === 4 ? 4 : 6 }
}

/** The IPv4 address inside a mapped, compatible, NAT64, 6to4 or Teredo one; else the address itself. */
export function unwrap(address: string): string {
  if (isIP(address) !== 6) return address
  const groups = groupsOf(address)
  const [a = 0, b = 0, , , , f = 0, g = 0, h = 0] = groups
  const zeros = (count: number): boolean => groups.slice(0, count).every((group) => group === 0)
  if (zeros(5) && (f === 0xffff || f === 0) && (g > 0 || h > 1)) return quad(g, h)
  if (zeros(4) && groups[4] === 0xffff && f === 0) return quad(g, h)
  if (a === 0x64 && b === 0xff9b && groups.slice(2, 6).every((group) => group === 0))
    return quad(g, h)
  if (a === 0x2002) return quad(b, groups[2] ?? 0)
  if (a === 0x2001 && b === 0) return quad(g ^ 0xffff, h ^ 0xffff)
  return address
}

function groupsOf(address: string): number[] {
  const [bare = ''] = address.split('%', 1)
  const hex = bare.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
    (_whole, a: string, b: string, c: string, d: string) =>
      `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`,
  )
  const [head = '', tail] = hex.split('::')
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const before = parse(head)
  if (tail === undefined) return before
  const after = parse(tail)
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function quad(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/')
    list.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

function addAddress(list: BlockList, address: string): void {
  const [bare = ''] = address.split('%', 1)
  const family = isIP(bare)
  if (family !== 0) list.addAddress(bare, family === 4 ? 'ipv4' : 'ipv6')
}
