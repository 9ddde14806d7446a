// JA4, the fingerprint of a TLS client (FoxIO, technical_details/JA4.md; the TLS client part is BSD licensed).

import { hash } from 'node:crypto'

export interface HelloParts {
  readonly version: number
  readonly ciphers: readonly number[]
  /** Types in the order sent. */
  readonly extensions: readonly number[]
  readonly signatures: readonly number[]
  readonly alpn: readonly string[]
}

const VERSIONS: Readonly<Record<number, string>> = {
  0x0304: '13',
  0x0303: '12',
  0x0302: '11',
  0x0301: '10',
  0x0300: 's3',
  0x0002: 's2',
}
const SERVER_NAME = 0x0000
const ALPN = 0x0010
const NOTHING = '000000000000'

export function ja4Of(hello: HelloParts): string {
  const ciphers = meant(hello.ciphers)
  const extensions = meant(hello.extensions)
  const signatures = meant(hello.signatures)
  const named = extensions.includes(SERVER_NAME) ? 'd' : 'i'
  const version = VERSIONS[hello.version] ?? '00'
  const counts = `${count(ciphers)}${count(extensions)}`
  // Name and protocols stand in the first part already, so that the last one is the same for every destination.
  const rest = extensions.filter((type) => type !== SERVER_NAME && type !== ALPN)
  const behind = signatures.length === 0 ? '' : `_${signatures.map(hex).join(',')}`
  const tail = rest.length === 0 ? NOTHING : digest(`${sorted(rest)}${behind}`)
  const middle = ciphers.length === 0 ? NOTHING : digest(sorted(ciphers))
  return `t${version}${named}${counts}${ends(hello.alpn)}_${middle}_${tail}`
}

/** Values that clients send so that servers learn to ignore what they do not know (RFC 8701). */
export function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff)
}

function meant(values: readonly number[]): readonly number[] {
  return values.filter((value) => !isGrease(value))
}

function count(values: readonly number[]): string {
  return String(Math.min(values.length, 99)).padStart(2, '0')
}

/** First and last character of the first protocol; of its hex digits where one is no letter or digit. */
function ends(alpn: readonly string[]): string {
  const first = alpn
    .map((protocol) => Buffer.from(protocol, 'latin1'))
    .find((each) => !isNoise(each))
  if (first === undefined) return '00'
  const text = first.toString('latin1')
  const shown = /^[A-Za-z0-9](?:.*[A-Za-z0-9])?$/s.test(text) ? text : first.toString('hex')
  return `${shown.at(0)}${shown.at(-1)}`
}

function isNoise(protocol: Buffer): boolean {
  return protocol.length === 2 && isGrease(protocol.readUInt16BE(0))
}

function sorted(values: readonly number[]): string {
  return values.map(hex).toSorted().join(',')
}

function hex(value: number): string {
  return value.toString(16).padStart(4, '0')
}

function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 12)
}
