// Bodies that are held: as much as is searched and not a byte more, whatever is in them and however they come.

import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/decision/decide.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { HeldParts } from '../../src/proxy/held-parts.ts'
import {
  END_HEADERS,
  fieldBlock,
  frame,
  FramePeer,
  PREFACE,
  settings,
  TYPE,
  u32,
} from '../support/http2-frames.ts'
import { HOST, inside, secured, SecureOrigin, startInside } from '../support/inside-rig.ts'
import { DENIED } from '../support/proxy-rig.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

interface Wishes {
  readonly inspectBytes?: number
  readonly inspectMemory?: number
  readonly outcome?: (request: AccessRequest) => Partial<Outcome> | Promise<Partial<Outcome>>
  readonly deadlines?: Deadlines
}

async function set(t: Test, { inspectBytes = 1000, inspectMemory = 1e7, ...parts }: Wishes = {}) {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(
    t,
    origin,
    {
      ...parts,
      foresee: () => ({ service: undefined, readsContent: true }),
    },
    { inspectBytes: () => inspectBytes, inspectMemory },
  )
  return { rig, origin }
}

function post(fields: string, body = ''): string {
  return `POST /v1/x HTTP/1.1\r\nHost: ${HOST}\r\nContent-Type: application/json\r\n${fields}\r\n\r\n${body}`
}

/** Of the request that was decided last. */
function seen(rig: { readonly decided: readonly AccessRequest[] }) {
  const { content } = rig.decided.at(-1) ?? {}
  return { text: content?.text, ...content?.message }
}

t.test('one byte decides whether all was searched', async (t) => {
  const { rig, origin } = await set(t)
  for (const [size, truncated] of [
    [999, false],
    [1000, false],
    [1001, true],
    [3000, true],
  ] as const)
    for (const chunked of [false, true]) {
      const body = 'x'.repeat(size)
      const client = await inside(rig)
      const upstream = origin.accept()
      // The last byte comes by itself: what is complete need not look so at first.
      if (chunked) {
        client.say(
          post('Transfer-Encoding: chunked', `${(size - 1).toString(16)}\r\n${body.slice(1)}\r\n`),
        )
        await new Promise(setImmediate)
        client.say('1\r\nx\r\n0\r\nX-T: 1\r\n\r\n')
      } else {
        client.say(post(`Content-Length: ${size}`, body.slice(1)))
        await new Promise(setImmediate)
        client.say('x')
      }
      const peer = await upstream
      const sent = await peer.hear(chunked ? '0\r\nX-T: 1\r\n\r\n' : body)
      peer.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
      await client.hear('ok')
      const label = `${size}${chunked ? ', chunked' : ''}`
      t.equal(seen(rig).truncated, truncated, label)
      t.equal(sent.split('\r\n\r\n')[1]?.match(/x/g)?.length, size, `${label}: whole at the origin`)
      client.socket.destroy()
      await peer.untilEnded()
    }
})

const ZEROS = Buffer.alloc(1 << 25)

/** [name, coding, body, why not all of it was seen] */
const BOMBS: readonly (readonly [string, string, Buffer, string | undefined])[] = [
  ['gzip', 'gzip', gzipSync(ZEROS), 'bad_encoding'],
  [
    'br',
    'br',
    brotliCompressSync(ZEROS, { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } }),
    'bad_encoding',
  ],
  ['zstd', 'zstd', zstdCompressSync(ZEROS), 'bad_encoding'],
  ['deflate', 'deflate', deflateSync(ZEROS), 'bad_encoding'],
  ['twice', 'gzip, gzip', gzipSync(gzipSync(ZEROS)), 'bad_encoding'],
  [
    'fifteen hundred',
    Array.from({ length: 1500 }, () => 'gzip').join(),
    gzipSync('{}'),
    'unknown_encoding',
  ],
  ['three', 'gzip, gzip, gzip', gzipSync(gzipSync(gzipSync('{}'))), 'unknown_encoding'],
  ['unknown', 'pack200-gzip', gzipSync('{}'), 'unknown_encoding'],
  ['cut', 'gzip', gzipSync(Buffer.alloc(9999, 'ab')).subarray(0, 20), 'bad_encoding'],
  ['another one', 'br', gzipSync('{"a":1}'), 'bad_encoding'],
  ['more behind it', 'gzip', Buffer.concat([gzipSync('{}'), Buffer.from('{}')]), 'bad_encoding'],
  ['none', 'gzip', Buffer.from('{}'), 'bad_encoding'],
]

t.test('codings that cannot be undone are told, and the body passes as it came', async (t) => {
  const { rig, origin } = await set(t, { inspectBytes: 10 << 20, inspectMemory: 64 << 20 })
  for (const [name, coding, body, reason] of BOMBS) {
    rig.endings.length = 0
    const client = await inside(rig)
    client.socket.write(post(`Content-Encoding: ${coding}\r\nContent-Length: ${body.length}`))
    client.socket.write(body)
    const upstream = await origin.accept()
    const text = body.toString('latin1')
    t.ok((await upstream.hear(text)).endsWith(text), `${name}: byte by byte`)
    upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
    await client.hear('ok')
    await upstream.untilEnded()
    t.match(rig.endings, [{ visibility: 'metadata', visibility_reason: reason }], name)
    client.socket.destroy()
  }
})

t.test('held bodies share a budget, with what their codings hide, and give it back', async (t) => {
  const { rig, origin } = await set(t, { inspectBytes: 1 << 20, inspectMemory: 1 << 20 })
  const large = JSON.stringify({ a: 'b'.repeat(600_000) })
  const hidden = gzipSync(
    Buffer.from(
      Array.from({ length: 30_000 }, (_, at) => `${at * 7919} `).join('') + 'x'.repeat(900_000),
    ),
  )
  t.ok(hidden.length < 300_000)
  for (let round = 0; round < 3; round += 1) {
    const holding = await inside(rig)
    holding.say(post(`Content-Length: ${large.length}`, large.slice(1)))
    await new Promise(setImmediate)
    for (const [name, fields, body] of [
      ['another', `Content-Length: ${large.length}`, Buffer.from(large)],
      ['a compressed one', `Content-Encoding: gzip\r\nContent-Length: ${hidden.length}`, hidden],
    ] as const) {
      const client = await inside(rig)
      client.socket.write(post(fields))
      client.socket.write(body)
      t.match(await client.hear('\r\n\r\n'), /^HTTP\/1\.1 503 [^]*Retry-After: 2/, name)
      client.socket.destroy()
    }
    if (round === 0) holding.socket.destroy()
    else {
      holding.say('}')
      const upstream = await origin.accept()
      await upstream.hear('"}')
      // The body is not needed once the origin answers, however long it takes for that.
      upstream.say('HTTP/1.1 200 OK\r\n\r\n')
      await holding.hear('\r\n\r\n')
      const next = await inside(rig)
      next.say(post(`Content-Length: ${large.length}`, large))
      const other = await origin.accept()
      await other.hear('"}')
      other.say(ANSWER.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
      await next.hear('ok')
      for (const peer of [next, holding, other, upstream]) peer.socket.destroy()
    }
    await settled(rig, round)
  }
  t.equal(rig.limits.get('inspect_memory'), 6)
})

/** Whoever has gone is known to have gone. */
async function settled(
  rig: { readonly proxy: { readonly connections: number } },
  round: number,
): Promise<void> {
  for (let turn = 0; rig.proxy.connections > 0; turn += 1) {
    if (turn > 20_000) throw new Error(`connections stayed open in round ${round}`)
    await new Promise(setImmediate)
  }
}

t.test('a body in many pieces takes no more than its size', async (t) => {
  const parts = new HeldParts()
  const source = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251))
  for (let at = 0; at < source.length; at += 1) parts.add(source.subarray(at, at + 1))
  t.ok(Buffer.concat(parts.list).equals(source))
  t.ok(parts.list.length < 10, `${parts.list.length} buffers`)
  t.ok(parts.taken < source.length + 16_384)
  for (const buffer of parts.list.slice(1)) t.not(buffer.buffer, source.buffer, 'a copy')

  const { rig, origin } = await set(t, { inspectBytes: 1 << 20 })
  const client = await inside(rig)
  client.say(post('Transfer-Encoding: chunked', `${'1\r\nx\r\n'.repeat(20_000)}0\r\n\r\n`))
  const upstream = await origin.accept()
  await upstream.hear('0\r\n\r\n')
  upstream.say(ANSWER)
  await client.hear('ok')
  t.equal(seen(rig).bytes, 20_000)
  client.socket.destroy()
})

t.test('Expect: the client is asked for its body, and may go on waiting', async (t) => {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const { rig, origin } = await set(t, { deadlines })
  const client = await inside(rig)
  client.say(post('Expect: 100-continue\r\nContent-Length: 2'))
  await client.hear('HTTP/1.1 100 Continue\r\n\r\n')
  client.say('{}')
  const upstream = await origin.accept()
  t.notMatch(await upstream.hear('{}'), /expect/i, 'nobody is asked twice')
  upstream.say(ANSWER)
  await client.hear('ok')

  client.say(post('Expect: 100-continue\r\nContent-Length: 2'))
  await client.hear('HTTP/1.1 100 Continue\r\n\r\n')
  now += 60_001
  deadlines.tick()
  t.match(await client.hearAll(), /^HTTP\/1\.1 408 /)
  t.equal(origin.all.length, 1)
  t.equal(rig.decided.length, 1, 'what never came whole is not judged')
})

t.test('a body that dribbles is given up after a minute of silence', async (t) => {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const { rig, origin } = await set(t, { deadlines })
  const client = await inside(rig)
  client.say(post('Content-Length: 9', '1'))
  for (let at = 0; at < 3; at += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    now += 59_000
    deadlines.tick()
    client.say('2')
  }
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(client.received, '')
  now += 60_001
  deadlines.tick()
  t.match(await client.hearAll(), /^HTTP\/1\.1 408 /)
  t.equal(origin.heard, '')
})

t.test('a client that goes while its body is held or judged leaves nothing behind', async (t) => {
  const gate = Promise.withResolvers<void>()
  const { rig, origin } = await set(t, {
    outcome: async () => {
      await gate.promise
      return {}
    },
  })
  const held = await inside(rig)
  held.say(post('Content-Length: 9', '12'))
  const judged = await inside(rig)
  judged.say(post('Content-Length: 2', '{}'))
  while (rig.decided.length === 0) await new Promise(setImmediate)
  held.socket.destroy()
  judged.socket.destroy()
  await settled(rig, 0)
  gate.resolve()
  while (rig.endings.length < 2) await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.strictSame(
    rig.endings.map(({ status }) => status).toSorted((one, other) => one - other),
    [0, 200],
    'the request that was judged, and the tunnel in which none was',
  )
  t.equal(origin.heard, '')
})

t.test('requests behind a held one wait their turn, also behind one that is denied', async (t) => {
  const { rig, origin } = await set(t, {
    outcome: ({ content }) =>
      content?.text.includes('secret') === true ? { decision: DENIED, refused: true } : {},
  })
  const client = await inside(rig)
  client.say(
    post('Content-Length: 12', '"a secret!" ') +
      post('Content-Length: 4', '"ab"') +
      `GET /last HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
  )
  t.match(await client.hear('\r\n\r\n'), /^HTTP\/1\.1 403 /)
  const upstream = await origin.accept()
  t.match(await upstream.hear('"ab"'), /^POST /)
  t.equal(upstream.received, '', 'the next one waits')
  upstream.say(ANSWER)
  await client.hear('ok')
  t.match(await upstream.hear('\r\n\r\n'), /^GET \/last /)
  upstream.say(ANSWER)
  await client.hear('ok')
  client.socket.destroy()
})

t.test('an early answer ends the rest of a body that is not searched any more', async (t) => {
  const { rig, origin } = await set(t)
  const client = await inside(rig)
  client.say(post('Content-Length: 100000', 'x'.repeat(2000)))
  const upstream = await origin.accept()
  await upstream.hear('x'.repeat(2000))
  upstream.say('HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno')
  t.match(await client.hear('no'), /^HTTP\/1\.1 413 [^]*Connection: close/)
  await upstream.untilEnded()
  t.notMatch(upstream.received, 'GET')
  client.socket.destroy()
})

t.test('a held body is never sent twice', async (t) => {
  const { rig, origin } = await set(t)
  const client = await inside(rig)
  client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(ANSWER)
  await client.hear('ok')
  client.say(post('Content-Length: 4', '"ab"'))
  await upstream.hear('"ab"')
  upstream.socket.destroy()
  t.match(await client.hear('\r\n\r\n'), /^HTTP\/1\.1 502 /)
  t.equal(origin.all.length, 1)
  client.socket.destroy()
})

t.test('over HTTP/2, a body that breaks off is no body', async (t) => {
  const { rig, origin } = await set(t)
  const block = fieldBlock(
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', '/v1/x'],
  )
  const ping = frame(TYPE.ping, 0, 0, Buffer.alloc(8))
  for (const [name, end] of [
    ['reset', frame(TYPE.reset, 0, 1, u32(8))],
    ['reset without error', frame(TYPE.reset, 0, 1, u32(0))],
    ['connection', undefined],
    ['half', undefined],
  ] as const) {
    const client = new FramePeer(await secured(rig, { ALPNProtocols: ['h2'] }))
    client.say(
      PREFACE,
      settings(),
      frame(TYPE.headers, END_HEADERS, 1, block),
      frame(TYPE.data, 0, 1, Buffer.from('{"a":')),
      ping,
    )
    await client.hear(TYPE.ping)
    if (name === 'half') client.socket.end()
    else if (end !== undefined) {
      client.say(end, ping)
      await client.hear(TYPE.ping)
    }
    if (name !== 'half') client.socket.destroy()
    await settled(rig, 1)
  }
  t.strictSame(
    rig.decided.filter(({ destination }) => destination.path !== undefined),
    [],
    'only their tunnels are recorded',
  )
  t.equal(origin.heard, '')
})

t.test('what is redacted changes length and coding, and nothing else', async (t) => {
  const { rig, origin } = await set(t, {
    inspectBytes: 100_000,
    outcome: ({ content }) => {
      const at = content?.text.indexOf('hunter2') ?? -1
      return at === -1 ? {} : { redactions: [{ start: at, end: at + 7, type: 'password' }] }
    },
  })
  const body = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: 'é hunter2 \n"x"' }],
    n: 1.5,
  })
  const packed = gzipSync(body)
  for (const [fields, sent] of [
    [`Content-Length: ${Buffer.byteLength(body)}`, Buffer.from(body)],
    [`Content-Encoding: gzip\r\nContent-MD5: eA==\r\nContent-Length: ${packed.length}`, packed],
  ] as const) {
    const client = await inside(rig)
    client.socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n`,
    )
    client.socket.write(sent)
    const upstream = await origin.accept()
    const heard = Buffer.from(await upstream.hear('1.5}'), 'latin1').toString()
    const changed = body.replace('hunter2', '[REDACTED:password]')
    t.equal(
      heard,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: x\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(changed)}\r\n\r\n${changed}`,
    )
    upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
    await client.hear('ok')
    client.socket.destroy()
  }
})
