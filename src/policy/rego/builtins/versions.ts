// What do semver.* and uuid.parse answer?

import type { RegoValue } from '../value.ts'
import { type BuiltinTable, fail, objectOf, type Operands, textAt, toNumber } from './operands.ts'

interface Version {
  readonly numbers: readonly bigint[]
  readonly preRelease: string
}

const NUMERIC = /^(?:0|[1-9]\d{0,18})$/
const IDENTIFIERS = /^[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*$/
const MAX_INT64 = (1n << 63n) - 1n
/** From 1582-10-15, where UUID times begin, to 1970, in steps of 100 ns. */
const UUID_EPOCH = 122_192_928_000_000_000n
const VARIANTS = ['NCS', 'NCS', 'NCS', 'NCS', 'RFC4122', 'RFC4122', 'Microsoft', 'Future'] as const

export const VERSION_BUILTINS: BuiltinTable = {
  'semver.is_valid': ([text]) => typeof text === 'string' && parseVersion(text) !== undefined,
  'semver.compare': (operands) => compareVersions(versionAt(operands, 0), versionAt(operands, 1)),
  'uuid.parse': (operands) => parseUuid(textAt(operands, 0)),
}

function versionAt(operands: Operands, index: number): Version {
  return parseVersion(textAt(operands, index)) ?? fail('no version')
}

function parseVersion(text: string): Version | undefined {
  const [rest, metadata] = cut(text.replace(/^v/, ''), '+')
  const [core, preRelease] = cut(rest, '-')
  if (metadata !== undefined && !IDENTIFIERS.test(metadata)) return undefined
  if (
    preRelease !== undefined &&
    (!IDENTIFIERS.test(preRelease) || preRelease.split('.').some((id) => /^0\d+$/.test(id)))
  )
    return undefined
  const parts = core.split('.')
  if (parts.length !== 3 || !parts.every((part) => NUMERIC.test(part))) return undefined
  const numbers = parts.map(BigInt)
  if (numbers.some((number) => number > MAX_INT64)) return undefined
  return { numbers, preRelease: preRelease ?? '' }
}

function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function compareVersions(a: Version, b: Version): number {
  for (const [index, number] of a.numbers.entries()) {
    const other = b.numbers[index] ?? 0n
    if (number !== other) return number < other ? -1 : 1
  }
  if (a.preRelease === b.preRelease) return 0
  if (a.preRelease === '') return 1
  if (b.preRelease === '') return -1
  const [left, right] = [a.preRelease.split('.'), b.preRelease.split('.')]
  for (const [index, id] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    const order = compareIdentifiers(id, other)
    if (order !== 0) return order
  }
  return left.length === right.length ? 0 : -1
}

/** Numbers before words; numbers by value, words by their letters. */
function compareIdentifiers(a: string, b: string): number {
  const [aNumeric, bNumeric] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (aNumeric !== bNumeric) return aNumeric ? -1 : 1
  if (aNumeric) {
    const [x, y] = [BigInt(a), BigInt(b)]
    return x < y ? -1 : x > y ? 1 : 0
  }
  return a < b ? -1 : a > b ? 1 : 0
}

function parseUuid(text: string): RegoValue {
  const digits = uuidDigits(text)
  const bytes = Buffer.from(digits, 'hex')
  const byte = (index: number): number => bytes[index] ?? 0
  const version = byte(6) >> 4
  const variant = VARIANTS[byte(8) >> 5] ?? ''
  const common = { version, variant: variant === 'NCS' ? 'Reserved' : variant }
  if (version !== 1 && version !== 2) return objectOf(common)
  const time =
    (BigInt(bytes.readUInt16BE(6) & 0x0f_ff) << 48n) |
    (BigInt(bytes.readUInt16BE(4)) << 32n) |
    BigInt(bytes.readUInt32BE(0))
  const node = bytes.subarray(10)
  const dated = {
    ...common,
    time: toNumber(BigInt.asIntN(64, (time - UUID_EPOCH) * 100n)),
    nodeid: [...node].map((part) => part.toString(16).padStart(2, '0')).join('-'),
    macvariables: `${(byte(10) & 2) === 0 ? 'global' : 'local'}:${(byte(10) & 1) === 0 ? 'unicast' : 'multicast'}`,
    clocksequence: bytes.readUInt16BE(8) & 0x3f_ff,
  }
  if (version === 1) return objectOf(dated)
  const domain = byte(9)
  return objectOf({
    ...dated,
    id: bytes.readUInt32BE(0),
    domain: ['Person', 'Group', 'Org'][domain] ?? `Domain${domain}`,
  })
}

function uuidDigits(text: string): string {
  const bare = text.length === 45 && /^urn:uuid:/i.test(text) ? text.slice(9) : text
  const inner = bare.length === 38 ? bare.slice(1, -1) : bare
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(inner))
    return inner.replaceAll('-', '')
  return /^[0-9a-f]{32}$/i.test(text) ? text : fail('no UUID')
}
