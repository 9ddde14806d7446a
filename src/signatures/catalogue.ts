// Which AI service is a destination part of?
//
// Compiled once into maps keyed by name, so that a look-up costs one probe per label of the host,
// however many services are loaded. Precedence (INTERFACES, `cordon signatures match`; the page for
// people is docs/reference/signatures.md): the most specific host entry wins, longest name first, then
// host pattern; on that host the longest path wins over the bare host; API patterns alone name local
// runtimes by port and path on loopback and private hosts; then a child by header or user agent.

import { LRUCache } from 'lru-cache'
import type { RE2JS } from 're2js'
import type { Destination } from '../model/request.ts'
import type { AiService, ServiceMatch } from '../model/service.ts'
import { Children } from './children.ts'
import { isAddress, isPrivateHost } from './host.ts'
import { type PathRule, PathTable } from './path-table.ts'
import { compilePath } from './path.ts'
import { compileHostPattern, literalSuffix } from './pattern.ts'

interface HostPattern {
  readonly service: AiService
  readonly pattern: RE2JS
}

/** What one name of a host says: its own name first, then each domain above it. */
interface Level {
  readonly paths: PathTable | undefined
  readonly owner: AiService | undefined
}

interface HostEntry {
  readonly levels: readonly Level[]
  readonly byPattern: AiService | undefined
  /** Children of other hosts that are seen here too (`api_hosts` of an entry with a parent). */
  readonly guests: readonly AiService[]
}

/** How firmly a service claims a host: a name in `domains` before one in `api_hosts`, no parent before a parent. */
interface Claim {
  readonly service: AiService
  readonly rank: number
}

const HOSTS_REMEMBERED = 10_000
/** RFC 1035 section 3.1, without the root's dot. */
const MAX_HOST = 253
const NOTHING: HostEntry = { levels: [], byPattern: undefined, guests: [] }

export class Catalogue {
  /** What the services were read from, sha256 in hex; part of the revision that decisions name. */
  readonly digest: string
  readonly #services = new Map<string, AiService>()
  readonly #owners = new Map<string, Claim>()
  readonly #pathsAt = new Map<string, PathTable>()
  readonly #pathsBelow = new Map<string, PathTable>()
  readonly #pathsOnPort = new Map<number, PathTable>()
  readonly #patterns = new Map<string, HostPattern[]>()
  readonly #guests = new Map<string, AiService[]>()
  readonly #children: Children
  readonly #hosts = new LRUCache<string, HostEntry>({ max: HOSTS_REMEMBERED })

  constructor(services: Iterable<AiService>, digest = '') {
    this.digest = digest
    for (const service of services) this.#services.set(service.id, service)
    for (const service of this.#services.values()) this.#add(service)
    this.#children = new Children(this.#services.values())
  }

  get size(): number {
    return this.#services.size
  }

  get(id: string): AiService | undefined {
    return this.#services.get(id)
  }

  all(): Iterable<AiService> {
    return this.#services.values()
  }

  /** The service at a destination; while the path is hidden only whole hosts count. */
  match(destination: Destination): ServiceMatch | undefined {
    const entry = this.#entryOf(destination.host)
    const found = byHost(entry, destination) ?? this.#byPort(destination)
    return found === undefined ? undefined : this.#children.choose(found, destination, entry.guests)
  }

  /** Whether a path could still change what a host alone says. */
  needsPath(host: string, port: number): boolean {
    return (
      this.#entryOf(host).levels.some(({ paths }) => paths !== undefined) ||
      (this.#pathsOnPort.has(port) && isPrivateHost(host))
    )
  }

  #byPort({ host, port, path, query, method }: Destination): ServiceMatch | undefined {
    const table = this.#pathsOnPort.get(port)
    if (table === undefined || path === undefined || !isPrivateHost(host)) return undefined
    const service = table.find(path, query, method)
    return service === undefined ? undefined : { service, match: 'api_pattern' }
  }

  #entryOf(host: string): HostEntry {
    const known = this.#hosts.get(host)
    if (known !== undefined) return known
    if (host.length > MAX_HOST) return NOTHING
    const entry = this.#resolve(host)
    this.#hosts.set(host, entry)
    return entry
  }

  #resolve(host: string): HostEntry {
    const levels: Level[] = []
    const guests: AiService[] = []
    let byPattern: AiService | undefined
    const nameEnds = isAddress(host)
    let name = host
    for (;;) {
      const paths = name === host ? this.#pathsAt.get(name) : this.#pathsBelow.get(name)
      const owner = this.#owners.get(name)?.service
      if (paths !== undefined || owner !== undefined) levels.push({ paths, owner })
      guests.push(...(this.#guests.get(name) ?? []))
      byPattern ??= this.#patternFor(name, host)
      const dot = name.indexOf('.')
      if (dot === -1 || nameEnds) break
      name = name.slice(dot + 1)
    }
    byPattern ??= this.#patternFor('', host)
    return levels.length + guests.length === 0 && byPattern === undefined
      ? NOTHING
      : { levels, byPattern, guests }
  }

  #patternFor(suffix: string, host: string): AiService | undefined {
    return this.#patterns.get(suffix)?.find(({ pattern }) => pattern.matcher(host).find())?.service
  }

  #add(service: AiService): void {
    const own = service.parent === undefined
    for (const name of service.domains) this.#claim(name, { service, rank: own ? 2 : 1 })
    for (const name of service.api_hosts) {
      if (isShared(service, name)) continue
      if (own) this.#claim(name, { service, rank: 0 })
      else listAt(this.#guests, name).push(service)
    }
    for (const text of service.host_patterns) {
      const pattern = compileHostPattern(text)
      if (pattern !== undefined)
        listAt(this.#patterns, literalSuffix(text)).push({ service, pattern })
    }
    for (const { host, paths } of service.shared_hosts) {
      const rules = paths.map((path) => ({ service, path: compilePath(path), method: undefined }))
      if (host.startsWith('*:'))
        tableAt(this.#pathsOnPort, Number(host.slice(2))).add(...rules, ...apiRules(service))
      else if (host.startsWith('*.')) tableAt(this.#pathsBelow, host.slice(2)).add(...rules)
      else tableAt(this.#pathsAt, host).add(...rules)
    }
  }

  /** Of equal claims in `domains` the later one stands, so that an installation can take a shipped host over. */
  #claim(name: string, claim: Claim): void {
    const other = this.#owners.get(name)
    if (
      other === undefined ||
      claim.rank > other.rank ||
      (claim.rank === other.rank && claim.rank > 0)
    )
      this.#owners.set(name, claim)
  }
}

function byHost(entry: HostEntry, { path, query, method }: Destination): ServiceMatch | undefined {
  for (const { paths, owner } of entry.levels) {
    const service = path === undefined ? undefined : paths?.find(path, query, method)
    if (service !== undefined) return { service, match: 'path' }
    if (owner !== undefined) return { service: owner, match: 'domain' }
  }
  return entry.byPattern === undefined
    ? undefined
    : { service: entry.byPattern, match: 'host_pattern' }
}

/** A host that a service shares is recognised by its paths only, also where it stands in `api_hosts`. */
export function isShared({ shared_hosts: shared }: AiService, name: string): boolean {
  return shared.some(
    ({ host }) => host === name || (host.startsWith('*.') && name.endsWith(host.slice(1))),
  )
}

function apiRules(service: AiService): PathRule[] {
  return service.api_patterns.map((text) => {
    const space = text.indexOf(' ')
    return {
      service,
      path: compilePath(text.slice(space + 1)),
      method: space === -1 ? undefined : text.slice(0, space),
    }
  })
}

function tableAt<K>(map: Map<K, PathTable>, key: K): PathTable {
  let table = map.get(key)
  if (table === undefined) {
    table = new PathTable()
    map.set(key, table)
  }
  return table
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key)
  if (list === undefined) {
    list = []
    map.set(key, list)
  }
  return list
}
