// A WebSocket through the relay, between the `ws` package on both sides: nothing changes but what is refused.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { closeReason } from '../../src/websocket/write.ts'
import { SlowJudge, WebSocketDoor } from '../support/websocket-rig.ts'

const ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee'
const REFUSED = { pass: false, closeReason: closeReason('no secrets', ID) } as const

/** One side of a conversation, and everything it was told. */
class Side {
  readonly socket: WebSocket
  readonly said: string[] = []
  closed: { code: number; reason: string } | undefined
  #changed: (() => void) | undefined

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: RawData, isBinary: boolean) => {
      const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(data as Buffer[])
      this.#note(isBinary ? `binary ${bytes.toString('base64')}` : `text ${bytes.toString()}`)
    })
    socket.on('ping', (data: Buffer) => this.#note(`ping ${data.toString()}`))
    socket.on('pong', (data: Buffer) => this.#note(`pong ${data.toString()}`))
    socket.on('error', () => undefined)
    socket.on('close', (code: number, reason: Buffer) => {
      this.closed = { code, reason: reason.toString() }
      this.#changed?.()
    })
  }

  async hears(...what: readonly string[]): Promise<void> {
    while (this.said.length < what.length && this.closed === undefined) await this.#change()
    const heard = this.said.splice(0, what.length)
    if (heard.join('|') !== what.join('|'))
      throw new Error(`heard ${heard.join('|').slice(0, 300)}, closed ${this.closed?.code}`)
  }

  async isClosed(): Promise<{ code: number; reason: string }> {
    while (this.closed === undefined) await this.#change()
    return this.closed
  }

  #note(what: string): void {
    this.said.push(what)
    this.#changed?.()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#changed = resolve))
  }
}

async function talk(t: Test, chosen: ConstructorParameters<typeof WebSocketDoor>[1] = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true })
  await once(server, 'listening')
  const door = await new WebSocketDoor((server.address() as AddressInfo).port, chosen).listen()
  const socket = new WebSocket(`ws://127.0.0.1:${door.port}/v1/realtime`, ['realtime', 'second'])
  const client = new Side(socket)
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(socket, 'open')])) as [
    [WebSocket],
    unknown,
  ]
  t.teardown(() => {
    socket.terminate()
    for (const one of server.clients) one.terminate()
    server.close()
    door.close()
  })
  return { door, client, origin: new Side(accepted) }
}

t.test('text, binary, fragments, pings and pongs pass both ways as they are', async (t) => {
  const { door, client, origin } = await talk(t)
  t.equal(client.socket.protocol, 'realtime')
  t.equal(client.socket.extensions, '', 'compression is declined')
  for (const [from, to] of [
    [client, origin],
    [origin, client],
  ] as const) {
    from.socket.send('plain')
    from.socket.send('')
    from.socket.send('\ufeffgrüß 🙂 \u0000\u001e')
    from.socket.send(Buffer.alloc(0))
    const bytes = randomBytes(100_000)
    from.socket.send(bytes)
    from.socket.send('frag', { fin: false })
    from.socket.send('', { fin: false })
    from.socket.ping('between')
    from.socket.send('ments', { fin: true })
    await to.hears(
      'text plain',
      'text ',
      'text \ufeffgrüß 🙂 \u0000\u001e',
      'binary ',
      `binary ${bytes.toString('base64')}`,
      'ping between',
      'text fragments',
    )
    await from.hears('pong between')
  }
  t.strictSame(
    door.judged.map(({ text }) => text),
    ['plain', '', '\ufeffgrüß 🙂 \u0000\u001e', 'fragments'],
  )
  client.socket.close(1000, 'done')
  t.strictSame(await origin.isClosed(), { code: 1000, reason: 'done' })
  t.strictSame(await client.isClosed(), { code: 1000, reason: 'done' })
  await door.untilEnded()
  t.match(door.totals, [{ messagesIn: 6, messagesOut: 6, refused: 0, closeCode: 1000 }])
  t.equal(door.held, 0)
})

t.test('a close passes with its code and reason, from either side', async (t) => {
  for (const [code, reason] of [
    [1000, ''],
    [1001, 'bye'],
    [1011, 'ü'.repeat(61)],
    [1012, 'restart'],
    [3456, 'ours'],
    [4999, ''],
  ] as const) {
    for (const closer of ['client', 'origin'] as const) {
      const sides = await talk(t)
      const { door } = sides
      sides[closer].socket.close(code, reason)
      t.strictSame(await sides.client.isClosed(), { code, reason }, `${code} of the ${closer}`)
      t.strictSame(await sides.origin.isClosed(), { code, reason })
      await door.untilEnded()
      t.equal(door.totals[0]?.closeCode, code)
    }
  }
  const { client, origin } = await talk(t)
  client.socket.close()
  t.equal((await origin.isClosed()).code, 1005, 'without a code')
  t.equal((await client.isClosed()).code, 1005)
})

t.test('messages of a megabyte pass byte by byte', async (t) => {
  const { door, client, origin } = await talk(t)
  const text = randomBytes(600_000).toString('base64')
  for (let round = 0; round < 3; round += 1) {
    client.socket.send(text + round)
    origin.socket.send(round + text)
    await Promise.all([origin.hears(`text ${text}${round}`), client.hears(`text ${round}${text}`)])
  }
  t.strictSame(
    door.judged.map((message) => message.text?.length),
    [800_001, 800_001, 800_001],
  )
  t.equal(door.held, 0)
})

t.test('a refused message reaches nobody, and its close names the decision', async (t) => {
  for (const slow of [false, true]) {
    const { door, client, origin } = await talk(t, {
      judge: ({ text }) => {
        const verdict = text?.includes('secret') === true ? REFUSED : ({ pass: true } as const)
        return slow ? Promise.resolve(verdict) : verdict
      },
    })
    client.socket.send('harmless')
    client.socket.send('a sec', { fin: false })
    client.socket.send('ret', { fin: true })
    client.socket.send('afterwards')
    t.strictSame(await client.isClosed(), { code: 1008, reason: `no secrets; decision ${ID}` })
    t.equal((await origin.isClosed()).code, 1001)
    t.strictSame(origin.said, ['text harmless'])
    await door.untilEnded()
    t.match(door.totals, [{ refused: 1, closeCode: 1008 }])
    t.equal(door.held, 0)
  }
})

t.test('a refusal comes between two messages of the origin, never inside one', async (t) => {
  const slow = new SlowJudge()
  const { door, client, origin } = await talk(t, { judge: () => slow.judge() })
  const long = 'x'.repeat(5_000_000)
  client.socket.pause()
  client.socket.send('secret')
  await door.untilJudged()
  origin.socket.send(long)
  while (door.legs[0]?.client.writableNeedDrain !== true) await new Promise(setImmediate)
  slow.answer(REFUSED)
  client.socket.resume()
  t.equal((await client.isClosed()).code, 1008)
  t.ok(client.said[0] === `text ${long}`, 'what had begun was completed')
  t.equal((await origin.isClosed()).code, 1001)
})

t.test('a rewritten message goes out in the place of the first', async (t) => {
  const { client, origin, door } = await talk(t, {
    judge: ({ text }) => ({
      pass: true,
      ...(text?.includes('@') === true
        ? { text: text.replace('a@b.example', '[REDACTED:email]') }
        : {}),
    }),
  })
  client.socket.send('write to ')
  client.socket.send('mail a@b', { fin: false })
  client.socket.send('.example 🙂', { fin: true })
  client.socket.send(`${'é'.repeat(70_000)} a@b.example`)
  client.socket.send('end')
  await origin.hears(
    'text write to ',
    'text mail [REDACTED:email] 🙂',
    `text ${'é'.repeat(70_000)} [REDACTED:email]`,
    'text end',
  )
  t.equal(door.held, 0)
})

t.test('messages are judged in turn, and pings do not wait for it', async (t) => {
  const slow = new SlowJudge()
  let finished = 0
  const { client, origin, door } = await talk(t, { judge: () => slow.judge() })
  client.socket.send('first')
  client.socket.send(Buffer.from('second'))
  client.socket.send('third')
  client.socket.ping('still here')
  await origin.hears('ping still here')
  await client.hears('pong still here')
  origin.socket.ping('and you')
  await client.hears('ping and you')
  await origin.hears('pong and you')
  t.equal(door.judged.length, 1, 'one at a time')
  slow.answer({ pass: true, finish: () => (finished += 1) })
  await door.untilJudged(2)
  await origin.hears('text first', `binary ${Buffer.from('second').toString('base64')}`)
  client.socket.close(1000, 'end')
  origin.socket.send('meanwhile')
  await client.hears('text meanwhile')
  t.equal(origin.closed, undefined, 'the close waits its turn')
  slow.answer({ pass: true, finish: () => (finished += 1) })
  await origin.hears('text third')
  t.equal((await origin.isClosed()).code, 1000)
  t.equal(finished, 2)
})

t.test('a long message is searched at its beginning, and passes whole', async (t) => {
  const { client, origin, door } = await talk(t, { maxMessageBytes: 1000 })
  const text = `${'a'.repeat(999)}é${'b'.repeat(300_000)}`
  client.socket.send(text)
  client.socket.send('x'.repeat(1000))
  client.socket.send('y'.repeat(600), { fin: false })
  client.socket.ping('inside')
  client.socket.send('z'.repeat(600), { fin: false })
  client.socket.send('end', { fin: true })
  await origin.hears(
    `text ${text}`,
    `text ${'x'.repeat(1000)}`,
    'ping inside',
    `text ${'y'.repeat(600)}${'z'.repeat(600)}end`,
  )
  t.strictSame(door.judged, [
    { text: 'a'.repeat(999), bytes: 1000, truncated: true },
    { text: 'x'.repeat(1000), bytes: 1000, truncated: false },
    { text: 'y'.repeat(600) + 'z'.repeat(400), bytes: 1000, truncated: true },
  ])
  t.equal(door.held, 0)
})

t.test('of a long message that is refused, or cannot be rewritten, nothing passes', async (t) => {
  for (const [verdict, code] of [
    [REFUSED, 1008],
    [{ pass: true, text: 'changed' }, 1011],
  ] as const) {
    for (const slow of [false, true]) {
      const { client, origin, door } = await talk(t, {
        maxMessageBytes: 1000,
        judge: () => (slow ? Promise.resolve(verdict) : verdict),
      })
      client.socket.send('x'.repeat(200_000))
      t.equal((await client.isClosed()).code, code)
      t.equal((await origin.isClosed()).code, 1001, 'between two frames')
      t.strictSame(origin.said, [])
      t.equal(door.held, 0)
    }
  }
})

t.test('binary messages are judged by their size where that is asked for', async (t) => {
  const { client, origin, door } = await talk(t, { judgeBinary: true, maxMessageBytes: 1000 })
  client.socket.send(Buffer.alloc(10))
  client.socket.send(Buffer.alloc(2000))
  await origin.hears(
    `binary ${Buffer.alloc(10).toString('base64')}`,
    `binary ${Buffer.alloc(2000).toString('base64')}`,
  )
  t.strictSame(door.judged, [
    { text: undefined, bytes: 10, truncated: false },
    { text: undefined, bytes: 1000, truncated: true },
  ])
})

t.test('a judge that fails lets nothing pass', async (t) => {
  for (const judge of [
    () => {
      throw new Error('broken')
    },
    () => Promise.reject(new Error('broken')),
  ]) {
    const { client, origin, door } = await talk(t, { judge })
    client.socket.send('unjudged')
    t.equal((await client.isClosed()).code, 1011)
    t.equal((await origin.isClosed()).code, 1001)
    t.strictSame(origin.said, [])
    t.match(door.faults, [{ message: 'broken' }])
    t.equal(door.held, 0)
  }
})

t.test('what no memory is left for is told to come again', async (t) => {
  const { client, origin, door } = await talk(t, { memoryBytes: 10_000 })
  client.socket.send('small')
  await origin.hears('text small')
  client.socket.send('x'.repeat(20_000))
  t.equal((await client.isClosed()).code, 1013)
  t.equal((await origin.isClosed()).code, 1001)
  t.strictSame(origin.said, [])
  t.ok(door.mostHeld <= 10_000)
  t.equal(door.held, 0)
})

t.test('the text of the origin can be listened to as it passes', async (t) => {
  let heard = ''
  const { client, origin } = await talk(t, {
    onServerText: (piece) => (heard += piece.toString()),
    onServerTextEnd: () => (heard += '|'),
  })
  origin.socket.send('one')
  origin.socket.send(Buffer.from('two'))
  origin.socket.send('th', { fin: false })
  origin.socket.send('ree', { fin: true })
  await client.hears('text one', `binary ${Buffer.from('two').toString('base64')}`, 'text three')
  t.equal(heard, 'one|three|')
})

t.test('a silent connection is closed in order, after its time', async (t) => {
  const { client, origin, door } = await talk(t, { idleMs: 60_000 })
  door.pass(59_000)
  client.socket.send('still')
  await origin.hears('text still')
  door.pass(59_000)
  t.equal(client.closed, undefined)
  door.pass(2000)
  t.equal((await client.isClosed()).code, 1001)
  t.equal((await origin.isClosed()).code, 1001)
  await door.untilEnded()
})

t.test('the end of the proxy is said to both sides', async (t) => {
  const { client, origin, door } = await talk(t)
  door.relays[0]?.destroy()
  t.equal(door.totals.length, 1, 'at once')
  t.equal((await client.isClosed()).code, 1012)
  t.equal((await origin.isClosed()).code, 1001)
  door.relays[0]?.destroy()
  t.equal(door.totals.length, 1, 'and once')
})

t.test('what breaks off on one side breaks off on the other', async (t) => {
  for (const breaker of ['client', 'origin'] as const) {
    const slow = new SlowJudge()
    let finished = 0
    const sides = await talk(t, { judge: () => slow.judge() })
    sides.client.socket.send('being judged')
    await sides.door.untilJudged()
    sides[breaker].socket.terminate()
    const other = sides[breaker === 'client' ? 'origin' : 'client']
    if (breaker === 'client') slow.answer({ pass: true, finish: () => (finished += 1) })
    t.equal((await other.isClosed()).code, 1006)
    await sides.door.untilEnded()
    if (breaker === 'origin') {
      slow.answer({ pass: true, finish: () => (finished += 1) })
      await new Promise(setImmediate)
    }
    t.equal(finished, 1, 'what was judged has an end')
    t.equal(sides.door.held, 0)
  }
})
