// The extensions of a certificate that Go's x509 reads into fields of their own (RFC 5280, section 4.2).

import type { RegoValue } from '../value.ts'
import { Der, TAG } from './der.ts'
import { fail, objectOf, toNumber } from './operands.ts'
import { base64, type Extension, ipText, listOrNull, oidValue } from './x509-parts.ts'

const EXTENDED_USAGES = [
  '2.5.29.37.0',
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((purpose) => `1.3.6.1.5.5.7.3.${purpose}`),
  '1.3.6.1.4.1.311.10.3.3',
  '2.16.840.1.113730.4.1',
  '1.3.6.1.4.1.311.2.1.22',
  '1.3.6.1.4.1.311.61.1.1',
]
const ACCESS = '1.3.6.1.5.5.7.1.1'
const HANDLED = new Set([
  ...[14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54].map((id) => `2.5.29.${id}`),
  ACCESS,
])

type Fields = Record<string, RegoValue>

/** What the key may do, who stands above it, where more is to be found. */
export function usagesOf(extensions: readonly Extension[]): Fields {
  const find = (id: string): Der | undefined => {
    const found = extensions.find((extension) => extension.id === id)
    return found === undefined ? undefined : Der.one(found.value)
  }
  const usages = find('2.5.29.37')?.children ?? []
  const known = usages.map(({ oidText }) => EXTENDED_USAGES.indexOf(oidText))
  const basic = find('2.5.29.19')
  const [first, second] = basic?.children ?? []
  const length = (first?.is(TAG.integer) === true ? first : second)?.integer
  const authority = find('2.5.29.35')?.children.find(({ tag }) => tag === 0x80)
  const access = find(ACCESS)?.children ?? []
  const locations = (method: string): readonly RegoValue[] =>
    access.flatMap(({ children: [oid, location] }) =>
      oid?.oidText === method && location?.tag === 0x86
        ? [location.content.toString('latin1')]
        : [],
    )
  const policies = (find('2.5.29.32')?.children ?? []).map(
    ({ children: [oid] }) => oid ?? fail('no policy'),
  )
  return {
    KeyUsage: keyUsage(find('2.5.29.15')),
    ExtKeyUsage: listOrNull(known.filter((index) => index !== -1)),
    UnknownExtKeyUsage: listOrNull(usages.filter((_, index) => known[index] === -1).map(oidValue)),
    BasicConstraintsValid: basic !== undefined,
    IsCA: first?.is(TAG.boolean) === true && first.boolean,
    MaxPathLen: length === undefined ? (basic === undefined ? 0 : -1) : toNumber(length),
    MaxPathLenZero: length === 0n,
    SubjectKeyId: bytesOf(find('2.5.29.14')),
    AuthorityKeyId: bytesOf(authority),
    OCSPServer: listOrNull(locations('1.3.6.1.5.5.7.48.1')),
    IssuingCertificateURL: listOrNull(locations('1.3.6.1.5.5.7.48.2')),
    CRLDistributionPoints: listOrNull(distributionPoints(find('2.5.29.31'))),
    PolicyIdentifiers: listOrNull(policies.map(oidValue)),
    Policies: listOrNull(policies.map(({ oidText }) => oidText)),
    PolicyMappings: mappings(find('2.5.29.33')),
    ...skips(find('2.5.29.36'), find('2.5.29.54')),
    UnhandledCriticalExtensions: listOrNull(
      extensions
        .filter(({ id, critical }) => critical && !HANDLED.has(id))
        .map(({ id }) => id.split('.').map(Number)),
    ),
  }
}

function bytesOf(der: Der | undefined): RegoValue {
  return der === undefined ? null : base64(der.content)
}

/** Bit n, counted from the top, is 2^n. */
function keyUsage(bits: Der | undefined): number {
  if (bits === undefined) return 0
  let usage = 0
  for (let bit = 0; bit < 9; bit++)
    if (((bits.bits[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0) usage |= 1 << bit
  return usage
}

function distributionPoints(points: Der | undefined): readonly RegoValue[] {
  return (points?.children ?? []).flatMap((point) =>
    (point.children.find(({ tag }) => tag === 0xa0)?.children ?? [])
      .filter(({ tag }) => tag === 0xa0)
      .flatMap(({ children }) =>
        children.filter(({ tag }) => tag === 0x86).map(({ content }) => content.toString('latin1')),
      ),
  )
}

function mappings(der: Der | undefined): RegoValue {
  return listOrNull(
    (der?.children ?? []).map(({ children: [issuer, subject] }) =>
      objectOf({
        IssuerDomainPolicy: issuer?.oidText ?? fail('no policy'),
        SubjectDomainPolicy: subject?.oidText ?? fail('no policy'),
      }),
    ),
  )
}

function skips(constraints: Der | undefined, inhibit: Der | undefined): Fields {
  const at = (tag: number): bigint | undefined =>
    constraints?.children
      .filter((child) => child.tag === tag)
      .map(({ integer }) => integer)
      .at(0)
  const field = (name: string, value: bigint | undefined): Fields => ({
    [name]: toNumber(value ?? 0n),
    [`${name}Zero`]: value === 0n,
  })
  return {
    ...field('RequireExplicitPolicy', at(0x80)),
    ...field('InhibitPolicyMapping', at(0x81)),
    ...field('InhibitAnyPolicy', inhibit?.integer),
  }
}

/** Name constraints: DNS, e-mail, IP ranges and URIs, permitted and excluded. */
export function constraintsOf(extensions: readonly Extension[]): Fields {
  const extension = extensions.find(({ id }) => id === '2.5.29.30')
  const trees = extension === undefined ? [] : Der.one(extension.value).children
  const side = (name: string, tag: number): Fields => {
    const bases = (trees.find((tree) => tree.tag === tag)?.children ?? []).flatMap(
      ({ children }) => children[0] ?? [],
    )
    const texts = (kind: number): RegoValue =>
      listOrNull(
        bases.filter((base) => base.tag === kind).map(({ content }) => content.toString('latin1')),
      )
    return {
      [`${name}DNSDomains`]: texts(0x82),
      [`${name}EmailAddresses`]: texts(0x81),
      [`${name}URIDomains`]: texts(0x86),
      [`${name}IPRanges`]: listOrNull(bases.filter(({ tag: kind }) => kind === 0x87).map(rangeOf)),
    }
  }
  return {
    PermittedDNSDomainsCritical: extension?.critical === true,
    ...side('Permitted', 0xa0),
    ...side('Excluded', 0xa1),
  }
}

function rangeOf({ content }: Der): RegoValue {
  const half = content.length / 2
  return objectOf({ IP: ipText(content.subarray(0, half)), Mask: base64(content.subarray(half)) })
}
