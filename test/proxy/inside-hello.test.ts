// A hello however it arrives: cut anywhere, byte by byte, in many records, with more behind it.

import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { caughtHello, inRecordsOf } from '../support/hellos.ts'
import { HOST, SecureOrigin, startInside, tunnelTo } from '../support/inside-rig.ts'
import { dial, Peer } from '../support/peers.ts'

/** A record of a handshake whose first message is a ServerHello. */
function isServerHello(answer: string): boolean {
  return answer.startsWith('\x16\x03\x03') && answer[5] === '\x02'
}

function turn(): Promise<void> {
  return new Promise(setImmediate)
}

const helloWith = (options: { readonly ecdhCurve?: string }): Promise<Buffer> =>
  caughtHello((port) =>
    connectTls({
      port,
      host: '127.0.0.1',
      servername: HOST,
      ALPNProtocols: ['http/1.1'],
      ...options,
    }).on('error', () => undefined),
  )

t.test('cut at every byte, and with post-quantum shares', async (t) => {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin)
  const small = await helloWith({ ecdhCurve: 'X25519' })
  const large = await helloWith({ ecdhCurve: 'X25519MLKEM768:X25519' })
  t.ok(large.length > 1400)
  const cuts: (readonly [Buffer, number])[] = []
  for (let at = 1; at < small.length; at += 1) cuts.push([small, at])
  for (let at = 1; at < large.length; at += 97) cuts.push([large, at])
  let answered = 0
  for (const [hello, at] of cuts) {
    const client = new Peer(await tunnelTo(rig.port))
    client.socket.write(hello.subarray(0, at))
    await turn()
    client.socket.write(hello.subarray(at))
    await client.until(() => client.received !== '' || client.ended, 'an answer')
    if (isServerHello(client.received)) answered += 1
    else t.fail(`cut at ${at} of ${hello.length}`)
    client.socket.destroy()
  }
  t.equal(answered, cuts.length)
})

t.test('byte by byte, in records of a few bytes, and in the segment of the CONNECT', async (t) => {
  const origin = await new SecureOrigin().listen()
  t.teardown(() => origin.close())
  const rig = await startInside(t, origin)
  const hello = await helloWith({})
  const ways: readonly (readonly [string, readonly Buffer[]])[] = [
    ['bytes', Array.from(hello, (byte) => Buffer.from([byte]))],
    ['records of one byte', [inRecordsOf(1, hello)]],
    ['two records', [inRecordsOf(Math.ceil(hello.length / 2), hello)]],
    ['two records in two segments', [...halves(inRecordsOf(Math.ceil(hello.length / 2), hello))]],
  ]
  for (const [name, pieces] of ways) {
    const client = new Peer(await tunnelTo(rig.port))
    for (const piece of pieces) {
      client.socket.write(piece)
      await turn()
    }
    await client.until(() => client.received !== '' || client.ended, name)
    t.ok(isServerHello(client.received), name)
    client.socket.destroy()
  }
  const client = await dial(rig.port)
  const connect = Buffer.from(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`)
  client.socket.write(Buffer.concat([connect, hello]))
  await client.hear('\r\n\r\n')
  await client.until(() => client.received !== '' || client.ended, 'an answer')
  t.ok(isServerHello(client.received), 'in one segment with the CONNECT')
  client.socket.destroy()
})

/** What a client says before it was answered; `split` of what it sends. */
class Eager extends Duplex {
  readonly #socket
  #head: Buffer | undefined

  constructor(port: number, head: string) {
    super()
    this.#head = Buffer.from(head)
    let answered = false
    this.#socket = connectTcp({ port, host: '127.0.0.1' })
    this.#socket.on('data', (chunk: Buffer) => {
      const rest = answered ? chunk : chunk.subarray(chunk.indexOf('\r\n\r\n') + 4)
      answered = true
      if (rest.length > 0) this.push(rest)
    })
    this.#socket.on('error', () => undefined)
    this.#socket.on('end', () => this.push(null))
  }

  override _read(): void {
    // What comes is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const head = this.#head ?? Buffer.alloc(0)
    this.#head = undefined
    this.#socket.write(Buffer.concat([head, chunk]), () => done())
  }

  override _destroy(_error: Error | null, done: () => void): void {
    this.#socket.destroy()
    done()
  }
}

t.test(
  'a client that does not wait for the 200 is served, though its origin takes its time',
  async (t) => {
    const origin = await new SecureOrigin().listen()
    t.teardown(() => origin.close())
    const gate = Promise.withResolvers<void>()
    const rig = await startInside(t, origin, {
      router: {
        check: () => undefined,
        route: async () => {
          await gate.promise
          return { address: '127.0.0.1', port: origin.port, family: 4 as const }
        },
      },
    })
    const eager = new Eager(rig.port, `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`)
    const tls = connectTls({
      socket: eager,
      servername: HOST,
      ca: rig.ca,
      ALPNProtocols: ['http/1.1'],
    })
    const over = once(tls, 'secureConnect')
    await turn()
    await turn()
    gate.resolve()
    await over
    const client = new Peer(tls)
    client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    const upstream = await origin.accept()
    await upstream.hear('\r\n\r\n')
    upstream.say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    await client.hear('ok')
    tls.destroy()
  },
)

function halves(bytes: Buffer): readonly [Buffer, Buffer] {
  const middle = Math.ceil(bytes.length / 2)
  return [bytes.subarray(0, middle), bytes.subarray(middle)]
}
