// Certificates out of a PEM text, and what people compare of them.

import { X509Certificate } from 'node:crypto'

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** In their order; what is no certificate is left out. */
export function certificatesOf(pem: string): readonly X509Certificate[] {
  return blocksOf(pem).flatMap((block) => {
    try {
      return [new X509Certificate(block)]
    } catch {
      return []
    }
  })
}

/** Their texts, not looked into: a system has hundreds. */
export function blocksOf(pem: string): readonly string[] {
  return pem.match(BLOCK) ?? []
}
