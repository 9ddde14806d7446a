// The stream of decisions as clients meet it: real sockets that break, stall and come back, over a real PostgreSQL.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import { pino } from 'pino'
import t from 'tap'
import { KeyRing } from '../../src/api/key.ts'
import { type ApiParts, openApi } from '../../src/api/server.ts'
import { IdSource } from '../../src/base/ids.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { DecisionFeed } from '../../src/store/feed.ts'
import { Arrivals } from '../../src/store/follow.ts'
import { openStore } from '../../src/store/open.ts'
import type { Tables } from '../../src/store/tables.ts'
import { arrive, type ArrivingFields } from '../support/arrivals.ts'
import { eventually } from '../support/cordon.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'

const silent = pino({ level: 'silent' })
const migrationsDir = join(import.meta.dirname, '../../migrations')

t.test('GET /v1/stream', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const databaseUrl = await server.database()
  const way = await breakableWay(Number(new URL(databaseUrl).port))
  t.teardown(() => way.close())
  const direct = await openStore({ databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent })
  t.teardown(() => direct.close())
  const through = new URL(databaseUrl)
  through.port = String(way.port)
  const store = await openStore({
    databaseUrl: through.href,
    dataDir: t.testdir(),
    migrationsDir,
    log: silent,
  })
  t.teardown(() => store.close())
  let pseudonymous = false
  const feed = new DecisionFeed(store.db, 'default', () => pseudonymous)
  const arrivals = new Arrivals(() => feed.sign())
  const revoked = new Set<string>()
  const metrics = new Metrics({ processMetrics: false })
  const api = await openApi({
    policies: {},
    feed,
    arrivals,
    metrics,
    keys: new KeyRing({
      findKey: (key) =>
        Promise.resolve(
          revoked.has(key)
            ? undefined
            : {
                id: key,
                name: key,
                scopes: [key.startsWith('other') ? 'policies:read' : 'decisions:read'],
              },
        ),
    }),
    ids: new IdSource(),
    log: silent,
    version: '0',
  } as unknown as ApiParts)
  await api.ready()
  const http = await listening((request, response) => api.routing(request, response))
  t.teardown(() => api.close())
  t.teardown(() => http.close())
  const open = (query = '', headers: Record<string, string> = {}): Promise<Client> =>
    Client.open(http.port, `/v1/stream${query}`, { authorization: 'Bearer reader', ...headers })
  const add = (rows: readonly ArrivingFields[]): Promise<string[]> => within(direct.db, rows)
  const gauge = async (name: string): Promise<number> => {
    const found = (await metrics.values()) as { name: string; values: { value: number }[] }[]
    return found.find((each) => each.name === name)?.values[0]?.value ?? NaN
  }

  const quiet = await open('?department=Nobody')
  await t.test(
    'events come as they arrive, and the next connection goes on behind the last',
    async (t) => {
      const client = await open()
      t.match(client.head, /^HTTP\/1\.1 200 /)
      t.match(client.head, /content-type: text\/event-stream/)
      t.match(client.head, /cache-control: no-store/)
      const made = await add([{}, {}, {}])
      await client.until((events) => events.length === 3)
      t.same(client.ids, made)
      t.match(client.events[0], {
        event: 'decision',
        data: { user: { name: 'maya' }, status: null },
      })
      const [first, second] = client.events
      client.break()
      const later = await add([{}])
      const back = await open('', { 'last-event-id': first?.id ?? '' })
      await back.until((events) => events.length === 3)
      t.same(back.ids, [...made.slice(1), ...later])
      const asked = await open(`?after=${encodeURIComponent(second?.id ?? '')}`)
      await asked.until((events) => events.length === 2)
      t.same(asked.ids, [...made.slice(2), ...later])
      const both = await open(`?after=${encodeURIComponent(first?.id ?? '')}`, {
        'last-event-id': second?.id ?? '',
      })
      await both.until((events) => events.length === 2)
      t.same(both.ids, [...made.slice(2), ...later], 'the header is the newer one')
      for (const each of [back, asked, both]) each.break()
      await eventually(
        () => gauge('cordon_streams'),
        (streams) => streams === 1,
      )
    },
  )

  await t.test('one that breaks before its first event has missed nothing', async (t) => {
    const client = await open()
    const id = await client.beginning()
    client.break()
    const made = await add([{}, {}])
    const back = await open('', { 'last-event-id': id })
    await back.until((events) => events.length === 2)
    t.same(back.ids, made)
    back.break()
  })

  await t.test('filters are those of lists', async (t) => {
    const client = await open('?decision=DENY&department=Finance')
    const made = await add([
      { decision: 'DENY' },
      { decision: 'DENY', department: 'Finance' },
      { department: 'Finance' },
    ])
    await client.until((events) => events.length === 1)
    t.same(client.ids, [made[1]])
    client.break()
  })

  await t.test('what is wrong is told before a stream begins', async (t) => {
    const status = async (query: string, headers: Record<string, string> = {}): Promise<string> => {
      const client = await open(query, headers)
      client.break()
      return client.head.slice(9, 12)
    }
    t.equal(await status('?nope=1'), '400')
    t.equal(await status('?user=%00'), '400')
    t.equal(await status('?decision=MAYBE'), '400')
    for (const id of [
      'x',
      '1:0:',
      '5:9:7,6',
      '1:2:3',
      `${'9'.repeat(30)}:1:`,
      `1:1:/1:1:`,
      ':::',
      '0:0:',
    ])
      t.equal(await status('', { 'last-event-id': id }), '400', id)
    t.equal(await status('', { authorization: 'Bearer other' }), '403')
    t.equal(await status('', { authorization: 'Basic x' }), '401')
    pseudonymous = true
    t.equal(await status('?user=maya'), '400', 'a filter by name would tell the name')
    const client = await open('?user=person-aaaaaaaaaaaa')
    t.match(client.head, /200/)
    client.break()
    pseudonymous = false
  })

  await t.test('a position of another database is a gap, and the stream goes on', async (t) => {
    const client = await open('', { 'last-event-id': '900000000000000:900000000000000:' })
    await client.until((events) => events.length === 1)
    t.match(client.events, [{ event: 'gap', data: { reason: 'unknown' } }])
    const made = await add([{}])
    await client.until((events) => events.length === 2)
    t.same(client.ids, made)
    client.break()
  })

  await t.test('a reader that stalls is waited for, and gets all of it', async (t) => {
    const before = await gauge('cordon_stream_stalls_total')
    const client = await open()
    client.socket.pause()
    const made: string[] = []
    for (let batch = 0; batch < 30; batch++)
      made.push(...(await add(Array.from({ length: 400 }, () => ({})))))
    await eventually(
      () => gauge('cordon_stream_stalls_total'),
      (stalls) => stalls > before,
    )
    // The kernel's buffers grow for a while.
    let sent = -1
    for (;;) {
      const now = await gauge('cordon_stream_events_total')
      if (now === sent) break
      sent = now
      await new Promise((resolve) => {
        setTimeout(resolve, 1000)
      })
    }
    await add([{}]).then((more) => made.push(...more))
    await new Promise((resolve) => {
      setTimeout(resolve, 500)
    })
    t.equal(await gauge('cordon_stream_events_total'), sent, 'nothing is read for it meanwhile')
    t.ok(sent < made.length, 'and most was not')
    client.socket.resume()
    await client.until((events) => events.length === made.length)
    t.same(client.ids, made)
    client.break()
  })

  await t.test('a store that goes away is told, and what arrived meanwhile follows', async (t) => {
    const client = await open()
    way.isOpen = false
    way.cut()
    await client.until(() => client.text.includes(': the store does not answer'))
    const made = await add([{}, {}])
    way.isOpen = true
    await client.until((events) => events.length === 2)
    t.match(client.text, /: the store answers again/)
    t.same(client.ids, made)
    client.break()
  })

  await t.test('there is a bound, and a free place afterwards', async (t) => {
    const clients = await Promise.all(Array.from({ length: 19 }, () => open()))
    t.ok(clients.every(({ head }) => head.startsWith('HTTP/1.1 200 ')))
    const refused = await open()
    t.match(refused.head, /^HTTP\/1\.1 429 /)
    t.match(refused.head, /retry-after: \d+/)
    const another = await open('', { authorization: 'Bearer reader2' })
    t.match(another.head, /^HTTP\/1\.1 200 /, 'another key has its own')
    another.break()
    for (const client of clients) client.break()
    await eventually(
      () => gauge('cordon_streams'),
      (streams) => streams === 1,
    )
    const again = await open()
    t.match(again.head, /^HTTP\/1\.1 200 /)
    again.break()
  })

  await t.test('a key that is revoked ends the stream', async (t) => {
    const client = await open('', { authorization: 'Bearer leaver' })
    await client.beginning()
    revoked.add('leaver')
    await client.ended(60_000)
    t.match(client.text, /^: this API key is not known$/m)
  })

  await t.test('comments say that it lives, and how far it has looked', async (t) => {
    await quiet.until(() => /^: still here\nid: /m.test(quiet.text))
    const id = [...quiet.text.matchAll(/^: still here\nid: (.+)$/gm)].at(-1)?.[1] ?? ''
    t.not(id, await quiet.beginning())
    t.same(quiet.events, [])
    quiet.break()
    const made = await add([{ department: 'Nobody' }])
    const back = await open('?department=Nobody', { 'last-event-id': id })
    await back.until((events) => events.length === 1)
    t.same(back.ids, made)
    back.break()
  })

  await t.test('a Cordon that ends says when to come back', async (t) => {
    const client = await open()
    api.endStreams()
    await client.ended()
    t.match(client.text, /^: this Cordon is ending\nretry: \d+$/m)
    const late = await open()
    t.match(late.head, /^HTTP\/1\.1 503 /)
  })
})

interface SentEvent {
  readonly id: string
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
}

/** A client of server-sent events over a socket of its own. */
class Client {
  readonly socket: Socket
  head = ''
  text = ''
  #isEnded = false
  readonly #events: SentEvent[] = []
  #parsed = 0

  private constructor(socket: Socket) {
    this.socket = socket
  }

  static async open(port: number, path: string, headers: Record<string, string>): Promise<Client> {
    const socket = connect(port, '127.0.0.1')
    const client = new Client(socket)
    let raw = ''
    const begun = new Promise<void>((resolve) => {
      socket.on('data', (part) => {
        if (client.head === '') {
          raw += part.toString('utf8')
          const end = raw.indexOf('\r\n\r\n')
          if (end === -1) return
          client.head = raw.slice(0, end)
          client.#take(raw.slice(end + 4))
          resolve()
          return
        }
        client.#take(part.toString('utf8'))
      })
      socket.on('close', () => {
        client.#isEnded = true
        resolve()
      })
      socket.on('error', () => undefined)
    })
    // HTTP/1.0, so that the body comes as it is.
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`GET ${path} HTTP/1.0\r\nhost: cordon\r\n${lines.join('')}\r\n`)
    await begun
    return client
  }

  #take(text: string): void {
    this.text += text
    for (;;) {
      const end = this.text.indexOf('\n\n', this.#parsed)
      if (end === -1) return
      const block = this.text.slice(this.#parsed, end)
      this.#parsed = end + 2
      const field = (name: string): string | undefined =>
        new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const data = field('data')
      if (data !== undefined)
        this.#events.push({
          id: field('id') ?? '',
          event: field('event') ?? 'message',
          data: JSON.parse(data) as SentEvent['data'],
        })
    }
  }

  get events(): readonly SentEvent[] {
    return this.#events
  }

  /** Of the decisions. */
  get ids(): string[] {
    return this.#events.flatMap(({ event, data }) =>
      event === 'decision' ? [String(data['decision_id'])] : [],
    )
  }

  async until(holds: (events: readonly SentEvent[]) => boolean): Promise<void> {
    await eventually(() => Promise.resolve(this.#events), holds)
  }

  /** The id that a client has before any event. */
  async beginning(): Promise<string> {
    await eventually(
      () => Promise.resolve(this.text),
      (text) => /^id: /m.test(text),
    )
    return /^id: (.+)$/m.exec(this.text)?.[1] ?? ''
  }

  async ended(patienceMs?: number): Promise<void> {
    await eventually(
      () => Promise.resolve(this.#isEnded),
      (isEnded) => isEnded,
      patienceMs,
    )
  }

  break(): void {
    this.socket.destroy()
  }
}

function within(db: Kysely<Tables>, rows: readonly ArrivingFields[]): Promise<string[]> {
  return db.transaction().execute((part) => arrive(part, rows))
}

async function listening(
  handler: Parameters<typeof createServer>[1] & object,
): Promise<{ readonly port: number; close(): void }> {
  const server: Server = createServer(handler as never).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

interface Way {
  readonly port: number
  isOpen: boolean
  cut(): void
  close(): void
}

/** A way to a port that can be cut. */
async function breakableWay(to: number): Promise<Way> {
  const sockets = new Set<Socket>()
  const way: { isOpen: boolean } = { isOpen: true }
  const server = createTcp((socket) => {
    if (!way.isOpen) {
      socket.destroy()
      return
    }
    const other = connect(to, '127.0.0.1')
    for (const [one, two] of [
      [socket, other],
      [other, socket],
    ] as const) {
      sockets.add(one)
      one.pipe(two)
      one.on('error', () => undefined)
      one.on('close', () => {
        sockets.delete(one)
        two.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(way, {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  })
}
