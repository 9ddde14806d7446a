// Leaf certificates for intercepted hosts, minted while a client waits.
//
// Everything that is the same for all leaves of an issuer is put together once. One key serves all leaves of
// an issuer: it is not the authority's, it was made here and is gone with the process.

import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto'
import { CordonError } from '../base/errors.ts'
import { type CertificateFacts, factsOf } from './certificate-facts.ts'
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
} from './certificate.ts'
import { implicit, oid, pem, sequence } from './der.ts'
import { addressOf, isDnsName } from './host-name.ts'
import { permits } from './name-constraints.ts'
import { certificatesIn } from './pem.ts'

/** What the primary hands to its workers; plain data. */
export interface Authority {
  /** What clients trust, PEM: the root, and behind it a former one while both are in use. */
  readonly rootCert: string
  /** PEM, the issuing certificate first, then whatever leads to a root; empty where the root issues itself. */
  readonly chain: string
  /** PEM, of the issuing certificate. */
  readonly key: string
}

export interface Leaf {
  /** PEM, with the whole chain below the root behind it. */
  readonly cert: string
  readonly key: string
  /** Milliseconds since the epoch. */
  readonly notAfter: number
}

const DAY_MS = 86_400_000
/** Clocks of clients are wrong by hours. With the life after it 90 days, which no client finds too long. */
const BACK_MS = DAY_MS
const LIFE_MS = 89 * DAY_MS
/** X.520 allows no more in a common name. */
const MAX_COMMON_NAME = 64
const SUBJECT_ALT_NAME = oid('2.5.29.17')
const DNS_NAME = 2
const IP_ADDRESS = 7

export class Issuer {
  /** The domains that the authority is limited to; undefined: to none. */
  readonly constrainedTo: readonly string[] | undefined
  /** Milliseconds since the epoch: when it, or what certifies it, expires. */
  readonly notAfter: number
  readonly #issuing: CertificateFacts
  readonly #authorities: readonly CertificateFacts[]
  readonly #signer: Signer
  readonly #chain: string
  readonly #notBefore: number
  readonly #key: string
  readonly #publicKey: Buffer
  /** Those that all leaves share, one behind the other. */
  readonly #extensions: Buffer
  readonly #anonymous: boolean

  /** Throws AUTHORITY_INVALID for material that cannot issue. */
  constructor(authority: Authority) {
    const [root] = certificatesIn(authority.rootCert)
    const certificates = [...certificatesIn(authority.chain), ...(root === undefined ? [] : [root])]
    const [issuing] = certificates
    if (issuing === undefined)
      throw new CordonError('AUTHORITY_INVALID', 'the authority has no certificate')
    this.#authorities = certificates.map(factsOf)
    this.#issuing = factsOf(issuing)
    this.#signer = signerOf(keyOf(authority.key, issuing))
    this.#chain = authority.chain
    this.#notBefore = issuing.validFromDate.getTime()
    // A root that a former one certified stands in the chain too, for as long as both are trusted.
    const needed = certificates.filter((each) => each === root || !hasKeyOf(each, root))
    this.notAfter = Math.min(...needed.map((each) => each.validToDate.getTime()))
    this.#anonymous = this.#authorities.some((each) => each.constraints?.limitsNames === true)
    this.constrainedTo = this.#authorities.find(
      (each) => each.constraints?.permittedDns !== undefined,
    )?.constraints?.permittedDns

    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.#key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    this.#publicKey = publicKeyOf(publicKey)
    this.#extensions = Buffer.concat([
      basicConstraints(),
      keyUsage(KEY_USAGE.digitalSignature),
      serverAuth(),
      subjectKeyId(keyIdOf(this.#publicKey)),
      authorityKeyId(this.#issuing.keyId ?? keyIdOf(this.#issuing.publicKey)),
    ])
  }

  /** Whether clients would accept a certificate of this authority for the host (in lower case). */
  mayIssue(host: string): boolean {
    if (addressOf(host) === undefined && !isDnsName(host)) return false
    return this.#authorities.every(
      ({ constraints }) => constraints === undefined || permits(constraints, host),
    )
  }

  /** Throws AUTHORITY_INVALID for a host that may not be issued for, and once the authority has expired. */
  issue(host: string): Leaf {
    const now = Date.now()
    if (!this.mayIssue(host)) {
      throw new CordonError(
        'AUTHORITY_INVALID',
        `the interception authority may not issue for ${host}; "cordon ca rotate" re-issues it for the hosts of the configuration`,
      )
    }
    if (now >= this.notAfter) {
      throw new CordonError(
        'AUTHORITY_INVALID',
        'the interception authority has expired; "cordon ca rotate" re-issues it',
      )
    }
    const notAfter = Math.min(now + LIFE_MS, this.notAfter)
    const address = addressOf(host)
    const named = address === undefined && !this.#anonymous && host.length <= MAX_COMMON_NAME
    const name =
      address === undefined
        ? implicit(DNS_NAME, Buffer.from(host, 'latin1'))
        : implicit(IP_ADDRESS, address)
    const certificate = signCertificate(
      {
        serial: randomSerial(),
        issuer: this.#issuing.subject,
        subject: nameOf(named ? { CN: host } : {}),
        publicKey: this.#publicKey,
        notBefore: Math.max(now - BACK_MS, this.#notBefore),
        notAfter,
        // Without a subject it is the only name, and must be understood.
        extensions: [this.#extensions, extension(SUBJECT_ALT_NAME, !named, sequence(name))],
      },
      this.#signer,
    )
    return { cert: pem('CERTIFICATE', certificate) + this.#chain, key: this.#key, notAfter }
  }
}

function hasKeyOf(one: X509Certificate, other: X509Certificate | undefined): boolean {
  return other !== undefined && one.publicKey.equals(other.publicKey)
}

function keyOf(text: string, certificate: X509Certificate): KeyObject {
  const key = createPrivateKey(text)
  if (!certificate.checkPrivateKey(key))
    throw new CordonError('AUTHORITY_INVALID', 'the key is not that of the issuing certificate')
  return key
}
