// Who may pass, what refusals do to a connection, tunnels, limits and the drain.

import t, { type Test } from 'tap'
import { CordonError } from '../../src/base/errors.ts'
import { dial, Origin } from '../support/peers.ts'
import { ALLOWED, DENIED, startRig } from '../support/proxy-rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

async function set(t: Test, ...rig: Parameters<typeof startRig>) {
  const origin = await new Origin().listen()
  const started = await startRig(...rig)
  t.teardown(async () => {
    origin.close()
    await started.close()
  })
  const client = await dial(started.port)
  t.teardown(() => client.socket.destroy())
  return { ...started, origin, client }
}

t.test('a denied request never reaches the origin, and the connection stays', async (t) => {
  const { origin, client, endings, outcomes } = await set(t, {
    outcome: ({ destination }) =>
      destination.path === '/no' ? { decision: DENIED, refused: true } : {},
  })
  client.say(request(origin, 'GET', '/no') + request(origin, 'GET', '/yes'))
  t.match(
    await client.hear('"}}'),
    /^HTTP\/1.1 403 .*\r\nProxy-Status: cordon; error=http_request_denied/,
  )
  const upstream = await origin.accept()
  t.match(await upstream.hear('\r\n\r\n'), 'GET /yes')
  upstream.say(OK)
  await client.hear('ok')
  t.match(endings, [{ status: 403 }, { status: 200 }])
  t.equal(outcomes.get('denied'), 1)
})

t.test('the body of a refused request is read and forgotten', async (t) => {
  const { origin, client, decided } = await set(t, {
    outcome: () => ({ decision: DENIED, refused: true }),
  })
  client.say(request(origin, 'POST', '/', 'Content-Length: 300000', 'x'.repeat(1000)))
  t.notMatch(await client.hear('"}}'), /Connection: close/)
  client.say('x'.repeat(299_000))
  client.say(request(origin, 'GET', '/2'))
  await client.hear('"}}')
  t.equal(decided.length, 2)
  client.say(request(origin, 'POST', '/', 'Transfer-Encoding: chunked', '5\r\nhello\r\n'))
  t.match(await client.hearAll(), /Connection: close/)
  t.equal(origin.connections, 0)
})

t.test('a huge body of a refused request does not hide the answer', async (t) => {
  const { origin, client } = await set(t, { outcome: () => ({ decision: DENIED, refused: true }) })
  client.say(request(origin, 'POST', '/', 'Content-Length: 3000000', 'x'.repeat(3_000_000)))
  t.match(await client.hearAll(), /^HTTP\/1.1 403 [^]*Connection: close[^]*"}}$/)
})

t.test('asks for credentials, and the connection stays usable', async (t) => {
  const { origin, client, decided, outcomes } = await set(t, {
    callers: {
      identify: async (credentials) =>
        credentials === undefined
          ? {
              ok: false,
              refusal: {
                status: 407,
                error: 'http_request_denied',
                details: 'who',
                challenge: true,
              },
            }
          : { ok: true, principal: { login: 'maya' } },
    },
  })
  client.say(request(origin, 'POST', '/', 'Content-Length: 5', 'hello'))
  t.match(await client.hear('"}}'), /^HTTP\/1.1 407 /)
  t.equal(decided.length, 0, '407 makes no decision')
  client.say(request(origin, 'GET', '/', 'Proxy-Authorization: Basic eDp5'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(OK)
  await client.hear('ok')
  t.equal(outcomes.get('refused'), 1)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  t.match(await client.hear('"}}'), /^HTTP\/1.1 407 /)
  client.say(
    `CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\nProxy-Authorization: Basic eDp5\r\n\r\n`,
  )
  await client.hear('HTTP/1.1 200 Connection established\r\n\r\n')
})

t.test('nothing passes that cannot be decided or recorded', async (t) => {
  for (const [fault, status] of [
    [new CordonError('SPOOL_FULL', 'full'), 503],
    [new CordonError('SPOOL_FAILED', 'failed'), 503],
    [new Error('bug'), 500],
  ] as const) {
    const { origin, client } = await set(t, { outcome: () => Promise.reject(fault) })
    client.say(request(origin, 'GET', '/'))
    t.match(
      await client.hear('"}}'),
      new RegExp(`^HTTP/1.1 ${status} .*\\r\\nProxy-Status: cordon; error=proxy_internal_error`),
    )
    t.equal(origin.connections, 0)
  }
})

t.test('a collaborator that throws refuses one request and ends nothing', async (t) => {
  const bug = (): never => {
    throw new Error('bug')
  }
  for (const parts of [
    { callers: { identify: bug } },
    { callers: { identify: async () => bug() } },
    { router: { check: bug, route: bug } },
    { router: { check: () => undefined, route: bug } },
    { outcome: bug },
  ]) {
    const { origin, client, endings, log } = await set(t, parts)
    client.say(request(origin, 'GET', '/'))
    t.match(
      await client.hear('"}}'),
      /^HTTP\/1.1 500 .*\r\nProxy-Status: cordon; error=proxy_internal_error/,
    )
    t.equal(log.length, 1)
    t.ok(endings.length <= 1)
  }
})

t.test('a held request waits for its answer', async (t) => {
  for (const refused of [false, true]) {
    let free: (() => void) | undefined
    const answered = new Promise<void>((resolve) => (free = resolve))
    const finish: number[] = []
    const { origin, client } = await set(t, {
      outcome: () => ({
        decision: { ...ALLOWED, decision: 'REVIEW' },
        refused: true,
        held: {
          answer: answered.then(() => ({
            decision: refused ? DENIED : ALLOWED,
            service: undefined,
            refused,
            warnings: [],
            redactions: [],
            finish: ({ status }) => finish.push(status),
          })),
          cancel: () => t.fail('not cancelled'),
        },
        finish: () => t.fail('the held outcome is not the last'),
      }),
    })
    client.say(request(origin, 'POST', '/', 'Content-Length: 5', 'hello'))
    free?.()
    if (refused) t.match(await client.hear('"}}'), /^HTTP\/1.1 403 /)
    else {
      const upstream = await origin.accept()
      await upstream.hear('hello')
      upstream.say(OK)
      await client.hear('ok')
    }
    t.strictSame(finish, [refused ? 403 : 200])
  }
})

t.test('a client that leaves while it is held cancels', async (t) => {
  let cancelled: (() => void) | undefined
  const cancel = new Promise<void>((resolve) => (cancelled = resolve))
  const { origin, client, endings } = await set(t, {
    outcome: () => ({
      decision: { ...ALLOWED, decision: 'REVIEW' },
      refused: true,
      held: { answer: new Promise(() => undefined), cancel: () => cancelled?.() },
    }),
  })
  client.say(request(origin, 'POST', '/', 'Content-Length: 5', 'hello'))
  client.socket.destroy()
  await cancel
  t.match(endings, [{ status: 0 }])
})

t.test('warnings travel as one line of ASCII', async (t) => {
  const { origin, client } = await set(t, {
    outcome: () => ({ warnings: ['no\r\nX-Evil: 1', 'größe'] }),
  })
  client.say(request(origin, 'GET', '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(OK)
  t.match(await client.hear('ok'), '\r\nX-Cordon-Warning: no?X-Evil: 1; gr?e\r\n')
})

t.test('refuses what is no request, counts it, and ends the connection', async (t) => {
  for (const [bytes, status] of [
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
    ['TRACE http://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
    ['\x16\x03\x01\x02\x00\x01\x00\x01', 400],
    [`GET http://a/${'x'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET http://a/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    [
      'POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
  ] as const) {
    const { client, log, decided } = await set(t)
    client.say(`${bytes}GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n`)
    const answer = await client.hearAll()
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), bytes.slice(0, 60))
    t.equal(answer.split('HTTP/1.1 ').length, 2, 'one answer only')
    t.equal(decided.length, 0)
    t.match(log, [{ status }])
  }
})

t.test(
  'a malformed chunk is answered with 400, and the origin does not see the request end',
  async (t) => {
    const { origin, client } = await set(t)
    client.say(request(origin, 'POST', '/', 'Transfer-Encoding: chunked', '5\r\nhello\r\n'))
    const upstream = await origin.accept()
    await upstream.hear('hello\r\n')
    client.say('0x1\r\nz\r\n0\r\n\r\n')
    t.match(await client.hearAll(), /^HTTP\/1.1 400 /)
    await upstream.untilEnded()
    t.equal(upstream.received, '')
  },
)

t.test('tunnels: bytes both ways, each direction with its own end', async (t) => {
  const { origin, client, endings, log } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.0\r\n\r\nearly`)
  const upstream = await origin.accept()
  t.equal(await client.hear('\r\n\r\n'), 'HTTP/1.1 200 Connection established\r\n\r\n')
  await upstream.hear('early')
  const big = 'x'.repeat(3_000_000)
  upstream.say(big)
  upstream.socket.end()
  await client.untilEnded()
  t.equal(client.received.length, big.length)
  t.equal(upstream.ended, false)
  client.say('after')
  await upstream.hear('after')
  client.socket.end()
  await upstream.untilEnded()
  await client.untilClosed()
  t.match(endings, [{ status: 200, bytes_in: 10, bytes_out: big.length }])
  t.match(log, [{ method: 'CONNECT', status: 200 }])
})

t.test('a tunnel ends when one side breaks', async (t) => {
  const { origin, client } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await client.hear('\r\n\r\n')
  upstream.socket.resetAndDestroy()
  await client.untilEnded()
  t.pass()
})

t.test('says why a tunnel cannot be opened', async (t) => {
  const { origin, client } = await set(t)
  const { authority } = origin
  origin.close()
  client.say(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
  t.match(
    await client.hear('"}}'),
    /^HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=connection_refused/,
  )
})

t.test('plain HTTP inside a tunnel is judged request by request', async (t) => {
  const origin = await new Origin().listen()
  const rig = await startRig(
    {
      outcome: ({ destination }) =>
        destination.path === '/no' ? { decision: DENIED, refused: true } : {},
    },
    { plainPorts: new Set([origin.port]) },
  )
  const client = await dial(rig.port)
  t.teardown(async () => {
    origin.close()
    await rig.close()
    client.socket.destroy()
  })
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  await client.hear('HTTP/1.1 200 Connection established\r\n\r\n')
  t.equal(rig.decided.length, 0)
  client.say(`GET /no HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  t.match(await client.hear('"}}'), /^HTTP\/1.1 403 /)
  client.say(`GET /yes HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  t.match(await upstream.hear('\r\n\r\n'), `GET /yes HTTP/1.1\r\nHost: ${origin.authority}\r\n`)
  upstream.say(OK)
  await client.hear('ok')
  client.say('GET / HTTP/1.1\r\nHost: other.example\r\n\r\n')
  t.match(await client.hear('"}}'), /^HTTP\/1.1 421 /)
})

t.test('is no origin server', async (t) => {
  const { client, decided } = await set(t)
  client.say('GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await client.hear('"}}'), /^HTTP\/1.1 404 /)
  t.equal(decided.length, 0)
})

t.test('bounds connections in all and of one client', async (t) => {
  for (const [options, limit] of [
    [{ connections: 1 }, 'connections'],
    [{ perClient: 1 }, 'per_client'],
  ] as const) {
    const { port, limits, client } = await set(t, {}, options)
    const second = await dial(port)
    t.match(
      await second.hearAll(),
      /^HTTP\/1.1 503 .*\r\nProxy-Status: cordon; error=connection_limit_reached/,
    )
    t.equal(limits.get(limit), 1)
    client.socket.destroy()
    second.socket.destroy()
    await client.untilClosed()
  }
})

t.test(
  'drains: running answers end with Connection: close, idle connections at once',
  async (t) => {
    const { origin, client, proxy, port } = await set(t)
    const idle = await dial(port)
    client.say(request(origin, 'GET', '/'))
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    const closed = proxy.close(3000)
    await idle.untilEnded()
    upstream.say(OK)
    t.match(await client.hearAll(), /Connection: close\r\n\r\nok$/)
    client.socket.end()
    idle.socket.end()
    await closed
    t.equal(proxy.connections, 0)
  },
)

t.test('a drain ends what outlives the grace', async (t) => {
  const { origin, client, proxy } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  await client.hear('\r\n\r\n')
  await proxy.close(50)
  await client.untilEnded()
  t.equal(proxy.connections, 0)
})

function request(origin: Origin, method: string, path: string, lines = '', body = ''): string {
  const more = lines === '' ? '' : `${lines}\r\n`
  return `${method} http://${origin.authority}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\n${more}\r\n${body}`
}
