// What a CA certificate says about itself, beyond what node:crypto shows.

import type { X509Certificate } from 'node:crypto'
import { DerReader, type Element } from './der-reader.ts'
import { TAG } from './der.ts'
import { type NameConstraints, readNameConstraints } from './name-constraints.ts'

export interface CertificateFacts {
  /** The subject as it stands in the certificate: an issuer's name must be the same to the byte. */
  readonly subject: Buffer
  readonly publicKey: Buffer
  readonly keyId: Buffer | undefined
  readonly authority: boolean
  /** How many authorities may stand below; undefined: any. */
  readonly pathLength: number | undefined
  /** Undefined: the certificate does not limit its key. */
  readonly mayCertify: boolean
  readonly constraints: NameConstraints | undefined
  /** MD5 or SHA-1, which clients refuse. */
  readonly weak: boolean
}

const BASIC_CONSTRAINTS = '551d13'
const KEY_USAGE = '551d0f'
const SUBJECT_KEY_ID = '551d0e'
const NAME_CONSTRAINTS = '551d1e'
const CERT_SIGN = 0x04
/** md5WithRSA, sha1WithRSA, ecdsaWithSHA1, as hex. */
const WEAK = new Set(['2a864886f70d010104', '2a864886f70d010105', '2a8648ce3d0401'])
const EXTENSIONS_TAG = 0xa3
const VERSION_TAG = 0xa0

export function factsOf(certificate: X509Certificate): CertificateFacts {
  const outer = new DerReader(certificate.raw).inside(TAG.sequence)
  const body = outer.inside(TAG.sequence)
  const algorithm = outer.inside(TAG.sequence).next(TAG.oid).content.toString('hex')
  body.optional(VERSION_TAG)
  body.next(TAG.integer)
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  const subject = body.next(TAG.sequence).raw
  const publicKey = body.next(TAG.sequence).raw
  const extensions = extensionsIn(body)
  const basic = extensions.get(BASIC_CONSTRAINTS)
  const usage = extensions.get(KEY_USAGE)
  const keyId = extensions.get(SUBJECT_KEY_ID)
  const constraints = extensions.get(NAME_CONSTRAINTS)
  return {
    subject,
    publicKey,
    keyId: keyId && new DerReader(keyId).next(TAG.octetString).content,
    ...(basic === undefined ? { authority: false, pathLength: undefined } : basicOf(basic)),
    mayCertify:
      usage === undefined || (bitsOf(new DerReader(usage).next(TAG.bitString)) & CERT_SIGN) !== 0,
    constraints: constraints && readNameConstraints(constraints),
    weak: WEAK.has(algorithm),
  }
}

function extensionsIn(body: DerReader): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>()
  let list: Element | undefined
  // Unique ids may stand before.
  while (!body.done && list === undefined) {
    const element = body.next()
    if (element.tag === EXTENSIONS_TAG) list = element
  }
  if (list === undefined) return found
  const reader = new DerReader(list.content).inside(TAG.sequence)
  while (!reader.done) {
    const extension = reader.inside(TAG.sequence)
    const id = extension.next(TAG.oid).content.toString('hex')
    extension.optional(TAG.boolean)
    found.set(id, extension.next(TAG.octetString).content)
  }
  return found
}

function basicOf(value: Buffer): Pick<CertificateFacts, 'authority' | 'pathLength'> {
  const reader = new DerReader(value).inside(TAG.sequence)
  const authority = reader.optional(TAG.boolean)?.content[0] === 0xff
  const length = reader.optional(TAG.integer)?.content
  return { authority, pathLength: length && Number(`0x${length.toString('hex')}`) }
}

function bitsOf({ content }: Element): number {
  return content[1] ?? 0
}
