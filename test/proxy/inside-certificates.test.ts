// Origins that are not who they say, or cannot be talked to: the client hears why inside its tunnel, and not
// a byte of its request leaves.

import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { createSecureContext, type TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { aLeaf, anIntermediate, aRoot, selfSigned } from '../support/bad-certificates.ts'
import {
  HOST,
  inside,
  type InsideRig,
  secured,
  SecureOrigin,
  startInside,
} from '../support/inside-rig.ts'

const DAY_MS = 86_400_000
const root = aRoot()
const issuer = anIntermediate(root)
const stranger = aRoot('Stranger')
const names = [HOST]
const BAD = 'tls_certificate_error'

/** [name, how the origin serves TLS, error, words of the reason] */
const ORIGINS: readonly (readonly [string, TlsOptions, string, RegExp])[] = [
  ['expired', aLeaf(issuer, { names, notAfter: Date.now() - 1000 }, [issuer]), BAD, /has expired/],
  [
    'not yet valid',
    aLeaf(issuer, { names, notBefore: Date.now() + DAY_MS / 2 }, [issuer]),
    BAD,
    /not valid yet/,
  ],
  ['another host', aLeaf(issuer, { names: ['openai.example'] }, [issuer]), BAD, /another host/],
  ['no name', aLeaf(issuer, { commonName: 'x' }, [issuer]), BAD, /another host/],
  [
    'a common name beside other names',
    aLeaf(issuer, { commonName: HOST, names: ['x.example'] }, [issuer]),
    BAD,
    /another host/,
  ],
  [
    'a wildcard too deep',
    aLeaf(issuer, { names: ['*.api.openai.example'] }, [issuer]),
    BAD,
    /another host/,
  ],
  ['a wildcard too high', aLeaf(issuer, { names: ['*.example'] }, [issuer]), BAD, /another host/],
  [
    'a wildcard of two labels',
    aLeaf(issuer, { names: ['*.*.example'] }, [issuer]),
    BAD,
    /another host/,
  ],
  ['a wildcard alone', aLeaf(issuer, { names: ['*'] }, [issuer]), BAD, /another host/],
  [
    'a name with a NUL',
    aLeaf(issuer, { names: [`${HOST}\0.evil.example`] }, [issuer]),
    BAD,
    /host|name/,
  ],
  [
    'an address',
    aLeaf(issuer, { addresses: [Buffer.from([127, 0, 0, 1])] }, [issuer]),
    BAD,
    /another host/,
  ],
  ['self-signed', selfSigned(HOST), BAD, /self-signed/],
  ['an unknown root', aLeaf(stranger, { names }, []), BAD, /issuer|intermediate/],
  [
    'an unknown root that is sent',
    aLeaf(stranger, { names }, [stranger]),
    BAD,
    /root is not trusted/,
  ],
  ['a missing intermediate', aLeaf(issuer, { names }), BAD, /intermediate/],
  [
    'for clients',
    aLeaf(issuer, { names, purpose: '1.3.6.1.5.5.7.3.2' }, [issuer]),
    BAD,
    /not for servers/,
  ],
  [
    'an issuer that is no authority',
    (() => {
      const leaf = anIntermediate(issuer, { ca: false })
      return aLeaf(leaf, { names }, [leaf, issuer])
    })(),
    BAD,
    /may not issue|longer|not for servers/,
  ],
  [
    'an issuer for other names',
    (() => {
      const other = anIntermediate(root, { domains: ['bank.example'] })
      return aLeaf(other, { names }, [other])
    })(),
    BAD,
    /may not issue for this host/,
  ],
  [
    'a key of 1024 bits',
    {
      ...aLeaf(
        issuer,
        { names, key: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey },
        [issuer],
      ),
      ciphers: 'DEFAULT@SECLEVEL=0',
    },
    BAD,
    /too small/,
  ],
  ['SHA-1', aLeaf(issuer, { names, digest: 'sha1' }, [issuer]), BAD, /too weak|signature/],
  [
    'an unknown critical extension',
    aLeaf(issuer, { names, critical: true }, [issuer]),
    BAD,
    /critical|not accepted/,
  ],
  [
    'TLS 1.1 at most',
    {
      ...aLeaf(issuer, { names }, [issuer]),
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    },
    'tls_',
    /refused|failed/,
  ],
  [
    'no cipher in common',
    {
      ...aLeaf(issuer, { names }, [issuer]),
      maxVersion: 'TLSv1.2',
      ciphers: 'PSK-AES128-GCM-SHA256',
    },
    'tls_alert_received',
    /refused/,
  ],
  [
    'a client certificate is wanted, TLS 1.2',
    {
      ...aLeaf(issuer, { names }, [issuer]),
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: 'TLSv1.2',
    },
    'tls_alert_received',
    /refused the TLS handshake/,
  ],
  [
    'a client certificate is wanted, TLS 1.3',
    { ...aLeaf(issuer, { names }, [issuer]), requestCert: true, rejectUnauthorized: true },
    'tls_alert_received',
    /refused the TLS handshake/,
  ],
]

async function setOf(t: Test, options: Parameters<typeof startInside>[3] = {}) {
  const target = { port: 1, authority: { rootCert: root.certificate } }
  const rig = await startInside(
    t,
    target,
    {
      router: {
        check: () => undefined,
        route: () => ({ address: '127.0.0.1', port: target.port, family: 4 }),
      },
    },
    options,
  )
  return { rig, target }
}

async function overHttp1(rig: InsideRig): Promise<string> {
  const client = await inside(rig)
  client.say(`GET /secret HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  const answer = await client.hearAll()
  client.socket.destroy()
  return answer
}

/** In the words of HTTP/1.1. */
async function overHttp2(rig: InsideRig): Promise<string> {
  const socket = await secured(rig, { ALPNProtocols: ['h2'] })
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket })
  session.on('error', () => undefined)
  const stream = session.request({ ':path': '/secret' })
  let answer = ''
  stream.on('response', (fields) => {
    answer = `HTTP/1.1 ${fields[':status']} \r\nProxy-Status: ${String(fields['proxy-status'])}\r\n\r\n`
  })
  stream.setEncoding('latin1').on('data', (text: string) => (answer += text))
  stream.on('error', () => undefined)
  await new Promise((resolve) => stream.on('close', resolve))
  session.destroy()
  return answer
}

const good = aLeaf(issuer, { names }, [issuer])
const expired = aLeaf(issuer, { names, notAfter: Date.now() - 1000 }, [issuer])

/** One request that the origin answers, on connections of its own. */
async function served(rig: InsideRig, origin: SecureOrigin): Promise<string> {
  const client = await inside(rig)
  client.say(`GET /good HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  const peer = await origin.accept()
  await peer.hear('\r\n\r\n')
  peer.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
  const answer = await client.hearAll()
  client.socket.destroy()
  await peer.untilEnded()
  return answer
}

t.test(
  'a certificate that is not accepted is a 502 with the reason, over both versions',
  async (t) => {
    const { rig, target } = await setOf(t)
    for (const [name, options, error, words] of ORIGINS) {
      const origin = await new SecureOrigin(options).listen()
      target.port = origin.port
      for (const [version, ask] of [
        ['1.1', overHttp1],
        ['2', overHttp2],
      ] as const) {
        const answer = await ask(rig)
        t.match(answer, /^HTTP\/1\.1 502 /, `${name}, ${version}`)
        t.match(
          answer,
          new RegExp(`Proxy-Status: cordon; error=(?:${error})`),
          `${name}, ${version}`,
        )
        t.match(answer, words, `${name}, ${version}`)
      }
      t.equal(origin.heard, '', `${name}: nothing left`)
      origin.close()
    }
  },
)

t.test('a client certificate that was configured for the destination is shown', async (t) => {
  const own = aLeaf(root, { commonName: 'cordon', purpose: '1.3.6.1.5.5.7.3.2' })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const origin = await new SecureOrigin({
      ...aLeaf(issuer, { names }, [issuer]),
      requestCert: true,
      rejectUnauthorized: true,
      ca: root.certificate,
      maxVersion,
    }).listen()
    t.teardown(() => origin.close())
    const context = createSecureContext({ ca: root.certificate, ...own })
    const rig = await startInside(t, origin, { trust: { contextFor: () => context } })
    const client = await inside(rig)
    client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    await client.hear('ok')
    client.socket.destroy()
  }
})

t.test('an origin that is repaired is served with the next request', async (t) => {
  const { rig, target } = await setOf(t)
  const origin = await new SecureOrigin(expired).listen()
  t.teardown(() => origin.close())
  target.port = origin.port
  t.match(await overHttp1(rig), /has expired/)
  origin.server.setSecureContext(good)
  t.match(await served(rig, origin), /^HTTP\/1\.1 200 /)
})

t.test(
  'an origin whose certificate goes bad is refused, at the latest after five minutes',
  async (t) => {
    let now = 0
    const deadlines = new Deadlines(() => now, 3_600_000)
    for (const ticketKeys of [undefined, Buffer.alloc(48, 9)]) {
      const tickets = ticketKeys === undefined ? {} : { ticketKeys }
      const origin = await new SecureOrigin({ ...good, ...tickets }).listen()
      t.teardown(() => origin.close())
      const rig = await startInside(
        t,
        { port: origin.port, authority: { rootCert: root.certificate } },
        { deadlines },
      )
      t.match(await served(rig, origin), /^HTTP\/1\.1 200 /)
      // Where its tickets stay valid, no certificate is shown again for as long.
      origin.server.setSecureContext({ ...expired, ...tickets })
      if (ticketKeys !== undefined) {
        now += 299_000
        deadlines.tick()
        t.match(await served(rig, origin), /^HTTP\/1\.1 200 /)
        now += 2000
        deadlines.tick()
      }
      t.match(await overHttp1(rig), /^HTTP\/1\.1 502 [^]*has expired/)
      t.notMatch(origin.heard, 'secret')
    }
  },
)

t.test('an origin that closes or stalls in the handshake', async (t) => {
  const { rig, target } = await setOf(t, { connectMs: 300 })
  const sockets = new Set<Socket>()
  for (const [name, serve, status, error] of [
    ['closes', (socket: Socket) => socket.end(), 502, 'tls_protocol_error'],
    ['resets', (socket: Socket) => socket.resetAndDestroy(), 502, 'tls_protocol_error'],
    [
      'is no TLS',
      (socket: Socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n'),
      502,
      'tls_protocol_error',
    ],
    ['stalls', () => undefined, 504, 'connection_timeout'],
  ] as const) {
    const server = createTcpServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('data', () => serve(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    target.port = (server.address() as AddressInfo).port
    const answer = await overHttp1(rig)
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} [^]*error=${error}`), name)
    server.close()
    for (const socket of sockets) socket.destroy()
  }
})
