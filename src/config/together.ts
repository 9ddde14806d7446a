// Settings that are right alone and wrong together. A setting that cannot take effect is an error.

import ipaddr from 'ipaddr.js'
import type { Place, Problem } from '../base/errors.ts'
import type { Listen } from './leaf.ts'
import type { Config } from './schema.ts'

/** Which settings were given at all, and where. */
export interface GivenSettings {
  given(path: string): boolean
  place(path: string): Place
}

/** What is wrong with the settings taken together, each at the place of the setting to change. */
export function checkTogether(config: Config, settings: GivenSettings): Problem[] {
  const problems: Problem[] = []
  const refuse = (path: string, message: string): void => {
    problems.push({ ...settings.place(path), message: `${path}: ${message}` })
  }
  const { proxy, policy, ledger } = config

  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(config.tenant)) {
    refuse('tenant', 'must be a name of letters, digits, dots, dashes and underscores')
  }
  checkInterception(proxy, settings.given('proxy.intercept.enabled'), refuse)
  const exposed = proxy.listen.find((listen) => !isLoopback(listen))
  if (exposed !== undefined && proxy.anonymous === 'allow' && !settings.given('proxy.clients')) {
    refuse(
      'proxy.listen',
      'is not a loopback address: set proxy.clients to the networks that may use it, or proxy.anonymous: deny',
    )
  }
  if (proxy.anonymous === 'allow') {
    const open = proxy.clients.find((network) => !isPrivateNetwork(network))
    if (open !== undefined) {
      refuse(
        'proxy.clients',
        `${open} reaches public addresses, which needs proxy.anonymous: deny (this would be an open relay)`,
      )
    }
  }
  if (proxy.no_upstream.length > 0 && proxy.upstream === '')
    refuse('proxy.no_upstream', 'has no effect without proxy.upstream')
  if (proxy.upstream !== '' && !isProxyUrl(proxy.upstream))
    refuse('proxy.upstream', 'must be http://host:port or http://user:pass@host:port')
  if (proxy.limits.per_client > proxy.limits.connections) {
    refuse(
      'proxy.limits.per_client',
      'is larger than proxy.limits.connections, so it has no effect',
    )
  }
  for (const [from, to] of proxy.resolve) {
    if (!HOST_AND_PORT.test(from) || !HOST_AND_PORT.test(to)) {
      refuse('proxy.resolve', `"${from}": "${to}" must be two of host:port`)
    }
  }
  for (const entry of proxy.egress.allow) {
    if (!isEgressException(entry))
      refuse('proxy.egress.allow', `"${entry}" is no network, host or host:port`)
  }
  if (proxy.egress.private === 'allow' && proxy.egress.allow.length > 0) {
    refuse('proxy.egress.allow', 'has no effect while proxy.egress.private is allow')
  }
  if (
    policy.review !== 'hold' &&
    settings.given('policy.hold_timeout') &&
    policy.hold_timeout !== 60_000
  ) {
    refuse('policy.hold_timeout', 'has no effect unless policy.review is hold')
  }
  for (const name of ['key_id', 'scope'] as const) {
    if (policy.bundle_signing.key === '' && policy.bundle_signing[name] !== '')
      refuse(`policy.bundle_signing.${name}`, 'has no effect without policy.bundle_signing.key')
  }
  checkRisk(config.risk, refuse)
  if (config.budgets.length === 0 && settings.given('budgets_on_error'))
    refuse('budgets_on_error', 'has no effect without budgets')
  for (const [name, age] of Object.entries(ledger.retention)) {
    if (age < DAY_MS || age > LONGEST_MS)
      refuse(`ledger.retention.${name}`, 'must be from 1d to 1000y: whole days are kept')
  }
  if (ledger.archive.dir === '') {
    if (ledger.archive.keep !== TWO_YEARS_MS)
      refuse('ledger.archive.keep', 'has no effect without ledger.archive.dir')
    if (ledger.archive.limit !== 50 * 1024 ** 3)
      refuse('ledger.archive.limit', 'has no effect without ledger.archive.dir')
  }
  return problems
}

/**
 * Whether there is an authority is asked of its files, later: `cordon ca init` runs with these settings too.
 * Written down as false, `enabled` is the switch to go back by: what it switches off stays where it is.
 */
function checkInterception(
  { intercept, trust, limits }: Config['proxy'],
  switched: boolean,
  refuse: (path: string, message: string) => void,
): void {
  const { ca } = intercept
  if (!intercept.enabled && !switched) {
    const idle = 'has no effect while proxy.intercept.enabled is false'
    for (const key of ['services', 'never', 'origins'] as const)
      if (intercept[key].length > 0) refuse(`proxy.intercept.${key}`, idle)
    for (const key of ['cert', 'key', 'signer'] as const)
      if (ca[key] !== '') refuse(`proxy.intercept.ca.${key}`, idle)
    if (trust.length > 0) refuse('proxy.trust', `${idle}: tunnels are not opened`)
  } else if (ca.signer !== '') {
    for (const key of ['cert', 'key'] as const)
      if (ca[key] !== '')
        refuse(`proxy.intercept.ca.${key}`, 'has no effect beside proxy.intercept.ca.signer')
  } else if ((ca.cert === '') !== (ca.key === '')) {
    const [given, missing] = ca.key === '' ? ['cert', 'key'] : ['key', 'cert']
    refuse(
      `proxy.intercept.ca.${given}`,
      `has no effect without proxy.intercept.ca.${missing}; leave both out for the authority that "cordon ca init" makes`,
    )
  }
  const seen = new Set<string>()
  for (const { host, port } of intercept.origins) {
    const place = port === undefined ? host : `${host}:${port}`
    if (seen.has(place)) refuse('proxy.intercept.origins', `"${place}" stands there twice`)
    seen.add(place)
  }
  if (limits.inspect_memory < limits.body_inspect_bytes)
    refuse(
      'proxy.limits.inspect_memory',
      'is smaller than proxy.limits.body_inspect_bytes, so one body could fill it',
    )
}

function checkRisk(
  { levels, history }: Config['risk'],
  refuse: (path: string, message: string) => void,
): void {
  if (levels.high <= levels.medium)
    refuse('risk.levels.high', 'must be greater than risk.levels.medium')
  if (levels.critical <= levels.high)
    refuse('risk.levels.critical', 'must be greater than risk.levels.high')
  if (history.half_life < HOUR_MS || history.half_life > YEAR_MS)
    refuse('risk.history.half_life', 'must be from 1h to 1y')
}

/** With `anonymous: deny` everybody must show who they are, so an exposed listener may be used from every network. */
export function withClientDefault(config: Config, settings: GivenSettings): Config {
  const { proxy } = config
  const everywhere =
    proxy.anonymous === 'deny' && proxy.listen.some((listen) => !isLoopback(listen))
  if (settings.given('proxy.clients') || !everywhere) return config
  return { ...config, proxy: { ...proxy, clients: ['0.0.0.0/0', '::/0'] } }
}

const TWO_YEARS_MS = 2 * 365 * 86_400_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const YEAR_MS = 365 * DAY_MS
const LONGEST_MS = 1000 * 365 * DAY_MS
const HOST_AND_PORT = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}$/
const PRIVATE_RANGES = new Set([
  'loopback',
  'private',
  'linkLocal',
  'uniqueLocal',
  'carrierGradeNat',
  'unspecified',
])

function isLoopback(listen: Listen): boolean {
  if (listen.kind === 'unix' || listen.host === 'localhost') return true
  return ipaddr.isValid(listen.host) && ipaddr.process(listen.host).range() === 'loopback'
}

/** Whether every address of a network is private: its first and last are, and it is no wider than its range. */
function isPrivateNetwork(network: string): boolean {
  const [address, bits] = ipaddr.parseCIDR(network)
  if (address.kind() === 'ipv6')
    return (
      bits >= 7 &&
      PRIVATE_RANGES.has(address.range()) &&
      (address.range() !== 'unspecified' || bits === 128)
    )
  return (
    bits >= 8 &&
    PRIVATE_RANGES.has(address.range()) &&
    PRIVATE_RANGES.has(ipaddr.IPv4.broadcastAddressFromCIDR(network).range())
  )
}

function isProxyUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return (
    url !== undefined &&
    url.hostname !== '' &&
    ['', '/'].includes(url.pathname) &&
    url.search === '' &&
    url.hash === ''
  )
}

function isEgressException(entry: string): boolean {
  if (entry.includes('/')) return ipaddr.isValidCIDR(entry)
  return (
    ipaddr.isValid(entry) ||
    HOST_AND_PORT.test(entry) ||
    /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(entry)
  )
}
