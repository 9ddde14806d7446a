// What is open is judged again where a change asks for it: what may not go on is cut, and told as far as that goes.

import { connect as connectHttp2 } from 'node:http2'
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/decision/decide.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { FrameEnds } from '../../src/websocket/frame-ends.ts'
import { HOST, secured, SecureOrigin, startInside } from '../support/inside-rig.ts'
import { dial, Origin } from '../support/peers.ts'
import { ALLOWED, DENIED, startRig } from '../support/proxy-rig.ts'

/** As two bytes. */
const CODE_1008 = '\u0003\u00f0'
const OPEN = 'HTTP/1.1 200 Connection established\r\n\r\n'

function outcomeOf(refused: boolean, finished: unknown[]): Outcome {
  return {
    decision: refused ? DENIED : ALLOWED,
    service: undefined,
    refused,
    warnings: [],
    redactions: [],
    finish: (ending) => finished.push(ending),
  }
}

async function set(t: Test, parts: Parameters<typeof startRig>[0] = {}) {
  const origin = await new Origin().listen()
  const asked: AccessRequest[] = []
  const finished: unknown[] = []
  const state: { answer: 'goes on' | 'denied' | 'audited' | 'fault' } = { answer: 'denied' }
  const rig = await startRig({
    wording: { parseTarget, refusalOf, closeReason: webSocketReason },
    rejudge: (request) => {
      asked.push(request)
      if (state.answer === 'fault') return Promise.reject(new Error('away'))
      if (state.answer === 'goes on') return Promise.resolve(undefined)
      return Promise.resolve(outcomeOf(state.answer === 'denied', finished))
    },
    ...parts,
  })
  t.teardown(async () => {
    origin.close()
    await rig.close()
  })
  const client = await dial(rig.port)
  t.teardown(() => client.socket.destroy())
  return { ...rig, origin, client, asked, finished, state }
}

t.test('a tunnel that is denied now is closed, and its decision has an end', async (t) => {
  const { client, origin, proxy, asked, finished, endings, outcomes } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await client.hear(OPEN)
  proxy.rejudge()
  await client.untilEnded()
  await upstream.untilEnded()
  t.equal(asked.length, 1)
  t.match(asked[0], { destination: { port: origin.port }, principal: { login: 'maya' } })
  t.same(finished, [{ status: 0, bytes_in: 0, bytes_out: 0, duration_ms: 0 }])
  t.equal(endings.length, 1, 'the decision that let it through has its end as well')
  t.equal(outcomes.get('denied'), 1)
  proxy.rejudge()
  await new Promise((resolve) => setTimeout(resolve, 60))
  t.equal(asked.length, 1, 'what has ended is not judged')
})

t.test('what may go on, or is only observed, goes on', async (t) => {
  const { client, origin, proxy, asked, state } = await set(t)
  client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await client.hear(OPEN)
  for (const answer of ['goes on', 'audited', 'fault'] as const) {
    state.answer = answer
    const before = asked.length
    proxy.rejudge()
    while (asked.length === before) await new Promise((resolve) => setImmediate(resolve))
  }
  client.say('still here')
  t.equal(await upstream.hear('still here'), 'still here')
})

t.test(
  'an answer of events ends with an event that the client can read, between two others',
  async (t) => {
    const { client, origin, proxy } = await set(t)
    client.say(`GET http://${origin.authority}/v1 HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(
      'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n' +
        'd\r\ndata: {"a":1}\r\n',
    )
    const before = await client.hear('{"a":1}')
    proxy.rejudge()
    await new Promise((resolve) => setTimeout(resolve, 80))
    t.notMatch(client.received, /policy_denied/, 'half an event is open')
    upstream.say('10\r\n\n\ndata: {"b":2}\n\r\n')
    const heard = before + (await client.hear('0\r\n\r\n'))
    t.match(
      heard,
      /data: \{"a":1\}[\r\n\da-f]*\n\n[\s\S]*data: \{"error":\{"message":"not here[^\n]*"code":"policy_denied"\}\}\n\n/,
    )
    t.notMatch(heard, /"b":2/)
    await upstream.untilEnded()
  },
)

t.test('an answer of anything else breaks off; one that has not begun is refused', async (t) => {
  const { client, origin, proxy } = await set(t)
  client.say(`GET http://${origin.authority}/file HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf')
  await client.hear('half')
  proxy.rejudge()
  await client.untilEnded()
  t.equal(client.received, '')

  const other = await set(t)
  other.client.say(
    `GET http://${other.origin.authority}/slow HTTP/1.1\r\nHost: ${other.origin.authority}\r\n\r\n`,
  )
  const slow = await other.origin.accept()
  await slow.hear('\r\n\r\n')
  other.proxy.rejudge()
  t.match(await other.client.hear('policy_denied'), /^HTTP\/1\.1 403 [\s\S]*X-Cordon-Decision-Id/)
})

t.test(
  'what was decided before the change, and comes to be let through after it, is judged again',
  async (t) => {
    const decision = Promise.withResolvers<object>()
    const begun = Promise.withResolvers<undefined>()
    const { client, origin, proxy, asked } = await set(t, {
      outcome: () => {
        begun.resolve(undefined)
        return decision.promise
      },
    })
    client.say(`CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`)
    await begun.promise
    proxy.rejudge()
    decision.resolve({})
    await client.untilEnded()
    t.equal(asked.length, 1)
  },
)

t.test('a WebSocket that nobody reads is told between two frames', async (t) => {
  const { client, origin, proxy } = await set(t)
  client.say(
    `GET http://${origin.authority}/ws HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u0081\u0005hel',
  )
  await client.hear('\r\n\r\n\u0081\u0005hel')
  proxy.rejudge()
  await new Promise((resolve) => setTimeout(resolve, 80))
  t.equal(client.received, '', 'half a frame is open')
  upstream.say('lo\u0081\u0003abc')
  await client.untilEnded()
  t.ok(client.received.startsWith('lo\u0088'))
  t.equal(client.received.slice(4, 6), CODE_1008)
  t.match(client.received.slice(6), /^not here; decision 0199/)
  await upstream.untilEnded()
})

t.test('a WebSocket whose messages are judged is told the same', async (t) => {
  const { client, origin, proxy } = await set(t, {
    foresee: () => ({ service: undefined, readsContent: true }),
  })
  client.say(
    `GET http://${origin.authority}/ws HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u0081\u0003abc',
  )
  await client.hear('abc')
  proxy.rejudge()
  const told = await client.hear('not here; decision 0199')
  t.ok(told.startsWith('\u0088'))
  t.equal(told.slice(2, 4), CODE_1008)
  await upstream.hear('\u0088')
})

t.test(
  'a stream of HTTP/2 inside a tunnel ends with the event, its neighbours go on',
  async (t) => {
    const origin = await new SecureOrigin().listen()
    t.teardown(() => origin.close())
    const rig = await startInside(t, origin, {
      rejudge: ({ destination }) =>
        Promise.resolve(destination.path === '/stays' ? undefined : outcomeOf(true, [])),
    })
    const socket = await secured(rig, { ALPNProtocols: ['h2'] })
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket })
    session.on('error', () => undefined)
    t.teardown(() => session.destroy())
    const streams = await Promise.all(
      ['/events', '/file', '/stays'].map(async (path) => {
        const stream = session.request({ ':path': path })
        stream.on('error', () => undefined)
        const upstream = await origin.accept()
        await upstream.hear('\r\n\r\n')
        const type = path === '/file' ? 'application/octet-stream' : 'text/event-stream'
        upstream.say(
          `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n`,
        )
        let text = ''
        stream.setEncoding('utf8').on('data', (part: string) => (text += part))
        const closed = new Promise<void>((resolve) => stream.once('close', resolve))
        while (!text.includes('data: 1')) await new Promise((resolve) => setImmediate(resolve))
        return { path, stream, upstream, closed, text: () => text }
      }),
    )
    rig.proxy.rejudge()
    const [events, file, stays] = streams
    await Promise.all([events?.closed, file?.closed])
    t.match(
      events?.text(),
      /^data: 1\n\ndata: \{"error":\{"message":"not here.*"policy_denied"\}\}\n\n$/,
    )
    t.equal(events?.stream.rstCode, 0)
    t.equal(file?.text(), 'data: 1\n\n')
    t.not(file?.stream.rstCode, 0, 'nobody takes it for a whole one')
    stays?.upstream.say('9\r\ndata: 2\n\n\r\n0\r\n\r\n')
    await stays?.closed
    t.equal(stays?.text(), 'data: 1\n\ndata: 2\n\n')
  },
)

t.test('the ends of frames are found however the bytes are cut', (t) => {
  const frames = [
    Buffer.from([0x81, 0x00]),
    Buffer.concat([Buffer.from([0x82, 0x05]), Buffer.alloc(5, 0x81)]),
    Buffer.concat([Buffer.from([0x82, 0x7e, 0x01, 0x00]), Buffer.alloc(256, 0x82)]),
    Buffer.concat([Buffer.from([0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0x01, 0x00]), Buffer.alloc(256)]),
    Buffer.concat([Buffer.from([0x81, 0x83, 1, 2, 3, 4]), Buffer.alloc(3)]),
  ]
  const bytes = Buffer.concat(frames)
  const ends = new Set<number>([0])
  let at = 0
  for (const { length } of frames) ends.add((at += length))
  const wrong: string[] = []
  for (let size = 1; size < bytes.length; size += 1 + (size % 7)) {
    const reader = new FrameEnds()
    for (let from = 0; from < bytes.length; from += size) {
      reader.passed(bytes.subarray(from, from + size))
      const at = Math.min(from + size, bytes.length)
      if (reader.isBetween !== ends.has(at)) wrong.push(`in parts of ${size} at ${at}`)
    }
  }
  for (let cut = 1; cut < bytes.length; cut++) {
    const reader = new FrameEnds()
    reader.passed(bytes.subarray(0, cut))
    const next = [...ends].toSorted((one, other) => one - other).find((end) => end >= cut) ?? 0
    if (reader.placeIn(bytes.subarray(cut)) !== next - cut) wrong.push(`cut at ${cut}`)
  }
  t.same(wrong, [])
  t.end()
})
