// What do the net.cidr built-ins answer? Go's reading of addresses and networks.

import { isArray, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import {
  boundedCount,
  type BuiltinTable,
  fail,
  membersOf,
  type Operands,
  textAt,
  valueAt,
} from './operands.ts'

/** 32 or 128 bits; an IPv4 address mapped into IPv6 counts as the IPv4 address, as in Go. */
export interface Address {
  readonly bits: 32 | 128
  readonly value: bigint
}

interface Network extends Address {
  readonly prefix: number
}

export const CIDR_BUILTINS: BuiltinTable = {
  'net.cidr_is_valid': ([text]) => typeof text === 'string' && parseNetwork(text) !== undefined,
  'net.cidr_contains': (operands) => contains(textAt(operands, 0), textAt(operands, 1)),
  'net.cidr_overlap': (operands) => contains(textAt(operands, 0), textAt(operands, 1)),
  'net.cidr_intersects': (operands) => {
    const [a, b] = [comparable(textAt(operands, 0)), comparable(textAt(operands, 1))]
    return holds(a, b) || holds(b, a)
  },
  'net.cidr_contains_matches': containsMatches,
  'net.cidr_expand': expand,
  'net.cidr_merge': merge,
}

function contains(outer: string, inner: string): boolean {
  const network = comparable(outer)
  const address = parseAddress(inner)
  if (address !== undefined) return holds(network, address)
  const other = comparable(inner)
  return holds(network, other) && network.prefix <= other.prefix
}

function holds(network: Network, address: Address): boolean {
  if (network.bits !== address.bits) return false
  const host = BigInt(network.bits - network.prefix)
  return network.value >> host === address.value >> host
}

function containsMatches(operands: Operands): RegoValue {
  const outer = indexed(valueAt(operands, 0))
  const inner = indexed(valueAt(operands, 1))
  boundedCount(outer.length * inner.length)
  const matches: RegoValue[] = []
  for (const [network, outerIndex] of outer)
    for (const [member, innerIndex] of inner)
      if (contains(network, member)) matches.push([outerIndex, innerIndex])
  return new RegoSet(matches)
}

/** Each network with what names it: itself, its place, its key. */
function indexed(value: RegoValue): [string, RegoValue][] {
  if (typeof value === 'string') return [[value, value]]
  if (value instanceof RegoSet) return value.items.map((item) => [memberText(item), item])
  if (value instanceof RegoObject)
    return value.entries.map(([key, item]) => [memberText(item), key])
  if (value !== null && isArray(value)) return value.map((item, index) => [memberText(item), index])
  return []
}

function memberText(member: RegoValue): string {
  const text = member !== null && typeof member === 'object' && isArray(member) ? member[0] : member
  return typeof text === 'string' ? text : fail('an element must be a string')
}

function expand(operands: Operands): RegoValue {
  const network = networkOf(textAt(operands, 0))
  const count = 1n << BigInt(network.bits - network.prefix)
  boundedCount(count)
  return new RegoSet(
    Array.from({ length: Number(count) }, (_, index) =>
      addressText({ bits: network.bits, value: network.value + BigInt(index) }),
    ),
  )
}

/** The fewest networks over all addresses; those that merge with no other stay as they are. */
function merge(operands: Operands): RegoValue {
  const members = membersOf(valueAt(operands, 0))
  boundedCount(members.length)
  const ranges = members
    .map((member) => (typeof member === 'string' ? mergeable(member) : fail('no string')))
    .map((network): MergeRange => {
      const host = BigInt(network.bits - network.prefix)
      const first = (network.value >> host) << host
      return {
        bits: network.bits,
        first,
        last: first + (1n << host) - 1n,
        network,
      }
    })
    .toSorted((a, b) => a.bits - b.bits || order(a.last, b.last) || order(a.first, b.first))
  for (let index = ranges.length - 1; index > 0; index--) {
    const [previous, current] = [ranges[index - 1], ranges[index]]
    if (previous === undefined || current === undefined || previous.bits !== current.bits) continue
    if (current.first - 1n > previous.last) continue
    ranges.splice(index - 1, 2, {
      bits: current.bits,
      first: previous.first < current.first ? previous.first : current.first,
      last: current.last,
      network: undefined,
    })
  }
  const merged = ranges.flatMap(({ bits, first, last, network }) =>
    network === undefined ? cover(bits, first, last) : [network],
  )
  return new RegoSet(merged.map((network) => `${addressText(network)}/${network.prefix}`))
}

interface MergeRange {
  readonly bits: 32 | 128
  readonly first: bigint
  readonly last: bigint
  /** Undefined once it was merged. */
  readonly network: Network | undefined
}

/** An address alone takes the mask of its class, as Go's DefaultMask. */
function mergeable(text: string): Network {
  const address = parseAddress(text)
  if (address === undefined) return networkOf(text)
  if (address.bits === 128) return fail('an IPv6 address needs a prefix')
  const top = address.value >> 24n
  const prefix = top < 128n ? 8 : top < 192n ? 16 : 24
  return { ...address, prefix }
}

function cover(bits: 32 | 128, first: bigint, last: bigint): Network[] {
  const networks: Network[] = []
  let at = first
  while (at <= last) {
    let host = 0
    while (host < bits) {
      const size = 1n << BigInt(host + 1)
      if (at % size !== 0n || at + size - 1n > last) break
      host += 1
    }
    networks.push({ bits, value: at, prefix: bits - host })
    at += 1n << BigInt(host)
  }
  return networks
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** A network of IPv4 addresses mapped into IPv6 holds what the IPv4 network does. */
function comparable(text: string): Network {
  const network = networkOf(text)
  return network.bits === 128 && network.prefix >= 96 && network.value >> 32n === 0xff_ffn
    ? { bits: 32, value: network.value & 0xff_ff_ff_ffn, prefix: network.prefix - 96 }
    : network
}

function networkOf(text: string): Network {
  return parseNetwork(text) ?? fail('no network')
}

/** Go's net.ParseCIDR: the network, its host bits cleared. */
function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/')
  const digits = text.slice(slash + 1)
  if (slash === -1 || !/^\d{1,7}$/.test(digits)) return undefined
  const address = parsePlain(text.slice(0, slash))
  if (address === undefined || Number(digits) > address.bits) return undefined
  const prefix = Number(digits)
  const host = BigInt(address.bits - prefix)
  return { bits: address.bits, value: (address.value >> host) << host, prefix }
}

function parseAddress(text: string): Address | undefined {
  const address = parsePlain(text)
  if (address === undefined || address.bits === 32 || address.value >> 32n !== 0xff_ffn)
    return address
  return { bits: 32, value: address.value & 0xff_ff_ff_ffn }
}

function parsePlain(text: string): Address | undefined {
  if (!text.includes(':')) {
    const value = parseV4(text)
    return value === undefined ? undefined : { bits: 32, value }
  }
  const value = parseV6(text)
  return value === undefined ? undefined : { bits: 128, value }
}

function parseV4(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0n
  for (const part of parts) {
    // A leading zero could mean octal to another program.
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    value = (value << 8n) | BigInt(part)
  }
  return value
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = [
    groupsOf(halves[0] ?? '', halves.length === 1),
    groupsOf(halves[1] ?? '', true),
  ]
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  return [...head, ...Array.from({ length: missing }, () => 0n), ...tail].reduce(
    (value, group) => (value << 16n) | group,
    0n,
  )
}

function groupsOf(text: string, mayEndInV4: boolean): bigint[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  const groups: bigint[] = []
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const v4 = mayEndInV4 && index === parts.length - 1 ? parseV4(part) : undefined
      if (v4 === undefined) return undefined
      groups.push(v4 >> 16n, v4 & 0xff_ffn)
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(BigInt(`0x${part}`))
    else return undefined
  }
  return groups
}

/** RFC 5952: the first longest run of zero groups is `::`. */
export function addressText({ bits, value }: Address): string {
  if (bits === 32)
    return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.')
  if (value >> 32n === 0xff_ffn) return addressText({ bits: 32, value: value & 0xff_ff_ff_ffn })
  const groups = Array.from(
    { length: 8 },
    (_, index) => (value >> BigInt(112 - 16 * index)) & 0xff_ffn,
  )
  let start = -1
  let length = 1
  for (let at = 0; at < 8; at++) {
    let end = at
    while (end < 8 && groups[end] === 0n) end += 1
    if (end - at > length) [start, length] = [at, end - at]
  }
  const hex = groups.map((group) => group.toString(16))
  return start === -1
    ? hex.join(':')
    : `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}
