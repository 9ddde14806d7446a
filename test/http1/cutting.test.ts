// Every way of cutting the bytes gives the same events.

import { deepStrictEqual as deepEqual } from 'node:assert'
import * as fc from 'fast-check'
import t from 'tap'
import { cut, readRequests, readResponse } from '../support/http1-events.ts'

const LIMITS = { headerBytes: 1024, headers: 12 }

const piece = fc.constantFrom(
  'GET / HTTP/1.1\r\n',
  'POST http://a.example/x?y=1 HTTP/1.1\r\n',
  'CONNECT a.example:443 HTTP/1.0\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 204\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'Host: a.example\r\n',
  'Content-Length: 5\r\n',
  'content-length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close, x-one\r\n',
  'X-One:\t1 \r\n',
  '\r\n',
  '\r\n\r\n',
  '\n',
  '\r',
  'hello',
  '5\r\nhello\r\n',
  'a;x="q\\"";y=1\r\n0123456789\r\n',
  '3 \r\nabc\r\n',
  '0\r\n\r\n',
  '0\r\nX-Trailer: t\r\nHost: b\r\n\r\n',
  '\u0000',
  'x'.repeat(600),
)
const bytes = fc
  .array(piece, { minLength: 1, maxLength: 14 })
  .map((pieces) => Buffer.from(pieces.join(''), 'latin1'))
const whole = fc.constantFrom(
  'POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd',
  'HTTP/1.0 200 OK\r\n\r\nabcd',
)
const places = fc.array(fc.nat(2000), { maxLength: 12 })

t.test('requests', async (t) => {
  fc.assert(
    fc.property(fc.oneof(bytes, whole.map(latin1)), places, (input, at) => {
      deepEqual(readRequests(cut(input, at), LIMITS), readRequests([input], LIMITS))
    }),
    { numRuns: 500 },
  )
  t.strictSame(
    readRequests(single(latin1(longest())), LIMITS),
    readRequests([latin1(longest())], LIMITS),
    'byte by byte',
  )
})

t.test('responses', async () => {
  fc.assert(
    fc.property(
      fc.oneof(bytes, whole.map(latin1)),
      places,
      fc.constantFrom('GET', 'HEAD'),
      (input, at, method) => {
        const expectation = { method, upgrade: false }
        deepEqual(
          readResponse(cut(input, at), expectation, LIMITS),
          readResponse([input], expectation, LIMITS),
        )
      },
    ),
    { numRuns: 500 },
  )
})

t.test(
  'a head of exactly the limit passes, one byte more does not, however it is cut',
  async (t) => {
    for (const [size, failure] of [
      [1024, undefined],
      [1025, '431 the header section is too large'],
    ] as const) {
      const start = 'GET / HTTP/1.1\r\nHost: a\r\nX: '
      const input = latin1(`${start}${'x'.repeat(size - start.length - 4)}\r\n\r\n`)
      t.equal(input.length, size)
      t.equal(readRequests([input], LIMITS).failure, failure)
      t.equal(readRequests(single(input), LIMITS).failure, failure)
    }
  },
)

function longest(): string {
  return 'POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a="b"\r\n!\r\n0\r\nX-T: 1\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n'
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function single(input: Buffer): Buffer[] {
  return Array.from(input, (byte) => Buffer.of(byte))
}
