// `.signatures.json`: one JWT over the list of a bundle's files with their hashes, made and checked as OPA does.
//
// Signed and listed must be the same files, each with its hash. The algorithm is one that fits the key that was
// configured: what the token says of itself never chooses another kind.

import {
  constants,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  type SignKeyObjectInput,
  verify,
} from 'node:crypto'
import { CordonError } from '../../base/errors.ts'
import { isObject } from '../metadata.ts'
import { fileHash } from './file-hash.ts'
import type { ArchiveFile } from './tar.ts'

export const SIGNATURES_FILE = '.signatures.json'

/** What a bundle's signature is checked with. */
export interface Verification {
  readonly key: KeyObject
  /** The key that the signature must name, where it names one. */
  readonly keyId?: string
  /** What the signature must be for; without it, it must be for nothing in particular. */
  readonly scope?: string
}

export interface Signing {
  readonly key: KeyObject
  readonly keyId?: string
  readonly scope?: string
}

/** What a signature says beside the files; seconds since 1970. */
export interface Signed {
  readonly issuedAt?: number
  readonly expiresAt?: number
}

interface Algorithm {
  readonly kind: 'rsa' | 'rsa-pss' | 'ec' | 'ed25519'
  readonly hash: string | null
  readonly curve?: string
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['RS256', { kind: 'rsa', hash: 'sha256' }],
  ['RS384', { kind: 'rsa', hash: 'sha384' }],
  ['RS512', { kind: 'rsa', hash: 'sha512' }],
  ['PS256', { kind: 'rsa-pss', hash: 'sha256' }],
  ['PS384', { kind: 'rsa-pss', hash: 'sha384' }],
  ['PS512', { kind: 'rsa-pss', hash: 'sha512' }],
  ['ES256', { kind: 'ec', hash: 'sha256', curve: 'prime256v1' }],
  ['ES384', { kind: 'ec', hash: 'sha384', curve: 'secp384r1' }],
  ['ES512', { kind: 'ec', hash: 'sha512', curve: 'secp521r1' }],
  ['EdDSA', { kind: 'ed25519', hash: null }],
])
const HASHED_WITH = 'SHA-256'
const MAX_TOKEN = 16 * 1024 * 1024
const LEAST_RSA_BITS = 2048

/** A public key, or that of a certificate, from PEM. Throws CONFIG_INVALID. */
export function publicKeyOf(pem: string, what: string): KeyObject {
  return usable(what, () => createPublicKey(pem))
}

/** A private key from PEM, not encrypted. Throws CONFIG_INVALID. */
export function privateKeyOf(pem: string, what: string): KeyObject {
  return usable(what, () => createPrivateKey(pem))
}

/** The text of `.signatures.json` over these files. */
export function signatureOf(files: readonly ArchiveFile[], { key, keyId, scope }: Signing): Buffer {
  const algorithm = algorithmOf(key)
  const listed = files.map(({ path, bytes }) => ({
    name: path,
    hash: fileHash(path, bytes, HASHED_WITH) ?? '',
    algorithm: HASHED_WITH,
  }))
  const header = { alg: algorithm, ...(keyId === undefined ? {} : { kid: keyId }) }
  const payload = {
    files: listed,
    ...(keyId === undefined ? {} : { keyid: keyId }),
    ...(scope === undefined ? {} : { scope }),
  }
  const signed = `${encoded(header)}.${encoded(payload)}`
  const { hash } = ALGORITHMS.get(algorithm) ?? { hash: null }
  const signature = sign(hash, Buffer.from(signed), inputFor(key, algorithm))
  return Buffer.from(
    JSON.stringify({ signatures: [`${signed}.${signature.toString('base64url')}`] }),
  )
}

/**
 * Throws BUNDLE_INVALID unless the files are exactly those that were signed. `verification` undefined: only a bundle
 * without a signature passes, because nobody could tell whether it holds; then nobody says anything.
 */
export function checkSignature(
  files: readonly ArchiveFile[],
  verification: Verification | undefined,
): Signed | undefined {
  const signatures = files.find(({ path }) => path === SIGNATURES_FILE)
  if (verification === undefined) {
    if (signatures !== undefined) throw refused('it is signed, and no public_key is configured')
    return undefined
  }
  if (signatures === undefined) throw refused('it is not signed, and a public_key is configured')
  const payload = payloadOf(tokenOf(signatures.bytes), verification)
  const listed = filesOf(payload)
  for (const { path, bytes } of files) {
    if (path === SIGNATURES_FILE) continue
    const entry = listed.get(path)
    if (entry === undefined) throw refused(`"${path}" is not in its signature`)
    const hash = fileHash(path, bytes, entry.algorithm)
    if (hash === undefined)
      throw refused(`"${path}" is hashed with "${entry.algorithm}", which is not accepted`)
    if (hash !== entry.hash.toLowerCase()) throw refused(`"${path}" is not what was signed`)
    listed.delete(path)
  }
  const [missing] = listed.keys()
  if (missing !== undefined) throw refused(`"${missing}" was signed and is not in it`)
  const [issuedAt, expiresAt] = [timeIn(payload, 'iat'), timeIn(payload, 'exp')]
  return {
    ...(issuedAt === undefined ? {} : { issuedAt }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

/** A NumericDate of RFC 7519. */
function timeIn(payload: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const time = payload[name]
  // Of these `new Date` makes one.
  if (time === undefined || (typeof time === 'number' && time >= 0 && time <= 8.64e12)) return time
  throw refused(`${name} in its signature is no time in seconds`)
}

function tokenOf(bytes: Buffer): string {
  const document = json(bytes.toString('utf8'), SIGNATURES_FILE)
  const tokens = isObject(document) ? document['signatures'] : undefined
  const [token] = Array.isArray(tokens) ? (tokens as unknown[]) : []
  if (!Array.isArray(tokens) || tokens.length !== 1 || typeof token !== 'string')
    throw refused(`${SIGNATURES_FILE} must hold exactly one signature`)
  if (isObject(document) && !['', '_default', undefined].includes(document['plugin'] as string))
    throw refused(`${SIGNATURES_FILE} needs a plugin, which is not supported`)
  return token
}

function payloadOf(
  token: string,
  { key, keyId, scope = '' }: Verification,
): Readonly<Record<string, unknown>> {
  const [head = '', body = '', signature = '', more] = token.split('.')
  if (token.length > MAX_TOKEN || signature === '' || more !== undefined)
    throw refused('its signature is no JWT')
  const header = objectOf(head)
  const name = String(header['alg'])
  const algorithm = ALGORITHMS.get(name)
  if (algorithm === undefined || !fits(key, algorithm))
    throw refused(`it is signed with "${name.slice(0, 20)}", which does not fit the public_key`)
  if (header['crit'] !== undefined) throw refused('its signature asks for what is not supported')
  const holds = verify(
    algorithm.hash,
    Buffer.from(`${head}.${body}`),
    inputFor(key, name),
    Buffer.from(signature, 'base64url'),
  )
  if (!holds) throw refused('its signature does not hold')
  const payload = objectOf(body)
  const named = header['kid'] ?? payload['keyid']
  if (keyId !== undefined && named !== undefined && named !== keyId)
    throw refused(
      `it is signed by the key ${JSON.stringify(named).slice(0, 100)}, not by "${keyId}"`,
    )
  if ((payload['scope'] ?? '') !== scope)
    throw refused(
      `it is signed for the scope ${JSON.stringify(payload['scope'] ?? '')}, not for ${JSON.stringify(scope)}`,
    )
  return payload
}

function filesOf(
  payload: Readonly<Record<string, unknown>>,
): Map<string, { readonly hash: string; readonly algorithm: string }> {
  const { files } = payload
  const listed = new Map<string, { hash: string; algorithm: string }>()
  if (!Array.isArray(files)) throw refused('its signature lists no files')
  for (const file of files as unknown[]) {
    const { name, hash, algorithm } = isObject(file) ? file : {}
    if (typeof name !== 'string' || typeof hash !== 'string' || typeof algorithm !== 'string')
      throw refused('its signature lists a file without name, hash or algorithm')
    const path = name.replace(/^\//, '')
    if (listed.has(path)) throw refused(`its signature lists "${path}" twice`)
    listed.set(path, { hash, algorithm })
  }
  return listed
}

function algorithmOf(key: KeyObject): string {
  for (const [name, algorithm] of ALGORITHMS) if (fits(key, algorithm)) return name
  throw new CordonError(
    'CONFIG_INVALID',
    `a key of the kind ${String(key.asymmetricKeyType)} cannot sign bundles`,
  )
}

function fits(
  { asymmetricKeyType, asymmetricKeyDetails }: KeyObject,
  { kind, curve }: Algorithm,
): boolean {
  if (kind === 'ec') return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === curve
  if (kind === 'rsa-pss') return asymmetricKeyType === 'rsa' || asymmetricKeyType === 'rsa-pss'
  return asymmetricKeyType === kind
}

function inputFor(key: KeyObject, algorithm: string): SignKeyObjectInput {
  if (algorithm.startsWith('PS'))
    return {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }
  return algorithm.startsWith('ES') ? { key, dsaEncoding: 'ieee-p1363' } : { key }
}

function usable(what: string, read: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = read()
  } catch (error) {
    throw new CordonError('CONFIG_INVALID', `${what} is no PEM of a key that is not encrypted`, {
      cause: error,
    })
  }
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && bits < LEAST_RSA_BITS)
    throw new CordonError(
      'CONFIG_INVALID',
      `${what} is an RSA key of ${bits} bits: at least ${LEAST_RSA_BITS} are needed`,
    )
  algorithmOf(key)
  return key
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function objectOf(part: string): Readonly<Record<string, unknown>> {
  const value = json(Buffer.from(part, 'base64url').toString('utf8'), 'its signature')
  if (!isObject(value)) throw refused('its signature is no JWT')
  return value
}

function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw refused(`${what} is no JSON`)
  }
}

function refused(why: string): CordonError {
  return new CordonError('BUNDLE_INVALID', `the bundle is refused: ${why}`)
}
