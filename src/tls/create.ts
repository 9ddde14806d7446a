// Authorities made here: a root that clients trust once, and what it certifies.

import { generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto'
import { type CertificateFacts, factsOf } from './certificate-facts.ts'
import {
  authorityKeyId,
  basicConstraints,
  type CertificateParts,
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
  signRequest,
  subjectKeyId,
} from './certificate.ts'
import { pem } from './der.ts'
import { nameConstraints } from './name-constraints.ts'

/** A certificate of ours, as PEM, with the key that belongs to it. */
export interface Created {
  readonly certificate: string
  readonly key: KeyObject
}

/** A certificate that certifies others, with its key. */
export interface Parent {
  readonly certificate: X509Certificate
  readonly key: KeyObject
}

const DAY_MS = 86_400_000
const ROOT_LIFE_MS = 3652 * DAY_MS
const ISSUING_LIFE_MS = 365 * DAY_MS
/** Below the root stands the issuing certificate; below a former root its successor and the issuing one. */
const ROOT_PATH = 2
const SUCCESSOR_PATH = 1
const CERTIFYING = KEY_USAGE.certSign | KEY_USAGE.crlSign

/** A root with a key of its own. `owner` is what people see when they are asked to trust it. */
export function createRoot(owner: string, now: number): Created {
  const { key, publicKey, keyId } = newKey()
  const name = nameOf({ O: owner, CN: `${owner} interception root ${shortId(keyId)}` })
  const certificate = certificateOf(
    {
      issuer: name,
      subject: name,
      publicKey,
      notBefore: now - DAY_MS,
      notAfter: now + ROOT_LIFE_MS,
      extensions: [
        basicConstraints(ROOT_PATH),
        keyUsage(CERTIFYING),
        subjectKeyId(keyId),
        authorityKeyId(keyId),
      ],
    },
    signerOf(key),
  )
  return { certificate, key }
}

/** An issuing certificate below the root, limited to the domains where there are some. */
export function createIssuing(
  root: Parent,
  owner: string,
  domains: readonly string[] | undefined,
  now: number,
): Created {
  const { key, publicKey, keyId } = newKey()
  const facts = factsOf(root.certificate)
  const certificate = certificateOf(
    {
      issuer: facts.subject,
      subject: issuingName(owner, keyId),
      publicKey,
      notBefore: now - DAY_MS,
      notAfter: Math.min(now + ISSUING_LIFE_MS, root.certificate.validToDate.getTime()),
      extensions: [...issuingExtensions(domains), subjectKeyId(keyId), authorityOf(facts)],
    },
    signerOf(root.key),
  )
  return { certificate, key }
}

/** The new root, certified by the former one: who trusts either of them goes on. */
export function createSuccessor(
  former: Parent,
  root: X509Certificate,
  now: number,
  lifeMs: number,
): string {
  const [above, own] = [factsOf(former.certificate), factsOf(root)]
  return certificateOf(
    {
      issuer: above.subject,
      subject: own.subject,
      publicKey: own.publicKey,
      notBefore: now - DAY_MS,
      notAfter: Math.min(now + lifeMs, former.certificate.validToDate.getTime()),
      extensions: [
        basicConstraints(SUCCESSOR_PATH),
        keyUsage(CERTIFYING),
        subjectKeyId(own.keyId ?? keyIdOf(own.publicKey)),
        authorityOf(above),
      ],
    },
    signerOf(former.key),
  )
}

/** A new issuing key and the request that asks somebody else to certify it. */
export function createRequest(
  owner: string,
  domains: readonly string[] | undefined,
): { readonly request: string; readonly key: KeyObject } {
  const { key, publicKey, keyId } = newKey()
  const extensions = [...issuingExtensions(domains), subjectKeyId(keyId)]
  const parts = { subject: issuingName(owner, keyId), publicKey, extensions }
  return { request: pem('CERTIFICATE REQUEST', signRequest(parts, signerOf(key))), key }
}

function issuingExtensions(domains: readonly string[] | undefined): readonly Buffer[] {
  const limits = domains === undefined ? [] : [nameConstraints(domains)]
  return [basicConstraints(0), keyUsage(CERTIFYING), serverAuth(), ...limits]
}

/** Each has a name of its own: some clients keep issuing certificates and look them up by name. */
function issuingName(owner: string, keyId: Buffer): Buffer {
  return nameOf({ O: owner, CN: `${owner} interception ${shortId(keyId)}` })
}

function authorityOf(facts: CertificateFacts): Buffer {
  return authorityKeyId(facts.keyId ?? keyIdOf(facts.publicKey))
}

function certificateOf(parts: Omit<CertificateParts, 'serial'>, signer: Signer): string {
  return pem('CERTIFICATE', signCertificate({ ...parts, serial: randomSerial() }, signer))
}

function newKey(): { readonly key: KeyObject; readonly publicKey: Buffer; readonly keyId: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const der = publicKeyOf(publicKey)
  return { key: privateKey, publicKey: der, keyId: keyIdOf(der) }
}

function shortId(keyId: Buffer): string {
  return keyId.toString('hex').slice(0, 8)
}
