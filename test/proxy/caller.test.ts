// Who is calling: networks, credentials, mappings, and what guessing costs.

import { randomBytes } from 'node:crypto'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import { Callers, type CallersOptions, readBasic } from '../../src/proxy/caller.ts'
import { Htpasswd } from '../../src/proxy/htpasswd.ts'
import type { Caller } from '../../src/proxy/ports.ts'
import { dial, Origin } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'

const TOKEN = randomBytes(16).toString('hex')
const HOME = '127.0.0.1'

function callers(options: Partial<CallersOptions> = {}): Callers {
  return new Callers({
    clients: ['127.0.0.0/8', '::1/128', '10.0.0.0/8'],
    networks: [],
    anonymous: 'allow',
    htpasswd: undefined,
    verifyToken: async (login, token) =>
      login === 'maya' && token === TOKEN ? { user_id: 'u1' } : undefined,
    now: Date.now,
    ...options,
  })
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

async function outcome(caller: Caller | Promise<Caller>): Promise<unknown> {
  const found = await caller
  return found.ok ? found.principal : found.refusal.status
}

t.test('only the networks of the clients are served, however the address is written', async (t) => {
  const all = callers()
  for (const [address, want] of [
    ['127.0.0.1', {}],
    ['127.9.9.9', {}],
    ['::ffff:127.0.0.1', {}],
    ['::FFFF:10.1.2.3', {}],
    ['::1', {}],
    ['::1%lo', {}],
    [undefined, {}],
    ['11.0.0.1', 403],
    ['::ffff:11.0.0.1', 403],
    ['::2', 403],
    ['fe80::1%eth0', 403],
    ['', 403],
    ['nonsense', 403],
  ] as const) {
    t.strictSame(await outcome(all.identify(undefined, address)), want, String(address))
    // The network comes first: no credentials help.
    if (want === 403)
      t.equal(await outcome(all.identify(basic('maya', TOKEN), address)), 403, address)
  }
})

t.test('wrong credentials are 407, never anonymous', async (t) => {
  const all = callers()
  for (const header of [
    basic('maya', 'wrong'),
    basic('kim', TOKEN),
    basic('maya', ''),
    basic('', TOKEN),
    basic('maya', `${TOKEN}\0x`),
    basic('maya\n', TOKEN),
    basic('x'.repeat(300), TOKEN),
    `Basic ${Buffer.from('no colon').toString('base64')}`,
    `Bearer ${TOKEN}`,
    `Basic ${TOKEN} ${TOKEN}`,
    'Basic !!!',
    'Basic',
    '',
    `Basic ${'A'.repeat(5000)}`,
  ]) {
    const caller = await all.identify(header, HOME)
    t.match(caller, { ok: false, refusal: { status: 407, challenge: true } }, header.slice(0, 30))
  }
  t.strictSame(await outcome(all.identify(basic('maya', TOKEN), HOME)), { user_id: 'u1' })
  t.strictSame(await outcome(all.identify(basic('maya', TOKEN).replace('Basic', 'bAsIc '), HOME)), {
    user_id: 'u1',
  })
})

t.test('Basic is read as UTF-8 where it is, and divided at the first colon', async (t) => {
  const read = (bytes: Buffer): unknown => readBasic(`Basic ${bytes.toString('base64')}`)
  t.strictSame(read(Buffer.from('måya:a:b')), { user: 'måya', password: 'a:b' })
  t.strictSame(read(Buffer.from('måya:ø', 'latin1')), { user: 'måya', password: 'ø' })
})

t.test('who has no credentials is known by network, the longest prefix first', async (t) => {
  const all = callers({
    anonymous: 'deny',
    networks: [
      { cidr: '10.0.0.0/8', department: 'Sales', label: 'office' },
      { cidr: '10.1.0.0/16', user: 'robot' },
      { cidr: '10.2.0.0/16', label: 'guests' },
      { cidr: '::1/128', user: 'six' },
    ],
  })
  const found = (address: string, header?: string): Caller | Promise<Caller> =>
    all.identify(header, address)
  t.match(await found('10.9.9.9'), { principal: { department: 'Sales' }, network: 'office' })
  t.match(await found('::ffff:10.1.0.9'), { principal: { login: 'robot' }, address: '10.1.0.9' })
  t.match(await found('10.2.0.1'), { ok: true, principal: {}, network: 'guests' })
  t.match(await found('::1'), { principal: { login: 'six' } })
  t.match(await found('127.0.0.1'), { ok: false, refusal: { status: 407, challenge: true } })
  // Credentials say more than the network does; wrong ones are not made good by it.
  t.match(await found('10.1.0.9', basic('maya', TOKEN)), { principal: { user_id: 'u1' } })
  t.match(await found('10.1.0.9', basic('maya', 'x')), { ok: false, refusal: { status: 407 } })
})

t.test('a password file counts beside the tokens, also while the store is away', async (t) => {
  const htpasswd = Htpasswd.parse('users', `Kim:${hashSync('word', 4)}\n`)
  const all = callers({ htpasswd })
  t.strictSame(await outcome(all.identify(basic('Kim', 'word'), HOME)), { login: 'Kim' })
  t.strictSame(await outcome(all.identify(basic('maya', TOKEN), HOME)), { user_id: 'u1' })
  t.equal(await outcome(all.identify(basic('Kim', 'wor'), HOME)), 407)
  const away = callers({ htpasswd, verifyToken: () => Promise.reject(new Error('away')) })
  t.strictSame(await outcome(away.identify(basic('Kim', 'word'), HOME)), { login: 'Kim' })
  t.match(await away.identify(basic('maya', TOKEN), HOME), {
    refusal: { status: 503, retryAfterSeconds: 5 },
  })
})

t.test('what was verified is remembered until it is forgotten', async (t) => {
  let asked = 0
  let valid = true
  let answer: (() => void) | undefined
  const all = callers({
    verifyToken: async () => {
      asked += 1
      const was = valid
      if (answer !== undefined) await new Promise<void>((resolve) => (answer = resolve))
      return was ? { user_id: 'u1' } : undefined
    },
  })
  const header = basic('maya', TOKEN)
  await Promise.all(Array.from({ length: 50 }, () => Promise.resolve(all.identify(header, HOME))))
  t.equal(asked, 1, 'connections that come together ask once')
  await all.identify(header, HOME)
  t.equal(asked, 1)
  all.forget()
  answer = () => undefined
  const late = all.identify(header, HOME)
  valid = false
  all.forget()
  answer()
  await late
  answer = undefined
  t.equal(await outcome(all.identify(header, HOME)), 407, 'an answer from before is not kept')
})

t.test('guessing is slowed down by user and address together', async (t) => {
  const all = callers()
  const guess = (index: number, user = 'maya', address = HOME): Promise<unknown> =>
    outcome(all.identify(basic(user, `guess ${index}`), address))
  // What waits must not keep the process from ending, so something else has to.
  const alive = setInterval(() => undefined, 1000)
  t.teardown(() => clearInterval(alive))
  // At the same time: none is free because the others have not failed yet.
  const answers: unknown[] = []
  const guesses = Array.from({ length: 30 }, async (_, index) => {
    answers[index] = await guess(index)
  })
  await Promise.all([...guesses.slice(0, 10), ...guesses.slice(20)])
  t.strictSame(
    answers.slice(0, 10),
    Array.from({ length: 10 }, () => 407),
  )
  t.strictSame(
    answers.slice(20),
    Array.from({ length: 10 }, () => 429),
    'these are told',
  )
  t.strictSame(answers.slice(10, 20), Array.from({ length: 10 }), 'these wait')
  t.equal(await guess(0, 'kim'), 407, 'another name')
  t.strictSame(await outcome(all.identify(basic('maya', TOKEN), '10.0.0.1')), { user_id: 'u1' })
})

t.test('407 leaves the connection usable, for requests and for tunnels', async (t) => {
  const origin = await new Origin().listen()
  const rig = await startRig({ callers: callers({ anonymous: 'deny' }) })
  const client = await dial(rig.port)
  t.teardown(async () => {
    origin.close()
    client.socket.destroy()
    await rig.close()
  })
  const connect = (credentials: string): string =>
    `CONNECT ${origin.authority} HTTP/1.1\r\nHost: ${origin.authority}\r\n${credentials}\r\n`
  for (const credentials of ['', `Proxy-Authorization: ${basic('maya', 'x')}\r\n`]) {
    client.say(connect(credentials))
    t.match(await client.hear('"}}'), /^HTTP\/1.1 407 /)
    client.say(
      `GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n${credentials}\r\n`,
    )
    t.match(await client.hear('"}}'), /^HTTP\/1.1 407 /)
  }
  client.say(connect(`Proxy-Authorization: ${basic('maya', TOKEN)}\r\n`))
  await client.hear('HTTP/1.1 200 Connection established\r\n\r\n')
  client.say('inside')
  const upstream = await origin.accept()
  t.equal(await upstream.hear('inside'), 'inside')
  t.equal(rig.decided.length, 1)
  client.socket.end()
  upstream.socket.end()
  await client.untilClosed()
  t.strictSame(
    rig.log.map(({ status, login }) => `${status} ${login}`),
    [...Array.from({ length: 4 }, () => '407 undefined'), '200 maya'],
    'the log names who was let in',
  )
  t.notMatch(JSON.stringify(rig.log), new RegExp(TOKEN.slice(0, 8)))
})
