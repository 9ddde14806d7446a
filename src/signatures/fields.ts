// What may stand in an entry of the catalogue? Every key with its check; docs/reference/signatures.md and
// signatures/schema.json name the same keys (a test compares them).

import { domainToASCII } from 'node:url'
import { APPROVAL_STATUSES, RISK_TIERS } from '../model/service.ts'
import { compileHostPattern, compilePattern } from './pattern.ts'

const NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/
const IPV6 = /^[0-9a-f:.]*:[0-9a-f:.]*$/
const PATH = /^\/[^\s#]*$/
const API_PATTERN = /^(?:[A-Z]+ )?[/…][^\s#]*$/
const ID = /^[a-z0-9][a-z0-9._-]{0,99}$/
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_KINDS: readonly unknown[] = ['auth', 'client', 'tenant_restriction']
const MAX_TEXT = 2048

/** Undefined when the value is right, else what it must be. */
export type Check = (value: unknown) => string | undefined

/** A list whose items are checked one by one, so that a problem names the item's own place. */
export interface ListCheck {
  readonly item: Check
}

const text: Check = (value) => (isText(value) ? undefined : 'must be a text')
const textThat = (valid: (item: string) => boolean, what: string): Check => {
  return (value) => (isText(value) && valid(value) ? undefined : `must be ${what}`)
}
const oneOf = (words: readonly string[]): Check => {
  return textThat((value) => words.includes(value), `one of ${words.join(', ')}`)
}
const isRegex = (item: string): boolean => compilePattern(item) !== undefined
const texts: ListCheck = { item: text }
const hosts: ListCheck = {
  item: (value) => {
    if (isText(value) && isHost(value)) return undefined
    const canonical = isText(value) ? domainToASCII(value.replace(/\.$/, '')) : ''
    return isHost(canonical)
      ? `must be written as "${canonical}"`
      : 'must be a host name in lower case, without scheme, port, path or wildcard'
  },
}
const paths: ListCheck = {
  item: textThat((item) => PATH.test(item), 'a path that begins with /'),
}

/** The keys of an entry, in the order in which files write them. */
export const SERVICE_KEYS: Readonly<Record<string, Check | ListCheck>> = {
  id: textThat((id) => ID.test(id), 'a short name in lower case'),
  name: text,
  vendor: text,
  service_type: text,
  parent: text,
  protocol: text,
  mode: oneOf(['enforce', 'monitor']),
  intercept: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  confidence: (value) =>
    typeof value === 'number' && value >= 0 && value <= 1
      ? undefined
      : 'must be a number from 0 to 1',
  country: text,
  domains: hosts,
  host_patterns: {
    item: textThat(
      (item) =>
        item.startsWith('^') && item.endsWith('$') && compileHostPattern(item) !== undefined,
      'an anchored RE2 expression (^...$)',
    ),
  },
  shared_hosts: { item: sharedHost },
  api_hosts: hosts,
  support_domains: hosts,
  api_patterns: { item: textThat((item) => API_PATTERN.test(item), 'METHOD /path') },
  websocket_paths: paths,
  headers: { item: header },
  user_agents: { item: textThat(isRegex, 'an RE2 expression') },
  capabilities: texts,
  key_formats: texts,
  approval_status: oneOf(APPROVAL_STATUSES),
  approved_for: texts,
  prohibited_for: texts,
  risk_tier: oneOf(RISK_TIERS),
  risk_score: (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 100
      ? undefined
      : 'must be a whole number from 0 to 100',
  certifications: texts,
  data_handling: text,
  data_regions: texts,
}

function sharedHost(value: unknown): string | undefined {
  if (!isRecord(value)) return 'must be {host, paths}'
  const { host, paths: list, ...rest } = value
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) return `has an unknown key "${unknown}"; known are host, paths`
  if (!isText(host) || !isSharedHost(host)) return 'needs a host: a name, *.name or *:port'
  if (!Array.isArray(list) || list.length === 0) return 'needs a list of paths'
  return list.every((path) => isText(path) && PATH.test(path))
    ? undefined
    : 'needs paths that begin with /'
}

function header(value: unknown): string | undefined {
  if (!isRecord(value)) return 'must be {name, pattern, kind, distinctive}'
  const { name, pattern, kind, distinctive, ...rest } = value
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined)
    return `has an unknown key "${unknown}"; known are name, pattern, kind, distinctive`
  if (!isText(name) || !HEADER_NAME.test(name)) return 'needs the name of a header'
  if (pattern !== undefined && !(isText(pattern) && isRegex(pattern)))
    return 'has a pattern that is no RE2 expression'
  if (kind !== undefined && !HEADER_KINDS.includes(kind))
    return `has a kind that is none of ${HEADER_KINDS.join(', ')}`
  return distinctive === undefined || typeof distinctive === 'boolean'
    ? undefined
    : 'has a distinctive that is neither true nor false'
}

function isSharedHost(host: string): boolean {
  if (!host.startsWith('*:')) return isHost(host.startsWith('*.') ? host.slice(2) : host)
  const port = /^\d{1,5}$/.test(host.slice(2)) ? Number(host.slice(2)) : 0
  return port > 0 && port <= 65_535
}

function isHost(host: string): boolean {
  return host.length <= 253 && (NAME.test(host) || IPV6.test(host))
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
