// Chains of an origin with one thing wrong, made at run time below a root of their own.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  authorityKeyId,
  basicConstraints,
  extension,
  KEY_USAGE,
  keyIdOf,
  keyUsage,
  nameOf,
  publicKeyOf,
  randomSerial,
  serverAuth,
  signCertificate,
  type Signer,
  signerOf,
  subjectKeyId,
} from '../../src/tls/certificate.ts'
import { implicit, oid, pem, sequence } from '../../src/tls/der.ts'
import { nameConstraints } from '../../src/tls/name-constraints.ts'

const DAY_MS = 86_400_000
const DNS_NAME = 2
const ADDRESS = 7

export interface Link {
  readonly certificate: string
  readonly key: KeyObject
  readonly name: Buffer
}

export interface LeafParts {
  readonly names?: readonly string[]
  readonly addresses?: readonly Buffer[]
  readonly commonName?: string
  readonly notBefore?: number
  readonly notAfter?: number
  /** For other purposes than servers. */
  readonly purpose?: string
  readonly key?: KeyObject
  readonly digest?: 'sha1'
  /** Unknown and critical. */
  readonly critical?: boolean
}

export function aRoot(name = 'Root'): Link {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const subject = nameOf({ CN: name })
  const publicKey = publicKeyOf(createPublicKey(key))
  const certificate = certify(subject, subject, publicKey, signerOf(key), {}, [
    basicConstraints(3),
    keyUsage(KEY_USAGE.certSign),
    subjectKeyId(keyIdOf(publicKey)),
  ])
  return { certificate, key, name: subject }
}

/** `domains`: what it may vouch for; `ca: false`: it may not issue at all. */
export function anIntermediate(
  above: Link,
  { domains, ca = true }: { readonly domains?: readonly string[]; readonly ca?: boolean } = {},
): Link {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const name = nameOf({ CN: 'Intermediate' })
  const publicKey = publicKeyOf(createPublicKey(key))
  const certificate = certify(above.name, name, publicKey, signerOf(above.key), {}, [
    ca ? basicConstraints(0) : basicConstraints(),
    keyUsage(ca ? KEY_USAGE.certSign : KEY_USAGE.digitalSignature),
    subjectKeyId(keyIdOf(publicKey)),
    authorityOf(above),
    ...(domains === undefined ? [] : [nameConstraints(domains)]),
  ])
  return { certificate, key, name }
}

/** What a TLS server takes; `above` the names of the intermediates that it sends along. */
export function aLeaf(
  issuer: Link,
  parts: LeafParts,
  sent: readonly Link[] = [],
): { readonly cert: string; readonly key: string } {
  const key = parts.key ?? generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  const publicKey = publicKeyOf(createPublicKey(key))
  const { names = [], addresses = [], commonName, purpose } = parts
  const signer: Signer =
    parts.digest === undefined
      ? signerOf(issuer.key)
      : { key: issuer.key, digest: 'sha1', algorithm: sequence(oid('1.2.840.10045.4.1')) }
  const alternatives = [
    ...names.map((name) => implicit(DNS_NAME, Buffer.from(name, 'latin1'))),
    ...addresses.map((address) => implicit(ADDRESS, address)),
  ]
  const certificate = certify(
    issuer.name,
    nameOf(commonName === undefined ? { O: 'Origin' } : { CN: commonName }),
    publicKey,
    signer,
    parts,
    [
      basicConstraints(),
      keyUsage(KEY_USAGE.digitalSignature),
      purpose === undefined
        ? serverAuth()
        : extension(oid('2.5.29.37'), false, sequence(oid(purpose))),
      authorityOf(issuer),
      ...(alternatives.length === 0
        ? []
        : [extension(oid('2.5.29.17'), false, sequence(...alternatives))]),
      ...(parts.critical === true ? [extension(oid('1.2.3.4.5'), true, sequence())] : []),
    ],
  )
  return {
    cert: [certificate, ...sent.map((link) => link.certificate)].join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** A certificate that vouches for itself. */
export function selfSigned(name: string): { readonly cert: string; readonly key: string } {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return aLeaf(
    { certificate: '', key, name: nameOf({ CN: name }) },
    { names: [name], key, commonName: name },
  )
}

function certify(
  issuer: Buffer,
  subject: Buffer,
  publicKey: Buffer,
  signer: Signer,
  { notBefore = Date.now() - DAY_MS, notAfter = Date.now() + DAY_MS }: LeafParts,
  extensions: readonly Buffer[],
): string {
  const parts = { issuer, subject, publicKey, notBefore, notAfter, extensions }
  return pem('CERTIFICATE', signCertificate({ ...parts, serial: randomSerial() }, signer))
}

function authorityOf({ key }: Link): Buffer {
  return authorityKeyId(keyIdOf(publicKeyOf(createPublicKey(key))))
}
