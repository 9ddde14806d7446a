// PEM files: certificates and keys one after the other, with anything between them.

import { X509Certificate } from 'node:crypto'
import { CordonError } from '../base/errors.ts'

/** More than any chain has. */
const MAX_CERTIFICATES = 16

export function certificatesIn(text: string): readonly X509Certificate[] {
  const blocks = blocksOf(text, 'CERTIFICATE')
  if (blocks.length > MAX_CERTIFICATES)
    throw new CordonError('AUTHORITY_INVALID', `more than ${MAX_CERTIFICATES} certificates`)
  return blocks.map((block) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new CordonError('AUTHORITY_INVALID', 'a certificate is malformed', { cause: error })
    }
  })
}

/** The first private key of any kind. */
export function privateKeyIn(text: string): string | undefined {
  return blocksOf(text, '(?:[A-Z]+ )?PRIVATE KEY')[0]
}

function blocksOf(text: string, label: string): readonly string[] {
  const block = new RegExp(
    `-----BEGIN (${label})-----[A-Za-z0-9+/=:,.\\-\\s]*?-----END \\1-----\n?`,
    'g',
  )
  return text.match(block) ?? []
}
