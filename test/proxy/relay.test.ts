// Requests through the proxy to an origin and back, over real sockets.

import t, { type Test } from 'tap'
import { dial, Origin, type Peer } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'

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

t.test(
  'sends the request on in origin form, with what belongs to the client leg removed',
  async (t) => {
    const { origin, client, decided, endings, log } = await set(t)
    client.say(
      `GET http://${origin.authority}/a?q=1 HTTP/1.1\r\nHost: ${origin.authority}\r\nProxy-Authorization: Basic eDp5\r\n` +
        'Proxy-Connection: keep-alive\r\nX-Cordon-User: x\r\nConnection: x-hop\r\nX-Hop: 1\r\nReferer: http://x@b/p?s\r\nAccept: */*\r\n\r\n',
    )
    const upstream = await origin.accept()
    const sent = await upstream.hear('\r\n\r\n')
    t.equal(
      sent,
      `GET /a?q=1 HTTP/1.1\r\nHost: ${origin.authority}\r\nReferer: http://x@b/p?s\r\nAccept: */*\r\n\r\n`,
    )
    upstream.say(OK)
    t.equal(await client.hear('ok'), OK)
    t.match(decided[0]?.destination, { host: '127.0.0.1', path: '/a', method: 'GET' })
    t.equal(decided[0]?.destination.headers?.get('accept'), '*/*')
    t.match(endings, [{ status: 200, bytes_in: 0, bytes_out: 2 }])
    t.match(log, [
      {
        status: 200,
        bytesOut: 2,
        login: 'maya',
        target: `http://${origin.authority}/a`,
        referer: 'http://b/p',
      },
    ])
  },
)

t.test('keeps both connections, and uses the one to the origin for POST too', async (t) => {
  const { origin, client } = await set(t)
  let upstream: Peer | undefined
  for (const [index, request] of [
    get(origin, '/1'),
    post(origin, 'Content-Length: 5', 'hello'),
    post(origin, 'Transfer-Encoding: chunked', '5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n'),
    get(origin, '/4'),
  ].entries()) {
    client.say(request)
    upstream ??= await origin.accept()
    await upstream.hear('\r\n\r\n')
    if (index === 1) await upstream.hear('hello')
    if (index === 2)
      t.equal(await upstream.hear('X-T: 1\r\n\r\n'), '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n')
    upstream.say(OK)
    await client.hear('ok')
  }
  t.equal(origin.connections, 1)
})

t.test('answers pipelined requests in order', async (t) => {
  const { origin, client, decided } = await set(t)
  client.say(get(origin, '/1') + get(origin, '/2') + get(origin, '/3'))
  const upstream = await origin.accept()
  for (const path of ['/1', '/2', '/3']) {
    t.match(await upstream.hear('\r\n\r\n'), `GET ${path} `)
    t.equal(upstream.received, '', 'the next one waits')
    upstream.say(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`)
    await client.hear(`\r\n\r\n${path}`)
  }
  t.equal(decided.length, 3)
})

t.test('frames responses anew', async (t) => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    [
      'chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nX-T: 1\r\n\r\n',
      'GET',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
    ],
    [
      'HEAD',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
      'HEAD',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
    ],
    ['204', 'HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n', 'GET', 'HTTP/1.1 204 No\r\n\r\n'],
    [
      '304',
      'HTTP/1.1 304 Not\r\nContent-Length: 9\r\nKeep-Alive: timeout=5\r\n\r\n',
      'GET',
      'HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n',
    ],
    [
      'hop-by-hop',
      'HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 1\r\nX-Cordon-Decision-Id: 1\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
      'GET',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    ],
  ]
  const { origin, client } = await set(t)
  let upstream: Peer | undefined
  for (const [name, answer, method, want] of cases) {
    client.say(get(origin, '/', method))
    upstream ??= await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(answer)
    t.equal(await client.hear(want), want, name)
  }
  t.equal(origin.connections, 1)
})

t.test('a body that ends with the connection', async (t) => {
  for (const [version, want] of [
    ['1.1', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    ['1.0', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc'],
  ] as const) {
    const { origin, client } = await set(t)
    client.say(get(origin, '/').replace('HTTP/1.1', `HTTP/${version}`))
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say('HTTP/1.1 200 OK\r\n\r\nabc')
    upstream.socket.end()
    if (version === '1.1')
      t.equal((await client.hear('0\r\n\r\n')).replace('3\r\nabc\r\n0', '3\r\nabc\r\n0'), want)
    else t.equal(await client.hearAll(), want)
  }
})

t.test('never passes a broken body off as a whole one', async (t) => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
  ]) {
    const { origin, client, outcomes } = await set(t)
    client.say(get(origin, '/'))
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(answer)
    await client.hear('abc')
    upstream.socket.destroy()
    await client.untilEnded()
    t.notMatch(client.received, /0\r\n\r\n/)
    t.equal(outcomes.get('failed'), 1)
  }
})

t.test('bytes beyond a response make its connection unusable', async (t) => {
  const { origin, client } = await set(t)
  client.say(get(origin, '/1'))
  const first = await origin.accept()
  await first.hear('\r\n\r\n')
  first.say(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`)
  await client.hear('ok')
  client.say(get(origin, '/2'))
  const second = await origin.accept()
  await second.hear('\r\n\r\n')
  second.say(OK)
  t.equal(await client.hear('ok'), OK)
  await first.untilEnded()
})

t.test('refuses malformed responses with 502', async (t) => {
  const { origin, client } = await set(t)
  for (const answer of [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX : 1\r\n\r\n',
    'SSH-2.0-x\r\n\r\n',
    'HTTP/1.1 102 P\r\n\r\n'.repeat(17),
  ]) {
    client.say(get(origin, '/'))
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(answer)
    const answered = await client.hear('"}}')
    t.match(answered, /HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=http_protocol_error/, answer)
    await upstream.untilEnded()
  }
})

t.test('Expect: 100-continue is the origin’s to answer', async (t) => {
  const { origin, client } = await set(t)
  client.say(post(origin, 'Content-Length: 5\r\nExpect: 100-continue', ''))
  const upstream = await origin.accept()
  t.match(await upstream.hear('\r\n\r\n'), 'Expect: 100-continue')
  t.equal(client.received, '')
  upstream.say('HTTP/1.1 100 Continue\r\n\r\n')
  await client.hear('HTTP/1.1 100 Continue\r\n\r\n')
  client.say('hello')
  await upstream.hear('hello')
  upstream.say(OK)
  t.equal(await client.hear('ok'), OK, 'the connection stays')
  client.say(post(origin, 'Content-Length: 5\r\nExpect: 100-continue', ''))
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno')
  t.match(await client.hearAll(), /^HTTP\/1.1 417 No\r\n[^]*Connection: close\r\n[^]*no$/)
  await upstream.untilEnded()
})

t.test('hints of the origin reach HTTP/1.1 clients only, a 100 only who asked', async (t) => {
  const { origin, client } = await set(t)
  const hints = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'
  client.say(get(origin, '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(hints + OK)
  t.equal(await client.hear('ok'), `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`)
  client.say(get(origin, '/').replace('HTTP/1.1', 'HTTP/1.0'))
  await upstream.hear('\r\n\r\n')
  upstream.say(hints + OK)
  t.match(await client.hear('ok'), /^HTTP\/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close/)
})

t.test('an early answer comes through, and nothing is reused after it', async (t) => {
  const { origin, client } = await set(t)
  client.say(post(origin, 'Content-Length: 500000', 'x'.repeat(1000)))
  const upstream = await origin.accept()
  await upstream.hear('x'.repeat(1000))
  upstream.say('HTTP/1.1 413 Too\r\nContent-Length: 3\r\n\r\nbig')
  t.match(await client.hear('big'), /Connection: close/)
  client.say('x'.repeat(1000))
  await client.untilEnded()
  await upstream.untilEnded()
})

t.test('a client that leaves takes its request with it, at once', async (t) => {
  const { origin, client, endings, outcomes } = await set(t)
  client.say(get(origin, '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  client.socket.resetAndDestroy()
  await upstream.untilClosed()
  t.match(endings, [{ status: 0 }])
  t.equal(outcomes.get('aborted'), 1)
})

t.test('a client that has shut down its side gets its answer', async (t) => {
  const { origin, client } = await set(t)
  client.say(get(origin, '/'))
  client.socket.end()
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(OK)
  t.match(await client.hearAll(), /ok$/)
})

t.test('a client that leaves in the middle of its body is gone at once', async (t) => {
  const { origin, client } = await set(t)
  client.say(post(origin, 'Content-Length: 50', 'hello'))
  const upstream = await origin.accept()
  await upstream.hear('hello')
  client.socket.end()
  await upstream.untilClosed()
  t.pass()
})

t.test('an idle connection that the origin closed is not used', async (t) => {
  const { origin, client } = await set(t)
  client.say(get(origin, '/1'))
  const first = await origin.accept()
  await first.hear('\r\n\r\n')
  first.say(OK)
  await client.hear('ok')
  first.socket.end()
  await first.untilEnded()
  client.say(post(origin, 'Content-Length: 5', 'hello'))
  const second = await origin.accept()
  await second.hear('hello')
  second.say(OK)
  await client.hear('ok')
  t.equal(origin.connections, 2)
})

t.test('repeats a GET whose reused connection died, never a POST', async (t) => {
  const { origin, client } = await set(t)
  let upstream: Peer | undefined
  const reuse = async (): Promise<Peer> => {
    client.say(get(origin, '/warm'))
    upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(OK)
    await client.hear('ok')
    return upstream
  }
  const first = await reuse()
  client.say(get(origin, '/again'))
  await first.hear('\r\n\r\n')
  first.socket.destroy()
  const second = await origin.accept()
  t.match(await second.hear('\r\n\r\n'), 'GET /again')
  second.say(OK)
  await client.hear('ok')
  client.say(post(origin, 'Content-Length: 5', 'hello'))
  await second.hear('hello')
  second.socket.destroy()
  t.match(
    await client.hear('"}}'),
    /^HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=connection_terminated/,
  )
  t.equal(origin.connections, 2)
})

t.test('the next address of a name is tried where the first one does not accept', async (t) => {
  const { origin, client, endings } = await set(t, {
    router: {
      check: () => undefined,
      route: ({ port, host }) => ({
        address: '127.0.0.2',
        family: 4,
        port,
        others: [
          { address: '127.0.0.3', family: 4 },
          { address: host, family: 4 },
        ],
      }),
    },
  })
  client.say(post(origin, 'Content-Length: 5', 'hello'))
  const upstream = await origin.accept()
  await upstream.hear('hello')
  upstream.say(OK)
  await client.hear('ok')
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  await client.hear('HTTP/1.1 200 Connection established\r\n\r\n')
  t.equal(endings[0]?.status, 200)
})

t.test('says what the last address answered', async (t) => {
  const { origin, client } = await set(t, {
    router: {
      check: () => undefined,
      route: ({ port }) => ({
        address: '127.0.0.2',
        family: 4,
        port,
        others: [{ address: '127.0.0.3', family: 4 }],
      }),
    },
  })
  client.say(get(origin, '/'))
  t.match(
    await client.hear('"}}'),
    /^HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=connection_refused/,
  )
})

t.test('a fresh connection that dies is not tried again', async (t) => {
  const { origin, client } = await set(t)
  client.say(get(origin, '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.socket.destroy()
  t.match(await client.hear('"}}'), /^HTTP\/1.1 502 /)
  t.equal(origin.connections, 1)
})

t.test('changes protocol where both agree, and only then', async (t) => {
  const { origin, client, endings } = await set(t)
  client.say(
    get(origin, '/ws').replace(
      '\r\n\r\n',
      '\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ) + 'early',
  )
  const upstream = await origin.accept()
  t.match(await upstream.hear('\r\n\r\n'), 'Connection: Upgrade\r\nUpgrade: websocket\r\n')
  t.equal(upstream.received, '', 'nothing follows before the answer')
  upstream.say('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst')
  t.match(
    await client.hear('first'),
    /^HTTP\/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst$/,
  )
  await upstream.hear('early')
  client.say('ping')
  await upstream.hear('ping')
  upstream.socket.end()
  await client.untilEnded()
  client.say('last')
  await upstream.hear('last')
  client.socket.end()
  await upstream.untilClosed()
  await client.untilClosed()
  t.match(endings, [{ status: 101, bytes_in: 13, bytes_out: 5 }])
})

t.test('an upgrade to h2c is not asked for', async (t) => {
  const { origin, client } = await set(t)
  client.say(
    get(origin, '/').replace(
      '\r\n\r\n',
      '\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n',
    ),
  )
  const upstream = await origin.accept()
  t.notMatch(await upstream.hear('\r\n\r\n'), /upgrade|h2c|http2/i)
  upstream.say(OK)
  await client.hear('ok')
})

t.test('OPTIONS goes as far as it says, and the last stop answers', async (t) => {
  const { origin, client } = await set(t)
  const asked = (hops: string): string =>
    get(origin, '/', 'OPTIONS').replace('\r\n\r\n', `\r\nMax-Forwards: ${hops}\r\nX-A: 1\r\n\r\n`)
  client.say(asked('0'))
  t.equal(await client.hear('\r\n\r\n'), 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  t.equal(origin.connections, 0)
  let upstream: Peer | undefined
  for (const [hops, left] of [
    ['1', '0'],
    ['10', '9'],
    ['x', 'x'],
  ] as const) {
    client.say(asked(hops))
    upstream ??= await origin.accept()
    t.match(await upstream.hear('\r\n\r\n'), `\r\nMax-Forwards: ${left}\r\nX-A: 1\r\n`)
    upstream.say(OK)
    await client.hear('ok')
  }
  client.say(get(origin, '/').replace('\r\n\r\n', '\r\nMax-Forwards: 0\r\n\r\n'))
  t.match(await upstream?.hear('\r\n\r\n'), 'Max-Forwards: 0', 'other methods do not count')
})

t.test('each event of a stream leaves at once', async (t) => {
  const { origin, client } = await set(t)
  client.say(get(origin, '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  await client.hear('\r\n\r\n')
  for (let index = 0; index < 3; index++) {
    upstream.say(`9\r\ndata: ${index}\n\n\r\n`)
    await client.hear(`data: ${index}\n\n\r\n`)
  }
  t.pass()
})

t.test('holds back where the reader is slow, both ways', async (t) => {
  const { origin, client, port } = await set(t)
  const size = 64 << 20
  client.say(get(origin, '/'))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  client.socket.pause()
  upstream.say(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
  const taken = await pour(upstream, size)
  t.ok(taken < 24 << 20, `${taken} bytes taken from the origin`)
  client.socket.destroy()

  const other = await dial(port)
  other.say(post(origin, `Content-Length: ${size}`, ''))
  const slow = await origin.accept()
  await slow.hear('\r\n\r\n')
  slow.socket.pause()
  const sent = await pour(other, size)
  t.ok(sent < 24 << 20, `${sent} bytes taken from the client`)
  other.socket.destroy()
})

function get(origin: Origin, path: string, method = 'GET'): string {
  return `${method} http://${origin.authority}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`
}

function post(origin: Origin, lines: string, body: string): string {
  return `POST http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n${lines}\r\n\r\n${body}`
}

/** Writes until nobody takes any more; how much was taken. */
async function pour({ socket }: Peer, size: number): Promise<number> {
  const piece = Buffer.alloc(1 << 20)
  let given = 0
  while (given < size) {
    given += piece.length
    if (!socket.write(piece)) {
      const drained = await Promise.race([
        new Promise<boolean>((resolve) => socket.once('drain', () => resolve(true))),
        new Promise<boolean>((resolve) => setTimeout(resolve, 300, false)),
      ])
      if (!drained) break
    }
  }
  return given - socket.writableLength
}
