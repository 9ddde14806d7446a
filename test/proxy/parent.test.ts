// Through a parent proxy: absolute-form with its credentials, CONNECT, and its refusals.

import t, { type Test } from 'tap'
import { dial, Origin } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const LINE = 'Proxy-Authorization: Basic b3VyczpvdXJz\r\n'

async function set(t: Test) {
  const above = await new Origin().listen()
  const rig = await startRig({
    router: {
      check: () => undefined,
      route: () => {
        throw new Error('nothing is resolved here')
      },
    },
    parent: {
      covers: () => true,
      route: () => ({ address: '127.0.0.1', port: above.port, family: 4 }),
      credentials: ['Proxy-Authorization', 'proxy-authorization', 'Basic b3VyczpvdXJz'],
    },
  })
  const client = await dial(rig.port)
  t.teardown(async () => {
    above.close()
    client.socket.destroy()
    await rig.close()
  })
  return { ...rig, above, client }
}

t.test('requests in absolute form, over pooled connections', async (t) => {
  const { above, client } = await set(t)
  client.say(
    'GET http://a.example/x?q HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Basic eDp5\r\n\r\n',
  )
  const upstream = await above.accept()
  t.equal(
    await upstream.hear('\r\n\r\n'),
    `GET http://a.example/x?q HTTP/1.1\r\nHost: a.example\r\n${LINE}\r\n`,
  )
  upstream.say(OK)
  await client.hear('ok')
  client.say('GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n')
  t.match(await upstream.hear('\r\n\r\n'), 'GET http://b.example/ ')
  upstream.say('HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno')
  const answer = await client.hear('"}}')
  t.match(answer, /^HTTP\/1.1 502 .*\r\nProxy-Status: cordon; error=proxy_configuration_error/)
  t.notMatch(answer, /407|Proxy-Authenticate/)
})

t.test('tunnels', async (t) => {
  const { above, client } = await set(t)
  client.say('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n')
  const upstream = await above.accept()
  t.equal(
    await upstream.hear('\r\n\r\n'),
    `CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n${LINE}\r\n`,
  )
  t.equal(client.received, '')
  upstream.say('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfirst')
  t.equal(await client.hear('first'), 'HTTP/1.1 200 Connection established\r\n\r\nfirst')
  client.say('second')
  await upstream.hear('second')
})

t.test('refusals of the parent', async (t) => {
  const { above, client } = await set(t)
  for (const [answer, status] of [
    ['HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n', 502],
    ['HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno', 403],
    ['HTTP/1.1 200 OK\nX: 1\r\n\r\n', 502],
    ['', 502],
  ] as const) {
    client.say('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n')
    const upstream = await above.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(answer)
    if (answer === '') upstream.socket.end()
    t.match(await client.hear('"}}'), new RegExp(`^HTTP/1.1 ${status} `))
    await upstream.untilEnded()
  }
})
