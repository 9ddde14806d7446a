// `cordon doctor` over real sockets, against a stand-in that serves what an intercepting Cordon does, well or badly.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createTls } from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { getCACertificates } from 'node:tls'
import t from 'tap'
import type { Check } from '../../src/cli/doctor-checks.ts'
import { proxyUrlOf } from '../../src/setup/facts.ts'
import { OwnPages } from '../../src/setup/pages.ts'
import {
  Echo,
  echoFields,
  EVENT_COUNT,
  EVENT_FIELDS,
  EVENT_PAUSE_MS,
  eventText,
  PROBE_ECHO,
  PROBE_EVENTS,
} from '../../src/setup/probe.ts'
import { run } from '../support/command-line.ts'
import { cordon } from '../support/cordon.ts'
import { makeAuthority } from '../support/test-authority.ts'

const dir = t.testdir()
writeFileSync(join(dir, 'cordon.yaml'), '')
const authority = makeAuthority(dir, ['chat.acme.test'])
writeFileSync(join(dir, 'bundle.pem'), [...getCACertificates('bundled'), authority.root].join('\n'))
const URL_ARGS = ['--url', 'https://chat.acme.test/']

/** Whatever this machine has. */
const NOT_SET = Object.fromEntries(
  [
    'CURL_CA_BUNDLE',
    'GIT_SSL_CAINFO',
    'PIP_CERT',
    'AWS_CA_BUNDLE',
    'CODEX_CA_CERTIFICATE',
    'ALL_PROXY',
    'all_proxy',
    'https_proxy',
    'no_proxy',
    'NODE_TLS_REJECT_UNAUTHORIZED',
    'GIT_SSL_NO_VERIFY',
    'PYTHONHTTPSVERIFY',
  ].map((name) => [name, '']),
)

/** What the stand-in does otherwise than a well Cordon. */
const AS_IT_SHOULD_BE = {
  connect: '',
  tunnels: false,
  http2: true,
  held: false,
  lost: false,
  echo: true,
  status: 200,
}
const behaviour = { ...AS_IT_SHOULD_BE }
t.beforeEach(() => Object.assign(behaviour, AS_IT_SHOULD_BE))
const seen: string[] = []

const pages = new OwnPages({
  proxyUrl: (host) => proxyUrlOf(host, 'http://127.0.0.1:3128'),
  roots: () => (behaviour.tunnels ? undefined : authority.root),
  interceptedHosts: () => (behaviour.tunnels ? undefined : ['chat.acme.test']),
  aiHosts: () => undefined,
  needsLogin: false,
  contact: '',
  version: '0.0.0',
})

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  seen.push(`${request.httpVersion} ${request.url ?? ''}`)
  if (request.url === PROBE_EVENTS) {
    response.writeHead(200, Object.fromEntries(EVENT_FIELDS))
    if (behaviour.held) {
      response.end(Array.from({ length: EVENT_COUNT }, (_, index) => eventText(index)).join(''))
      return
    }
    for (let index = 0; index < EVENT_COUNT; index++) {
      response.write(eventText(index))
      await after(EVENT_PAUSE_MS / 5)
      if (behaviour.lost) break
    }
    response.end()
    return
  }
  const page = pages.page(request.url ?? '', undefined)
  response.writeHead(page === undefined ? 404 : behaviour.status)
  response.end(page?.body)
}

const tls = { cert: authority.cert, key: authority.key }
const http1 = createTls(tls, (request, response) => void answer(request, response))
const http2 = createSecureServer(
  { ...tls, allowHTTP1: true },
  (request, response) => void answer(request as never, response as never),
)
for (const server of [http1, http2]) {
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    const fields = echoFields((name) => request.headers[name] as string | undefined)
    if (request.url !== PROBE_ECHO || fields === undefined || !behaviour.echo) {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
      return
    }
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`)
    const echo = new Echo()
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => socket.write(echo.push(bytes)))
  })
}
const [http2Port, http1Port] = [await listening(http2), await listening(http1)]

const front = createServer((request, response) => {
  const page = pages.page(request.url ?? '', request.headers.host)
  response.writeHead(page?.status ?? 404)
  response.end(page?.body)
})
front.on('connect', (request, socket: Socket) => {
  socket.on('error', () => undefined)
  if (
    behaviour.connect !== '' &&
    request.headers['proxy-authorization'] !== basic('maya', 'right')
  ) {
    socket.end(behaviour.connect)
    return
  }
  const inner = connect(behaviour.http2 ? http2Port : http1Port, '127.0.0.1')
  inner.on('error', () => undefined)
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  inner.pipe(socket).pipe(inner)
})
const proxy = `http://127.0.0.1:${await listening(front)}`
t.teardown(() => {
  for (const server of [front, http1, http2]) server.close()
  front.closeAllConnections()
})

interface Told {
  readonly code: number | null
  readonly checks: readonly Check[]
}

async function told(env: Record<string, string> = {}, args: readonly string[] = []): Promise<Told> {
  const { code, out } = await run(['doctor', '--proxy', proxy, ...URL_ARGS, '--json', ...args], {
    cwd: dir,
    env,
  })
  return { code, checks: (JSON.parse(out) as { checks: Check[] }).checks }
}

function named({ checks }: Told, check: string): Check | undefined {
  return checks.findLast((each) => each.check === check)
}

t.test('a client that is set up well is told so, step by step', async (t) => {
  const bundle = join(dir, 'bundle.pem')
  const { code, out, err } = await cordon(['doctor', ...URL_ARGS], {
    cwd: dir,
    env: {
      HTTPS_PROXY: proxy,
      HTTP_PROXY: proxy,
      http_proxy: proxy,
      WSS_PROXY: proxy,
      NO_PROXY: 'localhost,127.0.0.1',
      NODE_USE_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: authority.rootFile,
      SSL_CERT_FILE: bundle,
      REQUESTS_CA_BUNDLE: bundle,
      ...NOT_SET,
    },
  })
  t.equal(code, 0, out + err)
  for (const line of [
    /^ok +proxy: http:\/\/127\.0\.0\.1:\d+ is Cordon 0\.0\.0 and intercepts$/m,
    /^ok +environment: the variables agree/m,
    /^ok +tunnel: CONNECT chat\.acme\.test:443 is open$/m,
    /^ok +certificate: chat\.acme\.test is intercepted/m,
    /^ok +validity: valid for \d+ more days$/m,
    /^ok +trust: Node trusts it/m,
    /^warning +trust: the system's store lacks the root/m,
    /^ok +http\/2: answered with 200$/m,
    /^ok +http\/1\.1: answered with 200$/m,
    /^ok +event stream: events arrive one by one/m,
    /^ok +websocket: a message went and came back$/m,
    /^all well$/m,
  ])
    t.match(out, line)
  t.ok(seen.includes('2.0 /.well-known/cordon/'))
  t.ok(
    seen.every((each) => each.includes('/.well-known/cordon/')),
    'the origin is not asked',
  )
})

t.test('what is wrong is named, with what to change, and ends with 1', async (t) => {
  for (const [name, wrongly, args, check, text, fix] of [
    [
      'no credentials',
      { connect: refusal(407) },
      [],
      'tunnel',
      /asks for name and token/,
      /--user/,
    ],
    [
      'wrong credentials',
      { connect: refusal(407) },
      ['--user', 'maya:wrong'],
      'tunnel',
      /token of maya/,
      /token create --user maya/,
    ],
    [
      'a policy',
      { connect: refusal(403, 'X-Cordon-Decision-Id: 0199-x\r\n') },
      [],
      'tunnel',
      /a policy refuses chat\.acme\.test: because \(decision 0199-x\)/,
      /--url/,
    ],
    ['egress', { connect: refusal(403) }, [], 'tunnel', /403: because/, /proxy\.egress/],
    [
      'the origin',
      { connect: refusal(502) },
      [],
      'tunnel',
      /502: because/,
      /can the proxy itself reach/,
    ],
    [
      'no TLS',
      { connect: 'HTTP/1.1 200 OK\r\n\r\nno TLS at all' },
      [],
      'tls',
      /no TLS with/,
      /pinned/,
    ],
    [
      'held answers',
      { held: true },
      [],
      'event stream',
      /all events arrived at once/,
      /another proxy/,
    ],
    ['lost events', { lost: true }, [], 'event stream', /events are missing/, /between/],
    ['a broken origin', { status: 502 }, [], 'http/2', /answered with 502/, /verify the origin/],
  ] as const) {
    Object.assign(behaviour, AS_IT_SHOULD_BE, wrongly)
    const all = await told({}, args)
    t.equal(all.code, 1, name)
    t.match(named(all, check), { state: 'wrong', text, fix }, name)
  }
  Object.assign(behaviour, AS_IT_SHOULD_BE)
  const untrusted = await told()
  t.match(
    untrusted.checks.find(({ check }) => check === 'trust'),
    { state: 'wrong', text: /Node does not trust/, fix: /cordon setup env/ },
  )
  Object.assign(behaviour, { connect: refusal(407) })
  t.match(named(await told({}, ['--user', 'maya:right']), 'tunnel'), { state: 'ok' })
})

t.test('what cannot be tested is not called well', async (t) => {
  Object.assign(behaviour, { echo: false, http2: false })
  const all = await told()
  t.match(named(all, 'websocket'), { state: 'skipped', text: /404/ })
  t.match(named(all, 'http/2'), { state: 'skipped', text: /HTTP\/1\.1/ })
  Object.assign(behaviour, AS_IT_SHOULD_BE, { tunnels: true })
  const tunnelled = await told()
  t.match(named(tunnelled, 'certificate'), {
    state: 'wrong',
    text: /is tunnelled: its certificate is of Acme, and this machine does not trust it/,
    fix: /own root/,
  })
  for (const check of ['event stream', 'websocket'])
    t.match(named(tunnelled, check), { state: 'skipped' })
})

t.test('a proxy that is away, or is another one, is told apart', async (t) => {
  const gone = await run(['doctor', '--proxy', 'http://127.0.0.1:1'], { cwd: dir })
  t.match(gone, { code: 1, out: /WRONG +proxy: http:\/\/127\.0\.0\.1:1 cannot be reached/ })
  const other = createServer((_, response) => response.writeHead(404).end())
  const port = await listening(other)
  t.match(await run(['doctor', '--proxy', `http://127.0.0.1:${port}`], { cwd: dir }), {
    code: 1,
    out: /not as Cordon does/,
  })
  other.closeAllConnections()
  other.close()
  t.match(await run(['doctor', '--url', 'ftp://x'], { cwd: dir }), { code: 2, err: /--url/ })
  t.match(await run(['doctor'], { cwd: dir, env: { HTTPS_PROXY: 'https://x' } }), {
    code: 2,
    err: /HTTPS_PROXY must be http/,
  })
  t.match(await run(['doctor', '--config', 'absent.yaml'], { cwd: dir }), { code: 3 })
})

t.test('no token is repeated', async (t) => {
  const withToken = proxy.replace('://', '://maya:hush-hush@')
  behaviour.connect = refusal(407)
  const { out, err } = await run(['doctor', ...URL_ARGS], {
    cwd: dir,
    env: { HTTPS_PROXY: withToken, https_proxy: `${withToken}x` },
  })
  t.match(out, /HTTPS_PROXY and https_proxy differ/)
  t.notMatch(out + err, 'hush-hush')
})

function refusal(status: number, more = ''): string {
  return `HTTP/1.1 ${status} No\r\nProxy-Status: cordon; error=x; details="because"\r\n${more}Content-Length: 0\r\nConnection: close\r\n\r\n`
}

function basic(user: string, token: string): string {
  return `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
