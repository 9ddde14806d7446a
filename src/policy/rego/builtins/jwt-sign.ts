// What do io.jwt.encode_sign and its raw form answer? Signatures that the same input always gives:
// HMAC, RSA with PKCS #1, EdDSA. Others hold random bits and are an error of the policy.

import { createHmac, createPrivateKey, type JsonWebKey, sign } from 'node:crypto'
import { isArray, RegoObject, type RegoValue, toJson } from '../value.ts'
import { readJson, writeJson } from './json-text.ts'
import {
  BuiltinLimit,
  type BuiltinTable,
  fail,
  type Operands,
  textAt,
  valueAt,
} from './operands.ts'

const ALGORITHM = /^(?:(?:HS|RS|PS|ES)(?:256|384|512)|EdDSA)$/

export const JWT_SIGN_BUILTINS: BuiltinTable = {
  'io.jwt.encode_sign': (operands) =>
    encoded(
      writeJson(valueAt(operands, 0)),
      writeJson(valueAt(operands, 1)),
      writeJson(valueAt(operands, 2)),
    ),
  'io.jwt.encode_sign_raw': (operands: Operands) =>
    encoded(textAt(operands, 0), textAt(operands, 1), textAt(operands, 2)),
}

function encoded(header: string, payload: string, keyText: string): RegoValue {
  const key = firstKey(keyText)
  const fields = readJson(header)
  if (!(fields instanceof RegoObject)) return fail('the header must be an object')
  const alg = fields.get('alg') ?? null
  if (typeof alg !== 'string' || !ALGORITHM.test(alg)) return fail('an unknown algorithm')
  const typ = fields.get('typ')
  if ((typeof typ !== 'string' || typ === 'JWT') && readJson(payload) === undefined)
    fail('the payload must be JSON')
  const signed = [header, payload].map((part) => Buffer.from(part).toString('base64url')).join('.')
  return `${signed}.${signatureOf(signed, alg, key).toString('base64url')}`
}

function firstKey(text: string): JsonWebKey {
  const parsed = readJson(text)
  if (!(parsed instanceof RegoObject)) return fail('no key')
  const keys = parsed.get('keys')
  const key = keys !== undefined && keys !== null && isArray(keys) ? keys[0] : parsed
  return key instanceof RegoObject ? (toJson(key) as JsonWebKey) : fail('no key')
}

function signatureOf(signed: string, alg: string, key: JsonWebKey): Buffer {
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith('HS')) {
    if (key.kty !== 'oct' || typeof key.k !== 'string') return fail('a secret is needed')
    return createHmac(hash, Buffer.from(key.k, 'base64url')).update(signed).digest()
  }
  const wanted = { RS: 'RSA', PS: 'RSA', ES: 'EC' }[alg.slice(0, 2)] ?? 'OKP'
  if (key.kty !== wanted) fail('the key does not fit the algorithm')
  if (alg.startsWith('PS') || alg.startsWith('ES'))
    throw new BuiltinLimit(`${alg} signatures are random: the same input must give the same answer`)
  try {
    const secret = createPrivateKey({ key, format: 'jwk' })
    return sign(alg === 'EdDSA' ? null : hash, Buffer.from(signed), secret)
  } catch {
    return fail('the key cannot sign')
  }
}
