// Authorities for tests: made at run time, below a root of their own.

import { X509Certificate } from 'node:crypto'
import { createIssuing, createRoot, type Parent } from '../../src/tls/create.ts'
import type { Authority } from '../../src/tls/issuer.ts'

export interface TestAuthority extends Authority {
  readonly root: Parent
}

/** Limited to the domains, or to nothing where none are named. */
export function testAuthority(domains?: readonly string[], now = Date.now()): TestAuthority {
  const made = createRoot('Test', now)
  const root = { certificate: new X509Certificate(made.certificate), key: made.key }
  const issuing = createIssuing(root, 'Test', domains, now)
  return {
    root,
    rootCert: made.certificate,
    chain: issuing.certificate,
    key: issuing.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
