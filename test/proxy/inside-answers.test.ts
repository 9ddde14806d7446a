// Answers that an origin should not give, to clients inside a tunnel: the client gets a whole answer, a 502
// or a break, the next request is served, and the process lives.

import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import t, { type Test } from 'tap'
import {
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  FramePeer,
  settings,
  TYPE,
  u32,
} from '../support/http2-frames.ts'
import { HOST, secured, SecureOrigin, startInside } from '../support/inside-rig.ts'

interface Answer {
  readonly status: number
  readonly body: string
  readonly trailers: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
  readonly broken: boolean
  readonly interim: readonly number[]
}

async function sessionTo(t: Test, rig: Parameters<typeof secured>[0]): Promise<ClientHttp2Session> {
  const socket = await secured(rig, { ALPNProtocols: ['h2'] })
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket })
  session.on('error', () => undefined)
  t.teardown(() => session.destroy())
  return session
}

async function ask(session: ClientHttp2Session, method = 'GET'): Promise<Answer> {
  const stream = session.request({ ':path': '/x', ':method': method })
  let status = 0
  let headers = {}
  let trailers = {}
  let body = ''
  const interim: number[] = []
  stream.on('headers', (fields) => interim.push(Number(fields[':status'])))
  stream.on('response', (fields) => {
    headers = fields
    status = Number(fields[':status'])
  })
  stream.on('trailers', (fields) => (trailers = fields))
  stream.setEncoding('latin1').on('data', (text: string) => (body += text))
  stream.on('error', () => undefined)
  await new Promise((resolve) => stream.on('close', resolve))
  return { status, headers, trailers, body, broken: stream.rstCode !== 0, interim }
}

const GOOD = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood'

/** [name, what the origin says, status, body, broken] */
const ANSWERS: readonly (readonly [string, string, number, string | undefined, boolean])[] = [
  ['TE', 'HTTP/1.1 200 OK\r\nTE: gzip\r\nContent-Length: 2\r\n\r\nok', 200, 'ok', false],
  [
    'every field of a connection',
    'HTTP/1.1 200 OK\r\nConnection: x-a, close\r\nX-A: 1\r\nKeep-Alive: timeout=1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    false,
  ],
  [
    'single fields twice',
    'HTTP/1.1 200 OK\r\nETag: "a"\r\nETag: "b"\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    false,
  ],
  ['205 with a body', 'HTTP/1.1 205 R\r\nContent-Length: 2\r\n\r\nok', 205, '', false],
  ['status 600', 'HTTP/1.1 600 R\r\nContent-Length: 2\r\n\r\nok', 502, 'ok', false],
  ['status 999', 'HTTP/1.1 999 R\r\nContent-Length: 2\r\n\r\nok', 502, 'ok', false],
  [
    'a prototype',
    'HTTP/1.1 200 OK\r\n__proto__: x\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    false,
  ],
  ['obs-text', 'HTTP/1.1 200 OK\r\nX: \xe9\x80\r\nContent-Length: 2\r\n\r\nok', 200, 'ok', false],
  [
    'early hints with TE',
    'HTTP/1.1 103 Early\r\nTE: gzip\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    false,
  ],
  ['interims without end', 'HTTP/1.1 102 P\r\n\r\n'.repeat(40), 502, undefined, false],
  [
    '101 unasked',
    'HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    502,
    undefined,
    false,
  ],
  ['no HTTP', 'SSH-2.0-x\r\n\r\n', 502, undefined, false],
  ['HTTP/2 unasked', 'HTTP/2 200\r\n\r\n', 502, undefined, false],
  ['a large head', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, 502, undefined, false],
  ['many fields', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(200)}\r\n`, 502, undefined, false],
  [
    'a folded field',
    'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok',
    502,
    undefined,
    false,
  ],
  [
    'length and coding',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    502,
    undefined,
    false,
  ],
  [
    'trailers with framing',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n',
    502,
    undefined,
    false,
  ],
  [
    'trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\nTE: x\r\nContent-Type: a/b\r\n\r\n',
    200,
    'ok',
    false,
  ],
]

t.test('of an origin over HTTP/1.1, to clients of HTTP/2', async (t) => {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin)
  const session = await sessionTo(t, rig)
  for (const [name, says, status, body, broken] of ANSWERS) {
    const asked = ask(session)
    let upstream = origin.all.find(({ closed, ended }) => !closed && !ended)
    upstream ??= await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say(says)
    const answer = await asked
    t.equal(answer.status, status, `${name}: status`)
    if (body !== undefined) t.equal(answer.body, body, `${name}: body`)
    t.equal(answer.broken, broken, `${name}: whole`)
    for (const field of ['te', 'connection', 'x-a', 'keep-alive', 'upgrade', 'content-type'])
      t.notOk(field in answer.trailers, `${name}: ${field} is no trailer`)
    upstream.socket.destroy()
    await upstream.untilClosed()
  }
  const asked = ask(session)
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say(GOOD)
  t.match(await asked, { status: 200, body: 'good' })
})

const OK = fieldBlock([':status', '200'])

/** [name, what the origin says to the stream, status (0: none), whole] */
const STREAMS: readonly (readonly [string, (id: number) => readonly Buffer[], number, boolean])[] =
  [
    ['an answer', (id) => [headers(id, OK), data(id, 'ok', END_STREAM)], 200, true],
    ['a refusal', (id) => [reset(id, 7)], 502, true],
    ['a reset before the answer', (id) => [reset(id, 8)], 502, true],
    ['a reset without error before the answer', (id) => [reset(id, 0)], 502, true],
    ['a reset in the middle', (id) => [headers(id, OK), data(id, 'o'), reset(id, 8)], 200, false],
    [
      'a reset without error in the middle',
      (id) => [headers(id, OK), data(id, 'o'), reset(id, 0)],
      200,
      false,
    ],
    [
      'less than its length',
      (id) => [
        headers(id, fieldBlock([':status', '200'], ['content-length', '5'])),
        data(id, 'o', END_STREAM),
      ],
      200,
      false,
    ],
    [
      'more than its length',
      (id) => [
        headers(id, fieldBlock([':status', '200'], ['content-length', '1'])),
        data(id, 'oops', END_STREAM),
      ],
      200,
      false,
    ],
    ['data before a head', (id) => [data(id, 'x', END_STREAM)], 502, true],
    ['no status', (id) => [headers(id, fieldBlock(['a', 'b']), END_STREAM)], 502, true],
    ['a bad status', (id) => [headers(id, fieldBlock([':status', 'abc']), END_STREAM)], 502, true],
    [
      'a field with CRLF',
      (id) => [headers(id, fieldBlock([':status', '200'], ['a', 'b\r\nc: d']), END_STREAM)],
      200,
      true,
    ],
    [
      'a name with a space',
      (id) => [headers(id, fieldBlock([':status', '200'], ['a b', 'c']), END_STREAM)],
      200,
      true,
    ],
    [
      'a name in upper case',
      (id) => [headers(id, fieldBlock([':status', '200'], ['A', 'c']), END_STREAM)],
      502,
      true,
    ],
    [
      'a field of a connection',
      (id) => [headers(id, fieldBlock([':status', '200'], ['connection', 'close']), END_STREAM)],
      502,
      true,
    ],
    [
      'a coding',
      (id) => [
        headers(id, fieldBlock([':status', '200'], ['transfer-encoding', 'chunked']), END_STREAM),
      ],
      502,
      true,
    ],
    [
      'two lengths',
      (id) => [
        headers(
          id,
          fieldBlock([':status', '200'], ['content-length', '0'], ['content-length', '1']),
          END_STREAM,
        ),
      ],
      502,
      true,
    ],
    [
      'a large head',
      (id) => [
        headers(id, fieldBlock([':status', '200'], ['a', 'b'.repeat(16_000)]), END_STREAM, 0),
        ...Array.from({ length: 3 }, (_, at) =>
          frame(
            TYPE.continuation,
            at === 2 ? END_HEADERS : 0,
            id,
            fieldBlock(['a', 'b'.repeat(16_000)]),
          ),
        ),
      ],
      502,
      true,
    ],
    [
      'many fields',
      (id) => [
        headers(
          id,
          fieldBlock([':status', '200'], ...Array.from({ length: 200 }, () => ['a', 'b'] as const)),
          END_STREAM,
        ),
      ],
      502,
      true,
    ],
    [
      'interims without end',
      (id) => Array.from({ length: 40 }, () => headers(id, fieldBlock([':status', '103']))),
      502,
      true,
    ],
    [
      'trailers with framing',
      (id) => [
        headers(id, OK),
        data(id, 'ok'),
        headers(id, fieldBlock(['content-type', 'a/b'], ['x-t', '1']), END_STREAM),
      ],
      200,
      true,
    ],
    [
      'a pseudo-field in trailers',
      (id) => [
        headers(id, OK),
        data(id, 'ok'),
        headers(id, fieldBlock([':status', '200']), END_STREAM),
      ],
      200,
      false,
    ],
    [
      'a second head',
      (id) => [headers(id, OK), headers(id, OK), data(id, 'ok', END_STREAM)],
      200,
      false,
    ],
    [
      'a promise',
      (id) => [
        frame(TYPE.push, END_HEADERS, id, Buffer.concat([u32(2), OK])),
        headers(id, OK),
        data(id, 'ok', END_STREAM),
      ],
      200,
      true,
    ],
    [
      'an unknown frame',
      (id) => [frame(99, 0, id, Buffer.from('x')), headers(id, OK), data(id, 'ok', END_STREAM)],
      200,
      true,
    ],
    [
      'the end of the connection',
      () => [frame(TYPE.goaway, 0, 0, Buffer.concat([u32(0), u32(2)]))],
      502,
      true,
    ],
  ]

function headers(id: number, block: Buffer, flags = 0, end = END_HEADERS): Buffer {
  return frame(TYPE.headers, flags | end, id, block)
}

function data(id: number, text: string, flags = 0): Buffer {
  return frame(TYPE.data, flags, id, Buffer.from(text))
}

function reset(id: number, code: number): Buffer {
  return frame(TYPE.reset, 0, id, u32(code))
}

t.test('of an origin over HTTP/2, to clients of HTTP/2', async (t) => {
  const origin = await new SecureOrigin({ ALPNProtocols: ['h2'] }).listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin)
  const session = await sessionTo(t, rig)
  let served = 0
  for (const [name, says, status, whole] of STREAMS) {
    origin.onSocket = (socket) => {
      const peer = new FramePeer(socket, true)
      peer.say(settings())
      void (async () => {
        for (;;) {
          const head = await peer.hear(TYPE.headers)
          if (head === undefined) return
          served += 1
          peer.say(...says(head.stream))
        }
      })()
    }
    served = 0
    const answer = await ask(session)
    t.equal(answer.status, status, `${name}: status`)
    t.equal(answer.broken, !whole, `${name}: ${whole ? 'whole' : 'broken'}`)
    t.ok(served <= (name === 'a refusal' ? 2 : 1), `${name}: asked ${served} times`)
    t.notOk('content-type' in answer.trailers, name)
    t.notOk('a' in answer.headers || 'a b' in answer.headers || 'c' in answer.headers, name)
    origin.drop()
  }
})
