// Networks: expand, merge, validity, pairs that contain each other. Go's net package decides what is valid.

import { isIP } from 'node:net'
import { isArray, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import { list, text, WrongArgument } from './arguments.ts'
import { type Builtin, BuiltinLimit } from './registry.ts'

const MAX_ADDRESSES = 65_536

interface Network {
  readonly bits: 32 | 128
  readonly first: bigint
  readonly prefix: number
}

export const NETWORK: Readonly<Record<string, Builtin>> = {
  'net.cidr_is_valid': (value) => typeof value === 'string' && parseNetwork(value) !== undefined,
  'net.cidr_expand': (value) => {
    const network = parseNetwork(text(value))
    if (network === undefined) throw new WrongArgument('network')
    const size = 2n ** BigInt(network.bits - network.prefix)
    if (size > BigInt(MAX_ADDRESSES)) throw new BuiltinLimit('net.cidr_expand: too many addresses')
    return new RegoSet(
      Array.from({ length: Number(size) }, (_, index) =>
        formatAddress(network.first + BigInt(index), network.bits),
      ),
    )
  },
  'net.cidr_merge': (value) =>
    new RegoSet(
      mergeNetworks(value).map(
        ({ first, bits, prefix }) => `${formatAddress(first, bits)}/${prefix}`,
      ),
    ),
  'net.cidr_contains_matches': (cidrs, candidates) => {
    const pairs: RegoValue[] = []
    for (const [key, cidr] of keyed(cidrs)) {
      const network = parseNetwork(cidr) ?? fail()
      for (const [otherKey, candidate] of keyed(candidates)) {
        const other = parseNetwork(candidate) ?? parseAddress(candidate) ?? fail()
        if (contains(network, other)) pairs.push([key, otherKey])
      }
    }
    return new RegoSet(pairs)
  },
}

function fail(): never {
  throw new WrongArgument('network')
}

/** A text, or a collection of texts (or of lists that start with one), with the keys that pairs show. */
function keyed(value: RegoValue | undefined): (readonly [RegoValue, string])[] {
  if (typeof value === 'string') return [[value, value]]
  const textOf = (item: RegoValue): string => text(isArray(item) ? item[0] : item)
  if (value instanceof RegoSet) return value.items.map((item) => [item, textOf(item)])
  if (value instanceof RegoObject) return value.entries.map(([key, item]) => [key, textOf(item)])
  return list(value).map((item, index) => [index, textOf(item)])
}

function contains(network: Network, other: Network): boolean {
  if (network.bits !== other.bits || other.prefix < network.prefix) return false
  const shift = BigInt(network.bits - network.prefix)
  return network.first >> shift === other.first >> shift
}

function mergeNetworks(value: RegoValue | undefined): Network[] {
  const texts = value instanceof RegoSet ? value.items : list(value)
  let ranges = texts
    .map((item) => parseNetwork(text(item)) ?? parseAddress(text(item)) ?? fail())
    .map(({ bits, first, prefix }) => ({
      bits,
      first,
      last: first + 2n ** BigInt(bits - prefix) - 1n,
    }))
    .toSorted((a, b) => a.bits - b.bits || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  ranges = ranges.reduce<typeof ranges>((merged, range) => {
    const last = merged.at(-1)
    if (last !== undefined && last.bits === range.bits && range.first <= last.last + 1n) {
      merged[merged.length - 1] = { ...last, last: range.last > last.last ? range.last : last.last }
    } else merged.push(range)
    return merged
  }, [])
  return ranges.flatMap(({ bits, first, last }) => cover(bits, first, last))
}

/** The fewest networks that are exactly the range. */
function cover(bits: 32 | 128, first: bigint, last: bigint): Network[] {
  const networks: Network[] = []
  let at = first
  while (at <= last) {
    let prefix = bits as number
    while (prefix > 0) {
      const size = 2n ** BigInt(bits - prefix + 1)
      if (at % size !== 0n || at + size - 1n > last) break
      prefix -= 1
    }
    networks.push({ bits, first: at, prefix })
    at += 2n ** BigInt(bits - prefix)
  }
  return networks
}

function parseNetwork(value: string): Network | undefined {
  const [, address, digits] = /^([^/]+)\/(\d{1,3})$/.exec(value) ?? []
  const parsed = address === undefined ? undefined : parseAddress(address)
  const prefix = Number(digits)
  if (
    parsed === undefined ||
    prefix > parsed.bits ||
    (digits !== undefined && digits !== String(prefix))
  )
    return undefined
  const host = BigInt(parsed.bits - prefix)
  return { bits: parsed.bits, first: (parsed.first >> host) << host, prefix }
}

function parseAddress(value: string): Network | undefined {
  const family = isIP(value)
  if (family === 0 || value.includes('%')) return undefined
  if (family === 4) {
    return {
      bits: 32,
      first: value.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n),
      prefix: 32,
    }
  }
  const [head = '', tail] = value
    .replace(
      /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
      (_whole, a: string, b: string, c: string, d: string) => {
        return `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`
      },
    )
    .split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros =
    tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0')
  const first = [...before, ...zeros, ...after].reduce(
    (sum, group) => sum * 65_536n + BigInt(`0x${group}`),
    0n,
  )
  return { bits: 128, first, prefix: 128 }
}

/** RFC 5952 for IPv6, as Go prints. */
function formatAddress(value: bigint, bits: 32 | 128): string {
  if (bits === 32)
    return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((value >> BigInt(112 - index * 16)) & 65_535n).toString(16),
  )
  let best = { start: -1, size: 1 }
  for (let start = 0; start < 8; start++) {
    let size = 0
    while (start + size < 8 && groups[start + size] === '0') size += 1
    if (size > best.size) best = { start, size }
  }
  if (best.start === -1) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.size).join(':')}`
}
