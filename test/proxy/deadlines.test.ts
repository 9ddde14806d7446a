// What waits too long is ended: the clock is moved by hand.

import t, { type Test } from 'tap'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { dial, Origin } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'

async function set(t: Test, options: Parameters<typeof startRig>[1] = {}) {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const origin = await new Origin().listen()
  const rig = await startRig({ deadlines }, options)
  const client = await dial(rig.port)
  t.teardown(async () => {
    origin.close()
    client.socket.destroy()
    await rig.close()
  })
  /** Lets that time pass. */
  const pass = (ms: number): void => {
    now += ms
    deadlines.tick()
  }
  return { ...rig, origin, client, pass }
}

/** The proxy has read what was said before. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 30))
}

t.test('a head has 30 seconds, however its bytes trickle', async (t) => {
  const { client, pass, limits } = await set(t)
  client.say('GET http://a/ HTTP/1.1\r\n')
  await settled()
  pass(20_000)
  client.say('Host: a\r\n')
  await settled()
  pass(9999)
  t.equal(client.received, '')
  pass(2)
  t.match(await client.hearAll(), /^HTTP\/1.1 408 [^]*Connection: close/)
  t.equal(limits.get('header_time'), 1)
})

t.test('a connection that says nothing is closed without a word', async (t) => {
  const { client, pass } = await set(t)
  await settled()
  pass(30_001)
  t.equal(await client.hearAll(), '')
})

t.test('a kept connection may be idle for a minute', async (t) => {
  const { origin, client, pass } = await set(t)
  client.say(get(origin))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 204 No\r\n\r\n')
  await client.hear('\r\n\r\n')
  pass(59_000)
  await settled()
  t.equal(client.ended, false)
  pass(1001)
  t.equal(await client.hearAll(), '')
})

t.test('a body that stalls is answered with 408, and its origin is told', async (t) => {
  const { origin, client, pass } = await set(t)
  client.say(
    `POST http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\nContent-Length: 9\r\n\r\nhello`,
  )
  const upstream = await origin.accept()
  await upstream.hear('hello')
  pass(60_001)
  t.match(await client.hearAll(), /^HTTP\/1.1 408 /)
  await upstream.untilEnded()
})

t.test('an origin that is silent for the idle time gives 504', async (t) => {
  const { origin, client, pass, limits } = await set(t, { idleMs: 100_000 })
  client.say(get(origin))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  pass(100_001)
  t.match(
    await client.hearAll(),
    /^HTTP\/1.1 504 .*\r\nProxy-Status: cordon; error=http_response_timeout/,
  )
  await upstream.untilEnded()
  t.equal(limits.get('idle'), 1)
})

t.test('a stream that is silent for the idle time breaks off', async (t) => {
  const { origin, client, pass } = await set(t, { idleMs: 100_000 })
  client.say(get(origin))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')
  await client.hear('abc')
  pass(100_001)
  await client.untilEnded()
  await upstream.untilEnded()
  t.equal(client.received, '')
})

t.test('a tunnel that is silent for the idle time is closed', async (t) => {
  const { origin, client, pass, endings } = await set(t, { idleMs: 100_000 })
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await client.hear('\r\n\r\n')
  pass(99_000)
  client.say('a')
  await upstream.hear('a')
  pass(99_000)
  await settled()
  t.equal(client.ended, false)
  pass(1001)
  await client.untilEnded()
  await upstream.untilEnded()
  t.match(endings, [{ status: 200, bytes_in: 1 }])
})

t.test('a client that has ended may wait for a moment, then it counts as gone', async (t) => {
  const { origin, client, pass, outcomes } = await set(t)
  client.say(get(origin))
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  client.socket.end()
  await settled()
  pass(1500)
  upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok')
  await client.hear('ok')
  pass(1500)
  t.equal(upstream.ended, false)
  pass(500)
  await upstream.untilEnded()
  t.equal(outcomes.get('aborted'), 1)
})

t.test('an idle origin connection is not used beyond half of its keep-alive time', async (t) => {
  const { origin, client, pass } = await set(t)
  for (const [keepAlive, ms, connections] of [
    ['', 3999, 1],
    ['', 4001, 2],
    ['Keep-Alive: timeout=2\r\n', 999, 2],
    ['Keep-Alive: timeout=2\r\n', 1001, 3],
  ] as const) {
    client.say(get(origin))
    if (origin.connections < connections) await settled()
    const upstream = origin.latest ?? (await origin.accept())
    await upstream.hear('\r\n\r\n')
    upstream.say(`HTTP/1.1 200 OK\r\n${keepAlive}Content-Length: 2\r\n\r\nok`)
    await client.hear('ok')
    pass(ms)
    client.say(get(origin))
    await settled()
    t.equal(origin.connections, connections, `${keepAlive} after ${ms}`)
    const next = origin.latest ?? upstream
    await next.hear('\r\n\r\n')
    next.say(`HTTP/1.1 200 OK\r\n${keepAlive}Content-Length: 2\r\n\r\nok`)
    await client.hear('ok')
  }
})

function get(origin: Origin): string {
  return `GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`
}
