// Environments as people have them, and what the doctor says of each.

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { getCACertificates } from 'node:tls'
import t from 'tap'
import { environmentFindings, type Finding } from '../../src/setup/environment.ts'

const dir = t.testdir()
execFileSync(
  'openssl',
  [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'k.pem',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=root',
  ],
  { cwd: dir, stdio: 'ignore' },
)
const root = new X509Certificate(execFileSync('cat', ['ca.pem'], { cwd: dir }))
const system = getCACertificates('bundled').slice(0, 25).join('\n')
const FILES: Readonly<Record<string, string>> = {
  '/ca.pem': root.toString(),
  '/bundle.pem': `${system}\n${root.toString()}`,
  '/system.pem': system,
}
const PROXY = 'http://10.0.0.1:3128'
const WELL = {
  HTTPS_PROXY: PROXY,
  HTTP_PROXY: 'http://maya:token@10.0.0.1:3128',
  http_proxy: 'http://maya:token@10.0.0.1:3128',
  NO_PROXY: 'localhost, 127.0.0.1,::1,.internal.example',
  WSS_PROXY: PROXY,
  NODE_USE_ENV_PROXY: '1',
  NODE_EXTRA_CA_CERTS: '/ca.pem',
  SSL_CERT_FILE: '/bundle.pem',
  REQUESTS_CA_BUNDLE: '/bundle.pem',
}

function of(env: Record<string, string | undefined>, intercepts = true): readonly Finding[] {
  return environmentFindings({
    env,
    proxy: PROXY,
    host: 'api.openai.com',
    roots: intercepts ? [root.fingerprint256] : [],
    read: (path) => FILES[path],
  })
}

t.test('a right environment has nothing to be said of', async (t) => {
  t.strictSame(
    of(WELL).map(({ state }) => state),
    ['ok'],
  )
  const tunnelling = {
    ...WELL,
    NODE_EXTRA_CA_CERTS: undefined,
    SSL_CERT_FILE: undefined,
    REQUESTS_CA_BUNDLE: undefined,
  }
  t.strictSame(
    of(tunnelling, false).map(({ state }) => state),
    ['ok'],
  )
  t.strictSame(
    of({}).map(({ state }) => state),
    ['warning'],
    'none at all is one finding',
  )
})

t.test('each contradiction and each gap is one finding with a fix', async (t) => {
  const cases: readonly (readonly [
    Record<string, string | undefined>,
    Finding['state'],
    RegExp,
  ])[] = [
    [
      { https_proxy: 'http://maya:token@10.0.0.1:3128' },
      'wrong',
      /HTTPS_PROXY and https_proxy differ/,
    ],
    [{ no_proxy: 'localhost' }, 'wrong', /NO_PROXY and no_proxy differ/],
    [{ HTTPS_PROXY: 'https://10.0.0.1:3128' }, 'wrong', /begins with https:\/\//],
    [{ HTTPS_PROXY: '10.0.0.1:3128' }, 'wrong', /no scheme/],
    [{ HTTPS_PROXY: 'http://10.0.0.2:3128' }, 'wrong', /another proxy \(10\.0\.0\.2:3128\)/],
    [{ ALL_PROXY: 'socks5://10.0.0.1:1080' }, 'wrong', /ALL_PROXY begins with socks5/],
    [{ HTTPS_PROXY: '' }, 'warning', /HTTPS_PROXY is not set/],
    [{ http_proxy: undefined }, 'warning', /small letters only/],
    [{ NO_PROXY: '*' }, 'wrong', /nothing goes through/],
    [
      { NO_PROXY: 'localhost,127.0.0.1,.openai.com' },
      'wrong',
      /\.openai\.com: api\.openai\.com goes past/,
    ],
    [{ NO_PROXY: 'localhost,127.0.0.1,api.openai.com:443' }, 'wrong', /goes past/],
    [{ NO_PROXY: '' }, 'warning', /lacks localhost/],
    [{ NODE_USE_ENV_PROXY: undefined }, 'warning', /fetch of Node/],
    [{ WSS_PROXY: undefined }, 'warning', /aiohttp/],
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'wrong', /checking of certificates off/],
    [{ NODE_EXTRA_CA_CERTS: undefined }, 'warning', /NODE_EXTRA_CA_CERTS is not set/],
    [{ NODE_EXTRA_CA_CERTS: '/absent.pem' }, 'wrong', /cannot be read/],
    [{ NODE_EXTRA_CA_CERTS: '/system.pem' }, 'wrong', /lacks the root/],
    [{ SSL_CERT_FILE: '/ca.pem' }, 'wrong', /little but the root/],
    [{ CURL_CA_BUNDLE: '/system.pem' }, 'wrong', /curl will not trust/],
    [{ SSL_CERT_FILE: undefined }, 'wrong', /requests trusts, httpx and the SDKs do not/],
    [{ REQUESTS_CA_BUNDLE: undefined }, 'warning', /certifi alone/],
    [
      { SSL_CERT_FILE: undefined, REQUESTS_CA_BUNDLE: undefined },
      'warning',
      /SSL_CERT_FILE is not set/,
    ],
  ]
  for (const [change, state, text] of cases) {
    const found = of({ ...WELL, ...change })
    t.match(found, [{ state, text, fix: String }], JSON.stringify(change))
    t.equal(found.length, 1, JSON.stringify(change))
    t.notMatch(JSON.stringify(found), /token@/, 'no token is repeated')
  }
  t.equal(of({ ...WELL, NODE_EXTRA_CA_CERTS: undefined, NODE_USE_SYSTEM_CA: '1' })[0]?.state, 'ok')
  t.equal(
    of({ ...WELL, NO_PROXY: 'localhost,127.0.0.1,ai.com,openai.co' })[0]?.state,
    'ok',
    'a look-alike covers nothing',
  )
})
