// Hashes and keyed hashes, as lower-case hex; UUIDs.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { RegoObject } from '../value.ts'
import { text } from './arguments.ts'
import type { Builtin } from './registry.ts'

export const CRYPTO: Readonly<Record<string, Builtin>> = {
  'crypto.md5': hash('md5'),
  'crypto.sha1': hash('sha1'),
  'crypto.sha256': hash('sha256'),
  'crypto.hmac.md5': hmac('md5'),
  'crypto.hmac.sha1': hmac('sha1'),
  'crypto.hmac.sha256': hmac('sha256'),
  'crypto.hmac.sha512': hmac('sha512'),
  'crypto.hmac.equal': (a, b) => {
    const [left, right] = [Buffer.from(text(a)), Buffer.from(text(b))]
    return left.length === right.length && timingSafeEqual(left, right)
  },
  'uuid.parse': (value) => parseUuid(text(value)),
}

function hash(algorithm: string): Builtin {
  return (value) => createHash(algorithm).update(text(value)).digest('hex')
}

function hmac(algorithm: string): Builtin {
  return (value, key) => createHmac(algorithm, text(key)).update(text(value)).digest('hex')
}

const VARIANTS = [
  'Reserved for NCS',
  'Reserved for NCS',
  'Reserved for NCS',
  'Reserved for NCS',
  'RFC4122',
  'RFC4122',
  'Microsoft',
  'Future',
]
/** 100 ns steps from 1582-10-15 to 1970-01-01. */
const GREGORIAN = 122_192_928_000_000_000n

function parseUuid(value: string): RegoObject | undefined {
  const plain = value.replace(/^urn:uuid:/i, '').replace(/^\{(.*)\}$/, '$1')
  const dashed = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/i.test(
    plain,
  )
  if (!dashed && !/^[0-9a-f]{32}$/i.test(plain)) return undefined
  const hex = plain.replaceAll('-', '').toLowerCase()
  const version = Number.parseInt(hex[12] ?? '0', 16)
  const variant = VARIANTS[Number.parseInt(hex[16] ?? '0', 16) >> 1] ?? ''
  const fields: [string, string | number | bigint][] = [
    ['version', version],
    ['variant', variant],
  ]
  if (version === 1 || version === 2) {
    const ticks = BigInt(`0x${hex.slice(13, 16)}${hex.slice(8, 12)}${hex.slice(0, 8)}`)
    const nodeId = (hex.slice(20).match(/../g) ?? []).join('-')
    const nanoseconds = (ticks - GREGORIAN) * 100n
    const sequence = Number.parseInt(hex.slice(16, 20), 16) & 0x3fff
    fields.push(
      ['time', nanoseconds],
      ['nodeid', nodeId],
      ['macvariables', macVariables(Number.parseInt(hex.slice(20, 22), 16))],
      ['clocksequence', sequence],
    )
    if (version === 2)
      fields.push(
        ['id', Number.parseInt(hex.slice(0, 8), 16)],
        ['domain', ['Person', 'Group', 'Org'][Number.parseInt(hex.slice(18, 20), 16)] ?? ''],
      )
  }
  return new RegoObject(fields)
}

function macVariables(first: number): string {
  const scope = (first & 2) === 2 ? 'local' : 'global'
  const cast = (first & 1) === 1 ? 'multicast' : 'unicast'
  return `${scope}:${cast}`
}
