// Which AI service is a destination part of?
//
// Compiled once into maps keyed by name, so that a look-up costs one probe per label of the host,
// however many services are loaded. Precedence (INTERFACES, `cordon signatures match`):
// the most specific host entry wins (longest domain, then host pattern); on that host the longest
// path wins over the bare host; a service without hosts of its own is known by port and path on
// loopback and private hosts; then a child of the service by header or user agent.

import { LRUCache } from 'lru-cache'
import type { RE2JS } from 're2js'
import type { Destination } from '../model/request.ts'
import type { AiService, ServiceMatch } from '../model/service.ts'
import { isPrivateHost } from './host.ts'
import { compilePath, type PathPattern } from './path.ts'
import { compilePattern, literalSuffix } from './pattern.ts'

interface PathRule {
  readonly service: AiService
  readonly path: PathPattern
  readonly method: string | undefined
}

interface HostPattern {
  readonly service: AiService
  readonly pattern: RE2JS
}

interface Sign {
  readonly child: AiService
  readonly header: string | undefined
  readonly pattern: RE2JS | undefined
}

/** What is known of a host before its path: path rules by falling specificity, then the bare host. */
interface HostEntry {
  readonly levels: readonly {
    readonly rules: readonly PathRule[] | undefined
    readonly domain: AiService | undefined
  }[]
  readonly byPattern: AiService | undefined
}

const HOSTS_REMEMBERED = 10_000
const MAX_HOST = 253

export class Catalogue {
  readonly #services = new Map<string, AiService>()
  readonly #domains = new Map<string, AiService>()
  readonly #pathsAt = new Map<string, PathRule[]>()
  readonly #pathsBelow = new Map<string, PathRule[]>()
  readonly #pathsOnPort = new Map<number, PathRule[]>()
  readonly #patterns = new Map<string, HostPattern[]>()
  readonly #signs = new Map<string, Sign[]>()
  readonly #hosts = new LRUCache<string, HostEntry>({ max: HOSTS_REMEMBERED })

  constructor(services: Iterable<AiService>) {
    for (const service of services) this.#services.set(service.id, service)
    for (const service of this.#services.values()) this.#add(service)
    for (const rules of [
      ...this.#pathsAt.values(),
      ...this.#pathsBelow.values(),
      ...this.#pathsOnPort.values(),
    ]) {
      rules.sort((a, b) => b.path.weight - a.path.weight)
    }
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
    const found = this.#byHost(destination) ?? this.#byPort(destination)
    return found === undefined ? undefined : this.#child(found, destination)
  }

  /** Whether only the path can tell which service a host belongs to. */
  needsPath(host: string): boolean {
    return this.#entryOf(host).levels.some(({ rules }) => rules !== undefined)
  }

  #byHost({ host, path, query, method }: Destination): ServiceMatch | undefined {
    const entry = this.#entryOf(host)
    for (const { rules, domain } of entry.levels) {
      const rule = path === undefined ? undefined : ruleFor(rules, path, query, method)
      if (rule !== undefined) return { service: rule.service, match: 'path' }
      if (domain !== undefined) return { service: domain, match: 'domain' }
    }
    return entry.byPattern === undefined
      ? undefined
      : { service: entry.byPattern, match: 'host_pattern' }
  }

  #byPort({ host, port, path, query, method }: Destination): ServiceMatch | undefined {
    const rules = this.#pathsOnPort.get(port)
    if (rules === undefined || path === undefined || !isPrivateHost(host)) return undefined
    const rule = ruleFor(rules, path, query, method)
    if (rule === undefined) return undefined
    return { service: rule.service, match: rule.method === undefined ? 'path' : 'api_pattern' }
  }

  #child(found: ServiceMatch, { headers, user_agent: userAgent }: Destination): ServiceMatch {
    const signs = this.#signs.get(found.service.id)
    if (signs === undefined) return found
    if (headers !== undefined) {
      for (const { child, header, pattern } of signs) {
        const value = header === undefined ? undefined : headers.get(header)
        if (value !== undefined && (pattern === undefined || pattern.matcher(value).find())) {
          return { service: child, match: 'header', parent: found.service }
        }
      }
    }
    const agent = userAgent ?? headers?.get('user-agent')
    if (agent !== undefined) {
      for (const { child, header, pattern } of signs) {
        if (header === undefined && pattern?.matcher(agent).find() === true) {
          return { service: child, match: 'user_agent', parent: found.service }
        }
      }
    }
    return found
  }

  #entryOf(host: string): HostEntry {
    const known = this.#hosts.get(host)
    if (known !== undefined) return known
    const entry =
      host.length > MAX_HOST ? { levels: [], byPattern: undefined } : this.#resolve(host)
    this.#hosts.set(host, entry)
    return entry
  }

  #resolve(host: string): HostEntry {
    const levels: { rules: PathRule[] | undefined; domain: AiService | undefined }[] = []
    let byPattern = this.#patternFor('', host)
    let name = host
    for (;;) {
      const rules = name === host ? this.#pathsAt.get(name) : this.#pathsBelow.get(name)
      const domain = this.#domains.get(name)
      if (rules !== undefined || domain !== undefined) levels.push({ rules, domain })
      byPattern ??= this.#patternFor(name, host)
      const dot = name.indexOf('.')
      if (dot === -1) break
      name = name.slice(dot + 1)
    }
    return { levels, byPattern }
  }

  #patternFor(suffix: string, host: string): AiService | undefined {
    return this.#patterns.get(suffix)?.find(({ pattern }) => pattern.matcher(host).find())?.service
  }

  #add(service: AiService): void {
    for (const domain of service.domains) {
      const other = this.#domains.get(domain)
      // Of two services on one host the one without a parent stands for the host.
      if (other === undefined || (other.parent !== undefined && service.parent === undefined))
        this.#domains.set(domain, service)
    }
    for (const text of service.host_patterns) {
      const pattern = compilePattern(text)
      if (pattern !== undefined)
        listAt(this.#patterns, literalSuffix(text)).push({ service, pattern })
    }
    for (const { host, paths } of service.shared_hosts) {
      const rules = paths.map((path) => ({ service, path: compilePath(path), method: undefined }))
      if (host.startsWith('*:')) {
        const apiRules = service.api_patterns.map((text) => {
          const [method = '', path = ''] = text.split(' ', 2)
          return { service, path: compilePath(path), method }
        })
        listAt(this.#pathsOnPort, Number(host.slice(2))).push(...rules, ...apiRules)
      } else if (host.startsWith('*.')) listAt(this.#pathsBelow, host.slice(2)).push(...rules)
      else listAt(this.#pathsAt, host).push(...rules)
    }
    if (service.parent !== undefined) this.#addSigns(service, service.parent)
  }

  /** Only signs that are nobody else's tell a child: common headers and tenant restrictions do not. */
  #addSigns(service: AiService, parent: string): void {
    const signs = listAt(this.#signs, parent)
    for (const { name, pattern, kind, distinctive } of service.headers) {
      if (distinctive === false || kind === 'tenant_restriction') continue
      signs.push({
        child: service,
        header: name.toLowerCase(),
        pattern: pattern === undefined ? undefined : compilePattern(pattern),
      })
    }
    for (const text of service.user_agents)
      signs.push({ child: service, header: undefined, pattern: compilePattern(text) })
  }
}

function ruleFor(
  rules: readonly PathRule[] | undefined,
  path: string,
  query: string | undefined,
  method: string | undefined,
): PathRule | undefined {
  return rules?.find(
    (rule) =>
      (rule.method === undefined || rule.method === method) && rule.path.matches(path, query),
  )
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key)
  if (list === undefined) {
    list = []
    map.set(key, list)
  }
  return list
}
