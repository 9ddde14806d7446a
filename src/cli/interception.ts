// What `cordon check` says of interception: how much is opened, how far its authority reaches, and which
// policies wait for something that nobody lets them see.

import { MOST_DOMAINS } from '../app/authority.ts'
import type { LoadedRules } from '../app/rules.ts'
import type { Problem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { AiService } from '../model/service.ts'
import { Catalogue } from '../signatures/catalogue.ts'
import { isAddress } from '../signatures/host.ts'
import { Interception } from '../signatures/interception.ts'
import { PINNED, PINNED_HOSTS } from '../signatures/pinned.ts'
import { isOfProxy, obligationsInside, readsInside } from './policy-needs.ts'

const PINNED_BECAUSE = {
  pinned: 'is on the shipped list because its clients refuse every other certificate',
  client_certificate:
    'is on the shipped list because its clients show a certificate of their own, and proxy.intercept.origins has none for it',
  own_root:
    'is on the shipped list because its root is trusted by its own clients only; proxy.intercept.origins can name it',
} as const

export interface InterceptionView {
  readonly enabled: boolean
  readonly services: number
  readonly hosts: number
  readonly patterns: number
  readonly unknown_hosts: boolean
  /** Registrable domains; null: without bound. */
  readonly domains: number | null
  readonly name_constrained: boolean
  /** Services that only a path tells from the rest of their host. */
  readonly by_path: { readonly total: number; readonly intercepted: number }
  readonly pinned: number
  readonly never: number
}

/** Throws CordonError CONFIG_INVALID where a word of the settings means nothing. */
export function interceptionOf({ proxy }: Config, catalogue: Catalogue): Interception {
  const { enabled, services, never } = proxy.intercept
  if (enabled) return new Interception({ services, never }, catalogue, PINNED_HOSTS)
  // Marked entries of the catalogue would be selected: nothing is.
  return new Interception({ services: [], never: [] }, new Catalogue([]), [])
}

export function interceptionView(
  { proxy }: Config,
  catalogue: Catalogue,
  plans: Interception,
): InterceptionView {
  const { enabled, never } = proxy.intercept
  const { selection, domains } = plans
  const services = [...catalogue.all()]
  const byPath = services.filter(isKnownByPathOnly)
  const open = (list: readonly AiService[]): number =>
    list.filter((service) => plans.opens(service) === true).length
  return {
    enabled,
    services: open(services),
    hosts: enabled ? selection.hosts.length : 0,
    patterns: enabled ? selection.patterns.length : 0,
    unknown_hosts: selection.unknown,
    domains: enabled ? (domains?.length ?? null) : 0,
    name_constrained: enabled && isConstrained(domains),
    by_path: { total: byPath.length, intercepted: open(byPath) },
    pinned: PINNED_HOSTS.length,
    never: never.length,
  }
}

export function interceptionText(view: InterceptionView): string {
  if (!view.enabled) return 'interception off: what is inside TLS is not seen'
  const unknown = view.unknown_hosts ? ', and hosts that no signature matches' : ''
  const patterns = view.patterns === 0 ? '' : ` and ${view.patterns} patterns`
  const authority = view.name_constrained
    ? `an authority constrained to ${view.domains} domains`
    : `an unconstrained authority (${view.domains === null ? 'no bound' : `${view.domains} domains`})`
  return `interception on: ${view.services} AI services on ${view.hosts} hosts${patterns}${unknown}; ${authority}; of ${view.by_path.total} services known by their path ${view.by_path.intercepted} are seen`
}

export function interceptionWarnings(
  { proxy, policy }: Config,
  { catalogue, policies: { policies } }: Pick<LoadedRules, 'catalogue' | 'policies'>,
  plans: Interception,
): readonly Problem[] {
  const services = [...catalogue.all()]
  const shut = services.filter((service) => plans.opens(service) === false)
  const { enabled } = proxy.intercept
  return [
    ...(enabled ? authorityWarnings(proxy.intercept, plans) : []),
    ...(enabled
      ? policies.flatMap((one) => blindWarning(one, services, shut))
      : blindWithoutInterception(policies)),
    ...obligationWarnings(policies, policy.dirs, services, shut),
    ...pathWarnings(shut),
  ]
}

function authorityWarnings(
  { services, origins }: Config['proxy']['intercept'],
  plans: Interception,
): readonly Problem[] {
  const at = { file: 'proxy.intercept.services' }
  const { domains, selection } = plans
  const nothing =
    selection.hosts.length + selection.patterns.length + selection.services.size === 0 &&
    !selection.unknown
  const certified = new Set(origins.flatMap(({ host, cert }) => (cert === undefined ? [] : host)))
  const pins = PINNED.flatMap(({ hosts, client, reason }) =>
    hosts
      .filter((host) => services.includes(host) && plans.plan(host, 443).intercept)
      .filter((host) => reason !== 'client_certificate' || !certified.has(host))
      .map((host) => ({ ...at, message: `"${host}" ${PINNED_BECAUSE[reason]}: ${client}` })),
  )
  if (nothing) return [{ ...at, message: 'selects nothing: no connection is opened' }]
  const addresses = selection.words.flatMap((word) =>
    word.kind === 'host' && isAddress(word.name) ? [word.name] : [],
  )
  if (isConstrained(domains))
    return [
      ...pins,
      ...addresses.map((address) => ({
        ...at,
        message: `"${address}" is an address: an authority that is constrained to names cannot vouch for it`,
      })),
    ]
  const reach =
    domains === undefined
      ? 'have no bound'
      : `lie in ${domains.length} registrable domains, more than ${MOST_DOMAINS}`
  return [
    ...pins,
    {
      ...at,
      message: `the hosts ${reach}: an authority for them is not name-constrained, and whoever holds its key can stand for any host`,
    },
  ]
}

/** Without interception it is the same for all of them, so one line says it. */
function blindWithoutInterception(policies: readonly PolicyMetadata[]): readonly Problem[] {
  const blind = policies.filter((policy) => readsInside(policy).length > 0).map(({ id }) => id)
  if (blind.length === 0) return []
  return [
    {
      file: 'proxy.intercept.enabled',
      message: `is false: inside TLS the proxy shows nothing to ${listOf(blind)}, so there they cannot match`,
    },
  ]
}

function blindWarning(
  policy: PolicyMetadata,
  services: readonly AiService[],
  shut: readonly AiService[],
): readonly Problem[] {
  const reads = readsInside(policy)
  if (reads.length === 0 || !isScoped(policy)) return []
  const meant = services.filter((service) => isMeant(policy, service))
  const unseen = meant.filter((service) => shut.includes(service)).map(({ id }) => id)
  if (unseen.length === 0) return []
  const cannot =
    unseen.length === meant.length ? 'it can never match at the proxy' : 'no match there'
  return [
    {
      ...placeOf(policy),
      message: `${policy.id}: reads ${reads.join(', ')}, which is not seen for ${listOf(unseen)}: ${cannot} until proxy.intercept.services selects them`,
    },
  ]
}

function obligationWarnings(
  policies: readonly PolicyMetadata[],
  dirs: readonly string[],
  services: readonly AiService[],
  shut: readonly AiService[],
): readonly Problem[] {
  const obliged = obligationsInside(dirs)
  return policies.flatMap((policy) => {
    const types = obliged.get(policy.language === 'rego' ? policy.file : policy.id) ?? []
    // One that hangs on what was found inside is silent where nothing is seen.
    if (types.length === 0 || !isOfProxy(policy.scope.sources) || readsInside(policy).length > 0)
      return []
    const unseen = services.filter((one) => isMeant(policy, one) && shut.includes(one))
    if (unseen.length === 0) return []
    const where = isScoped(policy)
      ? listOf(unseen.map(({ id }) => id))
      : `${unseen.length} services that are not intercepted`
    return [
      {
        ...placeOf(policy),
        message: `${policy.id}: obliges to ${types.join(', ')}, which cannot be performed for ${where}: an ALLOW becomes DENY there, unless proxy.intercept opens them`,
      },
    ]
  })
}

/** A decision about a service that only its path reveals falls on nobody while paths are hidden. */
function pathWarnings(shut: readonly AiService[]): readonly Problem[] {
  return shut
    .filter(
      (service) =>
        isKnownByPathOnly(service) &&
        service.mode === 'enforce' &&
        (service.approval_status === 'prohibited' || service.approval_status === 'review_required'),
    )
    .map(({ id, approval_status: status, shared_hosts: [shared] }) => ({
      file: 'proxy.intercept.services',
      message: `${id} is ${status}, and only its path tells it from the rest of ${shared?.host}: inside TLS it is not recognised until it is selected`,
    }))
}

function isKnownByPathOnly({
  domains,
  api_hosts: hosts,
  host_patterns: patterns,
  ...rest
}: AiService): boolean {
  const shared = new Set(rest.shared_hosts.map(({ host }) => host))
  return (
    rest.shared_hosts.some(({ host }) => !host.startsWith('*:')) &&
    domains.length + patterns.length === 0 &&
    hosts.every((host) => shared.has(host))
  )
}

function isScoped({ scope }: PolicyMetadata): boolean {
  return [scope.services, scope.categories, scope.vendors].some((list) => (list ?? []).length > 0)
}

function isMeant({ scope }: PolicyMetadata, service: AiService): boolean {
  const allows = (list: readonly string[] | undefined, word: string | undefined): boolean =>
    list === undefined || list.length === 0 || (word !== undefined && list.includes(word))
  return (
    allows(scope.services, service.id) &&
    allows(scope.categories, service.service_type) &&
    allows(scope.vendors, service.vendor)
  )
}

function isConstrained(domains: readonly string[] | undefined): boolean {
  return domains !== undefined && domains.length <= MOST_DOMAINS
}

function placeOf({ file, line }: PolicyMetadata): Pick<Problem, 'file' | 'line'> {
  return line === undefined ? { file } : { file, line }
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ')
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown
}
