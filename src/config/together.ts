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
  if (proxy.intercept.enabled) {
    refuse('proxy.intercept.enabled', 'interception comes with a later release; leave it false')
  } else {
    for (const key of ['services', 'never'] as const) {
      if (proxy.intercept[key].length > 0)
        refuse(`proxy.intercept.${key}`, 'has no effect while intercept.enabled is false')
    }
    for (const key of ['cert', 'key', 'signer'] as const) {
      if (proxy.intercept.ca[key] !== '')
        refuse(`proxy.intercept.ca.${key}`, 'has no effect while intercept.enabled is false')
    }
  }

  if (proxy.trust.length > 0)
    refuse(
      'proxy.trust',
      'has no effect before interception, which comes with a later release: tunnels are not opened',
    )
  if (proxy.limits.inspect_memory !== INSPECT_MEMORY)
    refuse(
      'proxy.limits.inspect_memory',
      'has no effect before interception, which comes with a later release: no body is held',
    )

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
  if (ledger.archive.dir === '') {
    if (ledger.archive.keep !== TWO_YEARS_MS)
      refuse('ledger.archive.keep', 'has no effect without ledger.archive.dir')
    if (ledger.archive.limit !== 50 * 1024 ** 3)
      refuse('ledger.archive.limit', 'has no effect without ledger.archive.dir')
  }
  return problems
}

/** With `anonymous: deny` everybody must show who they are, so an exposed listener may be used from every network. */
export function withClientDefault(config: Config, settings: GivenSettings): Config {
  const { proxy } = config
  const everywhere =
    proxy.anonymous === 'deny' && proxy.listen.some((listen) => !isLoopback(listen))
  if (settings.given('proxy.clients') || !everywhere) return config
  return { ...config, proxy: { ...proxy, clients: ['0.0.0.0/0', '::/0'] } }
}

const INSPECT_MEMORY = 512 * 1024 ** 2
const TWO_YEARS_MS = 2 * 365 * 86_400_000
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
