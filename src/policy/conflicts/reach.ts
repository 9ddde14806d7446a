// Does a scope name anybody at all? By what the catalogue and the directory know.

import type { PolicyMetadata, Scope, ScopeKey } from '../../model/policy.ts'
import { SOURCES } from '../../model/request.ts'
import type { KnownNames } from '../check.ts'

export interface Catalogued {
  /** The catalogue, as far as scopes look at it. */
  readonly services?: readonly {
    readonly id: string
    readonly vendor?: string
    readonly service_type?: string
  }[]
  /** What the directory knows; a key that is not given is not looked at. */
  readonly names?: KnownNames
}

/** Hosts that no signature matches. */
const UNKNOWN: Readonly<Partial<Record<ScopeKey, readonly string[]>>> = {
  services: ['unknown'],
  categories: ['unknown_ai'],
  users: ['unknown'],
}
const DIRECTORY = ['departments', 'groups', 'users', 'roles'] as const

/** Why nothing is ever in scope; undefined where something may be. */
export function nobodyMeant(
  { scope }: PolicyMetadata,
  { services, names }: Catalogued = {},
): string | undefined {
  const sources = scope.sources ?? []
  if (
    sources.length > 0 &&
    !sources.some((source) => (SOURCES as readonly string[]).includes(source))
  )
    return `there is no source ${sources.join(', ')}`
  for (const key of DIRECTORY) {
    const wanted = scope[key] ?? []
    const known = names?.[key]
    if (known === undefined || wanted.length === 0 || isUnknown(key, wanted)) continue
    if (!wanted.some((name) => known.has(name)))
      return `the directory knows none of its ${key} (${wanted.slice(0, 5).join(', ')})`
  }
  if (services === undefined) return undefined
  const named = (['services', 'categories', 'vendors'] as const).filter(
    (key) => (scope[key] ?? []).length > 0,
  )
  if (named.length === 0 || named.some((key) => isUnknown(key, scope[key] ?? []))) return undefined
  const isMeant = services.some(
    ({ id, service_type: category, vendor }) =>
      holds(scope.services, id) &&
      holds(scope.categories, category) &&
      holds(scope.vendors, vendor),
  )
  return isMeant
    ? undefined
    : `the catalogue has no service with its ${named.join(' and ')} (${named
        .flatMap((key) => scope[key] ?? [])
        .slice(0, 5)
        .join(', ')})`
}

function isUnknown(key: ScopeKey, wanted: readonly string[]): boolean {
  return wanted.some((name) => UNKNOWN[key]?.includes(name) === true)
}

function holds(wanted: readonly string[] | undefined, value: string | undefined): boolean {
  return (
    wanted === undefined || wanted.length === 0 || (value !== undefined && wanted.includes(value))
  )
}

const SERVICE_KEYS = ['services', 'categories', 'vendors'] as const

/** Whether the catalogue has a service that lies in two scopes at once; names that it does not know may be anything. */
export class Catalogue {
  readonly #services = new Map<string, { readonly category: string; readonly vendor: string }>()
  readonly #kinds = new Set<string>()
  readonly #known = { categories: new Set<string>(), vendors: new Set<string>() }

  constructor(services: NonNullable<Catalogued['services']>) {
    for (const { id, service_type: category = '', vendor = '' } of services) {
      this.#services.set(id, { category, vendor })
      this.#kinds.add(`${category}\0${vendor}`)
      this.#known.categories.add(category)
      this.#known.vendors.add(vendor)
    }
  }

  neverBoth(one: Scope, other: Scope): boolean {
    const [services, categories, vendors] = SERVICE_KEYS.map((key) =>
      inBoth(one[key] ?? [], other[key] ?? []),
    )
    if (services === undefined || categories === undefined || vendors === undefined) return false
    if (services.length > 0) {
      const known = services.map((id) => this.#services.get(id))
      return known.every(
        (service) =>
          service !== undefined &&
          !(holds(categories, service.category) && holds(vendors, service.vendor)),
      )
    }
    if (categories.length === 0 || vendors.length === 0) return false
    const isKnown =
      categories.every((each) => this.#known.categories.has(each)) &&
      vendors.every((each) => this.#known.vendors.has(each))
    return (
      isKnown &&
      !categories.some((category) =>
        vendors.some((vendor) => this.#kinds.has(`${category}\0${vendor}`)),
      )
    )
  }
}

/** An empty list means all. */
function inBoth(one: readonly string[], other: readonly string[]): readonly string[] {
  if (one.length === 0) return other
  return other.length === 0 ? one : one.filter((name) => other.includes(name))
}
