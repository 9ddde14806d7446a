// Does a scope name anybody at all? By what the catalogue and the directory know.

import type { PolicyMetadata, ScopeKey } from '../../model/policy.ts'
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
