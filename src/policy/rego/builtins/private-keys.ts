// What do the built-ins over private keys answer? Go's key structures, and JWKs, as JSON.

import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { RegoObject, type RegoValue } from '../value.ts'
import { Der, fromBase64, pemBlocks } from './der.ts'
import { type BuiltinTable, fail, objectOf, type Operands, textAt } from './operands.ts'
import { base64, numberOf } from './x509-parts.ts'
import { certificate } from './x509.ts'

const FORMS: Readonly<Record<string, 'pkcs1' | 'pkcs8' | 'sec1'>> = {
  'RSA PRIVATE KEY': 'pkcs1',
  'PRIVATE KEY': 'pkcs8',
  'EC PRIVATE KEY': 'sec1',
}

export const KEY_BUILTINS: BuiltinTable = {
  'crypto.parse_private_keys': (operands) => {
    const text = textAt(operands, 0)
    return text === '' ? null : keysOf(text).map(goKey)
  },
  'crypto.x509.parse_rsa_private_key': (operands) => {
    const text = textAt(operands, 0)
    if (text === '') fail('no key')
    const [key] = keysOf(text.startsWith('-----BEGIN') ? text : fromBase64(text).toString('latin1'))
    return key === undefined ? null : objectOf(jwkOf(key))
  },
  'crypto.x509.parse_keypair': parseKeyPair,
}

function keysOf(text: string): KeyObject[] {
  let source = text
  if (!text.includes('-----BEGIN')) source = tryBase64(text)
  return pemBlocks(source).flatMap(({ type, bytes }) => {
    const form = FORMS[type]
    if (form === undefined) return []
    try {
      return createPrivateKey({ key: bytes, format: 'der', type: form })
    } catch {
      return fail('a malformed key')
    }
  })
}

function tryBase64(text: string): string {
  const digits = text.replaceAll(/[\r\n]/g, '')
  return /^[A-Za-z0-9+/]*={0,2}$/.test(digits)
    ? Buffer.from(digits, 'base64').toString('latin1')
    : text
}

function jwkOf(key: KeyObject): Record<string, RegoValue> {
  return key.export({ format: 'jwk' }) as Record<string, RegoValue>
}

function goKey(key: KeyObject): RegoValue {
  const jwk = key.export({ format: 'jwk' })
  if (jwk.kty === 'EC')
    return objectOf({
      Curve: new RegoObject([]),
      D: numberOf(jwk.d),
      X: numberOf(jwk.x),
      Y: numberOf(jwk.y),
    })
  if (jwk.kty === 'OKP') {
    const parts = [jwk.d, jwk.x].map((part) => Buffer.from(part ?? '', 'base64url'))
    return base64(Buffer.concat(parts))
  }
  return objectOf({
    D: numberOf(jwk.d),
    E: numberOf(jwk.e),
    N: numberOf(jwk.n),
    Primes: [numberOf(jwk.p), numberOf(jwk.q)],
    Precomputed: objectOf({
      Dp: numberOf(jwk.dp),
      Dq: numberOf(jwk.dq),
      Qinv: numberOf(jwk.qi),
      CRTValues: [],
    }),
  })
}

function parseKeyPair(operands: Operands): RegoValue {
  const blocks = pemOf(textAt(operands, 0), 'CERTIFICATE').filter(
    ({ type }) => type === 'CERTIFICATE',
  )
  const [leaf] = blocks
  const key = pemOf(textAt(operands, 1), 'PRIVATE KEY').find(({ type }) =>
    type.endsWith('PRIVATE KEY'),
  )
  if (leaf === undefined || key === undefined) return fail('no pair')
  const secret = anyKey(key.bytes)
  try {
    const spki = { format: 'der', type: 'spki' } as const
    const own = createPublicKey(secret).export(spki)
    if (!new X509Certificate(leaf.bytes).publicKey.export(spki).equals(own)) fail('no pair')
  } catch {
    return fail('no pair')
  }
  return objectOf({
    Certificate: blocks.map(({ bytes }) => base64(bytes)),
    PrivateKey: goKey(secret),
    SupportedSignatureAlgorithms: null,
    OCSPStaple: null,
    SignedCertificateTimestamps: null,
    Leaf: certificate(Der.one(leaf.bytes)),
  })
}

function pemOf(text: string, type: string): { type: string; bytes: Buffer }[] {
  if (text.startsWith('-----BEGIN ')) return pemBlocks(text)
  const bytes = fromBase64(text)
  return bytes.subarray(0, 10).toString('latin1') === '-----BEGIN'
    ? pemBlocks(bytes.toString('latin1'))
    : [{ type, bytes }]
}

function anyKey(bytes: Buffer): KeyObject {
  for (const type of ['pkcs1', 'pkcs8', 'sec1'] as const) {
    try {
      return createPrivateKey({ key: bytes, format: 'der', type })
    } catch {
      continue
    }
  }
  return fail('a malformed key')
}
