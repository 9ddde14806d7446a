// Whom does a client mean? What CONNECT, TLS and each request say must be one; what is no TLS goes nowhere.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { Interception } from '../../src/signatures/interception.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'
import { alpn, helloOf, serverName, versions } from '../support/hellos.ts'
import { HOST, inside, SecureOrigin, startInside, tunnelTo } from '../support/inside-rig.ts'
import { Origin, Peer } from '../support/peers.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
const UNRECOGNIZED = '\x15\x03\x03\x00\x02\x02\x70'

async function set(t: Test, parts: Parameters<typeof startInside>[2] = {}) {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin, parts)
  return { rig, origin }
}

async function rawTo(port: number, authority?: string): Promise<Peer> {
  return new Peer(await tunnelTo(port, authority))
}

function hello(name: string | undefined, ...more: readonly (readonly [number, Buffer])[]): Buffer {
  return helloOf({
    ciphers: [0x1301, 0x1302, 0xc02b],
    extensions: [
      ...(name === undefined ? [] : [serverName(name)]),
      alpn('h2', 'http/1.1'),
      versions(0x0304, 0x0303),
      ...more,
    ],
  })
}

const ECH = [0xfe0d, Buffer.alloc(200, 1)] as const

/** [name, first bytes, outcome and reason, why nothing was seen] */
const OPENINGS: readonly (readonly [string, Buffer, string, string])[] = [
  ['another name', hello('evil.example'), 'refused other_name', 'other_name'],
  ['another selected name', hello('b.openai.example'), 'refused other_name', 'other_name'],
  ['a name above', hello('openai.example'), 'refused other_name', 'other_name'],
  ['an outer name of ECH', hello('cover.example', ECH), 'refused ech', 'ech'],
  [
    'two names',
    helloOf({ extensions: [serverName(HOST, 'evil.example')] }),
    'refused malformed_hello',
    'not_tls',
  ],
  ['a name with a NUL', hello(`${HOST}\0.evil.example`), 'refused malformed_hello', 'not_tls'],
  [
    'plain HTTP',
    Buffer.from(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`),
    'refused not_tls',
    'not_tls',
  ],
  [
    'HTTP/2 in the clear',
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    'refused not_tls',
    'not_tls',
  ],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9\r\n'), 'refused not_tls', 'not_tls'],
  [
    'SSL 2',
    Buffer.from('802e0100020015000000100100800200800300800400800500800600', 'hex'),
    'refused not_tls',
    'not_tls',
  ],
  ['another record first', Buffer.from('1703030010', 'hex'), 'refused not_tls', 'not_tls'],
  [
    'another handshake message first',
    Buffer.from('160301000401000001', 'hex').fill(2, 5, 6),
    'refused malformed_hello',
    'not_tls',
  ],
  ['an empty record', Buffer.from('1603010000', 'hex'), 'refused malformed_hello', 'not_tls'],
  ['noise', Buffer.alloc(300, 0xa5), 'refused not_tls', 'not_tls'],
]

t.test(
  'what does not name the host of its CONNECT is refused, counted and recorded once',
  async (t) => {
    const { rig, origin } = await set(t)
    for (const [name, bytes, counted, unseen] of OPENINGS) {
      rig.interceptions.clear()
      rig.endings.length = 0
      const client = await rawTo(rig.port)
      client.socket.write(bytes)
      const answer = await client.hearAll()
      t.strictSame([...rig.interceptions], [[counted, 1]], name)
      if (counted.endsWith('name') || counted.endsWith('ech'))
        t.equal(answer, UNRECOGNIZED, `${name}: an alert`)
      else t.equal(answer, '', name)
      await new Promise(setImmediate)
      t.match(rig.endings, [{ visibility_reason: unseen }], `${name}: one record`)
      t.equal(rig.endings.length, 1, name)
      client.socket.destroy()
    }
    t.equal(origin.heard, '')
    t.equal(origin.failed, 0, 'nothing of it reached the origin')
  },
)

t.test(
  'a hello beyond every bound is refused where it is read, and where it would pass',
  async (t) => {
    const { rig } = await set(t)
    for (const authority of [`${HOST}:443`, 'elsewhere.example:443']) {
      rig.interceptions.clear()
      const client = await rawTo(rig.port, authority)
      // A message of 20,000 bytes, most of them padding, with its name at the end.
      client.socket.write(Buffer.from('160303400001004e20', 'hex'))
      client.socket.write(Buffer.alloc(20_000))
      await client.untilEnded()
      t.equal(rig.interceptions.get('refused malformed_hello'), 1, authority)
      client.socket.destroy()
    }
  },
)

t.test('bytes that pass unread may not ask for a host that is read', async (t) => {
  const origin = await new Origin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, { port: origin.port, authority: { rootCert: '' } })
  for (const [name, authority, bytes, counted] of [
    ['a selected name', 'elsewhere.example:443', hello(HOST), 'refused other_name'],
    [
      'a selected name in upper case',
      'elsewhere.example:443',
      hello(HOST.toUpperCase()),
      'refused other_name',
    ],
    [
      'a selected name with a dot',
      'elsewhere.example:443',
      hello(`${HOST}.`),
      'refused other_name',
    ],
    ['a selected name at an address', '192.0.2.1:443', hello(HOST), 'refused other_name'],
    ['a selected name beside ECH', 'elsewhere.example:443', hello(HOST, ECH), 'refused other_name'],
    [
      'two names',
      'elsewhere.example:443',
      helloOf({ extensions: [serverName('a.example', HOST)] }),
      'refused malformed_hello',
    ],
  ] as const) {
    rig.interceptions.clear()
    const client = await rawTo(rig.port, authority)
    client.socket.write(bytes)
    await client.untilClosed()
    t.equal(rig.interceptions.get(counted), 1, name)
    t.equal(client.received, '', name)
    await (await origin.accept()).untilEnded()
  }
  t.equal(origin.heard, '')
  for (const [name, bytes] of [
    ['another name', hello('elsewhere.example')],
    ['no name', hello(undefined)],
    ['no TLS', Buffer.from('SSH-2.0-x\r\n')],
  ] as const) {
    const client = await rawTo(rig.port, 'elsewhere.example:443')
    client.socket.write(bytes)
    const text = bytes.toString('latin1')
    t.equal(await (await origin.accept()).hear(text), text, `${name} passes`)
    client.socket.destroy()
  }
})

t.test('spellings of the same host are the same host', async (t) => {
  const { rig, origin } = await set(t)
  for (const [name, authority, options] of [
    ['no name in TLS', `${HOST}:443`, { servername: '', checkServerIdentity: () => undefined }],
    ['upper case in TLS', `${HOST}:443`, { servername: HOST.toUpperCase() }],
    ['upper case in CONNECT', `${HOST.toUpperCase()}:443`, { servername: HOST }],
    ['a dot in CONNECT', `${HOST}.:443`, { servername: HOST }],
    ['a dot in TLS', `${HOST}:443`, { servername: `${HOST}.` }],
  ] as const) {
    const client = await inside(rig, options, authority)
    client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    const upstream = await origin.accept()
    t.match(await upstream.hear('\r\n\r\n'), `\r\nHost: ${HOST}\r\n`, name)
    upstream.say(ANSWER)
    await client.hear('ok')
    client.socket.destroy()
    await upstream.untilEnded()
  }
})

/** [request line and fields, status] */
const REQUESTS: readonly (readonly [string, number])[] = [
  [`GET / HTTP/1.1\r\nHost: ${HOST}`, 200],
  [`GET / HTTP/1.1\r\nHost: ${HOST}:443`, 200],
  [`GET / HTTP/1.1\r\nHost: ${HOST.toUpperCase()}`, 200],
  [`GET / HTTP/1.1\r\nHost: ${HOST}.`, 200],
  [`GET https://${HOST}/ HTTP/1.1\r\nHost: ${HOST}`, 200],
  ['GET / HTTP/1.0', 200],
  ['GET / HTTP/1.1\r\nHost: evil.example', 421],
  [`GET / HTTP/1.1\r\nHost: b.openai.example`, 421],
  [`GET / HTTP/1.1\r\nHost: ${HOST}:8443`, 421],
  [`GET / HTTP/1.1\r\nHost: ${HOST}:80`, 421],
  ['GET / HTTP/1.1\r\nHost: 127.0.0.1', 421],
  ['GET https://evil.example/ HTTP/1.1\r\nHost: evil.example', 421],
  [`GET https://evil.example/ HTTP/1.1\r\nHost: ${HOST}`, 400],
  [`GET https://${HOST}/ HTTP/1.1\r\nHost: evil.example`, 400],
  [`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}`, 400],
  [`GET ftp://${HOST}/ HTTP/1.1\r\nHost: ${HOST}`, 400],
  [`GET / HTTP/1.1\r\nHost: x@${HOST}`, 400],
  [`GET / HTTP/1.1\r\nHost: ${HOST}/evil`, 400],
  [`GET / HTTP/1.1\r\nHost: ${HOST}:99999`, 400],
  [`GET / HTTP/1.1\r\nHost: `, 400],
  ['GET / HTTP/1.1', 400],
  [`CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443`, 400],
  [`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443`, 400],
  [`GET //evil.example/ HTTP/1.1\r\nHost: ${HOST}`, 200],
]

t.test('each request inside names the host of the tunnel', async (t) => {
  const { rig, origin } = await set(t)
  for (const [request, status] of REQUESTS) {
    const client = await inside(rig)
    client.say(`${request}\r\n\r\n`)
    if (status === 200) {
      const upstream = await origin.accept()
      t.match(await upstream.hear('\r\n\r\n'), `\r\nHost: ${HOST}\r\n`, request)
      upstream.say(ANSWER)
    }
    t.match(await client.hear('\r\n\r\n'), new RegExp(`^HTTP/1\\.1 ${status} `), request)
    client.socket.destroy()
  }
  t.equal(origin.heard, '')
})

t.test('handshakes that end are counted by their reason and recorded once', async (t) => {
  const { rig } = await set(t)
  const failing = async (options: ConnectionOptions): Promise<void> => {
    const socket = await tunnelTo(rig.port)
    const tls = connectTls({ socket, servername: HOST, ...options })
    await once(tls, 'error').catch(() => undefined)
    tls.destroy()
  }
  for (const [name, attempt, counted] of [
    [
      'a client that does not trust us',
      () =>
        new Promise((resolve) => {
          execFile('curl', ['-sx', `http://127.0.0.1:${rig.port}`, `https://${HOST}/`], resolve)
        }),
      'failed untrusted',
    ],
    [
      'TLS 1.1',
      () =>
        failing({
          ca: rig.ca,
          minVersion: 'TLSv1',
          maxVersion: 'TLSv1.1',
          ciphers: 'DEFAULT@SECLEVEL=0',
        }),
      'failed handshake',
    ],
    [
      'a client that goes in the middle of its hello',
      async () => {
        const client = await rawTo(rig.port)
        client.socket.write(hello(HOST).subarray(0, 50))
        client.socket.end()
        await client.untilEnded()
      },
      'failed client_closed',
    ],
    [
      'a client that says nothing',
      async () => {
        const client = await rawTo(rig.port)
        client.socket.end()
        await client.untilEnded()
      },
      'failed client_closed',
    ],
    [
      'a client that goes after its hello',
      async () => {
        const client = await rawTo(rig.port)
        client.socket.write(hello(HOST, [10, Buffer.from('0002001d', 'hex')]))
        await client.until(() => client.received !== '' || client.ended, 'anything')
        client.socket.destroy()
      },
      /^failed (?:client_closed|handshake)$/,
    ],
  ] as const) {
    rig.interceptions.clear()
    rig.endings.length = 0
    await attempt()
    for (let turn = 0; turn < 100 && rig.endings.length === 0; turn += 1)
      await new Promise(setImmediate)
    t.match([...rig.interceptions.keys()], [counted], name)
    t.equal(rig.interceptions.size, 1, name)
    t.equal(rig.endings.length, 1, `${name}: one record`)
  }
})

t.test('a handshake has thirty seconds, however its bytes trickle', async (t) => {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const { rig } = await set(t, { deadlines })
  const bytes = hello(HOST)
  const client = await rawTo(rig.port)
  for (let at = 0; at < 29; at += 1) {
    client.socket.write(bytes.subarray(at, at + 1))
    await new Promise(setImmediate)
    now += 1000
    deadlines.tick()
  }
  t.equal(client.ended, false)
  now += 1001
  deadlines.tick()
  await client.untilEnded()
  t.equal(rig.interceptions.get('failed timeout'), 1)
})

t.test('an authority that has expired opens nothing, and nothing breaks', async (t) => {
  const { rig, origin } = await set(t, {
    interception: {
      selection: new Interception(
        { services: ['*.openai.example'], never: [] },
        new Catalogue([]),
        [],
      ),
      issuer: new Issuer(testAuthority(['openai.example'], Date.now() - 400 * 86_400_000)),
      ticketKeys: Buffer.alloc(48, 7),
    },
  })
  for (let round = 0; round < 2; round += 1) {
    const client = await rawTo(rig.port)
    client.socket.write(hello(HOST))
    t.equal(await client.hearAll(), UNRECOGNIZED)
    client.socket.destroy()
  }
  t.equal(rig.interceptions.get('refused outside_authority'), 2)
  t.equal(origin.heard, '')
})
