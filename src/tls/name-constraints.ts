// Name constraints (RFC 5280 section 4.2.1.10): what an issuing certificate may speak for. Clients enforce
// them, so whoever steals its key can deceive nobody about a bank.

import { extension } from './certificate.ts'
import { DerReader } from './der-reader.ts'
import { implicit, oid, sequence } from './der.ts'
import { addressOf } from './host-name.ts'

export interface NameConstraints {
  /** Undefined: DNS names are not limited. */
  readonly permittedDns: readonly string[] | undefined
  readonly excludedDns: readonly string[]
  /** Address and mask behind one another; undefined: addresses are not limited. */
  readonly permittedIp: readonly Buffer[] | undefined
  readonly excludedIp: readonly Buffer[]
  /** Whether distinguished names are limited too, so that a leaf had better have none. */
  readonly limitsNames: boolean
}

const ID = oid('2.5.29.30')
const DNS = 2
const IP = 7
const DNS_TAG = 0x80 | DNS
const IP_TAG = 0x80 | IP
const DIRECTORY_NAME_TAG = 0xa4
const PERMITTED_TAG = 0xa0
const EXCLUDED_TAG = 0xa1
/** Every address, of version 4 and of version 6. */
const ALL_ADDRESSES = [Buffer.alloc(8), Buffer.alloc(32)]

/** Only these domains with everything below them, and no address. */
export function nameConstraints(domains: readonly string[]): Buffer {
  const permitted = domains.map((domain) => sequence(implicit(DNS, Buffer.from(domain, 'latin1'))))
  const excluded = ALL_ADDRESSES.map((range) => sequence(implicit(IP, range)))
  const content = [implicitList(0, permitted), implicitList(1, excluded)]
  return extension(ID, true, sequence(...content))
}

/** From the value of the extension. */
export function readNameConstraints(value: Buffer): NameConstraints {
  const reader = new DerReader(value).inside(0x30)
  const permitted = namesIn(reader.optional(PERMITTED_TAG)?.content)
  const excluded = namesIn(reader.optional(EXCLUDED_TAG)?.content)
  const limited = (list: readonly Buffer[]): readonly Buffer[] | undefined =>
    list.length === 0 ? undefined : list
  return {
    permittedDns: limited(permitted.dns)?.map(textOf),
    excludedDns: excluded.dns.map(textOf),
    permittedIp: limited(permitted.ip),
    excludedIp: excluded.ip,
    limitsNames: permitted.names || excluded.names,
  }
}

/** Whether a certificate for this host, in lower case, would be accepted. */
export function permits(constraints: NameConstraints, host: string): boolean {
  const address = addressOf(host)
  if (address !== undefined) {
    const within = (range: Buffer): boolean => isInRange(address, range)
    return (constraints.permittedIp?.some(within) ?? true) && !constraints.excludedIp.some(within)
  }
  const below = (domain: string): boolean => isBelow(host, domain)
  return (constraints.permittedDns?.some(below) ?? true) && !constraints.excludedDns.some(below)
}

/** A leading dot asks for at least one label more (as OpenSSL and NSS read it); the empty domain holds for all. */
function isBelow(host: string, domain: string): boolean {
  if (domain === '' || host === domain) return true
  return host.endsWith(domain.startsWith('.') ? domain : `.${domain}`)
}

function isInRange(address: Buffer, range: Buffer): boolean {
  const { length } = address
  if (range.length !== 2 * length) return false
  return address.every((byte, index) => {
    const mask = range[length + index] ?? 0
    return (byte & mask) === ((range[index] ?? 0) & mask)
  })
}

function namesIn(content: Buffer | undefined): {
  readonly dns: readonly Buffer[]
  readonly ip: readonly Buffer[]
  readonly names: boolean
} {
  const found = { dns: [] as Buffer[], ip: [] as Buffer[], names: false }
  const reader = new DerReader(content ?? Buffer.alloc(0))
  while (!reader.done) {
    const { tag, content: name } = reader.inside(0x30).next()
    if (tag === DNS_TAG) found.dns.push(name)
    if (tag === IP_TAG) found.ip.push(name)
    if (tag === DIRECTORY_NAME_TAG) found.names = true
  }
  return found
}

function implicitList(number: 0 | 1, items: readonly Buffer[]): Buffer {
  const list = sequence(...items)
  list[0] = number === 0 ? PERMITTED_TAG : EXCLUDED_TAG
  return list
}

function textOf(name: Buffer): string {
  return name.toString('latin1').toLowerCase()
}
