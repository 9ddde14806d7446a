// TLS opened: what a client meets inside, over HTTP/1.1 and HTTP/2, and what reaches the origin.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import t, { type Test } from 'tap'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { Interception } from '../../src/signatures/interception.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { DENIED, startRig } from '../support/proxy-rig.ts'
import { anAuthority, type Answering, TlsOrigin } from '../support/tls-origin.ts'

const HOST = 'api.openai.example'

async function set(
  t: Test,
  options: {
    readonly answering?: Answering
    readonly plain?: boolean
    readonly rig?: Parameters<typeof startRig>[0]
  } = {},
) {
  const origin = await new TlsOrigin(HOST, options.answering, {
    plain: options.plain === true,
  }).listen()
  const authority = anAuthority('Proxy', ['openai.example'])
  const context = createSecureContext({ ca: origin.authority.rootCert })
  const rig = await startRig({
    wording: { parseTarget, refusalOf, closeReason: webSocketReason },
    trust: { contextFor: () => context },
    router: {
      check: () => undefined,
      route: () => ({ address: '127.0.0.1', port: origin.port, family: 4 }),
    },
    interception: {
      selection: new Interception(
        { services: ['*.openai.example'], never: [] },
        new Catalogue([]),
        [],
      ),
      issuer: new Issuer(authority),
      ticketKeys: Buffer.alloc(48, 7),
    },
    ...options.rig,
  })
  const dir = mkdtempSync(join(tmpdir(), 'cordon-intercept-'))
  const ca = join(dir, 'ca.pem')
  writeFileSync(ca, authority.rootCert)
  t.teardown(async () => {
    await rig.close()
    origin.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const curl = (...args: string[]) =>
    run(
      'curl',
      '-sS',
      '--max-time',
      '10',
      '-x',
      `http://127.0.0.1:${rig.port}`,
      '--suppress-connect-headers',
      '--cacert',
      ca,
      ...args,
    )
  return { ...rig, origin, authority, ca, curl }
}

function run(file: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(file, args, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    )
  })
}

t.test('curl over HTTP/1.1 and HTTP/2', async (t) => {
  const { curl, origin, decided } = await set(t)
  for (const [version, flag] of [
    ['1.1', '--http1.1'],
    ['2.0', '--http2'],
  ] as const) {
    const got = await curl(flag, `https://${HOST}/v1/models?a=b`)
    t.equal(got.code, 0, got.err)
    t.equal(got.out, `${version} GET /v1/models?a=b 0`)
    const posted = await curl(flag, '-d', '{"a":1}', `https://${HOST}/v1/other`)
    t.equal(posted.out, `${version} POST /v1/other 7`)
  }
  t.equal(decided.length, 4)
  t.match(decided[0]?.destination, { host: HOST, port: 443, scheme: 'https', path: '/v1/models' })
  t.equal(origin.received[0]?.host, HOST)
})

t.test('an origin that speaks HTTP/1.1 only', async (t) => {
  const { curl } = await set(t, { plain: true })
  const got = await curl('--http2', '-w', '%{http_version}', `https://${HOST}/x`)
  t.equal(got.out, '1.1 GET /x 01.1', 'the client is offered what the origin chose')
})

t.test('a denial inside', async (t) => {
  const { curl, origin } = await set(t, {
    rig: { outcome: () => ({ decision: DENIED, refused: true }) },
  })
  for (const flag of ['--http1.1', '--http2']) {
    const got = await curl(flag, '-i', `https://${HOST}/v1/models`)
    t.match(got.out, /^HTTP\/[\d.]+ 403/)
    t.match(got.out, /x-cordon-decision-id: 0199aaaa/i)
    t.match(got.out, '"code":"policy_denied"')
  }
  t.equal(origin.received.length, 0)
})

t.test('an origin that is not who it says', async (t) => {
  const { curl, origin } = await set(t, {
    rig: {
      trust: { contextFor: () => createSecureContext({ ca: anAuthority('Other').rootCert }) },
    },
  })
  for (const flag of ['--http1.1', '--http2']) {
    const got = await curl(flag, '-i', `https://${HOST}/v1/models`)
    t.match(got.out, /^HTTP\/[\d.]+ 502/, got.err)
    t.match(got.out, /tls_certificate_error/)
  }
  t.equal(origin.received.length, 0)
})

t.test('no other way to the origin is offered', async (t) => {
  const { curl } = await set(t, {
    answering: (_request, response) => {
      response.setHeader('alt-svc', 'h3=":443"; ma=86400')
      response.setHeader('x-other', 'stays')
      response.end('ok')
    },
  })
  for (const flag of ['--http1.1', '--http2']) {
    const { out } = await curl(flag, '-i', `https://${HOST}/`)
    t.match(out, /x-other: stays/i)
    t.notMatch(out, /alt-svc/i)
  }
})
