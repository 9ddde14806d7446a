// JA4 against the vectors of its specification and of its authors' captures.

import t from 'tap'
import { HelloReader } from '../../src/tls/client-hello.ts'
import { alpn, helloOf, type Parts, serverName, signatures, versions } from '../support/hellos.ts'

const GREASE = 0xbaba
const CIPHERS = '1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035'
const SPECIFIED = '001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015'
const CAPTURED =
  'fe0d,0010,0017,0033,44cd,ff01,000a,000d,0023,002b,000b,ca34,002d,0000,0005,001b,0012'
const ALGORITHMS = '0403,0804,0401,0503,0805,0501,0806,0601'

t.test('the vectors of the specification and of a browser', async (t) => {
  t.equal(ja4(SPECIFIED, ALGORITHMS), 't13d1516h2_8daaf6152771_e5627efa2ab1')
  t.equal(
    ja4(CAPTURED, `0904,0905,0906,${ALGORITHMS}`),
    't13d1517h2_8daaf6152771_cb7bf5808d99',
    'of a capture whose signature algorithms hold a value without meaning',
  )
  const unsigned = SPECIFIED.replace('000d,', '')
  t.match(ja4(unsigned, ''), /^t13d1515h2_8daaf6152771_/)
})

t.test('versions, absent parts and large counts', async (t) => {
  t.match(of({ legacyVersion: 0x0301 }), /^t10i010000_[0-9a-f]{12}_000000000000$/)
  t.match(of({ legacyVersion: 0x0302 }), /^t11/)
  t.match(of({ legacyVersion: 0x0300 }), /^ts3/)
  t.match(of({ legacyVersion: 0x7777 }), /^t00/)
  t.match(of({ ciphers: [GREASE] }), /^t12i000000_000000000000_000000000000$/)
  const many = Array.from({ length: 120 }, (_, index) => index + 1)
  t.match(of({ ciphers: many }), /^t12i9900/)
})

t.test('a protocol that is no text shows the ends of its hex digits', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['h2', 'h2'],
    ['http/1.1', 'h1'],
    ['x', 'xx'],
    ['\u00ab', 'ab'],
    ['\u00ab\u00cd', 'ad'],
    ['0\u00ab', '3b'],
    ['01\u00ab\u00cd', '3d'],
    ['0\u00ab\u00cd1', '01'],
  ]
  for (const [protocol, expected] of cases)
    t.equal(of({ extensions: [alpn(protocol)] }).slice(8, 10), expected, JSON.stringify(protocol))
  t.equal(of({ extensions: [alpn('\u00ba\u00ba', 'h2')] }).slice(8, 10), 'h2', 'without meaning')
})

function ja4(extensions: string, algorithms: string): string {
  const bodies: Readonly<Record<number, readonly [number, Buffer]>> = {
    0x0000: serverName('a.example'),
    0x0010: alpn('h2'),
    0x002b: versions(GREASE, 0x0304, 0x0303),
    0x000d: signatures(GREASE, ...numbers(algorithms)),
  }
  return of({
    ciphers: [GREASE, ...numbers(CIPHERS)],
    extensions: [
      [GREASE, Buffer.alloc(0)],
      ...numbers(extensions).map((type) => bodies[type] ?? ([type, Buffer.alloc(3)] as const)),
      [0x1a1a, Buffer.from([0])],
    ],
  })
}

function of(parts: Parts): string {
  const reader = new HelloReader()
  reader.push(helloOf(parts))
  return reader.hello.ja4
}

function numbers(list: string): readonly number[] {
  return list === '' ? [] : list.split(',').map((hex) => Number.parseInt(hex, 16))
}
