// X.509 certificates put together and signed (RFC 5280); node:crypto signs, everything else is bytes.

import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto'
import { CordonError } from '../base/errors.ts'
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  set,
  time,
  tlv,
  utf8,
} from './der.ts'

/** Bits of keyUsage, as the first byte of the bit string has them. */
export const KEY_USAGE = { digitalSignature: 0x80, certSign: 0x04, crlSign: 0x02 } as const

export interface CertificateParts {
  readonly serial: Buffer
  /** Names and key as DER: of the issuer's own certificate, so that they are the same to the byte. */
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly publicKey: Buffer
  /** Milliseconds. */
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: readonly Buffer[]
}

/** A key and how it signs. */
export interface Signer {
  readonly key: KeyObject
  readonly algorithm: Buffer
  readonly digest: string
}

const VERSION_3 = explicit(0, integer(2))
const NULL = tlv(0x05)
const SIGNERS: Readonly<Record<string, readonly [string, Buffer]>> = {
  prime256v1: ['sha256', sequence(oid('1.2.840.10045.4.3.2'))],
  secp384r1: ['sha384', sequence(oid('1.2.840.10045.4.3.3'))],
  rsa: ['sha256', sequence(oid('1.2.840.113549.1.1.11'), NULL)],
}
const LEAST_RSA_BITS = 2048

/** Refuses keys that clients would refuse. */
export function signerOf(key: KeyObject): Signer {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  const strong = key.asymmetricKeyType === 'rsa' && modulusLength >= LEAST_RSA_BITS
  const [digest, algorithm] = SIGNERS[strong ? 'rsa' : namedCurve] ?? []
  if (digest === undefined || algorithm === undefined) {
    throw new CordonError(
      'AUTHORITY_INVALID',
      'the key must be ECDSA on P-256 or P-384, or RSA of at least 2048 bits',
    )
  }
  return { key, algorithm, digest }
}

export function signCertificate(parts: CertificateParts, signer: Signer): Buffer {
  return signed(
    sequence(
      VERSION_3,
      integer(parts.serial),
      signer.algorithm,
      parts.issuer,
      sequence(time(parts.notBefore), time(parts.notAfter)),
      parts.subject,
      parts.publicKey,
      explicit(3, sequence(...parts.extensions)),
    ),
    signer,
  )
}

/** A request to be certified (PKCS#10) that asks for these extensions. */
export function signRequest(
  parts: Pick<CertificateParts, 'subject' | 'publicKey' | 'extensions'>,
  signer: Signer,
): Buffer {
  const wanted = sequence(oid('1.2.840.113549.1.9.14'), set(sequence(...parts.extensions)))
  return signed(sequence(integer(0), parts.subject, parts.publicKey, explicit(0, wanted)), signer)
}

function signed(content: Buffer, { key, algorithm, digest }: Signer): Buffer {
  return sequence(content, algorithm, bitString(sign(digest, content, key)))
}

/** 128 bits, so that no two certificates of an issuer share one. */
export function randomSerial(): Buffer {
  return randomBytes(16)
}

/** A name of attributes in the order given; none is the empty name. */
export function nameOf(parts: { readonly O?: string; readonly CN?: string }): Buffer {
  const attributes: Buffer[] = []
  if (parts.O !== undefined) attributes.push(set(sequence(ORGANIZATION, utf8(parts.O))))
  if (parts.CN !== undefined) attributes.push(set(sequence(COMMON_NAME, utf8(parts.CN))))
  return sequence(...attributes)
}

const ORGANIZATION = oid('2.5.4.10')
const COMMON_NAME = oid('2.5.4.3')

/** The identifier of a key (RFC 7093 section 2, method 1). */
export function keyIdOf(publicKey: Buffer): Buffer {
  return createHash('sha256').update(publicKey).digest().subarray(0, 20)
}

export function publicKeyOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

export function extension(id: Buffer, critical: boolean, value: Buffer): Buffer {
  const parts = critical ? [boolean(true), octetString(value)] : [octetString(value)]
  return sequence(id, ...parts)
}

export function basicConstraints(pathLength?: number): Buffer {
  const authority = pathLength === undefined ? [] : [boolean(true), integer(pathLength)]
  return extension(oid('2.5.29.19'), true, sequence(...authority))
}

export function keyUsage(bits: number): Buffer {
  const unused = Math.clz32(bits & -bits) ^ 31
  return extension(oid('2.5.29.15'), true, bitString(Buffer.from([bits]), unused))
}

export function serverAuth(): Buffer {
  return extension(oid('2.5.29.37'), false, sequence(oid('1.3.6.1.5.5.7.3.1')))
}

export function subjectKeyId(id: Buffer): Buffer {
  return extension(oid('2.5.29.14'), false, octetString(id))
}

export function authorityKeyId(id: Buffer): Buffer {
  return extension(oid('2.5.29.35'), false, sequence(implicit(0, id)))
}
