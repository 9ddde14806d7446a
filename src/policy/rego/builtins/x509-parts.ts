// Names, keys, extensions and algorithms of X.509 as Go's structures show them in JSON.

import { createPublicKey } from 'node:crypto'
import { RegoObject, type RegoValue } from '../value.ts'
import { addressText } from './cidr.ts'
import { Der, TAG } from './der.ts'
import { fail, objectOf, toNumber } from './operands.ts'
import { parseUri } from './uri.ts'

const FIELDS: Readonly<Record<string, string>> = {
  '2.5.4.6': 'Country',
  '2.5.4.7': 'Locality',
  '2.5.4.8': 'Province',
  '2.5.4.9': 'StreetAddress',
  '2.5.4.10': 'Organization',
  '2.5.4.11': 'OrganizationalUnit',
  '2.5.4.17': 'PostalCode',
}

const KEY_ALGORITHMS: Readonly<Record<string, number>> = {
  '1.2.840.113549.1.1.1': 1,
  '1.2.840.10040.4.1': 2,
  '1.2.840.10045.2.1': 3,
  '1.3.101.112': 4,
}

const SIGNATURES: Readonly<Record<string, number>> = {
  '1.2.840.113549.1.1.4': 2,
  '1.2.840.113549.1.1.5': 3,
  '1.3.14.3.2.29': 3,
  '1.2.840.113549.1.1.11': 4,
  '1.2.840.113549.1.1.12': 5,
  '1.2.840.113549.1.1.13': 6,
  '1.2.840.10040.4.3': 7,
  '2.16.840.1.101.3.4.3.2': 8,
  '1.2.840.10045.4.1': 9,
  '1.2.840.10045.4.3.2': 10,
  '1.2.840.10045.4.3.3': 11,
  '1.2.840.10045.4.3.4': 12,
  '1.3.101.112': 16,
}
const PSS = '1.2.840.113549.1.1.10'
const PSS_HASHES: Readonly<Record<string, number>> = {
  '2.16.840.1.101.3.4.2.1': 13,
  '2.16.840.1.101.3.4.2.2': 14,
  '2.16.840.1.101.3.4.2.3': 15,
}

export function base64(bytes: Buffer): string {
  return bytes.toString('base64')
}

export function oidValue(der: Der): RegoValue {
  return der.oid.map(toNumber)
}

/** null where there are none, as a slice that was never made. */
export function listOrNull(items: readonly RegoValue[]): RegoValue {
  return items.length === 0 ? null : items
}

export function nameOf(name: Der): RegoValue {
  const fields = new Map<string, string[]>()
  const names: RegoValue[] = []
  let [common, serial] = ['', '']
  for (const relative of name.as(TAG.sequence).children)
    for (const attribute of relative.as(TAG.set).children) {
      const [type, value] = attribute.children
      if (type === undefined || value === undefined) return fail('a malformed name')
      const { oidText } = type
      const { text } = value
      names.push(objectOf({ Type: oidValue(type), Value: text }))
      const field = FIELDS[oidText]
      if (field !== undefined) fields.set(field, [...(fields.get(field) ?? []), text])
      else if (oidText === '2.5.4.3') common = text
      else if (oidText === '2.5.4.5') serial = text
    }
  return objectOf({
    ...Object.fromEntries(Object.values(FIELDS).map((field) => [field, fields.get(field) ?? null])),
    CommonName: common,
    SerialNumber: serial,
    Names: listOrNull(names),
    ExtraNames: null,
  })
}

/** The number of the algorithm, and the key in the form of its Go type. */
export function publicKeyOf(info: Der): { algorithm: number; key: RegoValue } {
  const [identifier] = info.children
  const algorithm = KEY_ALGORITHMS[identifier?.children[0]?.oidText ?? ''] ?? 0
  if (algorithm === 0 || algorithm === 2) return { algorithm, key: null }
  let jwk
  try {
    jwk = createPublicKey({ key: info.raw, format: 'der', type: 'spki' }).export({ format: 'jwk' })
  } catch {
    return fail('a malformed public key')
  }
  if (algorithm === 1)
    return { algorithm, key: objectOf({ E: numberOf(jwk.e), N: numberOf(jwk.n) }) }
  if (algorithm === 4) return { algorithm, key: base64(Buffer.from(jwk.x ?? '', 'base64url')) }
  const key = objectOf({ Curve: new RegoObject([]), X: numberOf(jwk.x), Y: numberOf(jwk.y) })
  return { algorithm, key }
}

/** The number of unpadded base64url. */
export function numberOf(text: string | undefined): RegoValue {
  const hex = Buffer.from(text ?? '', 'base64url').toString('hex')
  return toNumber(BigInt(`0x${hex === '' ? '0' : hex}`))
}

export function signatureAlgorithmOf(identifier: Der): number {
  const [oid, parameters] = identifier.children
  const name = oid?.oidText ?? ''
  if (name !== PSS) return SIGNATURES[name] ?? 0
  const hash = parameters?.children.find(({ tag }) => tag === 0xa0)?.inner.children[0]
  return PSS_HASHES[hash?.oidText ?? ''] ?? 0
}

export interface Extension {
  readonly id: string
  readonly critical: boolean
  readonly value: Buffer
  readonly shown: RegoValue
}

export function extensionOf(der: Der): Extension {
  const [oid, second, third] = der.as(TAG.sequence).children
  const value = (third ?? second)?.as(TAG.octets)
  if (oid === undefined || value === undefined) return fail('a malformed extension')
  const critical = second?.is(TAG.boolean) === true && second.boolean
  return {
    id: oid.oidText,
    critical,
    value: value.content,
    shown: objectOf({ Id: oidValue(oid), Critical: critical, Value: base64(value.content) }),
  }
}

/** Subject alternative names, by their Go fields. */
export function alternativeNames(extension: Extension | undefined): Record<string, RegoValue> {
  const names = extension === undefined ? [] : Der.one(extension.value).children
  const texts = (tag: number): readonly string[] =>
    names.filter((name) => name.tag === tag).map(({ content }) => content.toString('latin1'))
  return {
    EmailAddresses: listOrNull(texts(0x81)),
    DNSNames: listOrNull(texts(0x82)),
    URIs: listOrNull(texts(0x86).map(goUrl)),
    IPAddresses: listOrNull(
      names.filter(({ tag }) => tag === 0x87).map(({ content }) => ipText(content)),
    ),
  }
}

export function ipText(bytes: Buffer): string {
  const bits = bytes.length * 8
  if (bits !== 32 && bits !== 128) return fail('no IP address')
  return addressText({ bits, value: BigInt(`0x${bytes.toString('hex')}`) })
}

/** Go's url.URL. */
function goUrl(text: string): RegoValue {
  const parts = parseUri(text) ?? fail('no URI')
  const {
    scheme = '',
    hostname = '',
    port,
    path = '',
    raw_path: raw = '',
    raw_query: query = '',
    fragment = '',
  } = parts
  const opaque = /^[\w+.-]+:(?!\/)([^?#]*)/.exec(text)?.[1] ?? ''
  const host = hostname.includes(':') ? `[${hostname}]` : hostname
  return objectOf({
    Scheme: scheme,
    Opaque: opaque,
    User: /^[\w+.-]+:\/\/[^/?#]*@/.test(text) ? new RegoObject([]) : null,
    Host: port === undefined ? host : `${host}:${port}`,
    Path: path,
    RawPath: raw === path || raw === encodeURI(path) ? '' : raw,
    OmitHost: false,
    ForceQuery: query === '' && /\?(?:#|$)/.test(text),
    RawQuery: query,
    Fragment: fragment,
    RawFragment: '',
  })
}
