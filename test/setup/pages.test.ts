// Cordon's own pages: what is where, and that nothing of a caller gets into them.

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type SetupFacts, proxyUrlOf } from '../../src/setup/facts.ts'
import { fieldsOf, OwnPages, type PageAnswer, WELL_KNOWN } from '../../src/setup/pages.ts'
import { certificatesOf } from '../../src/setup/pem.ts'
import { TOOLS } from '../../src/setup/tools.ts'

const OWN = 'http://proxy.acme.example:3128'

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
    join(dir, 'key.pem'),
    '-out',
    join(dir, 'ca.pem'),
    '-days',
    '30',
    '-subj',
    '/O=Acme <b>/CN=Acme & root',
  ],
  { stdio: 'ignore' },
)
const ROOT = readFileSync(join(dir, 'ca.pem'), 'utf8')

function pages(more: Partial<SetupFacts> = {}): OwnPages {
  return new OwnPages({
    proxyUrl: (host) => proxyUrlOf(host, OWN),
    roots: () => ROOT,
    interceptedHosts: () => ['api.openai.com', 'chatgpt.com'],
    aiHosts: () => ({ domains: ['chatgpt.com'], patterns: [] }),
    needsLogin: false,
    contact: 'ai-help@acme.example',
    version: '0.0.0',
    ...more,
  })
}

function got(answer: PageAnswer | undefined): PageAnswer {
  if (answer === undefined) throw new Error('there is no such page')
  return answer
}

t.test('each page is on the proxy port and on an intercepted host', async (t) => {
  for (const [name, type, part] of [
    ['setup', 'text/html; charset=utf-8', '<!doctype html>'],
    ['proxy.pac', 'application/x-ns-proxy-autoconfig', 'return proxy;'],
    ['proxy-ai.pac', 'application/x-ns-proxy-autoconfig', '"chatgpt.com":1'],
    ['wpad.dat', 'application/x-ns-proxy-autoconfig', 'return proxy;'],
    ['ca.pem', 'application/x-pem-file', '-----BEGIN CERTIFICATE-----'],
    ['ca.cer', 'application/x-x509-ca-cert', ''],
  ] as const) {
    for (const path of [`/${name}`, WELL_KNOWN + name]) {
      const answer = got(pages().page(path, undefined))
      t.equal(answer.status, 200, path)
      t.equal(answer.contentType, type, path)
      t.ok(answer.body.includes(part), path)
      const fields = new Map(fieldsOf(answer))
      t.match(fields.get('Content-Security-Policy'), "default-src 'none'")
      t.equal(fields.get('Cache-Control'), 'no-store')
    }
  }
  t.strictSame(
    new X509Certificate(got(pages().page('/ca.cer', undefined)).body).raw,
    certificatesOf(ROOT)[0]?.raw,
  )
  for (const path of [
    '/',
    '/nothing',
    '/.well-known/cordon/nothing',
    '/.well-known/cordon',
    'setup',
    '*',
    '',
    '/setup/',
    '//setup',
    '/.well-known/cordon/.well-known/cordon/setup',
  ])
    t.equal(pages().page(path, undefined), undefined, path)
})

t.test('it is only read', async (t) => {
  t.equal(got(pages().page('/setup', undefined, 'HEAD')).status, 200)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'get']) {
    const answer = got(pages().page('/setup', undefined, method))
    t.equal(answer.status, 405)
    t.equal(new Map(fieldsOf(answer)).get('Allow'), 'GET, HEAD')
  }
})

t.test('a program can find everything', async (t) => {
  const answer = got(pages({ needsLogin: true }).page('/.well-known/cordon/', undefined))
  t.strictSame(JSON.parse(String(answer.body)), {
    name: 'cordon',
    version: '0.0.0',
    proxy: OWN,
    pac: `${OWN}/proxy.pac`,
    setup: `${OWN}/setup`,
    intercepts: true,
    credentials: 'basic',
    ca: `${OWN}/ca.pem`,
    ca_sha256: [new X509Certificate(ROOT).fingerprint256],
    contact: 'ai-help@acme.example',
  })
})

t.test('a proxy that tunnels has nothing to trust, and says so', async (t) => {
  const tunnels = pages({ roots: () => undefined, interceptedHosts: () => undefined })
  t.equal(got(tunnels.page('/ca.pem', undefined)).status, 404)
  t.equal(got(tunnels.page('/ca.cer', undefined)).status, 404)
  const page = String(got(tunnels.page('/setup', undefined)).body)
  t.match(page, /No certificate is needed/)
  t.notMatch(page, /ca\.pem|NODE_EXTRA_CA_CERTS=|CA_BUNDLE=/)
})

t.test('the page names every tool, the certificate and whom to ask', async (t) => {
  const page = String(
    got(pages({ needsLogin: true }).page('/setup', 'proxy.acme.example:3128')).body,
  )
  for (const { name } of TOOLS)
    t.ok(page.includes(`<summary>${name} `) || page.includes(name.replaceAll('&', '&#38;')), name)
  t.ok(page.includes(new X509Certificate(ROOT).fingerprint256))
  t.ok(page.includes('Acme &#38; root'))
  t.ok(page.includes('mailto:ai-help@acme.example'))
  t.ok(page.includes('http://NAME:TOKEN@proxy.acme.example:3128'))
  t.notMatch(page, /<script|<img|<link|src=|javascript:/i)
})

t.test('the proxy has the name by which it was reached, if that is one', async (t) => {
  for (const [host, url] of [
    ['127.0.0.1:3128', 'http://127.0.0.1:3128'],
    ['Proxy.Acme.Example:8080', 'http://proxy.acme.example:8080'],
    ['proxy', 'http://proxy:80'],
    ['[::1]:3128', 'http://[::1]:3128'],
    [undefined, OWN],
  ] as const)
    t.equal(proxyUrlOf(host, OWN), url)
  for (const evil of [
    '',
    'a b',
    'a"b',
    'a/b',
    'user@host',
    'a:99999',
    "a';alert(1)//",
    '<script>alert(1)</script>',
    'a\r\nb',
    '[::1',
    'a,b',
    'a'.repeat(300),
    '%31',
    'a:80:80',
    '0x7f.1.1.1.1',
  ]) {
    t.equal(proxyUrlOf(evil, OWN), OWN, JSON.stringify(evil))
    for (const name of ['setup', 'proxy.pac', 'proxy-ai.pac'])
      t.strictSame(pages().page(`/${name}`, evil), pages().page(`/${name}`, undefined))
  }
})
