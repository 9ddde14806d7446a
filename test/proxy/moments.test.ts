// Clients and origins that leave, stall or stay silent at any moment: nothing is sent twice, nothing is left open.

import t, { type Test } from 'tap'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { dial, Origin, type Peer } from '../support/peers.ts'
import { DENIED, startRig } from '../support/proxy-rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

async function set(t: Test, ...[parts, options]: Parameters<typeof startRig>) {
  const origin = await new Origin().listen()
  const started = await startRig(
    { wording: { parseTarget, refusalOf, closeReason: webSocketReason }, ...parts },
    options,
  )
  t.teardown(async () => {
    origin.close()
    await started.close()
  })
  const client = await dial(started.port)
  t.teardown(() => client.socket.destroy())
  return { ...started, origin, client }
}

function request(origin: Origin, method: string, path: string, lines = '', body = ''): string {
  const more = lines === '' ? '' : `${lines}\r\n`
  return `${method} http://${origin.authority}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\n${more}\r\n${body}`
}

t.test('a client that leaves at any moment leaves nothing behind', async (t) => {
  const partial: readonly (readonly [string, (origin: Origin) => string, boolean])[] = [
    ['before a byte', () => '', false],
    ['in an empty line', () => '\r', false],
    ['in the request line', () => 'GET http', false],
    ['in the head', (origin) => request(origin, 'GET', '/').slice(0, -3), false],
    ['waiting for the answer', (origin) => request(origin, 'GET', '/'), true],
    ['before its body', (origin) => request(origin, 'POST', '/', 'Content-Length: 5'), true],
    ['in its body', (origin) => request(origin, 'POST', '/', 'Content-Length: 5', 'he'), true],
    [
      'before its chunks',
      (origin) => request(origin, 'POST', '/', 'Transfer-Encoding: chunked'),
      true,
    ],
    [
      'in a chunk size',
      (origin) => request(origin, 'POST', '/', 'Transfer-Encoding: chunked', '5'),
      true,
    ],
    [
      'in a chunk',
      (origin) => request(origin, 'POST', '/', 'Transfer-Encoding: chunked', '5\r\nhe'),
      true,
    ],
    [
      'in the trailers',
      (origin) => request(origin, 'POST', '/', 'Transfer-Encoding: chunked', '0\r\nX: 1\r\n'),
      true,
    ],
    [
      'waiting for a 100',
      (origin) => request(origin, 'POST', '/', 'Content-Length: 5\r\nExpect: 100-continue'),
      true,
    ],
    [
      'in a tunnel',
      (origin) => `CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`,
      true,
    ],
  ]
  for (const [moment, bytes, reaches] of partial) {
    for (const leave of ['reset', 'end'] as const) {
      let now = 0
      const deadlines = new Deadlines(() => now, 3_600_000)
      const { client, origin, proxy, outcomes, log } = await set(t, { deadlines })
      client.say(bytes(origin))
      const upstream = reaches ? await origin.accept() : undefined
      if (leave === 'reset') client.socket.resetAndDestroy()
      else client.socket.destroySoon()
      while (proxy.connections > 0) {
        if (upstream?.ended === true) upstream.socket.end()
        now = Math.min(now + 100, 4000)
        deadlines.tick()
        await new Promise((resolve) => setImmediate(resolve))
      }
      await upstream?.untilEnded()
      const outcome = moment === 'in a tunnel' ? 'allowed' : 'aborted'
      if (reaches) t.equal(outcomes.get(outcome), 1, `${moment}, ${leave}`)
      t.equal(log.length, reaches ? 1 : 0, `${moment}, ${leave}`)
    }
  }
})

t.test('a client that shuts its side down gets the answer to each whole request', async (t) => {
  const { client, origin } = await set(t)
  client.say(request(origin, 'POST', '/1', 'Transfer-Encoding: chunked', '2\r\nhi\r\n0\r\n\r\n'))
  client.say(request(origin, 'POST', '/2', 'Content-Length: 2', 'hi'))
  client.say(request(origin, 'GET', '/3'))
  client.socket.end()
  const upstream = await origin.accept()
  for (const path of ['/1', '/2', '/3']) {
    t.match(await upstream.hear('\r\n\r\n'), ` ${path} `)
    if (path === '/1') await upstream.hear('0\r\n\r\n')
    if (path === '/2') await upstream.hear('hi')
    upstream.say(OK)
    await client.hear('ok')
  }
  await client.untilEnded()
})

t.test('a half-closed request that is not whole is given up at once', async (t) => {
  for (const [lines, body] of [
    ['Content-Length: 5', 'he'],
    ['Transfer-Encoding: chunked', '5\r\nhe'],
    ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n'],
  ] as const) {
    const { client, origin, outcomes } = await set(t)
    client.say(request(origin, 'POST', '/', lines, body))
    client.socket.end()
    await client.untilEnded()
    if (origin.latest !== undefined) await origin.latest.untilEnded()
    t.equal(outcomes.get('aborted'), 1)
    t.notMatch(origin.heard, '0\r\n\r\n')
  }
})

t.test('answers that nobody reads do not pile up', async (t) => {
  const { client, origin, decided, limits } = await set(t, {
    outcome: () => ({ decision: { ...DENIED, reason: 'x'.repeat(2000) }, refused: true }),
  })
  client.socket.pause()
  client.socket.write(request(origin, 'GET', '/').repeat(30_000))
  let seen = -1
  while (decided.length > seen) {
    seen = decided.length
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  t.ok(seen > 0 && seen < 10_000, `${seen} of 30000 were answered`)
  const before = decided.length
  client.socket.resume()
  while (decided.length === before) await client.hear('"}}')
  t.strictSame([...limits], [], 'it goes on where it stopped')
})

t.test('a slow reader gets the last bytes, however long that takes', async (t) => {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const { client, origin, endings, port } = await set(t, { deadlines })
  const ask = (size: number): string =>
    request(origin, 'GET', '/', 'Connection: close').replace('GET /', `GET /${size}`)
  // How much the kernel and the proxy take of an answer that nobody reads.
  client.socket.pause()
  client.say(ask(0))
  const first = await origin.accept()
  await first.hear('\r\n\r\n')
  first.say(`HTTP/1.1 200 OK\r\nContent-Length: ${64 << 20}\r\n\r\n`)
  first.socket.write(Buffer.alloc(64 << 20))
  await new Promise((resolve) => setTimeout(resolve, 300))
  client.socket.resetAndDestroy()
  await first.untilEnded()
  while (endings.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const size = endings[0]?.bytes_out ?? 0

  const slow = await dial(port)
  t.teardown(() => slow.socket.destroy())
  slow.socket.pause()
  slow.say(ask(1))
  const second = await origin.accept()
  await second.hear('\r\n\r\n')
  second.say(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
  second.socket.write(Buffer.alloc(size, 'x'))
  // Where the kernel takes less this time, the answer is still on its way: that must come too.
  for (let wait = 0; endings.length === 1 && wait < 60; wait++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  for (let tick = 0; tick < 20; tick++) {
    now += 1000
    deadlines.tick()
  }
  slow.socket.resume()
  await slow.untilEnded()
  t.equal(slow.received.length - slow.received.indexOf('\r\n\r\n') - 4, size)
})

t.test('what an answer does to both connections', async (t) => {
  const close = 'Connection: close\r\n'
  /** [answer, whether the origin’s is used again, whether the client’s is] */
  const cases: readonly (readonly [string, string, boolean, boolean])[] = [
    ['GET', OK, true, true],
    ['GET', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', true, true],
    ['GET', 'HTTP/1.1 500 Bad\r\nContent-Length: 2\r\n\r\nok', true, true],
    [
      'GET',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      true,
      true,
    ],
    ['GET', 'HTTP/1.1 103 Hint\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', true, true],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n', true, true],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', true, true],
    ['HEAD', 'HTTP/1.1 200 OK\r\n\r\n', true, true],
    ['GET', 'HTTP/1.1 204 No\r\n\r\n', true, true],
    ['GET', 'HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n', true, true],
    ['GET', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok', true, true],
    ['GET', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n', false, true],
    ['GET', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello', false, true],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', false, true],
    ['GET', 'HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nhello', false, true],
    ['GET', `${OK}surplus`, false, true],
    ['GET', `${OK}${OK}`, false, true],
    ['GET', OK.replace('\r\n', `\r\n${close}`), false, true],
    ['GET', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', false, true],
    ['GET', OK.replace('\r\n', '\r\nKeep-Alive: timeout=0\r\n'), false, true],
    ['POST', 'HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n', false, true],
    ['GET', 'HTTP/1.1 200 OK\nX: 1\r\n\r\n', false, true],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok', false, true],
    ['GET', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20), false, true],
    [
      'GET',
      'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
      false,
      true,
    ],
    ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok', false, true],
    ['GET', 'HTTP/1.1 99 X\r\n\r\n', false, true],
    ['GET', 'ok\r\n\r\n', false, true],
  ]
  for (const [method, answer, originStays, clientStays] of cases) {
    const { client, origin } = await set(t)
    client.say(request(origin, method, '/1', method === 'POST' ? 'Content-Length: 0' : ''))
    const first = await origin.accept()
    await first.hear('\r\n\r\n')
    first.say(answer)
    const label = `${method} ${answer.slice(9, 60)}`
    await client.until(() => /HTTP\/1.1 [2-9][^]*\r\n\r\n/.test(client.received), label)
    // The answer is whole once the next one comes.
    client.say(request(origin, 'GET', '/2'))
    const second = originStays ? first : await origin.accept()
    t.match(await second.hear('\r\n\r\n'), 'GET /2 ', label)
    second.say('HTTP/1.1 200 Second\r\nContent-Length: 6\r\n\r\nsecond')
    const heard = await client.hear('second')
    t.equal(heard.split(/HTTP\/1\.1 [2-9]/).length, 3, `${label}: two answers`)
    t.notMatch(heard, /surplus|hello/, label)
    t.equal(client.ended, !clientStays, label)
    if (!originStays) await first.untilEnded()
  }
})

t.test('a POST whose reused connection is closed by its origin is sent once at most', async (t) => {
  const { client, origin } = await set(t)
  let posts = 0
  let upstream: Peer | undefined
  for (let round = 0; round < 30; round++) {
    client.say(request(origin, 'POST', `/${round}`, 'Content-Length: 2', 'hi'))
    upstream = await origin.accept()
    t.match(await upstream.hear('\r\n\r\nhi'), `POST /${round} `)
    posts += 1
    upstream.socket.end(OK, 'latin1')
    t.match(await client.hear('ok'), 'HTTP/1.1 200 OK')
    await upstream.untilEnded()
  }
  t.equal(posts, 30)
  t.equal(origin.heard, '')
})

t.test('a client of HTTP/1.0 keeps its connection where it asks for that', async (t) => {
  const { client, origin } = await set(t, {
    outcome: ({ destination }) =>
      destination.path === '/no' ? { decision: DENIED, refused: true } : {},
  })
  const old = (path: string, lines: string): string =>
    `GET http://${origin.authority}${path} HTTP/1.0\r\n${lines}\r\n`
  client.say(old('/', 'Connection: keep-alive\r\n'))
  const upstream = await origin.accept()
  t.equal(await upstream.hear('\r\n\r\n'), `GET / HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  upstream.say(OK)
  t.match(await client.hear('ok'), /\r\nConnection: keep-alive\r\n/)
  client.say(old('/no', 'Proxy-Connection: Keep-Alive\r\n'))
  t.match(await client.hear('"}}'), /^HTTP\/1.1 403 [^]*\r\nConnection: keep-alive\r\n/)
  client.say(old('/', ''))
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n')
  t.match(await client.hearAll(), /^HTTP\/1.1 200 OK\r\nConnection: close\r\n\r\nok$/)
})
