// Many at once: handshakes that stand half done, hosts beyond what is kept, sessions that another worker resumes.

import { once } from 'node:events'
import { connect as connectTls, createSecureContext } from 'node:tls'
import t from 'tap'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { LeafServers } from '../../src/proxy/leaf-servers.ts'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { Interception } from '../../src/signatures/interception.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { helloOf, serverName, versions } from '../support/hellos.ts'
import {
  HOST,
  inside,
  SecureOrigin,
  secured,
  startInside,
  tunnelTo,
} from '../support/inside-rig.ts'
import { startRig } from '../support/proxy-rig.ts'
import { anAuthority } from '../support/tls-origin.ts'

t.test('five hundred handshakes that stand half done, and others that do not', async (t) => {
  let now = 0
  const deadlines = new Deadlines(() => now, 3_600_000)
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin, { deadlines })
  const half = helloOf({ extensions: [serverName(HOST), versions(0x0304)] }).subarray(0, 60)
  const waiting = await Promise.all(
    Array.from({ length: 500 }, async () => {
      const socket = await tunnelTo(rig.port)
      socket.write(half)
      return socket
    }),
  )
  const client = await inside(rig)
  client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  const upstream = await origin.accept()
  await upstream.hear('\r\n\r\n')
  upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await client.hear('ok')
  const closed = Promise.all(
    waiting.map(async (socket) => {
      socket.resume()
      await once(socket, 'close')
    }),
  )
  now += 30_001
  deadlines.tick()
  await closed
  t.equal(rig.interceptions.get('failed timeout'), 500)
  t.equal(rig.proxy.connections, 1, 'the one that was served stays')
  client.socket.destroy()
})

t.test('a thousand hosts are kept, and the next one takes the place of the first', (t) => {
  let issued = 0
  const real = new Issuer(anAuthority('Proxy'))
  const counting: Pick<Issuer, 'mayIssue' | 'issue'> = {
    mayIssue: (host) => real.mayIssue(host),
    issue: (host) => {
      issued += 1
      return real.issue(host)
    },
  }
  const leaves = new LeafServers({
    issuer: () => counting,
    ticketKeys: () => Buffer.alloc(48, 1),
    now: Date.now,
  })
  for (let at = 0; at < 1001; at += 1) leaves.prepare(`h${at}.example`, undefined)
  t.equal(issued, 1001)
  leaves.prepare('h1000.example', undefined)
  leaves.prepare('h2.example', undefined)
  t.equal(issued, 1001, 'kept')
  leaves.prepare('h0.example', undefined)
  t.equal(issued, 1002, 'was let go')
  t.end()
})

t.test(
  'another worker with the same keys resumes a session, one with others does not',
  async (t) => {
    const origin = await new SecureOrigin().listen()
    t.teardown(() => origin.close())
    const authority = anAuthority('Proxy', ['openai.example'])
    const context = createSecureContext({ ca: origin.authority.rootCert })
    const worker = async (key: number) => {
      const rig = await startRig({
        wording: { parseTarget, refusalOf, closeReason: webSocketReason },
        trust: { contextFor: () => context },
        router: {
          check: () => undefined,
          route: () => ({ address: '127.0.0.1', port: origin.port, family: 4 }),
        },
        interception: {
          selection: new Interception(
            { services: ['*.openai.example'], never: [] },
            new Catalogue([]),
            [],
          ),
          issuer: new Issuer(authority),
          ticketKeys: Buffer.alloc(48, key),
        },
      })
      t.teardown(() => rig.close())
      return { ...rig, ca: authority.rootCert }
    }
    const [first, second, other] = [await worker(1), await worker(1), await worker(2)]
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const tls = await secured(first, { maxVersion })
      let session: Buffer | undefined = tls.getSession()
      if (maxVersion === 'TLSv1.3') [session] = (await once(tls, 'session')) as [Buffer]
      tls.destroy()
      if (session === undefined) throw new Error('no session')
      for (const [rig, reused] of [
        [second, true],
        [other, false],
      ] as const) {
        const again = connectTls({
          socket: await tunnelTo(rig.port),
          ca: rig.ca,
          servername: HOST,
          session,
          maxVersion,
          ALPNProtocols: ['http/1.1'],
        })
        await once(again, 'secureConnect')
        t.equal(
          again.isSessionReused(),
          reused,
          `${maxVersion}, ${reused ? 'the same' : 'other'} keys`,
        )
        again.destroy()
      }
    }
  },
)
