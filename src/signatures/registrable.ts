// Which names would an authority have to be constrained to, so that it can vouch for these hosts and few others?
//
// The registrable domain of a host by the public suffix list, its private part included: somebody's
// `x.hf.space` is not somebody else's `y.hf.space`. A pattern over a whole private suffix stays at that suffix,
// which has one owner; one over a public suffix (`*.com`) has no bound.

import { isIP } from 'node:net'
import { parse } from 'tldts'
import { literalSuffix } from './pattern.ts'

const OPTIONS = { allowPrivateDomains: true, validateHostname: false, extractHostname: false }

/** Undefined: no bound. Null: nothing, for an address has no domain. */
export function registrableDomain(name: string): string | null | undefined {
  if (isIP(name) !== 0) return null
  const { domain, publicSuffix, isIcann } = parse(name, OPTIONS)
  if (domain !== null) return domain
  return isIcann === true ? undefined : (publicSuffix ?? name)
}

/** The domains that a host pattern reaches, or undefined where one end of it is not literal. */
export function domainsOfPattern(pattern: string): readonly string[] | undefined {
  const domains: string[] = []
  for (const ending of endings(pattern)) {
    const suffix = literalSuffix(ending)
    const domain = suffix === '' ? undefined : registrableDomain(suffix)
    if (domain === undefined || domain === null) return undefined
    domains.push(domain)
  }
  return domains
}

/** `^a\.com(\.cn)?$` ends in two ways. */
function endings(pattern: string): readonly string[] {
  const [, start, optional] = /^(.*)\(((?:[a-z0-9-]|\\\.)+)\)\?\$$/.exec(pattern) ?? []
  return start === undefined || optional === undefined
    ? [pattern]
    : [`${start}$`, `${start}${optional}$`]
}
