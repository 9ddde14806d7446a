// One host, several products: which of them is it, going by what the client says of itself?
//
// A child is a service with a `parent`. Its distinctive headers decide first, then its user agents.
// Headers that are common elsewhere (`distinctive: false`) decide nothing, and neither do tenant
// restrictions, which a proxy adds. Anyone can send a header, so the answer keeps the service that the
// host named as `parent`: the stricter status and mode of both hold.

import { LRUCache } from 'lru-cache'
import type { RE2JS } from 're2js'
import type { Destination } from '../model/request.ts'
import type { AiService, ServiceMatch } from '../model/service.ts'
import { compilePattern } from './pattern.ts'

interface Child {
  readonly service: AiService
  readonly headers: readonly { readonly name: string; readonly pattern: RE2JS | undefined }[]
  readonly agents: readonly RE2JS[]
}

/** Those who may be asked for on one host. */
interface Group {
  readonly key: string
  readonly children: readonly Child[]
}

const NONE: readonly Child[] = []
const NOBODY: Group = { key: '', children: NONE }
const AGENTS_REMEMBERED = 4096
const MAX_REMEMBERED_AGENT = 512
/** Longer values are no product's: nothing is searched in them. */
const MAX_VALUE = 8192

export class Children {
  readonly #byParent = new Map<string, Child[]>()
  readonly #byId = new Map<string, Child>()
  /** By the list of guests, of which each host has one. */
  readonly #groups = new WeakMap<readonly AiService[], Group>()
  /** Parent or guests, and user agent, to the child. Clients send few different ones. */
  readonly #agents = new LRUCache<string, { readonly child: AiService | undefined }>({
    max: AGENTS_REMEMBERED,
  })

  constructor(services: Iterable<AiService>) {
    for (const service of services) {
      if (service.parent === undefined) continue
      const child = compile(service)
      if (child.headers.length === 0 && child.agents.length === 0) continue
      this.#byId.set(service.id, child)
      const siblings = this.#byParent.get(service.parent)
      if (siblings === undefined) this.#byParent.set(service.parent, [child])
      else siblings.push(child)
    }
  }

  /** `guests` are children that name this host among theirs; where a path decided they have no say. */
  choose(
    found: ServiceMatch,
    { headers, user_agent: userAgent }: Destination,
    guests: readonly AiService[],
  ): ServiceMatch {
    const { service, match } = found
    const own = this.#byParent.get(service.id) ?? NONE
    const others = guests.length === 0 || match === 'path' ? NOBODY : this.#groupOf(guests)
    if (own === NONE && others.children.length === 0) return found

    if (headers !== undefined) {
      const child = byHeader(own, headers) ?? byHeader(others.children, headers)
      if (child !== undefined && child !== service)
        return { service: child, match: 'header', parent: service }
    }
    const agent = userAgent ?? headers?.get('user-agent')
    if (agent === undefined || agent.length > MAX_VALUE) return found
    const child =
      this.#byAgent(service.id, own, agent) ?? this.#byAgent(others.key, others.children, agent)
    return child === undefined || child === service
      ? found
      : { service: child, match: 'user_agent', parent: service }
  }

  #groupOf(guests: readonly AiService[]): Group {
    let group = this.#groups.get(guests)
    if (group === undefined) {
      const children = guests.flatMap(({ id }) => this.#byId.get(id) ?? [])
      // No id of a service has a space.
      group = { key: ` ${children.map(({ service }) => service.id).join(' ')}`, children }
      this.#groups.set(guests, group)
    }
    return group
  }

  #byAgent(group: string, children: readonly Child[], agent: string): AiService | undefined {
    if (children.length === 0) return undefined
    if (agent.length > MAX_REMEMBERED_AGENT) return byAgent(children, agent)
    const key = `${group}\n${agent}`
    let known = this.#agents.get(key)
    if (known === undefined) {
      known = { child: byAgent(children, agent) }
      this.#agents.set(key, known)
    }
    return known.child
  }
}

function byHeader(
  children: readonly Child[],
  headers: ReadonlyMap<string, string>,
): AiService | undefined {
  for (const { service, headers: signs } of children) {
    for (const { name, pattern } of signs) {
      const value = headers.get(name)
      if (value === undefined || value.length > MAX_VALUE) continue
      if (pattern === undefined || pattern.matcher(value).find()) return service
    }
  }
  return undefined
}

function byAgent(children: readonly Child[], agent: string): AiService | undefined {
  for (const { service, agents } of children) {
    for (const pattern of agents) if (pattern.matcher(agent).find()) return service
  }
  return undefined
}

function compile(service: AiService): Child {
  const signs = service.headers.filter(
    ({ kind, distinctive }) => distinctive !== false && kind !== 'tenant_restriction',
  )
  return {
    service,
    headers: signs.map(({ name, pattern }) => ({
      name: name.toLowerCase(),
      pattern: pattern === undefined ? undefined : compilePattern(pattern),
    })),
    agents: service.user_agents.flatMap((text) => compilePattern(text) ?? []),
  }
}
