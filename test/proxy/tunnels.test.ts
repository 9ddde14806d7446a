// CONNECT and changes of protocol: bytes pass untouched, and plain HTTP inside a tunnel is judged like any other.

import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { dial, Origin } from '../support/peers.ts'
import { DENIED, startRig } from '../support/proxy-rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const OPEN = 'HTTP/1.1 200 Connection established\r\n\r\n'

async function set(t: Test, { plain = false } = {}) {
  const origin = await new Origin().listen()
  const started = await startRig(
    {
      wording: { parseTarget, refusalOf, closeReason: webSocketReason },
      outcome: ({ destination }) =>
        destination.path === '/no' ? { decision: DENIED, refused: true } : {},
    },
    { plainPorts: new Set(plain ? [origin.port] : []) },
  )
  t.teardown(async () => {
    origin.close()
    await started.close()
  })
  const client = await dial(started.port)
  t.teardown(() => client.socket.destroy())
  return { ...started, origin, client }
}

t.test('a tunnel opens for HTTP/1.0 without Host, and whatever Host says', async (t) => {
  for (const lines of [
    'HTTP/1.0\r\n',
    'HTTP/1.1\r\nHost: proxy.example\r\n',
    'HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n',
  ]) {
    const { client, origin } = await set(t)
    client.say(`CONNECT ${origin.authority} ${lines}\r\nearly`)
    const upstream = await origin.accept()
    await client.hear(OPEN)
    t.equal(await upstream.hear('early'), 'early')
  }
})

t.test('a tunnel changes no byte, however they are cut', async (t) => {
  const { client, origin } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await client.hear(OPEN)
  const bytes = Buffer.concat([
    Buffer.from(Array.from({ length: 256 }, (_, code) => code)),
    randomBytes(200_000),
  ])
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 9973)
      from.socket.write(bytes.subarray(at, at + size))
    await to.until(() => to.received.length >= bytes.length, 'all of it')
    t.ok(Buffer.from(to.received, 'latin1').equals(bytes))
  }
})

t.test('a WebSocket is relayed byte by byte, what was sent early too', async (t) => {
  const { client, origin, endings } = await set(t)
  const key = randomBytes(16).toString('base64')
  client.say(
    `GET http://${origin.authority}/ws?x HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n`,
  )
  const upstream = await origin.accept()
  t.equal(
    await upstream.hear('\r\n\r\n'),
    `GET /ws?x HTTP/1.1\r\nHost: ${origin.authority}\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n` +
      'Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  )
  const frames = Buffer.concat([Buffer.of(0x82, 0xfe, 0x01, 0x00), randomBytes(260)]).toString(
    'latin1',
  )
  upstream.say(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: a\r\n\r\n${frames}`,
  )
  t.match(
    await client.hear('\r\n\r\n'),
    /^HTTP\/1.1 101 .*\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n/,
  )
  t.equal(await client.hear(frames), frames)
  client.say(frames)
  t.equal(await upstream.hear(frames), frames)
  client.socket.end()
  await upstream.untilEnded()
  upstream.socket.end()
  await client.untilClosed()
  t.match(endings, [{ status: 101, bytes_in: frames.length, bytes_out: frames.length }])
})

t.test('an upgrade that the origin declines stays HTTP', async (t) => {
  const { client, origin, decided } = await set(t)
  client.say(
    `GET http://${origin.authority}/ws HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n` +
      `GET http://${origin.authority}/no HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`,
  )
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(
    'HTTP/1.1 426 Upgrade\r\nConnection: Upgrade\r\nUpgrade: other\r\nContent-Length: 0\r\n\r\n',
  )
  t.match(await client.hear('"}}'), /^HTTP\/1.1 426 [^]*HTTP\/1.1 403 /)
  t.equal(decided.length, 2, 'what followed was judged')
  t.equal(upstream.received, '')
})

t.test('no other protocol comes in under the name of a WebSocket', async (t) => {
  for (const [asked, answered] of [
    ['websocket', 'h2c'],
    ['websocket', 'TLS/1.2'],
    ['websocket', 'websocket, h2c'],
    ['h2c', 'h2c'],
    ['HTTP/2.0', 'HTTP/2.0'],
    ['TLS/1.0', 'TLS/1.0'],
    ['websocket, h2c', 'h2c'],
  ] as const) {
    const { client, origin } = await set(t)
    client.say(
      `GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: Upgrade\r\nUpgrade: ${asked}\r\n\r\n`,
    )
    const upstream = await origin.accept()
    const sent = await upstream.hear('\r\n\r\n')
    if (asked !== 'websocket') t.notMatch(sent, /upgrade/i, asked)
    upstream.say(`HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ${answered}\r\n\r\n`)
    t.match(
      await client.hear('"}}'),
      /^HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=http_protocol_error/,
    )
    await upstream.untilEnded()
  }
})

t.test('plain HTTP in a tunnel: each request is judged, for the tunnel’s host only', async (t) => {
  const { client, origin, decided, log } = await set(t, { plain: true })
  const host = origin.authority
  client.say(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: Basic eDp5\r\n\r\n`)
  await client.hear(OPEN)
  t.equal(origin.connections, 0, 'nothing is dialled yet')
  const cases: readonly (readonly [string, number, string?])[] = [
    [`GET /no HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 403],
    [
      `GET /a HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: Basic eDp5\r\n\r\n`,
      200,
      `GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    [
      `GET http://${host}/b HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      200,
      `GET /b HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    [
      `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      200,
      `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    [
      'GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
      200,
      `GET /c HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
    ['GET / HTTP/1.1\r\nHost: other.example\r\n\r\n', 421],
    [`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 421],
    ['GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n', 421],
    [`GET http://other.example/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400],
    [`GET https://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400],
    [`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400],
  ]
  for (const [request, status, sent] of cases) {
    client.say(request)
    if (sent !== undefined) {
      const upstream = origin.latest ?? (await origin.accept())
      t.equal(await upstream.hear('\r\n\r\n'), sent)
      upstream.say(OK)
    }
    const answer = await client.hear(status === 200 ? 'ok' : '"}}')
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), request)
  }
  t.strictSame(
    decided.map(({ destination }) => destination.path),
    ['/no', '/a', '/b', '/', '/c'],
  )
  t.equal(log.length, cases.length + 1)
  client.say(`\x16\x03\x01\x02\x00\x01\x00\x01`)
  t.match(await client.hearAll(), /^HTTP\/1.1 400 /, 'TLS is no plain HTTP')
})

t.test('a denied tunnel is not dialled, says why, and the connection stays', async (t) => {
  const origin = await new Origin().listen()
  const rig = await startRig({
    wording: { parseTarget, refusalOf, closeReason: webSocketReason },
    outcome: () => ({ decision: DENIED, refused: true }),
  })
  const client = await dial(rig.port)
  t.teardown(async () => {
    origin.close()
    client.socket.destroy()
    await rig.close()
  })
  for (let index = 0; index < 3; index++) {
    client.say(
      `CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\nAccept: text/html\r\n\r\n`,
    )
    const answer = await client.hear('"}}')
    t.match(
      answer,
      /^HTTP\/1.1 403 Forbidden\r\nProxy-Status: cordon; error=http_request_denied; details="not here"\r\n/,
    )
    t.match(answer, /\r\nContent-Type: application\/json\r\n/)
    t.notMatch(answer, /Connection: close/)
  }
  t.equal(origin.connections, 0)
  // What was meant for the tunnel is not taken for a request.
  client.say(
    `CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n\x16\x03\x01`,
  )
  t.match(await client.hearAll(), /^HTTP\/1.1 403 [^]*HTTP\/1.1 400 /)
})
