// Floods of HTTP/2 inside a tunnel: each ends its connection or stays bounded, and others are served meanwhile.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  FramePeer,
  PADDED,
  PREFACE,
  settings,
  TYPE,
  u32,
} from '../support/http2-frames.ts'
import { HOST, inside, secured } from '../support/inside-rig.ts'
import { TlsOrigin } from '../support/tls-origin.ts'

const MIB = 1 << 20
/** Decisions about others, and about tunnels in which there was no request. */
const OTHERS = 12
const LARGE = Buffer.alloc(4 << 20)
const MOST_GROWTH = 64 * MIB

interface Report {
  readonly rss: number
  readonly decided: number
  readonly connections: number
  readonly limits: Readonly<Record<string, number>>
}

function fields(path: string, method = 'GET'): Buffer {
  return fieldBlock(
    [':method', method],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', path],
  )
}

const HANG = fields('/hang')
const opened = (id: number, flags = END_STREAM, block = HANG): Buffer =>
  frame(TYPE.headers, END_HEADERS | flags, id, block)

const PING = frame(TYPE.ping, 0, 0, Buffer.alloc(8))
const many = (count: number, one: (at: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => one(at)))
/** Of the table: a name and a value of 4,000 bytes that later fields refer to. */
const BOMB = Buffer.concat([
  Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4000, 0x61),
  Buffer.alloc(16_000 - 4006 - HANG.length, 0xbe),
])

interface Flood {
  readonly name: string
  /** Before anything, in place of plain settings. */
  readonly settings?: Buffer
  readonly bytes: Buffer
  readonly times?: number
  /** Whether the connection must have ended. */
  readonly ends: boolean
  /** Requests that may come to be decided. */
  readonly decided?: number
  /** Connections at once; default 1. */
  readonly clients?: number
  /** Whether what comes is read. */
  readonly reads?: boolean
}

const FLOODS: readonly Flood[] = [
  {
    name: 'rapid reset',
    bytes: many(2000, (at) =>
      Buffer.concat([opened(2 * at + 1), frame(TYPE.reset, 0, 2 * at + 1, u32(8))]),
    ),
    ends: true,
    decided: 1000,
    reads: true,
  },
  {
    name: 'resets that the server is made to send',
    bytes: many(2000, (at) =>
      Buffer.concat([opened(2 * at + 1, 0), frame(TYPE.window, 0, 2 * at + 1, u32(0))]),
    ),
    ends: true,
    decided: 1500,
    reads: true,
  },
  {
    name: 'CONTINUATION',
    bytes: Buffer.concat([
      frame(TYPE.headers, END_STREAM, 1, HANG),
      many(2000, () => frame(TYPE.continuation, 0, 1, fieldBlock(['x', 'a'.repeat(1000)]))),
    ]),
    ends: true,
    decided: 0,
  },
  {
    name: 'empty CONTINUATION',
    bytes: Buffer.concat([
      frame(TYPE.headers, END_STREAM, 1, HANG),
      many(20_000, () => frame(TYPE.continuation, 0, 1)),
    ]),
    ends: true,
    decided: 0,
  },
  { name: 'SETTINGS', bytes: many(20_000, () => settings([3, 100])), times: 5, ends: true },
  {
    name: 'SETTINGS with many entries',
    bytes: many(2000, () => settings(...Array.from({ length: 200 }, () => [0x99, 1] as const))),
    ends: true,
  },
  { name: 'PING', bytes: many(20_000, () => PING), times: 10, ends: false },
  {
    name: 'acknowledged PINGs that nobody sent',
    bytes: many(20_000, () => frame(TYPE.ping, ACK, 0, Buffer.alloc(8))),
    ends: false,
  },
  {
    name: 'empty DATA',
    bytes: Buffer.concat([
      opened(1, 0, fields('/hang', 'POST')),
      many(20_000, () => frame(TYPE.data, 0, 1)),
    ]),
    ends: true,
    decided: 1,
  },
  {
    name: 'padding alone',
    bytes: Buffer.concat([
      opened(1, 0, fields('/hang', 'POST')),
      many(8000, () => frame(TYPE.data, PADDED, 1, Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]))),
    ]),
    ends: false,
    decided: 1,
  },
  {
    name: 'PRIORITY',
    bytes: many(20_000, (at) => frame(TYPE.priority, 0, 2 * at + 1, Buffer.from([0, 0, 0, 0, 1]))),
    times: 5,
    ends: false,
  },
  {
    name: 'WINDOW_UPDATE',
    bytes: Buffer.concat([opened(1), many(20_000, () => frame(TYPE.window, 0, 1, u32(1)))]),
    times: 1,
    ends: false,
    decided: 1,
  },
  {
    name: 'WINDOW_UPDATE beyond all',
    bytes: many(3, () => frame(TYPE.window, 0, 0, u32(0x7fff_ffff))),
    ends: true,
  },
  {
    name: 'unknown frames',
    bytes: many(2000, () => frame(200, 0, 0, Buffer.alloc(8000))),
    ends: false,
  },
  {
    name: 'many streams',
    bytes: many(1000, (at) => opened(2 * at + 1, 0)),
    ends: true,
    decided: 300,
  },
  {
    name: 'a table that grows in use',
    bytes: many(50, (at) =>
      frame(TYPE.headers, END_HEADERS | END_STREAM, 2 * at + 1, Buffer.concat([HANG, BOMB])),
    ),
    ends: false,
    decided: 0,
  },
  {
    name: 'malformed requests whose bodies nobody reads',
    bytes: many(90, (at) =>
      Buffer.concat([
        opened(2 * at + 1, 0, fields('/', 'EVIL')),
        many(8, () => frame(TYPE.data, 0, 2 * at + 1, Buffer.alloc(8000))),
      ]),
    ),
    ends: false,
    decided: 0,
    clients: 8,
  },
  {
    name: 'windows of nothing',
    settings: settings([4, 0]),
    bytes: many(90, (at) => opened(2 * at + 1, END_STREAM, fields('/large'))),
    ends: false,
    decided: 90,
  },
  {
    name: 'windows of a byte',
    settings: settings([4, 1]),
    bytes: many(90, (at) => opened(2 * at + 1, END_STREAM, fields('/large'))),
    ends: false,
    decided: 90,
    reads: true,
  },
  { name: 'an even stream', bytes: opened(2), ends: true, decided: 0 },
  {
    name: 'a stream that goes back',
    bytes: Buffer.concat([opened(5), opened(3)]),
    ends: false,
    decided: 1,
  },
  { name: 'fields on no stream', bytes: opened(0), ends: true, decided: 0 },
  { name: 'data on an idle stream', bytes: frame(TYPE.data, 0, 7, Buffer.from('x')), ends: true },
  {
    name: 'a promise of a client',
    bytes: frame(TYPE.push, END_HEADERS, 1, Buffer.concat([u32(2), HANG])),
    ends: true,
  },
  {
    name: 'a frame that is too large',
    bytes: frame(TYPE.data, 0, 0, Buffer.alloc(20_000)),
    ends: true,
  },
  {
    name: 'a stream that depends on itself',
    bytes: Buffer.concat([opened(1), frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 1, 1]))]),
    ends: false,
    decided: 1,
  },
  { name: 'no preface', settings: Buffer.from('GET / HTTP/1.1\r\n\r\n'), bytes: PING, ends: true },
]

t.test('floods of HTTP/2', async (t) => {
  const origin = await new TlsOrigin(
    HOST,
    (request, response) => {
      if (request.url === '/large') response.end(LARGE)
      else if (request.url !== '/hang') response.end('ok')
    },
    { plain: true },
  ).listen()
  // Told before there is a folder (test/support/stores.ts).
  t.teardown(() => origin.close())
  const root = join(t.testdir(), 'root.pem')
  writeFileSync(root, origin.authority.rootCert)
  const child = fork(
    join(import.meta.dirname, '../support/inside-child.ts'),
    [String(origin.port), root],
    { stdio: 'inherit', execArgv: [] },
  )
  t.teardown(() => {
    child.kill()
  })
  const [rig] = (await once(child, 'message')) as [{ port: number; ca: string }]
  const report = async (): Promise<Report> => {
    child.send('report')
    const [found] = (await once(child, 'message')) as [Report]
    return found
  }
  const served = async (): Promise<boolean> => {
    const client = await inside(rig)
    client.say(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
    const answer = await client.hearAll()
    client.socket.destroy()
    return answer.startsWith('HTTP/1.1 200 ')
  }
  t.ok(await served())
  for (const flood of FLOODS) {
    const { name, bytes, times = 1, ends, decided, clients = 1, reads = false } = flood
    const before = await report()
    const peers: FramePeer[] = []
    for (let each = 0; each < clients; each += 1) {
      const socket = await secured(rig, { ALPNProtocols: ['h2'] })
      const peer = new FramePeer(socket)
      if (!reads) socket.pause()
      peers.push(peer)
      peer.say(PREFACE, flood.settings ?? settings())
      for (let time = 0; time < times; time += 1) peer.say(bytes)
      if (!ends) peer.say(PING)
      // What it says is out, or nobody takes it any more.
      await Promise.race([
        once(socket, 'drain'),
        once(socket, 'close'),
        new Promise((resolve) => setTimeout(resolve, 100)),
      ])
    }
    t.ok(await served(), `${name}: others are served`)
    const after = await report()
    for (const { socket } of peers) socket.resume()
    if (ends) {
      const ended = peers.map((peer) => peer.hear(TYPE.goaway).then(() => true))
      const patience = new Promise<false>((resolve) =>
        setTimeout(() => resolve(false), 4000).unref(),
      )
      t.ok(await Promise.race([...ended, patience]), `${name}: the connection ends`)
    }
    const grown = after.rss - before.rss
    t.ok(
      grown < MOST_GROWTH,
      `${name}: ${Math.round(grown / MIB)} MiB, ${after.decided} decided, ${JSON.stringify(after.limits)}`,
    )
    if (decided !== undefined)
      t.ok(after.decided <= decided + OTHERS, `${name}: ${after.decided} decided`)
    for (const { socket } of peers) socket.destroy()
  }
  t.ok(await served())
})
