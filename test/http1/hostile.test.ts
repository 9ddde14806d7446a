// Tables of hostile and odd messages, for both halves: what is refused, and what is understood.

import t from 'tap'
import { readRequests, readResponse } from '../support/http1-events.ts'

const HOST = 'Host: a.example\r\n'

/** [name, bytes, status] */
const refusedRequests: readonly (readonly [string, string, number])[] = [
  ['CL.TE', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['TE.CL', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'), 400],
  ['CL.TE with an unknown coding', post('Content-Length: 5\r\nTransfer-Encoding: x', 'hello'), 501],
  ['two lengths that differ', post('Content-Length: 5\r\nContent-Length: 6', 'hello'), 400],
  ['two equal lengths', post('Content-Length: 5\r\nContent-Length: 5', 'hello'), 400],
  ['a list of equal lengths', post('Content-Length: 5, 5', 'hello'), 400],
  ...[
    '',
    '+5',
    '-5',
    '5.0',
    '0x5',
    '5 5',
    '5a',
    '５',
    '1'.repeat(16),
    '\u00a05',
    "'5'",
    '5;',
    '1e1',
  ].map(
    (length) =>
      [
        `length ${JSON.stringify(length)}`,
        post(`Content-Length: ${length}`, 'hello'),
        400,
      ] as const,
  ),
  ...[
    'chunked, chunked',
    'chunked,',
    ',chunked',
    'identity, chunked',
    'gzip, chunked',
    'chunked, gzip',
    'chunked;q=1',
    '"chunked"',
    'chunked\u00a0',
    'chun ked',
    '',
  ].map(
    (coding) =>
      [`coding ${coding}`, post(`Transfer-Encoding: ${coding}`, '0\r\n\r\n'), 400] as const,
  ),
  ...['gzip', 'identity', 'xchunked', 'chunkedx', 'cow', "'chunked'"].map(
    (coding) =>
      [`coding ${coding}`, post(`Transfer-Encoding: ${coding}`, '0\r\n\r\n'), 501] as const,
  ),
  [
    'two codings',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    400,
  ],
  ['coding in 1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ['space before colon', get('X : 1'), 400],
  ['tab before colon', get('X\t: 1'), 400],
  ['space before colon of a length', post('Content-Length : 5', 'hello'), 400],
  ['no colon', get('X'), 400],
  ['empty name', get(': 1'), 400],
  ['folded', get('X: 1\r\n 2'), 400],
  ['folded with a tab', get('X: 1\r\n\t2'), 400],
  ['first field folded', `GET / HTTP/1.1\r\n ${HOST}\r\n`, 400],
  ['NUL in a value', get('X: a\0b'), 400],
  ['DEL in a value', get('X: a\x7fb'), 400],
  ['vertical tab in a value', get('X: a\x0bb'), 400],
  ['bare CR in a value', get('X: a\rb'), 400],
  ['bare LF between fields', `GET / HTTP/1.1\r\n${HOST}X: 1\nY: 2\r\n\r\n`, 400],
  ['bare LF after the request line', `GET / HTTP/1.1\n${HOST}\r\n`, 400],
  ['bare LFs only', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['CR CR LF', get('X: 1\r'), 400],
  ['a control byte in a name', get('X\x01: 1'), 400],
  ['a name in quotes', get('"X": 1'), 400],
  ['a high byte in a name', get('X\xe9: 1'), 400],
  ['a slash in a name', get('X/Y: 1'), 400],
  ['two spaces before the target', `GET  / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['two spaces after the target', `GET /  HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a tab in the request line', `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a space in the target', `GET /a b HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a NUL in the target', `GET /\0 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a high byte in the target', `GET /\xe9 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['no target', `GET HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a target without a form', `GET a/b HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a quote in the authority', `GET http://a"b/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['no authority', `GET http:/// HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a colon in the scheme', `GET h:p://a/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a digit in the scheme', `GET h2://a/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a scheme without slashes', `GET http:a HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['empty target', `GET  HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a leading space', ` GET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a leading bare LF', `\nGET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['endless empty lines', '\r\n'.repeat(5), 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', get(HOST.trim()), 400],
  ['empty Host', 'GET / HTTP/1.1\r\nHost: \r\n\r\n', 400],
  ['Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ['Host with a comma', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n', 400],
  ['Host with userinfo', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
  ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['HTTP/0.9', `GET / HTTP/0.9\r\n${HOST}\r\n`, 505],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`, 505],
  ['HTTP/2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ['HTTP/01.1', `GET / HTTP/01.1\r\n${HOST}\r\n`, 400],
  ['HTTP/1.10', `GET / HTTP/1.10\r\n${HOST}\r\n`, 400],
  ['http/1.1', `GET / http/1.1\r\n${HOST}\r\n`, 400],
  ['no version', `GET /\r\n${HOST}\r\n`, 400],
  ['a space after the version', `GET / HTTP/1.1 \r\n${HOST}\r\n`, 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['TLS', '\x16\x03\x01\x02\x00\x01', 400],
  ['TRACE', `TRACE / HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['an unknown method', `FOO / HTTP/1.1\r\n${HOST}\r\n`, 501],
  ['a method in lower case', `get / HTTP/1.1\r\n${HOST}\r\n`, 501],
  ['CONNECT with a body', `CONNECT a:443 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`, 400],
  ['CONNECT in chunks', `CONNECT a:443 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`, 400],
  ['another expectation', post('Content-Length: 5\r\nExpect: 200-ok', 'hello'), 417],
  [
    'two credentials',
    get('Proxy-Authorization: Basic eDp5\r\nProxy-Authorization: Basic eDp6'),
    400,
  ],
  ['101 fields', get(Array.from({ length: 100 }, (_, index) => `X-${index}: 1`).join('\r\n')), 431],
  ['32 KiB of fields', get(`X: ${'x'.repeat(32_768)}`), 431],
  ['32 KiB without an end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(32_768)}`, 431],
  ['a target of 8 KiB', `GET /${'x'.repeat(8192)} HTTP/1.1\r\n${HOST}\r\n`, 414],
  ['an endless target', `GET /${'x'.repeat(9000)}`, 414],
  ...[
    '0x5\r\nhello',
    '+5\r\nhello',
    '-5\r\nhello',
    ' 5\r\nhello',
    '5 \r\nhello',
    '5\nhello',
    '5\rhello',
    '5\r\nhello\n',
    '5\r\nhelloX\r\n',
    '\r\nhello',
    'g\r\nhello',
    'fffffffffffffffff\r\nhello',
    '100000000000005\r\nhello',
    '5;\r\nhello',
    '5 ;a\r\nhello',
    '5; a\r\nhello',
    '5;a =b\r\nhello',
    '5;a= b\r\nhello',
    '5;a=\r\nhello',
    '5;a="b\r\nhello',
    '5;a="b"c\r\nhello',
    '5;a\n\r\nhello',
    '5;a\rX\r\nhello',
    '5;=b\r\nhello',
    '5;a=b=c\r\nhello',
    '5,a\r\nhello',
    '5;\x01\r\nhello',
    `5;${'a'.repeat(5000)}\r\nhello`,
    '0\r\nX\r\n\r\n',
    '0\r\nX : 1\r\n\r\n',
    '0\r\nX: 1\n\r\n',
    '0\r\n X: 1\r\n\r\n',
    '0\r\n\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\nTransfer-Encoding: chunked\r\n\r\n',
    '0\r\n\rX',
  ].map(
    (chunks) =>
      [
        `chunks ${JSON.stringify(chunks.slice(0, 24))}`,
        post('Transfer-Encoding: chunked', chunks),
        400,
      ] as const,
  ),
  ['101 trailers', post('Transfer-Encoding: chunked', `0\r\n${'X: 1\r\n'.repeat(101)}\r\n`), 431],
  [
    '32 KiB of trailers',
    post('Transfer-Encoding: chunked', `0\r\nX: ${'x'.repeat(32_768)}\r\n\r\n`),
    431,
  ],
]

for (const [name, bytes, status] of refusedRequests) {
  t.test(`refuses ${name}`, async (t) => {
    const reading = readRequests([Buffer.from(bytes, 'latin1')])
    t.match(reading.failure ?? 'accepted', new RegExp(`^${status} `))
  })
}

t.test('understands what is odd but clear', async (t) => {
  const cases: readonly (readonly [string, object])[] = [
    [get('X: 1'), { start: 'GET / 1 a.example', fields: ['X: 1'] }],
    [get('X:1'), { fields: ['X: 1'] }],
    [get('X: \t 1 \t'), { fields: ['X: 1'] }],
    [get('X:'), { fields: ['X: '] }],
    [get('X: \xe9'), { fields: ['X: \xe9'] }],
    [`\r\n\r\n${get('X: 1')}`, { fields: ['X: 1'] }],
    ['CONNECT a:443 HTTP/1.0\r\n\r\n', { start: 'CONNECT a:443 0 undefined' }],
    ['GET http://a/ HTTP/1.0\r\n\r\n', { start: 'GET http://a/ 0 undefined' }],
    [post('Content-Length: 5', 'hello'), { body: 'hello', contentLength: 5 }],
    [post('Content-Length: 005', 'hello'), { body: 'hello', contentLength: 5 }],
    [
      post('transfer-encoding: CHUNKED', '5\r\nhello\r\n0\r\n\r\n'),
      { body: 'hello', chunked: true },
    ],
    [
      post(
        'Transfer-Encoding: chunked',
        '005;a;b=c;d="e\\"\t"\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n',
      ),
      { body: 'hello0123456789' },
    ],
    [
      post(
        'Transfer-Encoding: chunked',
        '0\r\nX-Sum: 1\r\nHost: b\r\nSet-Cookie: c\r\nX-Cordon-A: 1\r\n\r\n',
      ),
      { trailers: ['X-Sum: 1'], contentLength: -1 },
    ],
  ]
  for (const [bytes, want] of cases) {
    const reading = readRequests([Buffer.from(bytes, 'latin1')])
    t.equal(reading.failure, undefined, bytes)
    t.match(reading.messages[0], { complete: true, ...want }, bytes)
    t.equal(reading.unread, 0)
  }
})

t.test('keeps only end-to-end fields, whatever Connection names', async (t) => {
  const reading = readRequests([
    Buffer.from(
      post(
        [
          'Connection: close, X-Hop, Host, Content-Length, Transfer-Encoding',
          'connection: x-other',
          'Proxy-Connection: keep-alive',
          'Keep-Alive: timeout=5',
          'TE: trailers',
          'Upgrade: h2c',
          'HTTP2-Settings: AAA',
          'Proxy-Authorization: Basic eDp5',
          'proxy-anything: 1',
          'X-Cordon-Decision-Id: 1',
          'x-CORDON-x: 1',
          'X-Hop: 1',
          'X-OTHER: 1',
          'X-Kept: 1',
          'Content-Length: 5',
        ].join('\r\n'),
        'hello',
      ),
    ),
  ])
  t.strictSame(reading.messages[0]?.fields, ['X-Kept: 1'])
  t.equal(reading.messages[0]?.body, 'hello')
  t.equal(reading.messages[0]?.start, 'POST / 1 a.example')
})

/** [name, bytes] */
const refusedResponses: readonly (readonly [string, string])[] = [
  [
    'length and coding',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello'],
  ['a coding before chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ['coding in 1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['coding in 204', 'HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['an unasked 101', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
  ['endless 1xx', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(17)],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['HTTP/0.9', '<html>\r\n\r\n'],
  ['ICY', 'ICY 200 OK\r\n\r\n'],
  ['two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['a NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n'],
  ['a bare CR in the reason', 'HTTP/1.1 200 O\rK\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nX: 1\r\n\r\n'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n'],
  ['space before colon', 'HTTP/1.1 200 OK\r\nX : 1\r\n\r\n'],
  ['a field without colon', 'HTTP/1.1 200 OK\r\nX\r\n\r\n'],
  ['a leading empty line', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
  ['101 fields', `HTTP/1.1 200 OK\r\n${'X: 1\r\n'.repeat(101)}\r\n`],
  ['32 KiB of fields', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(32_768)}`],
  ['a chunk size with a sign', chunked('+5\r\nhello\r\n0\r\n\r\n')],
  ['a chunk that ends in LF', chunked('5\r\nhello\n0\r\n\r\n')],
]

for (const [name, bytes] of refusedResponses) {
  t.test(`refuses a response with ${name}`, async (t) => {
    t.type(readResponse([Buffer.from(bytes, 'latin1')]).failure, 'string')
  })
}

t.test('frames responses by what was asked', async (t) => {
  const cases: readonly (readonly [string, string, object, number])[] = [
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloEXTRA', { body: 'hello' }, 5],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { body: '', contentLength: 5 }, 0],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', { body: '' }, 0],
    ['GET', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello', { body: '' }, 5],
    ['GET', 'HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n', { body: '', contentLength: 5 }, 0],
    ['GET', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { start: '200 ' }, 0],
    ['GET', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', { start: '999 Odd' }, 0],
    ['GET', 'HTTP/1.0 200 OK\r\n\r\nall of it', { body: 'all of it' }, 0],
    [
      'GET',
      chunked('5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n'),
      { body: 'hello', trailers: ['X-T: 1'] },
      0,
    ],
    ['GET', `HTTP/1.1 100 C\r\n\r\n${chunked('0\r\n\r\n')}`, { start: '200 OK' }, 0],
  ]
  for (const [method, bytes, want, unread] of cases) {
    const reading = readResponse([Buffer.from(bytes, 'latin1')], { method, upgrade: false })
    t.equal(reading.failure, undefined, bytes)
    t.match(reading.messages[0], { complete: true, ...want }, bytes)
    t.equal(reading.unread, unread, bytes)
  }
})

t.test('hands over the bytes after a 101 that was asked for', async (t) => {
  const bytes = 'HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00'
  const reading = readResponse([Buffer.from(bytes, 'latin1')], { method: 'GET', upgrade: true })
  t.equal(reading.failure, undefined)
  t.equal(reading.messages[0]?.start, '101 S')
  t.equal(reading.unread, 2)
})

t.test('a truncated body is not complete', async (t) => {
  for (const bytes of [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell',
    chunked('5\r\nhello\r\n'),
  ]) {
    t.equal(readResponse([Buffer.from(bytes)]).messages[0]?.complete, false, bytes)
  }
})

function get(line: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${line}\r\n\r\n`
}

function post(lines: string, body: string): string {
  return `POST / HTTP/1.1\r\n${HOST}${lines}\r\n\r\n${body}`
}

function chunked(body: string): string {
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`
}
