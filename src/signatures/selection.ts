// What `proxy.intercept.services` and `never` name, read against the catalogue.
//
// A word is `*` (every service), `unknown` (hosts that nobody claims), a service's id, a category, a host, `*.host`
// or `^pattern$`. A word that is none of these would select nothing without anybody noticing: it is refused.

import { CordonError, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import type { AiService } from '../model/service.ts'
import { type Catalogue, isShared } from './catalogue.ts'
import { type HostWord, readHostWord } from './host-word.ts'
import { domainsOfPattern, registrableDomain } from './registrable.ts'

export interface InterceptionSettings {
  readonly services: readonly string[]
  readonly never: readonly string[]
}

/** A name that is selected: alone, or with everything below it. */
export interface SelectedHost {
  readonly name: string
  readonly whole: boolean
}

export class Selection {
  /** Ids of the services whose hosts are selected, by the settings or by their own mark. */
  readonly services: ReadonlySet<string>
  readonly words: readonly HostWord[]
  readonly never: readonly HostWord[]
  /** `unknown` is among the words. */
  readonly unknown: boolean
  /** `*` is among the words. */
  readonly everything: boolean
  /** Without those of patterns. */
  readonly hosts: readonly SelectedHost[]
  readonly patterns: readonly string[]

  /** Throws CordonError CONFIG_INVALID with every word that means nothing. */
  constructor(settings: InterceptionSettings, catalogue: Catalogue) {
    const read = readWords(settings, catalogue)
    this.words = read.words
    this.never = read.never
    this.unknown = settings.services.includes('unknown')
    this.everything = settings.services.includes('*')
    const services = [...catalogue.all()].filter(
      ({ id, service_type: type, intercept }) =>
        intercept !== false &&
        (intercept === true ||
          this.everything ||
          read.ids.has(id) ||
          (type !== undefined && read.categories.has(type))),
    )
    this.services = new Set(services.map(({ id }) => id))
    this.hosts = distinct([...services.flatMap(hostsOf), ...this.words.flatMap(hostOfWord)])
    this.patterns = [
      ...services.flatMap((service) => service.host_patterns),
      ...this.words.flatMap((word) => (word.kind === 'pattern' ? [word.text] : [])),
    ]
  }

  /** Sorted, none below another; undefined: without bound. `isShut` tells what is never intercepted all the same. */
  domains(isShut: (host: SelectedHost) => boolean): readonly string[] | undefined {
    if (this.unknown) return undefined
    const domains = new Set<string>()
    for (const pattern of this.patterns) {
      const found = domainsOfPattern(pattern)
      if (found === undefined) return undefined
      for (const domain of found) domains.add(domain)
    }
    for (const host of this.hosts) {
      const domain = registrableDomain(host.name)
      if (isShut(host) || domain === null) continue
      if (domain === undefined) return undefined
      domains.add(domain)
    }
    return [...domains].filter((domain) => !isCovered(domain, domains)).toSorted()
  }
}

interface Words {
  readonly ids: ReadonlySet<string>
  readonly categories: ReadonlySet<string>
  readonly words: readonly HostWord[]
  readonly never: readonly HostWord[]
}

function readWords(settings: InterceptionSettings, catalogue: Catalogue): Words {
  const known = new Set([...catalogue.all()].flatMap((service) => service.service_type ?? []))
  const problems: Problem[] = []
  const refuse = (setting: string, word: string, message: string): void => {
    problems.push({ file: `proxy.intercept.${setting}`, message: `"${word}" ${message}` })
  }
  const ids = new Set<string>()
  const categories = new Set<string>()
  const words: HostWord[] = []
  for (const word of settings.services) {
    const host = readHostWord(word)
    if (word === '*' || word === 'unknown') continue
    if (catalogue.get(word) !== undefined) ids.add(word)
    else if (known.has(word)) categories.add(word)
    // A bare word is rather a service that is misspelt than a machine next door; `^name$` names that one.
    else if (host !== undefined && (host.kind !== 'host' || /[.:]/.test(host.name)))
      words.push(host)
    else {
      const names = [...known, ...Array.from(catalogue.all(), ({ id }) => id), 'unknown']
      const near = didYouMean(word, names)
      refuse('services', word, `is no service, category, host, *.host or ^pattern$${near}`)
    }
  }
  const never: HostWord[] = []
  for (const word of settings.never) {
    const host = readHostWord(word)
    if (catalogue.get(word) !== undefined && !word.includes('.'))
      refuse(
        'never',
        word,
        'is a service: its entry in a signature file can say "intercept: false"',
      )
    else if (host === undefined) refuse('never', word, 'is no host, *.host or ^pattern$')
    else never.push(host)
  }
  if (problems.length > 0)
    throw new CordonError('CONFIG_INVALID', 'what is to be intercepted cannot be told', {
      problems,
    })
  return { ids, categories, words, never }
}

/** Hosts that a service's requests may go to. What lies on `support_domains` is not its traffic. */
export function hostsOf(service: AiService): SelectedHost[] {
  const names = [
    ...service.domains,
    ...service.api_hosts.filter((name) => !isShared(service, name)),
  ]
  return [
    ...names.map((name) => ({ name, whole: true })),
    ...service.shared_hosts.flatMap(({ host }) => {
      // Local runtimes may be on any machine nearby: they have a port and no name.
      if (host.startsWith('*:')) return []
      const whole = host.startsWith('*.')
      return [{ name: whole ? host.slice(2) : host, whole }]
    }),
  ]
}

function hostOfWord(word: HostWord): SelectedHost[] {
  return word.kind === 'pattern' ? [] : [{ name: word.name, whole: word.kind === 'below' }]
}

function distinct(hosts: readonly SelectedHost[]): readonly SelectedHost[] {
  const whole = new Set(hosts.filter((host) => host.whole).map(({ name }) => name))
  const byName = new Map(hosts.map(({ name }) => [name, { name, whole: whole.has(name) }]))
  return [...byName.values()]
}

function isCovered(domain: string, domains: ReadonlySet<string>): boolean {
  for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1))
    if (domains.has(domain.slice(dot + 1))) return true
  return false
}
