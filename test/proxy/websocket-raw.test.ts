// A WebSocket through the relay, byte by byte: any cut, frames that are wrong, peers that do not read or answer.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, createServer as createTlsServer, TLSSocket } from 'node:tls'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import { acceptOf } from '../../src/websocket/upgrade.ts'
import { closeFrame } from '../../src/websocket/write.ts'
import { dial, Origin, Peer } from '../support/peers.ts'
import { frameOf, type FrameParts, readFrames } from '../support/websocket-frames.ts'
import { SlowJudge, WebSocketDoor } from '../support/websocket-rig.ts'

type Chosen = ConstructorParameters<typeof WebSocketDoor>[1]

async function joined(t: Test, chosen: Chosen = {}) {
  const origin = await new Origin().listen()
  const door = await new WebSocketDoor(origin.port, chosen).listen()
  t.teardown(() => {
    door.close()
    origin.close()
  })
  return { door, origin, ...(await shake(door, origin, t)) }
}

async function shake(door: WebSocketDoor, origin: Origin, t: Test, early = '', late = '') {
  const client = await dial(door.port)
  t.teardown(() => client.socket.destroy())
  const key = randomBytes(16).toString('base64')
  client.say(
    `GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n${early}`,
  )
  const server = await origin.accept()
  t.notMatch(await server.hear('\r\n\r\n'), /extensions/i)
  server.say(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n${late}`,
  )
  await client.hear('\r\n\r\n')
  return { client, server }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}

async function hears(peer: Peer, bytes: Buffer): Promise<boolean> {
  await peer.until(() => peer.received.length >= bytes.length, `${bytes.length} bytes`)
  const same = peer.received.slice(0, bytes.length) === bytes.toString('latin1')
  peer.received = peer.received.slice(bytes.length)
  return same
}

/** The code of the close frame among what a peer has heard; 0: there is none. */
function closeHeard({ received }: Peer, masked: boolean): number {
  const events = readFrames([Buffer.from(received, 'latin1')], masked)
  const close = events.find((event) => event.startsWith('control 8 '))?.slice('control 8 '.length)
  return close === undefined ? 0 : Buffer.from(close, 'latin1').readUInt16BE(0)
}

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
/** A message in one to three fragments, with a ping or pong between them. */
const message = fc
  .record({
    isText: fc.boolean(),
    content: fc.oneof(
      text.map((content) => Buffer.from(content)),
      fc.constantFrom(125, 126, 127, 70_000).map((size) => Buffer.from('é'.repeat(size))),
    ),
    cuts: fc.array(fc.nat(200), { maxLength: 2 }),
    control: fc.constantFrom(9, 10, undefined),
  })
  .map(({ isText, content, cuts, control }): FrameParts[] => {
    const at = [...cuts.filter((cut) => cut < content.length), content.length].toSorted(
      (a, b) => a - b,
    )
    return at.flatMap((to, index): FrameParts[] => [
      {
        opcode: index > 0 ? 0 : isText ? 1 : 2,
        payload: content.subarray(index === 0 ? 0 : at[index - 1], to),
        fin: index === at.length - 1,
      },
      ...(control === undefined ? [] : [{ opcode: control, payload: 'beat' }]),
    ])
  })

t.test('whatever the cuts, every byte arrives in its place, both ways', async (t) => {
  const { client, server, door } = await joined(t, {
    // Every third verdict takes its time.
    judge: ({ bytes }) => (bytes % 3 === 0 ? Promise.resolve({ pass: true }) : { pass: true }),
    maxMessageBytes: 100_000,
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(2000), { maxLength: 10 }),
      async (messages, places) => {
        for (const [from, to, masked] of [
          [client, server, true],
          [server, client, false],
        ] as const) {
          const frames = messages.flat()
          const encoded = frames.map((parts) => frameOf({ ...parts, masked }))
          const bytes = Buffer.concat(encoded)
          let at = 0
          for (const place of [...new Set(places)].toSorted((a, b) => a - b)) {
            if (place >= bytes.length) break
            from.socket.write(bytes.subarray(at, place))
            at = place
            await new Promise(setImmediate)
          }
          from.socket.write(bytes.subarray(at))
          // A ping may overtake a message that is judged: all that counts is that no frame is torn.
          await to.until(() => to.received.length >= bytes.length, `${bytes.length} bytes`)
          let rest = to.received
          to.received = ''
          const controls = frames.map(({ opcode }) => opcode > 2)
          if (!masked && rest !== bytes.toString('latin1')) return false
          for (const kind of [true, false]) {
            let from = 0
            for (const [index, one] of encoded.entries()) {
              if (controls[index] !== kind) continue
              const found = rest.indexOf(one.toString('latin1'), kind ? 0 : from)
              if (found === -1) return false
              rest = rest.slice(0, found) + rest.slice(found + one.length)
              from = kind ? 0 : found
            }
          }
          if (rest !== '') return false
        }
        return true
      },
    ),
    { numRuns: 60 },
  )
  t.equal(door.held, 0)
})

t.test('frames that come with the handshake are not lost', async (t) => {
  const origin = await new Origin().listen()
  const door = await new WebSocketDoor(origin.port).listen()
  t.teardown(() => {
    door.close()
    origin.close()
  })
  const early = frameOf({ opcode: 1, payload: 'early', masked: true })
  const late = frameOf({ opcode: 1, payload: 'late' })
  const { client, server } = await shake(
    door,
    origin,
    t,
    early.toString('latin1'),
    late.toString('latin1'),
  )
  t.ok(await hears(server, early))
  t.ok(await hears(client, late))
  t.match(door.judged, [{ text: 'early' }])
})

t.test('a client that breaks the protocol is told so, and nothing of it passes', async (t) => {
  const good = { opcode: 1, payload: 'good', masked: true }
  for (const [what, code, parts] of [
    ['a frame without mask', 1002, { opcode: 1, payload: 'x' }],
    ['RSV1', 1002, { opcode: 1, payload: 'x', reserved: 0x40, masked: true }],
    ['opcode 5', 1002, { opcode: 5, masked: true }],
    ['a ping in fragments', 1002, { opcode: 9, fin: false, masked: true }],
    ['a long ping', 1002, { opcode: 9, payload: 'x'.repeat(126), masked: true }],
    ['a length spelt long', 1002, { opcode: 1, payload: 'x', lengthBytes: 8, masked: true }],
    ['a length of 2^63', 1002, { opcode: 1, declared: 1n << 63n, masked: true }],
    ['a length of 2^60', 1009, { opcode: 1, declared: 1n << 60n, masked: true }],
    ['a continuation of nothing', 1002, { opcode: 0, masked: true }],
    ['text in latin1', 1007, { opcode: 1, payload: Buffer.of(0xe9, 0x74), masked: true }],
    ['a close code of 1005', 1002, { opcode: 8, payload: Buffer.of(3, 0xed), masked: true }],
    ['a close code of one byte', 1002, { opcode: 8, payload: 'x', masked: true }],
  ] as const satisfies readonly (readonly [string, number, FrameParts])[]) {
    const { client, server, door } = await joined(t)
    const passed = frameOf(good)
    client.socket.write(passed)
    t.ok(await hears(server, passed))
    client.socket.write(Buffer.concat([frameOf(parts), frameOf(good)]))
    await client.untilEnded()
    await server.until(() => closeHeard(server, true) > 0, 'a close frame')
    t.equal(closeHeard(client, false), code, what)
    t.equal(closeHeard(server, true), 1001)
    t.equal(server.received.length, 8, 'and the origin hears nothing else')
    client.socket.end()
    server.socket.end()
    await door.untilEnded()
  }
})

t.test('an origin that breaks the protocol is told so, and so is the client', async (t) => {
  const good = frameOf({ opcode: 1, payload: 'good' })
  for (const [what, code, parts] of [
    ['a masked frame', 1002, { opcode: 1, payload: 'x', masked: true }],
    ['RSV1', 1002, { opcode: 1, payload: 'x', reserved: 0x40 }],
    ['a text inside a text', 1002, { opcode: 1, fin: false }],
    ['a close code of 999', 1002, { opcode: 8, payload: Buffer.of(3, 0xe7) }],
  ] as const) {
    const { client, server, door } = await joined(t)
    server.socket.write(Buffer.concat([good, frameOf(parts), good]))
    await client.until(() => closeHeard(client, false) > 0, 'a close frame')
    await server.untilEnded()
    t.equal(closeHeard(client, false), 1011, what)
    t.equal(client.received.slice(0, good.length), good.toString('latin1'), 'what was good passed')
    t.equal(closeHeard(server, true), code)
    client.socket.write(closeFrame(1011, '', true))
    server.socket.end()
    client.socket.end()
    await door.untilEnded()
  }
  const { client, server } = await joined(t)
  server.socket.write(frameOf({ opcode: 1, payload: Buffer.from('half'), declared: 10n }))
  await client.hear('half')
  server.socket.write(Buffer.of(0xff))
  await client.untilEnded()
  t.equal(client.received, '', 'a frame that has begun is not followed by another one')
  t.equal(closeHeard(server, true), 1007)
})

t.test('a client is not read while much waits for a judgement', async (t) => {
  const slow = new SlowJudge()
  let judging = true
  const { client, server, door } = await joined(t, {
    judge: () => (judging ? slow.judge() : { pass: true }),
  })
  const one = frameOf({ opcode: 1, payload: 'x'.repeat(1000), masked: true })
  const all = Buffer.concat(Array.from({ length: 12_000 }, () => one))
  client.socket.write(all)
  await door.untilJudged()
  await until(() => door.legs[0]?.client.isPaused() === true)
  t.ok(client.socket.writableLength > 1 << 20, 'most of it is still with the client')
  t.ok(door.held < 1 << 18, `${door.held} bytes are held`)
  t.equal(door.judged.length, 1)
  t.equal(server.received, '')
  judging = false
  slow.answer({ pass: true })
  t.ok(await hears(server, all))
  t.equal(door.held, 0)
})

t.test('endless fragments without content are no way around the limit', async (t) => {
  const { client, server, door } = await joined(t, { maxMessageBytes: 1000 })
  const empty = frameOf({ opcode: 0, fin: false, masked: true })
  const all = Buffer.concat([
    frameOf({ opcode: 1, fin: false, masked: true }),
    ...Array.from({ length: 20_000 }, () => empty),
  ])
  client.socket.write(all)
  t.ok(await hears(server, all))
  t.match(door.judged, [{ bytes: 0, truncated: true }])
  t.ok(door.mostHeld < 20_000, `${door.mostHeld} bytes were held`)
})

t.test('a peer that does not read stops the other one', async (t) => {
  for (const reader of ['client', 'server'] as const) {
    const sides = await joined(t)
    const { door } = sides
    const masked = reader === 'server'
    const to = sides[reader]
    const from = sides[masked ? 'client' : 'server']
    const all = Buffer.concat(
      Array.from({ length: 200 }, () =>
        frameOf({ opcode: 2, payload: randomBytes(65_000), masked }),
      ),
    )
    to.socket.pause()
    from.socket.write(all)
    await until(() => door.legs[0]?.[masked ? 'client' : 'origin'].isPaused() === true)
    const buffered = door.legs[0]?.[masked ? 'origin' : 'client'].writableLength ?? 0
    t.ok(buffered < 1 << 20, `${buffered} bytes wait`)
    to.socket.resume()
    t.ok(await hears(to, all), `to the ${reader}`)
  }
})

t.test('nobody waits for long for an answer to a close', async (t) => {
  const refused = await joined(t, { judge: () => ({ pass: false, closeReason: 'no' }) })
  refused.client.socket.write(frameOf({ opcode: 1, payload: 'x', masked: true }))
  await refused.client.until(() => closeHeard(refused.client, false) === 1008, 'the refusal')
  refused.client.socket.write(frameOf({ opcode: 1, payload: 'y', masked: true }))
  refused.door.pass(4900)
  t.equal(refused.door.totals.length, 0)
  refused.door.pass(200)
  await refused.client.untilClosed()
  await refused.server.untilEnded()
  t.equal(refused.door.judged.length, 1, 'what came after the refusal was not even looked at')

  const passed = await joined(t, { idleMs: 1e7 })
  passed.client.socket.write(closeFrame(1000, '', true))
  await passed.server.until(() => closeHeard(passed.server, true) === 1000, 'the close')
  passed.server.socket.write(frameOf({ opcode: 1, payload: 'last words' }))
  await passed.client.hear('last words')
  passed.door.pass(29_000)
  t.equal(passed.client.ended, false)
  passed.door.pass(2000)
  await passed.client.until(() => closeHeard(passed.client, false) === 1001, 'the end of patience')
  passed.door.pass(6000)
  t.equal(passed.door.totals.length, 1)
})

t.test('nothing follows a close frame', async (t) => {
  const { client, server, door } = await joined(t)
  const more = frameOf({ opcode: 1, payload: 'more', masked: true })
  const close = closeFrame(1000, '', true)
  client.socket.write(Buffer.concat([close, more]))
  t.ok(await hears(server, close))
  const answer = closeFrame(1000, '', false)
  server.socket.write(Buffer.concat([answer, frameOf({ opcode: 1, payload: 'more' })]))
  server.socket.end()
  await client.untilEnded()
  t.equal(client.received, answer.toString('latin1'))
  client.socket.end()
  await server.untilEnded()
  t.equal(server.received, '')
  await door.untilEnded()
})

t.test('an end without a close frame passes as one, after what was said before', async (t) => {
  const slow = new SlowJudge()
  const { client, server, door } = await joined(t, { judge: () => slow.judge() })
  const last = frameOf({ opcode: 1, payload: 'last', masked: true })
  client.socket.end(last)
  await door.untilJudged()
  slow.answer({ pass: true })
  t.ok(await hears(server, last))
  await server.untilEnded()
  const answer = frameOf({ opcode: 1, payload: 'answer' })
  server.socket.end(answer)
  t.equal(await client.hearAll(), answer.toString('latin1'))
  await door.untilEnded()
  t.equal(door.totals[0]?.closeCode, undefined)
})

t.test('the same inside TLS, both legs', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-ws-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const [keyFile, certFile] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  execFileSync(
    'openssl',
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a.example -days 2 -keyout ${keyFile} -out ${certFile}`.split(
      ' ',
    ),
    { stdio: 'ignore' },
  )
  const credentials = { key: readFileSync(keyFile), cert: readFileSync(certFile) }
  const origin = await new Origin().listen()
  // Ends the origin's TLS in front of it.
  const front = createTlsServer({ ...credentials, allowHalfOpen: true }, (socket) => {
    const plain = connect({ port: origin.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.pipe(plain).pipe(socket)
    socket.on('error', () => plain.destroy())
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  const { port } = front.address() as { port: number }
  const door = await new WebSocketDoor(0, {
    toOrigin: () => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }),
    fromClient: (socket) => new TLSSocket(socket, { isServer: true, ...credentials }),
    judge: ({ text: said }) =>
      said === 'no' ? { pass: false, closeReason: 'refused' } : { pass: true },
  }).listen()
  t.teardown(() => {
    door.close()
    origin.close()
    front.close()
  })
  const socket = connectTls({ port: door.port, host: '127.0.0.1', rejectUnauthorized: false })
  t.teardown(() => socket.destroy())
  const client = new Peer(socket)
  const key = randomBytes(16).toString('base64')
  client.say(
    `GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  const server = await origin.accept()
  await server.hear('\r\n\r\n')
  server.say(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`,
  )
  await client.hear('\r\n\r\n')
  const long = frameOf({ opcode: 1, payload: 'x'.repeat(1_000_000), masked: true })
  client.socket.write(long)
  t.ok(await hears(server, long))
  const answer = frameOf({ opcode: 1, payload: 'y'.repeat(1_000_000) })
  server.socket.write(answer)
  t.ok(await hears(client, answer))
  client.socket.write(frameOf({ opcode: 1, payload: 'no', masked: true }))
  await client.until(() => closeHeard(client, false) === 1008, 'the refusal')
  client.socket.write(closeFrame(1008, '', true))
  await client.untilEnded()
  await server.until(() => closeHeard(server, true) === 1001, 'a close')
  server.socket.end()
  client.socket.end()
  await door.untilEnded()
})
