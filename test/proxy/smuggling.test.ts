// Ambiguous requests over real sockets: the origin gets exactly what was meant, or nothing at all.

import t from 'tap'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { dial, Origin } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'
import { EVIL, HARMLESS_CODINGS, post, REFUSED } from '../support/smuggling-vectors.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

t.test(
  'what is ambiguous is refused once, and nothing behind it is taken for a request',
  async (t) => {
    const origin = await new Origin().listen()
    const rig = await startRig({
      wording: { parseTarget, refusalOf, closeReason: webSocketReason },
    })
    t.teardown(async () => {
      origin.close()
      await rig.close()
    })
    for (const [name, request, status] of REFUSED) {
      const client = await dial(rig.port)
      client.say((request + EVIL).replaceAll('ORIGIN', origin.authority))
      const answer = await client.hearAll()
      const label = encodeURI(name.slice(0, 60))
      const found = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
      t.ok(found === status || (status === 400 && found === 501), `${label}: ${found}`)
      t.equal(answer.split('HTTP/1.1 ').length, 2, `${label}: one answer`)
      t.match(answer, 'Connection: close', label)
      client.socket.destroy()
    }
    t.strictSame(
      rig.decided.filter(({ destination }) => destination.path === '/evil'),
      [],
      'no smuggled request was judged',
    )
    // A body may turn out to be malformed after its head was sent: the origin never sees it end.
    while (origin.latest?.closed === false) await origin.latest.untilClosed()
    t.notMatch(origin.heard, /evil|\r\n0\r\n\r\n/)
  },
)

t.test('fields that only look like framing are fields', async (t) => {
  const origin = await new Origin().listen()
  const rig = await startRig({ wording: { parseTarget, refusalOf, closeReason: webSocketReason } })
  const client = await dial(rig.port)
  t.teardown(async () => {
    origin.close()
    client.socket.destroy()
    await rig.close()
  })
  let upstream
  for (const coding of HARMLESS_CODINGS) {
    client.say(
      post(`Content-Length: 5\r\n${coding}`, 'hello').replaceAll('ORIGIN', origin.authority),
    )
    upstream ??= await origin.accept()
    const sent = await upstream.hear('hello')
    t.match(sent, /Content-Length: 5\r\n/)
    t.notMatch(sent, /^transfer-encoding/im)
    upstream.say(OK)
    await client.hear('ok')
  }
})

t.test(
  'Connection takes away what it names, never Host, length or credentials of the origin',
  async (t) => {
    const origin = await new Origin().listen()
    const rig = await startRig({
      wording: { parseTarget, refusalOf, closeReason: webSocketReason },
    })
    const client = await dial(rig.port)
    t.teardown(async () => {
      origin.close()
      client.socket.destroy()
      await rig.close()
    })
    client.say(
      post(
        [
          'Connection: Host, Content-Length, Transfer-Encoding, Expect, X-A, close-not, keep-alive',
          'Content-Length: 5',
          'X-A: 1',
          'X-B: 2',
          'Proxy-Authorization: Basic eDp5',
          'Proxy-Foo: 1',
          'Proxy: http://evil.example/',
          'X-Cordon-User: root',
          'Keep-Alive: timeout=9',
          'Upgrade: h2c',
          'HTTP2-Settings: AAMAAABkAAQAAP__',
        ].join('\r\n'),
        'hello',
      ).replaceAll('ORIGIN', origin.authority),
    )
    const upstream = await origin.accept()
    t.equal(
      await upstream.hear('hello'),
      `POST / HTTP/1.1\r\nHost: ${origin.authority}\r\nX-B: 2\r\nContent-Length: 5\r\n\r\nhello`,
    )
    upstream.say(
      'HTTP/1.1 403 No\r\nX-Cordon-Decision-Id: 1\r\nX-Cordon-Warning: x\r\nProxy-Status: cordon; error=http_request_denied\r\nProxy-Status: other; error=x, "Cordon"; y\r\nproxy-status: edge; received-status=403\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
    )
    t.equal(
      await client.hear('\r\n\r\n'),
      'HTTP/1.1 403 No\r\nproxy-status: edge; received-status=403\r\nContent-Length: 0\r\n\r\n',
      'what the origin says in our name is not sent on',
    )
  },
)
