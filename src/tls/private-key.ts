// The root's key as a file that may leave the machine: PKCS#8, encrypted (RFC 8018, RFC 7914).
//
// node:crypto would derive the key with 2048 rounds of PBKDF2, which is little against a chosen passphrase;
// scrypt asks for 16 MiB and fifty times the work. OpenSSL and node read it like any other.

import {
  createCipheriv,
  createPrivateKey,
  type KeyObject,
  randomBytes,
  scryptSync,
} from 'node:crypto'
import { CordonError } from '../base/errors.ts'
import { integer, octetString, oid, pem, sequence } from './der.ts'

const COST = { N: 16_384, r: 8, p: 1 } as const
const MEMORY = 64 * 1024 * 1024
const KEY_BYTES = 32
const PBES2 = oid('1.2.840.113549.1.5.13')
const SCRYPT = oid('1.3.6.1.4.1.11591.4.11')
const AES_256_CBC = oid('2.16.840.1.101.3.4.1.42')

export function encryptedPem(key: KeyObject, passphrase: string): string {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const derived = scryptSync(passphrase, salt, KEY_BYTES, { ...COST, maxmem: MEMORY })
  const cipher = createCipheriv('aes-256-cbc', derived, iv)
  const plain = key.export({ type: 'pkcs8', format: 'der' })
  const derivation = sequence(
    SCRYPT,
    sequence(octetString(salt), integer(COST.N), integer(COST.r), integer(COST.p)),
  )
  const encryption = sequence(PBES2, sequence(derivation, sequence(AES_256_CBC, octetString(iv))))
  const content = octetString(cipher.update(plain), cipher.final())
  return pem('ENCRYPTED PRIVATE KEY', sequence(encryption, content))
}

function isEncrypted(text: string): boolean {
  return text.includes('ENCRYPTED')
}

/** Throws AUTHORITY_INVALID where the passphrase is not the right one, or the text no key. */
export function readPrivateKey(text: string, passphrase?: string): KeyObject {
  if (passphrase === undefined && isEncrypted(text)) {
    throw new CordonError(
      'AUTHORITY_INVALID',
      'the key is encrypted: set CORDON_CA_PASSPHRASE or CORDON_CA_PASSPHRASE_FILE',
    )
  }
  try {
    return createPrivateKey({ key: text, passphrase })
  } catch (error) {
    const encrypted = isEncrypted(text)
    const message = encrypted ? 'the passphrase does not open the key' : 'is no private key'
    throw new CordonError('AUTHORITY_INVALID', message, { cause: error })
  }
}
