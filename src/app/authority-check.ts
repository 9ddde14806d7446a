// Authorities from outside are looked at before anything trusts them: what is wrong here would otherwise be
// told by every client, in its own words.

import type { X509Certificate } from 'node:crypto'
import { CordonError } from '../base/errors.ts'
import { type CertificateFacts, factsOf } from '../tls/certificate-facts.ts'
import { signerOf } from '../tls/certificate.ts'
import type { Authority } from '../tls/issuer.ts'
import { certificatesIn, privateKeyIn } from '../tls/pem.ts'
import { readPrivateKey } from '../tls/private-key.ts'

/** A signer's clock is not ours. */
const SKEW_MS = 60_000

export interface Material {
  /** What is named in messages: a file, or what was asked. */
  readonly source: string
  /** PEM, the issuing certificate first. */
  readonly chain: string
  readonly key: string
  readonly keySource?: string
  readonly passphrase?: string | undefined
  /** What to do about it. */
  readonly help?: string
}

/** Throws AUTHORITY_INVALID with everything that keeps it from issuing. */
export function checkedAuthority(material: Material, now: number): Authority {
  const certificates = within(material.source, () => certificatesIn(material.chain))
  const [issuing] = certificates
  if (issuing === undefined) throw refusal(material.source, ['holds no certificate'])
  const facts = within(material.source, () => certificates.map(factsOf))
  const problems = certificates.flatMap((each, index) =>
    problemsOf(each, facts[index], index, certificates[index + 1], now),
  )
  if (problems.length > 0) {
    const { help } = material
    throw refusal(
      material.source,
      problems.map((problem) => (help === undefined ? problem : `${problem}; ${help}`)),
    )
  }
  const key = within(material.keySource ?? material.source, () => {
    const text = privateKeyIn(material.key)
    if (text === undefined) throw new CordonError('AUTHORITY_INVALID', 'holds no private key')
    return signerOf(readPrivateKey(text, material.passphrase)).key
  })
  if (!issuing.checkPrivateKey(key)) {
    throw refusal(material.keySource ?? material.source, [
      `is not the key of ${subjectOf(issuing)}, the first certificate of ${material.source}`,
    ])
  }
  const root = certificates.at(-1) ?? issuing
  const below = isSelfIssued(root) ? certificates.slice(0, -1) : certificates
  return {
    rootCert: root.toString(),
    chain: below.map((each) => each.toString()).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function isSelfIssued(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
}

/** On one line, as people read it. */
export function subjectOf(certificate: X509Certificate): string {
  return certificate.subject.split('\n').join(', ')
}

/** Every message with the file that it is about. */
export function within<T>(source: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof CordonError) || error.problems.length > 0) throw error
    throw refusal(source, [error.message])
  }
}

export function refusal(source: string, messages: readonly string[]): CordonError {
  return new CordonError('AUTHORITY_INVALID', 'the interception authority cannot be used', {
    problems: messages.map((message) => ({ file: source, message })),
  })
}

function problemsOf(
  certificate: X509Certificate,
  facts: CertificateFacts | undefined,
  below: number,
  issuer: X509Certificate | undefined,
  now: number,
): readonly string[] {
  const name = subjectOf(certificate)
  const root = isSelfIssued(certificate)
  const wrong: readonly (readonly [boolean, string])[] = [
    [facts?.authority !== true, `${name} is no authority (basicConstraints lacks CA:TRUE)`],
    [facts?.mayCertify === false, `${name} may not sign certificates (keyUsage lacks keyCertSign)`],
    [
      certificate.validFromDate.getTime() > now + SKEW_MS,
      `${name} is not valid before ${certificate.validFrom}`,
    ],
    [certificate.validToDate.getTime() <= now, `${name} has expired: ${certificate.validTo}`],
    [(facts?.pathLength ?? below) < below, `${name} allows no ${below} authorities below it`],
    [!root && facts?.weak === true, `${name} is signed with MD5 or SHA-1, which clients refuse`],
    [
      issuer !== undefined &&
        !(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)),
      `${name} is not signed by the certificate that follows it: the issuing one comes first, the root last`,
    ],
  ]
  return wrong.filter(([applies]) => applies).map(([, message]) => message)
}
