// Which hosts are intercepted? Compiled once per configuration and catalogue, so that a CONNECT costs one probe
// per label of its host, and one probe in all where the host was asked for before.
//
// Order (docs/reference/interception.md): `never`; a host that `services` names letter by letter; the shipped list of
// pinned hosts; the catalogue's marks; what `services` selects. The catalogue is asked as it matches: the
// longest name that a service claims decides, so that a selected service does not open its neighbour's hosts.

import { LRUCache } from 'lru-cache'
import type { RE2JS } from 're2js'
import type { AiService } from '../model/service.ts'
import { type Catalogue, isShared } from './catalogue.ts'
import { type HostWord, readHostWord } from './host-word.ts'
import { isAddress, isPrivateHost } from './host.ts'
import { compileHostPattern, literalSuffix } from './pattern.ts'
import { hostsOf, type InterceptionSettings, Selection, type SelectedHost } from './selection.ts'

export type Plan =
  | { readonly intercept: true }
  | {
      readonly intercept: false
      readonly reason: 'not_selected' | 'pinned' | 'never' | 'outside_authority'
    }

const YES: Plan = Object.freeze({ intercept: true })
const NOT_SELECTED: Plan = Object.freeze({ intercept: false, reason: 'not_selected' })
const PINNED: Plan = Object.freeze({ intercept: false, reason: 'pinned' })
const NEVER: Plan = Object.freeze({ intercept: false, reason: 'never' })

const HOSTS_REMEMBERED = 10_000
const MAX_HOST = 253

/** What is said of a name: of the host itself (AT) or of what lies below it (UNDER). */
const NEVER_AT = 1 << 0
const NEVER_UNDER = 1 << 1
const WORD_AT = 1 << 2
const WORD_UNDER = 1 << 3
const PIN_AT = 1 << 4
const PIN_UNDER = 1 << 5
/** Of services: of the host and of all below it. */
const SELECTED = 1 << 6
const MARKED_NEVER = 1 << 7
/** Whose host it is has been decided, as far as the catalogue goes. */
const OWNED = 1 << 8
const SHARED_AT = 1 << 9
const SHARED_UNDER = 1 << 10
const SHARED_SELECTED_AT = 1 << 11
const SHARED_SELECTED_UNDER = 1 << 12
const SHARED_NEVER_AT = 1 << 13
const SHARED_NEVER_UNDER = 1 << 14

interface Pattern {
  readonly pattern: RE2JS
  readonly says: 'never' | 'pinned' | 'word' | 'selected' | 'marked_never' | 'other'
}

export class Interception {
  readonly selection: Selection
  readonly #names = new Map<string, number>()
  readonly #patterns = new Map<string, Pattern[]>()
  readonly #ports = new Set<number>()
  readonly #unknown: boolean
  readonly #hosts = new LRUCache<string, Plan>({ max: HOSTS_REMEMBERED })

  /** Throws CordonError CONFIG_INVALID with every word that means nothing. */
  constructor(settings: InterceptionSettings, catalogue: Catalogue, pinned: readonly string[]) {
    this.selection = new Selection(settings, catalogue)
    this.#unknown = this.selection.unknown
    for (const word of this.selection.never) this.#addWord(word, NEVER_AT, NEVER_UNDER, 'never')
    for (const word of this.selection.words) this.#addWord(word, WORD_AT, WORD_UNDER, 'word')
    for (const text of pinned) {
      const word = readHostWord(text)
      if (word !== undefined) this.#addWord(word, PIN_AT, PIN_UNDER, 'pinned')
    }
    for (const service of catalogue.all()) this.#addService(service)
  }

  /** Whether the authority may vouch for the host is another question. The host is canonical, as in a Destination. */
  plan(host: string, port: number): Plan {
    let plan = this.#hosts.get(host)
    if (plan === undefined) {
      plan = host.length > MAX_HOST ? NOT_SELECTED : this.#resolve(host)
      this.#hosts.set(host, plan)
    }
    return plan === NOT_SELECTED && this.#ports.has(port) && isPrivateHost(host) ? YES : plan
  }

  /** Registrable domains that an authority has to cover, sorted; undefined: without bound. */
  get domains(): readonly string[] | undefined {
    return this.selection.domains((host) => this.#isShut(host))
  }

  /** Whether any host of a service is opened; undefined where it has no host that TLS is spoken to. */
  opens(service: AiService): boolean | undefined {
    const hosts = hostsOf(service)
    if (hosts.length === 0 && service.host_patterns.length === 0) return undefined
    const byPattern = service.host_patterns.length > 0 && this.selection.services.has(service.id)
    return byPattern || hosts.some(({ name, whole }) => this.#isOpen(name, whole))
  }

  #isOpen(name: string, whole: boolean): boolean {
    return this.plan(name, 443).intercept || (whole && this.plan(`a.${name}`, 443).intercept)
  }

  /** Whether nothing of a name can be intercepted: itself nor, for `whole`, what lies below it. */
  #isShut({ name, whole }: SelectedHost): boolean {
    const plan = this.plan(name, 0)
    const self = plan === NEVER || plan === PINNED
    if (!whole || !self) return self
    const under = NEVER_UNDER | PIN_UNDER
    if (((this.#names.get(name) ?? 0) & under) !== 0) return true
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1))
      if (((this.#names.get(name.slice(dot + 1)) ?? 0) & under) !== 0) return true
    return false
  }

  #resolve(host: string): Plan {
    const own = this.#names.get(host) ?? 0
    let above = 0
    let owner = own & OWNED
    let selected = own & (SELECTED | SHARED_SELECTED_AT)
    let marked = own & (MARKED_NEVER | SHARED_NEVER_AT)
    let known = own & (OWNED | SHARED_AT)
    let patterns = this.#patternsOf(host, host, 0)
    if (!isAddress(host)) {
      for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) {
        const name = host.slice(dot + 1)
        const said = this.#names.get(name) ?? 0
        above |= said
        patterns = this.#patternsOf(name, host, patterns)
        if (owner !== 0 || marked !== 0 || selected !== 0) continue
        owner = said & OWNED
        selected = said & (SELECTED | SHARED_SELECTED_UNDER)
        marked = said & (MARKED_NEVER | SHARED_NEVER_UNDER)
        known |= said & (OWNED | SHARED_UNDER)
      }
    }
    patterns = this.#patternsOf('', host, patterns)
    const unclaimed = owner === 0 && marked === 0 && selected === 0

    if ((own & NEVER_AT) !== 0 || (above & NEVER_UNDER) !== 0 || has(patterns, 'never'))
      return NEVER
    if ((own & WORD_AT) !== 0) return YES
    if ((own & PIN_AT) !== 0 || (above & PIN_UNDER) !== 0 || has(patterns, 'pinned')) return PINNED
    if (marked !== 0 || (unclaimed && has(patterns, 'marked_never'))) return NEVER
    if ((above & WORD_UNDER) !== 0 || has(patterns, 'word')) return YES
    if (selected !== 0 || (unclaimed && has(patterns, 'selected'))) return YES
    const unknown = known === 0 && unclaimed && !has(patterns, 'other')
    return this.#unknown && unknown ? YES : NOT_SELECTED
  }

  #patternsOf(suffix: string, host: string, found: number): number {
    const list = this.#patterns.get(suffix)
    if (list === undefined) return found
    let all = found
    for (const { pattern, says } of list)
      if ((all & bit(says)) === 0 && pattern.matcher(host).find()) all |= bit(says)
    return all
  }

  #addWord(word: HostWord, at: number, under: number, says: Pattern['says']): void {
    if (word.kind === 'pattern') this.#addPattern(word.suffix, { pattern: word.pattern, says })
    else this.#say(word.name, word.kind === 'host' ? at : under)
  }

  #addService(service: AiService): void {
    const selected = this.selection.services.has(service.id)
    const never = service.intercept === false
    const own = service.parent === undefined
    const claim = never ? MARKED_NEVER : selected ? SELECTED : 0
    for (const name of service.domains) this.#say(name, claim | OWNED)
    for (const name of service.api_hosts) {
      if (!isShared(service, name)) this.#say(name, claim | (own ? OWNED : 0))
    }
    for (const { host } of service.shared_hosts) {
      if (host.startsWith('*:')) {
        if (selected && !never) this.#ports.add(Number(host.slice(2)))
      } else if (host.startsWith('*.')) {
        const said = never ? SHARED_NEVER_UNDER : selected ? SHARED_SELECTED_UNDER : 0
        this.#say(host.slice(2), said | SHARED_UNDER)
      } else {
        const said = never ? SHARED_NEVER_AT : selected ? SHARED_SELECTED_AT : 0
        this.#say(host, said | SHARED_AT)
      }
    }
    for (const text of service.host_patterns) {
      const pattern = compileHostPattern(text)
      const says = never ? 'marked_never' : selected ? 'selected' : 'other'
      if (pattern !== undefined) this.#addPattern(literalSuffix(text), { pattern, says })
    }
  }

  #say(name: string, said: number): void {
    this.#names.set(name, (this.#names.get(name) ?? 0) | said)
  }

  #addPattern(suffix: string, pattern: Pattern): void {
    const list = this.#patterns.get(suffix)
    if (list === undefined) this.#patterns.set(suffix, [pattern])
    else list.push(pattern)
  }
}

const SAYS: readonly Pattern['says'][] = [
  'never',
  'pinned',
  'word',
  'selected',
  'marked_never',
  'other',
]

function bit(says: Pattern['says']): number {
  return 1 << SAYS.indexOf(says)
}

function has(found: number, says: Pattern['says']): boolean {
  return (found & bit(says)) !== 0
}
