// Request targets: what is a place, what is refused, and that host, Host and path have one reading.

import * as fc from 'fast-check'
import t from 'tap'
import type { Refusal, Target } from '../../src/proxy/ports.ts'
import { parseTarget } from '../../src/proxy/target.ts'

const read = (method: string, target: string, host?: string): Target | Refusal =>
  parseTarget(method, target, host)

t.test('CONNECT wants a host and a port of one to five digits', async (t) => {
  for (const [target, authority] of [
    ['a.example:443', 'a.example:443'],
    ['A.EXAMPLE:1', 'a.example:1'],
    ['a.example.:65535', 'a.example:65535'],
    ['xn--bcher-kva.example:443', 'xn--bcher-kva.example:443'],
    ['bücher.example:443', 'xn--bcher-kva.example:443'],
    ['_dmarc.a_b.example:443', '_dmarc.a_b.example:443'],
    ['3f2a9c1b7d2e:443', '3f2a9c1b7d2e:443'],
    ['8.8.8.8:443', '8.8.8.8:443'],
    ['0x08.8.8.8:443', '8.8.8.8:443'],
    ['[2001:DB8::0:1]:443', '[2001:db8::1]:443'],
    ['[::ffff:8.8.8.8]:443', '[::ffff:808:808]:443'],
  ] as const)
    t.match(read('CONNECT', target, 'whatever.example'), { kind: 'connect', authority }, target)
  for (const port of [
    '',
    ':',
    ':0',
    ':00443',
    ':0443',
    ':65536',
    ':99999',
    ':443443',
    ':4294967739',
    ':443a',
    ':+443',
    ':-443',
    ':443.0',
    ':0x1bb',
    ': 443',
    ':443 ',
    ':４４３',
    ':443:443',
    ':443/',
    ':443?',
    ':443#',
    ':443@',
    ':443,80',
    ':https',
  ])
    for (const host of ['a.example', '[::1]', '8.8.8.8'])
      t.match(read('CONNECT', host + port), { status: 400 }, host + port)
  for (const target of [
    ':443',
    '.:443',
    'a..b:443',
    '.a:443',
    'a..:443',
    '-a:443',
    'a-:443',
    '::1:443',
    '[::1:443',
    '::1]:443',
    '[]:443',
    '[::1]443',
    '[::1%25lo]:443',
    '[8.8.8.8]:443',
    '[v1.a]:443',
    'user@a.example:443',
    'user:word@a.example:443',
    'a.example@b.example:443',
    'http://a.example:443',
    'https://a.example:443',
    '//a.example:443',
    '/a.example:443',
    '*',
    'a.example/:443',
    'a\\b:443',
    'a%2eexample:443',
    'a%00.example:443',
    'a\0b:443',
    'a"b:443',
    'a<b>:443',
    'a{b}:443',
    `${'x'.repeat(64)}.example:443`,
    `${'x.'.repeat(127)}xx:443`,
    '256.8.8.8:443',
    '8.8.8.8.8:443',
    '1.2.3.0x:443a',
    `${'a'.repeat(20_000)}:443`,
  ])
    t.match(
      read('CONNECT', target),
      { status: target.length > 16_384 ? 414 : 400 },
      target.slice(0, 60),
    )
})

t.test('absolute targets: http, a host, and nothing that reads in two ways', async (t) => {
  for (const [target, authority, requestTarget, path, query] of [
    ['http://a.example/', 'a.example', '/', '/', undefined],
    ['HTTP://A.Example', 'a.example', '/', '/', undefined],
    ['http://a.example:80/x', 'a.example', '/x', '/x', undefined],
    ['http://a.example:8080', 'a.example:8080', '/', '/', undefined],
    ['http://a.example?q=1', 'a.example', '/?q=1', '/', 'q=1'],
    [
      'http://a.example/a/../b/%2e/%63?x=/../y',
      'a.example',
      '/a/../b/%2e/%63?x=/../y',
      '/b/c',
      'x=/../y',
    ],
    ['http://a.example//b', 'a.example', '//b', '//b', undefined],
    ['http://a.example/@user:word', 'a.example', '/@user:word', '/@user:word', undefined],
    ['http://a.example/?u=http://x@y', 'a.example', '/?u=http://x@y', '/', 'u=http://x@y'],
    ['http://[::1]:81/', '[::1]:81', '/', '/', undefined],
    ['http://[::1]/', '[::1]', '/', '/', undefined],
    ['http://0x7f.1/', '127.0.0.1', '/', '/', undefined],
  ] as const) {
    const found = read('GET', target)
    t.match(found, { kind: 'absolute', authority, requestTarget }, target)
    if ('status' in found) continue
    t.equal(found.destination.path, path, target)
    t.equal(found.destination.query, query, target)
  }
  for (const target of [
    'https://a.example/',
    'ftp://a.example/',
    'ws://a.example/',
    'gopher://a.example/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'http:/a.example/',
    'http:a.example',
    'http:///a.example/',
    'http:\\\\a.example\\',
    'http://a.example\\@b.example/',
    'http://a.example/x\\y',
    'http://user@a.example/',
    'http://user:word@a.example/',
    'http://@a.example/',
    'http://a.example@b.example/',
    'http://a.example#@b.example/',
    'http://a.example/#x',
    'http://a.example/%',
    'http://a.example/%zz',
    'http://a.example/%00',
    'http://a.example/x?%00',
    'http://a.example /',
    'http://a.example/a b',
    'http://a.example/\t',
    'http://a.example/\r\nX: 1',
    'http://a.example/é',
    'http://bücher.example/',
    'http://a.example:/',
    'http://a.example:080/',
    'http://a.example:0/',
    'http://a.example:65536/',
    'http://a.example:80:80/',
    'http://[::1%25lo]/',
    'http://',
    'http:// /',
    '',
    'a.example',
    'a.example:80',
  ])
    t.match(read('GET', target), { status: 400 }, target)
  t.match(read('GET', `http://a.example/${'x'.repeat(20_000)}`), { status: 414 })
})

t.test('OPTIONS without a path asks about the server', async (t) => {
  t.match(read('OPTIONS', 'http://a.example'), { requestTarget: '*' })
  t.match(read('OPTIONS', 'http://a.example/'), { requestTarget: '/' })
})

t.test(
  'Host says the same as the target, in whatever spelling, or the request is refused',
  async (t) => {
    for (const host of ['a.example', 'A.EXAMPLE', 'a.example.', 'a.example:80', 'A.Example.:80'])
      t.match(read('GET', 'http://a.example/', host), { authority: 'a.example' }, host)
    for (const host of [
      'b.example',
      'a.example:81',
      'a.example:443',
      'a.example:080',
      'a.example:',
      'a.example, b.example',
      'a.example b.example',
      'sub.a.example',
      'a.example..',
      'user@a.example',
      'a.example/',
      '',
    ])
      t.match(read('GET', 'http://a.example/', host), { status: 400 }, host)
    t.match(read('GET', 'http://127.0.0.1/', '0x7f.1'), { authority: '127.0.0.1' })
  },
)

t.test('whatever is accepted is a canonical place', async (t) => {
  const piece = fc.constantFrom(
    ...'a b . .. - _ : / ? # @ [ ] % %2e %00 \\ 0 1 127 0x7f xn-- é ۱ ． 443 80 ::1 localhost'.split(
      ' ',
    ),
  )
  const text = fc.array(piece, { minLength: 1, maxLength: 6 }).map((list) => list.join(''))
  fc.assert(
    fc.property(text, fc.boolean(), (made, isConnect) => {
      const found = isConnect ? read('CONNECT', made) : read('GET', `http://${made}`)
      if ('status' in found) return
      const { host, port } = found.destination
      const bracketed = host.includes(':') ? `[${host}]` : host
      const url = new URL(`http://${bracketed}:${port}/`)
      if (url.hostname !== bracketed) throw new Error(`${host} is not canonical`)
      if (url.username !== '' || url.pathname !== '/')
        throw new Error(`${host} is more than a host`)
      if (host.endsWith('.') || /[^!-~]/.test(found.authority + found.requestTarget))
        throw new Error(`${found.authority}${found.requestTarget} is not clean`)
    }),
    { numRuns: 1500 },
  )
  t.pass('5000 random targets')
})
