// Ambiguous requests inside a tunnel, over both versions: the origin gets exactly what was meant, or nothing.

import t from 'tap'
import {
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  FramePeer,
  PREFACE,
  settings,
  TYPE,
} from '../support/http2-frames.ts'
import { HOST, inside, secured, SecureOrigin, startInside } from '../support/inside-rig.ts'
import { Peer } from '../support/peers.ts'
import { EVIL, REFUSED } from '../support/smuggling-vectors.ts'

/** As a client writes it that knows only the origin. */
function within(text: string): string {
  return text.replaceAll('http://ORIGIN', '').replaceAll('ORIGIN', HOST)
}

t.test('over HTTP/1.1 the rules are those at the door', async (t) => {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin)
  for (const [name, request, status] of REFUSED) {
    const client = await inside(rig)
    client.say(within(request + EVIL))
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
  for (const upstream of origin.all) await upstream.untilEnded()
  t.notMatch(origin.heard, /evil|\r\n0\r\n\r\n/)
})

type Field = readonly [string, string]

const USUAL: readonly Field[] = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', HOST],
  [':path', '/'],
]
const SMUGGLED = 'GET /evil HTTP/1.1\r\nHost: x\r\n\r\n'

function having(...fields: readonly Field[]): readonly Field[] {
  const replaced = new Set(fields.map(([name]) => name))
  const kept = USUAL.filter(([name]) => !replaced.has(name))
  const pseudo = fields.filter(([name]) => name.startsWith(':'))
  return [...kept, ...pseudo, ...fields.filter(([name]) => !name.startsWith(':'))]
}

/** [name, fields, body]: each is refused, or reaches the origin as one well-formed request. */
const STREAMS: readonly (readonly [string, readonly Field[], string?])[] = [
  ...['\r\n', '\n', '\r', '\0', '\r\n\r\n'].flatMap((end): [string, readonly Field[]][] => [
    ['a value', having(['x', `a${end}${SMUGGLED}`])],
    ['the start of a value', having(['x', `${end}evil: 1`])],
    ['a name', having([`x${end}evil`, '1'])],
    ['a path', having([':path', `/${end}${SMUGGLED}`])],
    ['a method', having([':method', `GET /evil HTTP/1.1${end}x: `])],
    ['an authority', having([':authority', `${HOST}${end}evil: 1`])],
    ['a scheme', having([':scheme', `https://x${end}evil`])],
    ['a Host', having([':authority', ''], ['host', `${HOST}${end}evil: 1`])],
  ]),
  ['a space in a path', having([':path', '/ HTTP/1.1'])],
  ['a tab in a path', having([':path', '/\tevil'])],
  ['an empty path', having([':path', ''])],
  ['a path without a slash', having([':path', 'evil'])],
  ['an absolute path', having([':path', `https://${HOST}/`])],
  ['an asterisk', having([':method', 'GET'], [':path', '*'])],
  ['a fragment', having([':path', '/#evil'])],
  ['obs-text in a path', having([':path', '/\xff'])],
  ['a method with a space', having([':method', 'GET /evil'])],
  ['an empty method', having([':method', ''])],
  ['a method in lower case', having([':method', 'get'])],
  ['TRACE', having([':method', 'TRACE'])],
  ['PRI', having([':method', 'PRI'])],
  ['a method that nobody knows', having([':method', 'EVIL'])],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'evil.example:443'],
    ],
  ],
  ['extended CONNECT', having([':method', 'CONNECT'], [':protocol', 'websocket'])],
  ['another scheme', having([':scheme', 'http'])],
  ['a scheme of its own', having([':scheme', 'evil'])],
  ['no scheme', USUAL.filter(([name]) => name !== ':scheme')],
  ['no path', USUAL.filter(([name]) => name !== ':path')],
  ['no method', USUAL.filter(([name]) => name !== ':method')],
  ['no authority', USUAL.filter(([name]) => name !== ':authority')],
  ['two paths', [...USUAL, [':path', '/evil']]],
  ['two methods', [...USUAL, [':method', 'GET']]],
  ['two authorities', [...USUAL, [':authority', 'evil.example']]],
  ['a pseudo-field of answers', having([':status', '200'])],
  ['a pseudo-field of nobody', having([':evil', '1'])],
  ['a pseudo-field behind others', [['x', '1'], ...USUAL]],
  ['user information', having([':authority', `evil@${HOST}`])],
  ['another authority', having([':authority', 'evil.example'])],
  ['another port', having([':authority', `${HOST}:8443`])],
  ['another Host', having(['host', 'evil.example'])],
  ['two Hosts', having(['host', HOST], ['host', HOST])],
  ['two different Hosts', having(['host', HOST], ['host', 'evil.example'])],
  ['Host alone, another', having([':authority', ''], ['host', 'evil.example'])],
  ['h2.TE', having(['transfer-encoding', 'chunked']), `0\r\n\r\n${SMUGGLED}`],
  ['h2.TE in a value', having(['x', 'a\r\ntransfer-encoding: chunked']), `0\r\n\r\n${SMUGGLED}`],
  ['h2.TE in a name', having(['transfer-encoding: chunked\r\nx', 'a']), `0\r\n\r\n${SMUGGLED}`],
  ['a coding with a space', having(['transfer-encoding ', 'chunked']), `0\r\n\r\n${SMUGGLED}`],
  ['a coding in upper case', having(['Transfer-Encoding', 'chunked']), `0\r\n\r\n${SMUGGLED}`],
  ['h2.CL, too little', having(['content-length', '0']), SMUGGLED],
  ['h2.CL, less', having(['content-length', '3']), SMUGGLED],
  ['h2.CL, more', having(['content-length', '999']), SMUGGLED],
  ['more, without a body', having(['content-length', '9'])],
  ['two lengths', having(['content-length', '33'], ['content-length', '3']), SMUGGLED],
  ['two equal lengths', having(['content-length', '33'], ['content-length', '33']), SMUGGLED],
  ...['+3', '-1', '0x3', '3, 3', '3 ', ' 3', '3\xa0', '', '3\0', '99999999999999999999'].map(
    (length): [string, readonly Field[], string] => [
      `the length ${JSON.stringify(length)}`,
      having(['content-length', length]),
      SMUGGLED,
    ],
  ),
  ['connection', having(['connection', 'close'])],
  ['keep-alive', having(['keep-alive', 'timeout=1'])],
  ['proxy-connection', having(['proxy-connection', 'keep-alive'])],
  ['upgrade', having(['upgrade', 'websocket'], ['connection', 'upgrade'])],
  ['http2-settings', having(['http2-settings', 'AAMAAABk'])],
  ['te', having(['te', 'gzip'])],
  ['te with more', having(['te', 'trailers, chunked'])],
  ['an empty name', having(['', 'x'])],
  ['a colon in a name', having(['x:y', '1'])],
  ['a space in a name', having(['x y', '1'])],
  ['a colon at the end of a name', having(['transfer-encoding:', 'chunked'])],
  ['blanks around a value', having(['x', ' 1 '])],
  ['a vertical tab', having(['x', '\x0b1'])],
  ['a form feed and DEL', having(['x', '\x0c\x7f'])],
  ['obs-text in a name', having(['x\xff', '1'])],
  ['an expectation', having(['expect', '100-continue, evil']), 'x'],
  ['fields of the proxy', having(['proxy-authorization', 'Basic eDp5'], ['x-cordon-user', 'root'])],
  ['many fields', having(...Array.from({ length: 150 }, (_, at): Field => [`x-${at}`, '1']))],
  ['a large field', having(['x', 'a'.repeat(40_000)])],
  ['crumbs', having(['cookie', 'a=1'], ['cookie', 'b=2'])],
]

const HEAD =
  /^(?:POST|GET) \/(?: |\S* )HTTP\/1\.1\r\nHost: api\.openai\.example\r\n(?:[!#$%&'*+.^_`|~\w-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/

/** Where the one request ends that a text begins with; undefined where it is not whole, or none. */
function endOfRequest(text: string): number | undefined {
  const [head] = HEAD.exec(text) ?? []
  if (head === undefined) return undefined
  const lengths = head.match(/^content-length:.*$/gim) ?? []
  const codings = head.match(/^transfer-encoding:.*$/gim) ?? []
  if (lengths.length + codings.length > 1) return undefined
  if (codings.length === 1) {
    const [body] =
      /^(?:[1-9a-f][0-9a-f]*\r\n[^]*?\r\n)?0\r\n\r\n/.exec(text.slice(head.length)) ?? []
    return body === undefined ? undefined : head.length + body.length
  }
  const end = head.length + Number(lengths[0]?.split(':')[1] ?? 0)
  return text.length < end ? undefined : end
}

/** The stream is over, by an answer or a reset. */
function isOver({ frames }: FramePeer): boolean {
  return frames.some(
    ({ type, flags, stream }) =>
      type === TYPE.goaway ||
      (stream === 1 && (type === TYPE.reset || (type <= 1 && (flags & END_STREAM) !== 0))),
  )
}

function say(client: FramePeer, fields: readonly Field[], body: string | undefined): void {
  const block = fieldBlock(...fields)
  const most = 16_000
  const pieces = Array.from({ length: Math.ceil(block.length / most) }, (_, at) =>
    block.subarray(at * most, (at + 1) * most),
  )
  client.say(
    PREFACE,
    settings(),
    ...pieces.map((piece, at) =>
      frame(
        at === 0 ? TYPE.headers : TYPE.continuation,
        (at === 0 && body === undefined ? END_STREAM : 0) |
          (at === pieces.length - 1 ? END_HEADERS : 0),
        1,
        piece,
      ),
    ),
    ...(body === undefined ? [] : [frame(TYPE.data, END_STREAM, 1, Buffer.from(body, 'latin1'))]),
  )
}

t.test('over HTTP/2 nothing becomes another request by translation', async (t) => {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const heard: Peer[] = []
  origin.onSocket = (socket) => {
    const peer = new Peer(socket)
    heard.push(peer)
    socket.on('data', () => {
      if (endOfRequest(peer.received) !== undefined)
        peer.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
    })
  }
  const rig = await startInside(t, origin)
  const passed: string[] = []
  for (const [index, [name, fields, body]] of STREAMS.entries()) {
    const label = `${index} ${name}`
    const client = new FramePeer(await secured(rig, { ALPNProtocols: ['h2'] }))
    say(client, fields, body)
    await client.until(() => isOver(client))
    client.socket.destroy()
    const spoken = heard.splice(0).filter(({ received }) => received !== '')
    t.ok(spoken.length < 2, `${label}: one connection at most`)
    for (const peer of spoken) {
      await peer.untilEnded()
      const end = endOfRequest(peer.received)
      // What never became whole was cut off.
      if (end === undefined) t.match(peer.received, /^POST \/ HTTP\/1\.1\r\n/, label)
      else t.equal(end, peer.received.length, `${label}: nothing behind the request`)
      t.notMatch(
        peer.received,
        /^(?:evil|transfer-encoding.*\r\ncontent-length|te|upgrade|x-cordon)/im,
      )
      passed.push(name)
    }
  }
  t.comment(`reached the origin: ${passed.join('; ')}`)
  t.strictSame(
    rig.decided.filter(({ destination }) => destination.path === '/evil'),
    [],
    'no smuggled request was judged',
  )
})
