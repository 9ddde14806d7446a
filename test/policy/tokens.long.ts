// Are tokens decoded, verified and signed as OPA does it? Keys and tokens are made here.

import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import t from 'tap'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { fromJson } from '../../src/policy/rego/value.ts'
import { askBoth, type BuiltinCall } from '../support/differential.ts'
import { withoutOpa } from '../support/policy-folder.ts'

const SECRET = randomBytes(24).toString('hex')
const CLAIMS = [
  { iss: 'issuer', aud: 'me', exp: 2_000_000_000, nbf: 1_000_000_000, n: 9007199254740991 },
  { iss: 'issuer', aud: ['me', 'you'] },
  { exp: 1.5 },
  { nbf: 3_000_000_000 },
  {},
]
const TIMES = [0, 1_500_000_000, 2_500_000_000]

interface Signer {
  readonly alg: string
  readonly key: string
  readonly sign: (text: string) => Buffer
}

function pair(kind: 'rsa' | 'ec' | 'ed25519', curve = 'P-256'): { pem: string; key: KeyObject } {
  const { publicKey, privateKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : kind === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: curve })
        : generateKeyPairSync('ed25519')
  return { pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), key: privateKey }
}

const RSA = pair('rsa')
const EC = pair('ec')
const ED = pair('ed25519')
const SIGNERS: readonly Signer[] = [
  ...[256, 384, 512].map((bits) => ({
    alg: `HS${bits}`,
    key: SECRET,
    sign: (text: string) => createHmac(`sha${bits}`, SECRET).update(text).digest(),
  })),
  ...[256, 512].map((bits) => ({
    alg: `RS${bits}`,
    key: RSA.pem,
    sign: (text: string) => sign(`sha${bits}`, Buffer.from(text), RSA.key),
  })),
  {
    alg: 'PS256',
    key: RSA.pem,
    sign: (text) => sign('sha256', Buffer.from(text), { key: RSA.key, padding: 6, saltLength: 32 }),
  },
  {
    alg: 'ES256',
    key: EC.pem,
    sign: (text) => sign('sha256', Buffer.from(text), { key: EC.key, dsaEncoding: 'ieee-p1363' }),
  },
  { alg: 'EdDSA', key: ED.pem, sign: (text) => sign(null, Buffer.from(text), ED.key) },
]

function token(signer: Signer, claims: unknown, header: object = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: signer.alg, typ: 'JWT', ...header })}.${part(claims)}`
  return `${text}.${signer.sign(text).toString('base64url')}`
}

function callsFor(signer: Signer): readonly BuiltinCall[] {
  const verify = `io.jwt.verify_${signer.alg.toLowerCase()}`
  const keyed = signer.alg.startsWith('HS') ? { secret: signer.key } : { cert: signer.key }
  const wrong = signer.alg.startsWith('HS') ? `${SECRET}x` : pair('ec').pem
  return CLAIMS.flatMap((claims) => {
    const good = token(signer, claims)
    const [head = '', body = '', seal = ''] = good.split('.')
    const odd = [
      good,
      `${head}.${body}.${seal.slice(0, -4)}AAAA`,
      `${head}.${body}`,
      `${head}.${body}x.${seal}`,
      token(signer, claims, { alg: 'none' }),
      token(signer, claims, { crit: ['x'], x: 1 }),
      '',
    ]
    return [
      ...odd.map((text) => ({ name: 'io.jwt.decode', args: [text] })),
      ...odd.map((text) => ({ name: verify, args: [text, signer.key] })),
      { name: verify, args: [good, wrong] },
      ...TIMES.flatMap((seconds) =>
        [
          {},
          { alg: signer.alg },
          { alg: 'HS999' },
          { iss: 'issuer' },
          { iss: 'x' },
          { aud: 'me' },
          { odd: 1 },
        ].map((extra) => ({
          name: 'io.jwt.decode_verify',
          args: [good, { ...keyed, time: seconds * 1e9, ...extra }],
        })),
      ),
    ]
  })
}

t.test('decoding and verification are OPA’s', { skip: withoutOpa() }, async (t) => {
  const calls = SIGNERS.flatMap(callsFor)
  const differences = (await askBoth(calls)).filter(({ opa, own }) => opa !== own)
  t.comment(`${calls.length} calls`)
  t.same(
    differences.map(({ call, opa, own }) => ({ call: call.slice(0, 200), opa, own })).slice(0, 5),
    [],
  )
})

t.test('what is signed here is what OPA signs', { skip: withoutOpa() }, async (t) => {
  const jwk = { kty: 'oct', k: Buffer.from(SECRET).toString('base64url') }
  const rsa = RSA.key.export({ format: 'jwk' }) as object
  const calls = CLAIMS.flatMap((claims) => [
    ...['HS256', 'HS384', 'HS512'].map((alg) => ({
      name: 'io.jwt.encode_sign',
      args: [{ typ: 'JWT', alg }, claims, jwk],
    })),
    { name: 'io.jwt.encode_sign', args: [{ alg: 'RS256' }, claims, rsa] },
    {
      name: 'io.jwt.encode_sign_raw',
      args: ['{"alg":"HS256","typ":"JWT"}', JSON.stringify(claims), JSON.stringify(jwk)],
    },
    { name: 'io.jwt.encode_sign', args: [{ alg: 'odd' }, claims, jwk] },
  ])
  const differences = (await askBoth(calls)).filter(({ opa, own }) => opa !== own)
  t.same(differences.slice(0, 3), [])
})

t.test(
  'an algorithm whose signatures are random is an error, not a new answer each time',
  async (t) => {
    const builtins = createHostBuiltins()
    const jwk = EC.key.export({ format: 'jwk' }) as Record<string, unknown>
    t.throws(() => builtins.call('io.jwt.encode_sign', [{ alg: 'ES256' }, {}, jwk].map(fromJson)))
  },
)
