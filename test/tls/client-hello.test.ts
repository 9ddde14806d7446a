// The first message of a client: read whatever the cuts are, and never otherwise than a TLS server reads it.

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:tls'
import * as fc from 'fast-check'
import t from 'tap'
import { type ClientHello, HelloReader, type HelloRead } from '../../src/tls/client-hello.ts'
import {
  alpn,
  caughtHello,
  helloOf,
  inRecordsOf,
  record,
  serverName,
  vector,
  versions,
} from '../support/hellos.ts'

const GREASE = 0x5a5a
const KEY_SHARE = 51
/** As browsers send it: a key share of ML-KEM, values that mean nothing, an encrypted hello. */
const browser = helloOf({
  ciphers: [GREASE, 0x1301, 0x1302, 0xc02b],
  extensions: [
    [GREASE, Buffer.alloc(0)],
    serverName('API.OpenAI.com'),
    alpn('h2', 'http/1.1'),
    versions(GREASE, 0x0304, 0x0303),
    [KEY_SHARE, randomBytes(1263)],
    [0xfe0d, randomBytes(218)],
    [21, Buffer.alloc(200)],
  ],
})

t.test('what a browser sends is read', async (t) => {
  t.match(read(browser), {
    serverName: 'api.openai.com',
    alpn: ['h2', 'http/1.1'],
    version: 0x0304,
    encrypted: true,
    ja4: /^t13d0306h2_[0-9a-f]{12}_[0-9a-f]{12}$/,
  })
})

t.test('real clients are read', async (t) => {
  const node = await caughtHello((port) =>
    connect({ port, host: '127.0.0.1', servername: 'claude.ai', ALPNProtocols: ['http/1.1'] }).on(
      'error',
      () => undefined,
    ),
  )
  t.match(read(node), { serverName: 'claude.ai', alpn: ['http/1.1'], version: 0x0304 })
  t.match(read(node), { encrypted: false, ja4: /^t13d\d{4}h1_/ })

  const openssl = await caughtHello((port) =>
    execFile('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-noservername', '-tls1_2']),
  )
  t.match(read(openssl), { alpn: [], version: 0x0303, ja4: /^t12i\d{4}00_/ })
  t.equal(read(openssl).serverName, undefined)

  const curl = await caughtHello((port) =>
    execFile('curl', ['--connect-to', `::127.0.0.1:${port}`, 'https://www.Example.com/']),
  )
  t.match(read(curl), { serverName: 'www.example.com', alpn: ['h2', 'http/1.1'] })
})

t.test('every cut of the network gives the same hello', async (t) => {
  const small = helloOf({ extensions: [serverName('claude.ai'), alpn('h2')] })
  for (const bytes of [browser, inRecordsOf(700, browser), small, inRecordsOf(1, small)]) {
    const whole = read(bytes)
    for (let cut = 1; cut < bytes.length; cut++) {
      const reader = new HelloReader()
      const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)]
      if (reader.push(first) !== 'more' || reader.push(second) !== 'hello') t.fail(`cut at ${cut}`)
      if (!reader.bytes.equals(bytes)) t.fail(`bytes after a cut at ${cut}`)
    }
    const reader = new HelloReader()
    const answers = new Set<HelloRead>()
    for (const byte of bytes) answers.add(reader.push(Buffer.from([byte])))
    t.same([...answers], ['more', 'hello'], 'byte by byte')
    t.same(reader.hello, whole)
    t.ok(reader.bytes.equals(bytes), 'nothing of it is lost')
  }
})

t.test('what follows the hello is kept and not read', async (t) => {
  const early = Buffer.concat([browser, randomBytes(300)])
  const reader = new HelloReader()
  t.equal(reader.push(early), 'hello')
  t.same(reader.hello, read(browser))
  t.ok(reader.bytes.equals(early))
  t.equal(reader.push(randomBytes(10)), 'hello', 'and it stays so')
})

t.test('a name is one that a TLS server would take, or none', async (t) => {
  const names: readonly (readonly [string, string | undefined])[] = [
    ['chatgpt.com.', 'chatgpt.com'],
    ['CHATGPT.com', 'chatgpt.com'],
    ['a_b.example.com', 'a_b.example.com'],
    ['localhost', 'localhost'],
    ['10.1.2.3', undefined],
    ['::1', undefined],
    ['[::1]', undefined],
    ['127.1', undefined],
    ['0x7f000001', undefined],
    ['', 'malformed'],
    ['.', 'malformed'],
    ['a..b', 'malformed'],
    ['chatgpt.com..', 'malformed'],
    ['chatgpt.com\0.example.com', 'malformed'],
    ['chatgpt.com:443', 'malformed'],
    ['chat gpt.com', 'malformed'],
    ['ch\u00e4t.com', 'malformed'],
    ['*.com', 'malformed'],
    [`${'a'.repeat(64)}.com`, 'malformed'],
    [`${'a.'.repeat(127)}com`, 'malformed'],
  ]
  for (const [name, expected] of names) {
    const reader = new HelloReader()
    const answer = reader.push(helloOf({ extensions: [serverName(name)] }))
    if (expected === 'malformed') t.equal(answer, 'malformed', JSON.stringify(name))
    else t.equal(reader.hello.serverName, expected, JSON.stringify(name))
  }
  t.equal(read(helloOf({})).serverName, undefined, 'no extensions at all')
  t.equal(read(helloOf({ extensions: [] })).version, 0x0303)
})

t.test('what is no TLS is known by its first byte, what is broken by its form', async (t) => {
  const [type, body] = serverName('a.example')
  const other = Buffer.concat([Buffer.from([1]), vector(2, Buffer.from('x'))])
  const cases: readonly (readonly [string, Buffer, HelloRead])[] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'not_tls'],
    ['SSH', Buffer.from('S'), 'not_tls'],
    ['SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 1]), 'not_tls'],
    ['another version', Buffer.from([22, 4]), 'not_tls'],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0]), 'malformed'],
    ['an empty record between', withEmptyRecord(browser), 'malformed'],
    ['a record that is too long', Buffer.from([22, 3, 1, 0x40, 1]), 'malformed'],
    ['another message', record(Buffer.from([2, 0, 0, 1, 0])), 'malformed'],
    [
      'an alert between',
      Buffer.concat([inRecordsOf(100, browser).subarray(0, 105), Buffer.from([21, 3, 1])]),
      'malformed',
    ],
    [
      'more in the same record',
      record(Buffer.concat([browser.subarray(5), Buffer.from([0])])),
      'malformed',
    ],
    ['two names', helloOf({ extensions: [serverName('a.example', 'b.example')] }), 'malformed'],
    ['no name', helloOf({ extensions: [serverName()] }), 'malformed'],
    ['a name of another kind', helloOf({ extensions: [[0, vector(2, other)]] }), 'malformed'],
    [
      'an extension twice',
      helloOf({
        extensions: [
          [type, body],
          [type, body],
        ],
      }),
      'malformed',
    ],
    [
      'something behind the name',
      helloOf({ extensions: [[0, Buffer.concat([body, Buffer.from([0])])]] }),
      'malformed',
    ],
    ['an empty protocol', helloOf({ extensions: [alpn('')] }), 'malformed'],
    ['no protocols', helloOf({ extensions: [alpn()] }), 'malformed'],
    ['no versions', helloOf({ extensions: [versions()] }), 'malformed'],
    ['half a version', helloOf({ extensions: [[43, Buffer.from([1, 3])]] }), 'malformed'],
    ['no ciphers', helloOf({ ciphers: [] }), 'malformed'],
    ['no compression', helloOf({ compression: Buffer.alloc(0) }), 'malformed'],
    ['a hello of 17 KiB', record(Buffer.from([1, 0, 0x44, 0])), 'too_large'],
  ]
  for (const [name, bytes, expected] of cases)
    t.equal(new HelloReader().push(bytes), expected, name)
  const large = helloOf({ extensions: [serverName('a.example'), [21, Buffer.alloc(16_000)]] })
  t.equal(read(large).serverName, 'a.example', 'nearly 16 KiB')
})

t.test('what never becomes a hello ends at a bound', async (t) => {
  const reader = new HelloReader()
  const start = record(Buffer.from([1, 0, 0x3f, 0xff]))
  t.equal(reader.push(start), 'more')
  let pushed = start.length
  const one = record(Buffer.from([0]))
  while (reader.push(one) === 'more') pushed += one.length
  t.equal(reader.push(one), 'too_large')
  t.ok(pushed < 66 * 1024, `${pushed} bytes`)
})

t.test('nothing throws, and nothing is read that is not there', async () => {
  const flips = fc.array(fc.tuple(fc.nat(browser.length - 1), fc.nat(255)), { maxLength: 4 })
  fc.assert(
    fc.property(flips, fc.nat(browser.length), (changes, end) => {
      const bytes = Buffer.from(browser)
      for (const [at, value] of changes) bytes[at] = value
      const whole = new HelloReader()
      const answer = whole.push(bytes)
      const cut = new HelloReader()
      cut.push(bytes.subarray(0, end))
      if (cut.push(bytes.subarray(end)) !== answer) throw new Error('a cut changes the answer')
      const longer = new HelloReader()
      const more = longer.push(Buffer.concat([bytes, Buffer.alloc(7, 22)]))
      if (answer !== 'more' && more !== answer) throw new Error('what follows changes the answer')
      if (answer === 'hello' && JSON.stringify(whole.hello) !== JSON.stringify(longer.hello))
        throw new Error('what follows changes the hello')
    }),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      new HelloReader().push(
        record(Buffer.concat([Buffer.from([1, 0]), vector(2, Buffer.from(bytes))])),
      )
    }),
    { numRuns: 2000 },
  )
})

function read(bytes: Buffer): ClientHello {
  const reader = new HelloReader()
  const answer = reader.push(bytes)
  if (answer !== 'hello') throw new Error(`the answer is ${answer}`)
  return reader.hello
}

function withEmptyRecord(hello: Buffer): Buffer {
  const cut = inRecordsOf(100, hello)
  return Buffer.concat([cut.subarray(0, 105), Buffer.from([22, 3, 1, 0, 0]), cut.subarray(105)])
}
