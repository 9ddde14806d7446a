// What do the io.jwt built-ins answer? Decoding, verification against keys, constraints of claims.

import {
  constants,
  createHmac,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  timingSafeEqual,
  verify,
  X509Certificate,
} from 'node:crypto'
import { compare, isArray, isNumber, RegoObject, type RegoValue, toJson } from '../value.ts'
import { readJson } from './json-text.ts'
import {
  type Builtin,
  BuiltinLimit,
  type BuiltinTable,
  fail,
  objectAt,
  type Operands,
  textAt,
} from './operands.ts'

interface Token {
  readonly signed: string
  readonly header: RegoObject
  /** Read only where it is asked for: a signature is verified over any. */
  readonly payload: () => string
  readonly signature: Buffer
}

interface VerificationKey {
  readonly alg: string
  readonly kid: string
  readonly key: KeyObject
}

interface Algorithm {
  readonly hash: string | null
  readonly type: 'rsa' | 'rsa-pss' | 'ec' | 'ed25519'
}

const MAX_TOKEN = 256 * 1024
const MAX_NESTED = 5
const CONSTRAINTS = new Set(['cert', 'secret', 'alg', 'iss', 'aud', 'time'])
const HASHES: Readonly<Record<string, string>> = { 256: 'sha256', 384: 'sha384', 512: 'sha512' }

export const JWT_BUILTINS: BuiltinTable = {
  'io.jwt.decode': (operands) => decodeToken(textAt(operands, 0), 0),
  'io.jwt.decode_verify': decodeVerify,
  'io.jwt.verify_eddsa': verifyWith({ hash: null, type: 'ed25519' }),
  ...Object.fromEntries(
    Object.entries(HASHES).flatMap(([bits, hash]): [string, Builtin][] => [
      [`io.jwt.verify_rs${bits}`, verifyWith({ hash, type: 'rsa' })],
      [`io.jwt.verify_ps${bits}`, verifyWith({ hash, type: 'rsa-pss' })],
      [`io.jwt.verify_es${bits}`, verifyWith({ hash, type: 'ec' })],
      [`io.jwt.verify_hs${bits}`, verifySecret(hash)],
    ]),
  ),
}

function decodeToken(text: string, depth: number): RegoValue {
  const [header, payload, signature] = partsOf(text)
  const decodedHeader = headerOf(header)
  const decoded = base64url(payload).toString()
  if (decodedHeader.get('cty') === 'JWT') {
    if (depth >= MAX_NESTED) fail('tokens nest too deep')
    return decodeToken(decoded.replaceAll(/^["']+|["']+$/g, ''), depth + 1)
  }
  return [decodedHeader, objectOfJson(decoded), base64url(signature).toString('hex')]
}

function verifyWith(algorithm: Algorithm): Builtin {
  return (operands) => {
    const text = textAt(operands, 0)
    partsOf(text)
    const keys = keysOf(textAt(operands, 1))
    const token = parseToken(text)
    const kid = headerText(token.header, 'kid')
    const named = kid === '' ? undefined : keys.find((key) => key.kid === kid)
    if (named !== undefined) return isSignedBy(token, named.key, algorithm)
    const alg = headerText(token.header, 'alg')
    return keys.some(
      (key) => (key.alg === '' || key.alg === alg) && isSignedBy(token, key.key, algorithm),
    )
  }
}

function verifySecret(hash: string): Builtin {
  return (operands) => {
    const secret = textAt(operands, 1)
    const [header, payload, signature] = partsOf(textAt(operands, 0))
    return isSealed(`${header}.${payload}`, base64url(signature), secret, hash)
  }
}

/** [valid, header, payload] */
function decodeVerify(operands: Operands): RegoValue {
  const constraints = objectAt(operands, 1)
  for (const [name] of constraints.entries)
    if (typeof name !== 'string' || !CONSTRAINTS.has(name)) fail('an unknown constraint')
  const constraint = (name: string): string => {
    const value = constraints.get(name) ?? ''
    return typeof value === 'string' ? value : fail(`${name} must be a string`)
  }
  const cert = constraints.get('cert') === undefined ? undefined : keysOf(constraint('cert'))
  const secret = constraint('secret')
  const time = constraints.get('time')
  if (time !== undefined && (!isNumber(time) || time < 0)) fail('time must be a number')
  if ((cert === undefined) === (secret === '')) fail('one key constraint is needed')
  const unverified: RegoValue = [false, new RegoObject([]), new RegoObject([])]
  let token = parseToken(textAt(operands, 0))
  for (let depth = 0; ; depth++) {
    const alg = headerText(token.header, 'alg')
    if (alg === '' || criticalUnknown(token.header)) return unverified
    if (constraint('alg') !== '' && constraint('alg') !== alg) return unverified
    const valid =
      cert === undefined ? isSealedAs(token, alg, secret) : isSignedByOne(token, alg, cert)
    if (!valid) return unverified
    if (headerText(token.header, 'cty').toUpperCase() !== 'JWT') break
    if (depth >= MAX_NESTED) fail('tokens nest too deep')
    token = parseToken(token.payload())
  }
  const payload = objectOfJson(token.payload())
  if (!claimsHold(payload, constraint('iss'), constraint('aud'))) return unverified
  if (!timeHolds(payload, time)) return unverified
  return [true, token.header, payload]
}

function claimsHold(payload: RegoObject, issuer: string, audience: string): boolean {
  if (issuer !== '' && payload.get('iss') !== issuer) return false
  const claimed = payload.get('aud')
  if (claimed === undefined) return audience === ''
  if (typeof claimed === 'string') return claimed === audience
  return claimed !== null && isArray(claimed) && claimed.includes(audience)
}

function timeHolds(payload: RegoObject, time: RegoValue | undefined): boolean {
  const expires = payload.get('exp')
  const begins = payload.get('nbf')
  if (expires === undefined && begins === undefined) return true
  if (time === undefined || !isNumber(time)) {
    // The clock is no input of a policy: the same input must always give the same answer.
    throw new BuiltinLimit(
      'io.jwt.decode_verify needs the constraint "time" for a token that expires',
    )
  }
  const seconds = Number(time) / 1e9
  if (expires !== undefined && !isNumber(expires)) fail('exp must be a number')
  if (begins !== undefined && !isNumber(begins)) fail('nbf must be a number')
  return (
    (expires === undefined || compare(seconds, expires) < 0) &&
    (begins === undefined || compare(seconds, begins) >= 0)
  )
}

function partsOf(text: string): [string, string, string] {
  if (text.length > MAX_TOKEN) fail('the token is too long')
  const [header, payload, signature, ...more] = text.split('.')
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0)
    return fail('a token has three parts')
  return [header, payload, signature]
}

function parseToken(text: string): Token {
  const [header, payload, signature] = partsOf(text)
  return {
    signed: `${header}.${payload}`,
    header: headerOf(header),
    payload: () => base64url(payload).toString(),
    signature: base64url(signature),
  }
}

function headerOf(part: string): RegoObject {
  const header = objectOfJson(base64url(part).toString())
  return header.get('enc') === undefined ? header : fail('an encrypted token')
}

function objectOfJson(text: string): RegoObject {
  const value = readJson(text)
  return value instanceof RegoObject ? value : fail('no JSON object')
}

/** Padding may be absent; anything else that is no base64url fails. */
function base64url(text: string): Buffer {
  const bare = text.replace(/={0,2}$/, '')
  if (!/^[\w-]*$/.test(bare) || bare.length % 4 === 1) fail('no base64url')
  if (bare.length !== text.length && text.length % 4 !== 0) fail('no base64url')
  return Buffer.from(bare, 'base64url')
}

function headerText(header: RegoObject, name: string): string {
  const value = header.get(name) ?? ''
  return typeof value === 'string' ? value : fail(`${name} must be a string`)
}

/** RFC 7515 section 4.1.11: a critical parameter that is not known. */
function criticalUnknown(header: RegoObject): boolean {
  const critical = header.get('crit')
  if (critical === undefined) return false
  if (critical === null || !isArray(critical)) return fail('crit must be a list')
  const known = new Set(['alg', 'kid', 'typ', 'cty', 'crit'])
  return header.entries.some(
    ([name]) => typeof name === 'string' && !known.has(name) && critical.includes(name),
  )
}

function isSignedByOne(token: Token, alg: string, keys: readonly VerificationKey[]): boolean {
  const algorithm = algorithmOf(alg)
  if (algorithm === undefined) return false
  const kid = headerText(token.header, 'kid')
  const named = kid === '' ? undefined : keys.find((key) => key.kid === kid)
  if (named !== undefined) return isSignedBy(token, named.key, algorithm)
  return keys.some(
    (key) => (key.alg === '' || key.alg === alg) && isSignedBy(token, key.key, algorithm),
  )
}

function algorithmOf(alg: string): Algorithm | undefined {
  if (alg === 'EdDSA') return { hash: null, type: 'ed25519' }
  const hash = HASHES[alg.slice(2)]
  const type = { RS: 'rsa', PS: 'rsa-pss', ES: 'ec' }[alg.slice(0, 2)]
  return hash === undefined || type === undefined
    ? undefined
    : { hash, type: type as Algorithm['type'] }
}

function isSealedAs(token: Token, alg: string, secret: string): boolean {
  const hash = alg.startsWith('HS') ? HASHES[alg.slice(2)] : undefined
  return hash !== undefined && isSealed(token.signed, token.signature, secret, hash)
}

function isSealed(signed: string, signature: Buffer, secret: string, hash: string): boolean {
  const expected = createHmac(hash, secret).update(signed).digest()
  return expected.length === signature.length && timingSafeEqual(expected, signature)
}

function isSignedBy(token: Token, key: KeyObject, { hash, type }: Algorithm): boolean {
  const kind = type === 'rsa-pss' ? 'rsa' : type
  if (key.asymmetricKeyType !== kind) return false
  const data = Buffer.from(token.signed)
  try {
    if (type === 'ec')
      return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, token.signature)
    if (type === 'rsa-pss')
      return verify(
        hash,
        data,
        {
          key,
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_AUTO,
        },
        token.signature,
      )
    return verify(hash, data, key, token.signature)
  } catch {
    return false
  }
}

/** A PEM certificate or public key, a JWK, or a set of JWKs. */
function keysOf(text: string): VerificationKey[] {
  if (text.includes('-----BEGIN')) {
    // As Go's reader: one block, and nothing behind its last line.
    if (/-----END [^-\n]+-----[ \t\r]*\n./s.test(text)) return fail('data after the certificate')
    try {
      const certificate = text.includes('-----BEGIN CERTIFICATE-----')
      if (!certificate && !text.includes('-----BEGIN PUBLIC KEY-----')) return fail('no public key')
      const key = certificate ? new X509Certificate(text).publicKey : createPublicKey(text)
      return [{ alg: '', kid: '', key }]
    } catch {
      return fail('a malformed certificate')
    }
  }
  const parsed = readJson(text)
  if (!(parsed instanceof RegoObject)) return fail('no key')
  const list = parsed.get('keys')
  const members =
    list === undefined ? [parsed] : list !== null && isArray(list) ? list : fail('no keys')
  return members.flatMap((member): VerificationKey[] => {
    if (!(member instanceof RegoObject)) return fail('no key')
    const alg = member.get('alg') ?? ''
    const kid = member.get('kid') ?? ''
    if (typeof alg !== 'string' || typeof kid !== 'string') return fail('a malformed key')
    if (alg !== '' && algorithmOf(alg) === undefined) return []
    try {
      return [
        { alg, kid, key: createPublicKey({ key: toJson(member) as JsonWebKey, format: 'jwk' }) },
      ]
    } catch {
      return fail('a malformed key')
    }
  })
}
