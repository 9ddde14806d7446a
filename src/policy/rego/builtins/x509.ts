// What do the built-ins over certificates and their requests answer? Go's x509 structures as JSON.

import { RegoObject, type RegoValue } from '../value.ts'
import { Der, fromBase64, pemBlocks, TAG } from './der.ts'
import {
  boundedCount,
  type BuiltinTable,
  fail,
  objectOf,
  type Operands,
  textAt,
  toNumber,
} from './operands.ts'
import { constraintsOf, usagesOf } from './x509-extensions.ts'
import {
  alternativeNames,
  base64,
  type Extension,
  extensionOf,
  listOrNull,
  nameOf,
  oidValue,
  publicKeyOf,
  signatureAlgorithmOf,
} from './x509-parts.ts'

export const X509_BUILTINS: BuiltinTable = {
  'crypto.x509.parse_certificates': (operands) =>
    certificatesOf(textAt(operands, 0)).map((der) => {
      const shown = certificate(der)
      const uris = shown.get('URIs')
      return new RegoObject([
        ...shown.entries,
        ['URIStrings', uris === null ? null : uriTexts(der)],
      ])
    }),
  'crypto.x509.parse_certificate_request': parseRequest,
}

function certificatesOf(text: string): readonly Der[] {
  const decoded = text.startsWith('-----BEGIN') ? text : fromBase64(text)
  const source = typeof decoded === 'string' ? decoded : decoded.toString('latin1')
  if (!source.startsWith('-----BEGIN')) return bounded(Der.all(decoded as Buffer))
  const blocks = pemBlocks(source)
  if (blocks.some(({ type }) => type !== 'CERTIFICATE')) fail('no certificate')
  return bounded(Der.all(Buffer.concat(blocks.map(({ bytes }) => bytes))))
}

function bounded(certificates: readonly Der[]): readonly Der[] {
  boundedCount(certificates.length)
  return certificates
}

interface Parts {
  readonly version: number
  readonly serial: bigint
  readonly issuer: Der
  readonly validity: readonly Der[]
  readonly subject: Der
  readonly keyInfo: Der
  readonly extensions: readonly Extension[]
}

function partsOf(signed: Der): Parts {
  const fields = [...signed.as(TAG.sequence).children]
  const version = fields[0]?.tag === 0xa0 ? Number(fields.shift()?.inner.integer) + 1 : 1
  const [serial, , issuer, validity, subject, keyInfo, ...rest] = fields
  if (!serial || !issuer || !validity || !subject || !keyInfo)
    return fail('a malformed certificate')
  const extensions = rest.find(({ tag }) => tag === 0xa3)?.inner.children ?? []
  return {
    version,
    serial: serial.as(TAG.integer).integer,
    issuer,
    validity: validity.children,
    subject,
    keyInfo,
    extensions: extensions.map(extensionOf),
  }
}

export function certificate(der: Der): RegoObject {
  const [signed, algorithm, signature] = der.as(TAG.sequence).children
  if (signed === undefined || algorithm === undefined || signature === undefined)
    return fail('a malformed certificate')
  const { version, serial, issuer, validity, subject, keyInfo, extensions } = partsOf(signed)
  const key = publicKeyOf(keyInfo)
  return objectOf({
    Raw: base64(der.raw),
    RawTBSCertificate: base64(signed.raw),
    RawSubjectPublicKeyInfo: base64(keyInfo.raw),
    RawSubject: base64(subject.raw),
    RawIssuer: base64(issuer.raw),
    Signature: base64(signature.bits),
    SignatureAlgorithm: signatureAlgorithmOf(algorithm),
    PublicKeyAlgorithm: key.algorithm,
    PublicKey: key.key,
    Version: version,
    SerialNumber: toNumber(serial),
    Issuer: nameOf(issuer),
    Subject: nameOf(subject),
    NotBefore: validity[0]?.time ?? fail('no validity'),
    NotAfter: validity[1]?.time ?? fail('no validity'),
    Extensions: listOrNull(extensions.map(({ shown }) => shown)),
    ExtraExtensions: null,
    ...usagesOf(extensions),
    ...constraintsOf(extensions),
    ...alternativeNames(extensions.find(({ id }) => id === '2.5.29.17')),
  })
}

function uriTexts(der: Der): RegoValue {
  const [signed] = der.children
  const names =
    signed === undefined
      ? undefined
      : partsOf(signed).extensions.find(({ id }) => id === '2.5.29.17')
  return names === undefined
    ? null
    : Der.one(names.value)
        .children.filter(({ tag }) => tag === 0x86)
        .map(({ content }) => content.toString('latin1'))
}

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

function parseRequest(operands: Operands): RegoValue {
  const text = textAt(operands, 0)
  const isPem = text.startsWith('-----BEGIN CERTIFICATE REQUEST-----')
  const decoded = isPem ? Buffer.from(text) : fromBase64(text)
  const [block] = pemBlocks(decoded.toString('latin1'))
  if (block !== undefined && block.type !== 'CERTIFICATE REQUEST') fail('no certificate request')
  const der = Der.one(block?.bytes ?? decoded).as(TAG.sequence)
  const [signed, algorithm, signature] = der.children
  const [version, subject, keyInfo, attributes] = signed?.children ?? []
  if (!signed || !algorithm || !signature || !version || !subject || !keyInfo)
    return fail('a malformed request')
  const key = publicKeyOf(keyInfo)
  const sets = attributes?.tag === 0xa0 ? attributes.children : []
  const requested = sets.find(({ children }) => children[0]?.oidText === EXTENSION_REQUEST)
  const extensions = (requested?.children[1]?.inner.children ?? []).map(extensionOf)
  return objectOf({
    Raw: base64(der.raw),
    RawTBSCertificateRequest: base64(signed.raw),
    RawSubjectPublicKeyInfo: base64(keyInfo.raw),
    RawSubject: base64(subject.raw),
    Version: toNumber(version.integer),
    Signature: base64(signature.bits),
    SignatureAlgorithm: signatureAlgorithmOf(algorithm),
    PublicKeyAlgorithm: key.algorithm,
    PublicKey: key.key,
    Subject: nameOf(subject),
    Attributes: listOrNull(requested === undefined ? [] : [attributeOf(requested)]),
    Extensions: listOrNull(extensions.map(({ shown }) => shown)),
    ExtraExtensions: null,
    ...alternativeNames(extensions.find(({ id }) => id === '2.5.29.17')),
  })
}

/** Go shows the parts of each extension: its id, and what stands second. */
function attributeOf(attribute: Der): RegoValue {
  const [type, values] = attribute.children
  if (type === undefined || values === undefined) return fail('a malformed attribute')
  return objectOf({
    Type: oidValue(type),
    Value: values.children.map((list) =>
      list.children.map((item) => {
        const [id, second] = item.children
        if (id === undefined || second === undefined) return fail('a malformed attribute')
        const value = second.is(TAG.boolean) ? second.boolean : base64(second.content)
        return objectOf({ Type: oidValue(id), Value: value })
      }),
    ),
  })
}
