// The same hello, damaged, before our reader and before OpenSSL: never is a name read that the TLS server behind
// would read otherwise.

import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { connect, createServer } from 'node:tls'
import { array, assert, asyncProperty, constantFrom, nat, oneof, tuple } from 'fast-check'
import t from 'tap'
import { HelloReader } from '../../src/tls/client-hello.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'
import { caughtHello } from '../support/hellos.ts'

const NAME = 'api.openai.com'
/** Bytes that mean something in names and lengths. */
const TELLING = Array.from(Buffer.from('\0.-_:/@[]aZ*% '))

const leaf = new Issuer(testAuthority()).issue(NAME)
let heard: string | undefined
const server = createServer({
  cert: leaf.cert,
  key: leaf.key,
  SNICallback: (name, answer) => {
    heard = name
    answer(new Error('heard enough'))
  },
})
server.on('tlsClientError', () => undefined)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())

t.test('a TLS server reads the same name, or the hello is refused', async (t) => {
  const hello = await caughtHello((port) =>
    connect({ port, host: '127.0.0.1', servername: NAME, ALPNProtocols: ['h2'] }).on(
      'error',
      () => undefined,
    ),
  )
  // The name with its lengths, and what stands around it.
  const from = hello.indexOf(NAME) - 9
  const near = nat(NAME.length + 12).map((offset) => from + offset)
  const anywhere = nat(hello.length - 1)
  const byte = oneof(constantFrom(...TELLING), nat(255))
  const damage = array(tuple(oneof({ arbitrary: near, weight: 4 }, anywhere), byte), {
    minLength: 1,
    maxLength: 3,
  })
  const counts = { same: 0, refused: 0, unheard: 0 }
  await assert(
    asyncProperty(damage, async (changes) => {
      const bytes = Buffer.from(hello)
      for (const [at, value] of changes) bytes[at] = value
      const reader = new HelloReader()
      const answer = reader.push(bytes)
      const told = await heardByServer(bytes)
      if (answer !== 'hello') counts.refused++
      else if (told === undefined) counts.unheard++
      else {
        const name = told === '' ? undefined : told.toLowerCase().replace(/\.$/, '')
        const address = name !== undefined && reader.hello.serverName === undefined
        if (address ? !/^[\d.]+$|:/.test(name) : name !== reader.hello.serverName)
          throw new Error(`read ${reader.hello.serverName}, the server heard ${told}`)
        counts.same++
      }
    }),
    { numRuns: 300 },
  )
  t.comment(JSON.stringify(counts))
  t.ok(counts.same > 20 && counts.refused > 20, 'both are met')
})

/** The name that OpenSSL tells, '' for none, undefined where it breaks off before. */
async function heardByServer(bytes: Buffer): Promise<string | undefined> {
  heard = undefined
  const socket = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  let first: number | undefined
  socket.on('data', (chunk) => {
    first ??= chunk[0]
    socket.destroy()
  })
  socket.end(bytes)
  await once(socket, 'close')
  // A handshake record: the server went on, and no name was called.
  return heard ?? (first === 22 ? '' : undefined)
}
