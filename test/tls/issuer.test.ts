// Leaves and what OpenSSL says of them.

import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { Issuer } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'
import { verified } from '../support/verify.ts'

const DAY_MS = 86_400_000
const limited = testAuthority(['openai.com', 'anthropic.com'])
const free = testAuthority()

t.test('a leaf is what clients ask of one', async (t) => {
  const issuer = new Issuer(limited)
  const { cert, key, notAfter } = issuer.issue('api.openai.com')
  const leaf = new X509Certificate(cert)
  const issuing = new X509Certificate(limited.chain)
  t.equal(leaf.subjectAltName, 'DNS:api.openai.com')
  t.equal(leaf.ca, false)
  t.same(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'for TLS servers')
  t.ok(leaf.checkIssued(issuing))
  t.ok(leaf.verify(issuing.publicKey))
  t.not(key, limited.key, 'the key is not that of the authority')
  t.equal(leaf.validToDate.getTime(), Math.floor(notAfter / 1000) * 1000)
  const life = leaf.validToDate.getTime() - leaf.validFromDate.getTime()
  t.ok(life <= 90 * DAY_MS, 'at most 90 days')
  t.ok(leaf.validFromDate.getTime() <= Date.now() - DAY_MS + 5000, 'clocks may be a day late')
  t.equal(leaf.publicKey.asymmetricKeyType, 'ec')
  const other = issuer.issue('api.openai.com')
  t.not(new X509Certificate(other.cert).serialNumber, leaf.serialNumber)
  t.ok(leaf.serialNumber.length > 24, 'of 128 bits')
  t.equal(other.key, key, 'one key for all leaves')
  t.not(new Issuer(limited).issue('api.openai.com').key, key, 'of one issuer')
})

t.test('openssl accepts it strictly, for its host alone', async (t) => {
  const issuer = new Issuer(limited)
  const long = `${'a'.repeat(60)}.openai.com`
  for (const host of ['openai.com', 'api.openai.com', 'a_b.anthropic.com', long]) {
    t.equal(await verified(issuer.issue(host), host, limited.rootCert), true, host)
  }
  const leaf = issuer.issue('api.openai.com')
  t.match(await verified(leaf, 'openai.com', limited.rootCert), /mismatch/i)
  t.match(await verified(leaf, 'api.openai.com', free.rootCert), /unable to get/)
  for (const host of ['10.1.2.3', '2001:db8::1', 'a.internal'])
    t.equal(await verified(new Issuer(free).issue(host), host, free.rootCert), true)
})

t.test('a limited authority issues for its domains and nothing else', async (t) => {
  const issuer = new Issuer(limited)
  t.same(issuer.constrainedTo, ['openai.com', 'anthropic.com'])
  t.equal(new Issuer(free).constrainedTo, undefined)
  for (const host of ['openai.com', 'a.b.openai.com', 'anthropic.com'])
    t.equal(issuer.mayIssue(host), true, host)
  const others = ['evilopenai.com', 'com', 'openai.com.evil.test', '10.0.0.1', '::1', '[::1]']
  for (const host of [
    ...others,
    '',
    'a..openai.com',
    'a b.openai.com',
    '*.openai.com',
    '\0.openai.com',
  ]) {
    t.equal(issuer.mayIssue(host), false, JSON.stringify(host))
    t.throws(() => issuer.issue(host), { code: 'AUTHORITY_INVALID' }, JSON.stringify(host))
  }
  t.throws(() => issuer.issue('bank.test'), /cordon ca rotate/)
  t.equal(new Issuer(free).mayIssue('10.0.0.1'), true)
  t.equal(new Issuer(free).mayIssue('a b'), false)
})

t.test('an authority that has expired, or a key of another one, issues nothing', async (t) => {
  const old = testAuthority(undefined, Date.now() - 370 * DAY_MS)
  t.throws(() => new Issuer(old).issue('a.test'), { code: 'AUTHORITY_INVALID' })
  t.throws(() => new Issuer({ ...limited, key: free.key }), { code: 'AUTHORITY_INVALID' })
  t.throws(() => new Issuer({ ...limited, chain: '', rootCert: '' }), { code: 'AUTHORITY_INVALID' })
  const late = testAuthority(undefined, Date.now() - 300 * DAY_MS)
  const leaf = new X509Certificate(new Issuer(late).issue('a.test').cert)
  t.equal(leaf.validTo, new X509Certificate(late.chain).validTo, 'never beyond the issuer')
})
