// Who the stand-ins are: certificates of an authority that exists for the demo alone.

import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { createIssuing, createRoot } from '../src/tls/create.ts'
import { Issuer } from '../src/tls/issuer.ts'

export class StandInAuthority {
  /** PEM, for `proxy.trust` and for clients that reach a stand-in without being looked into. */
  readonly root: string
  readonly #issuer: Issuer
  readonly #contexts = new Map<string, SecureContext>()

  constructor(owner: string) {
    const now = Date.now()
    const { certificate, key } = createRoot(owner, now)
    const parent = { certificate: new X509Certificate(certificate), key }
    const issuing = createIssuing(parent, owner, undefined, now)
    this.root = certificate
    this.#issuer = new Issuer({
      rootCert: certificate,
      chain: issuing.certificate,
      key: issuing.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    })
  }

  contextFor(host: string): SecureContext {
    const known = this.#contexts.get(host)
    if (known !== undefined) return known
    const { cert, key } = this.#issuer.issue(host)
    const context = createSecureContext({ cert, key })
    this.#contexts.set(host, context)
    return context
  }
}
