// Budgets and what stays open, through the whole program: WebSockets, documents, HTTP/2 on both legs, tunnels that stay shut;
// and what is told of it.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { Agent } from 'node:https'
import type { Duplex } from 'node:stream'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { Issuer } from '../../src/tls/issuer.ts'
import { hire, keyWith, loginOf } from '../support/company.ts'
import { eventually, Place } from '../support/cordon.ts'
import { sharedAuthority } from '../support/inside-company.ts'
import { secured } from '../support/inside-rig.ts'
import { curl, withoutCurl } from '../support/through-proxy.ts'
import { type Answering, TlsOrigin } from '../support/tls-origin.ts'

const WORD = 'x'.repeat(40)
const EVENTS = 400
const SERVICES = ['voice', 'live', 'obliged', 'bytes', 'chat', 'gem', 'stream', 'shut'] as const
type Service = (typeof SERVICES)[number]
const hostOf = (service: Service): string => `${service}.open.test`

const DOCUMENTS: Readonly<Record<string, object>> = {
  '/v1/chat/completions': {
    choices: [{ index: 0, message: { role: 'assistant', content: 'hello' } }],
    usage: { prompt_tokens: 11, completion_tokens: 22, total_tokens: 33 },
  },
  '/v1/messages': {
    type: 'message',
    content: [{ type: 'text', text: 'hello' }],
    usage: { input_tokens: 100, output_tokens: 7 },
  },
  '/v1beta/models/g:generateContent': {
    candidates: [{ content: { parts: [{ text: 'hello' }] } }],
    usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 6, totalTokenCount: 11 },
  },
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 5)
  })
}

const answering: Answering = (request, response) => {
  const [path = ''] = (request.url ?? '').split('?')
  const document = DOCUMENTS[path]
  if (
    document !== undefined &&
    !String(request.headers[':authority'] ?? request.headers.host).startsWith('stream')
  ) {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(document))
    return
  }
  if (request.method !== 'POST') {
    response.end(WORD.repeat(100))
    return
  }
  response.setHeader('content-type', 'text/event-stream')
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  void (async () => {
    for (let n = 0; n < EVENTS && !gone.signal.aborted; n++) {
      const event = `data: {"choices":[{"index":0,"delta":{"content":"${WORD}"}}]}\n\n`
      ;(response as { write(text: string): boolean }).write(event)
      await pause()
    }
    response.end('data: [DONE]\n\n')
  })()
}

const origin = new TlsOrigin(hostOf('voice'), answering)
await origin.listen()
const sockets = new WebSocketServer({ noServer: true })
const issuer = new Issuer(origin.authority)
for (const service of SERVICES) {
  const { cert, key } = issuer.issue(hostOf(service))
  ;(origin.server as { addContext(host: string, pair: object): void }).addContext(hostOf(service), {
    cert,
    key,
  })
}
origin.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
  sockets.handleUpgrade(request, socket, head, (peer) => {
    peer.on('error', () => undefined)
    const isBinary = request.headers.host?.startsWith('bytes') === true
    peer.on('message', (data: Buffer) => {
      const { type, words = 0 } = JSON.parse(data.toString('utf8')) as {
        type: string
        words?: number
      }
      if (type === 'response.create') void talk(peer, words, isBinary)
    })
  })
})

/** So many words, then what they cost. */
async function talk(peer: WebSocket, words: number, isBinary: boolean): Promise<void> {
  for (let n = 0; n < words && peer.readyState === WebSocket.OPEN; n++) {
    if (isBinary) peer.send(Buffer.alloc(1000))
    else peer.send(JSON.stringify({ type: 'response.output_text.delta', delta: WORD }))
    await pause()
  }
  if (isBinary) return
  peer.send(JSON.stringify({ type: 'response.output_text.done', text: WORD.repeat(words) }))
  const usage = { total_tokens: 70, input_tokens: 30, output_tokens: 40 }
  peer.send(JSON.stringify({ type: 'response.done', response: { usage } }))
}

const place = await new Place().withStore()
const authority = sharedAuthority(place)
place.write('origins.pem', origin.authority.rootCert)
place.write(
  'signatures/ours.yaml',
  `vendor: Test\nservices:\n${SERVICES.map(
    (id) =>
      `  - {id: ${id}, name: ${id}, service_type: chat, protocol: ${id === 'gem' ? 'gemini' : 'openai'}, domains: [${hostOf(id)}], approval_status: approved}\n`,
  ).join('')}`,
)
place.write(
  'policies/ours.cedar',
  `
@id("ends-with-its-budget")
@decision("none")
@obligations("[{\\"type\\": \\"cut_stream\\"}]")
permit (principal, action, resource == Cordon::Service::"obliged");
`,
)
const hour = { window: '1h' }
place.configure({
  signatures: { dirs: ['signatures'] },
  policy: { dirs: ['policies'] },
  proxy: {
    workers: 2,
    trust: ['origins.pem'],
    resolve: Object.fromEntries(
      SERVICES.map((service) => [`${hostOf(service)}:443`, `127.0.0.1:${origin.port}`]),
    ),
    intercept: {
      enabled: true,
      services: SERVICES.filter((service) => service !== 'shut'),
      ca: authority.ca,
    },
  },
  budgets: [
    {
      id: 'voice',
      match: { services: ['voice'] },
      limit: 1000,
      unit: 'tokens',
      per: ['user'],
      ...hour,
    },
    { id: 'live', match: { services: ['live'] }, limit: 300, unit: 'tokens', cut: true, ...hour },
    { id: 'obliged', match: { services: ['obliged'] }, limit: 300, unit: 'tokens', ...hour },
    {
      id: 'bytes',
      match: { services: ['bytes', 'shut'] },
      per: ['service'],
      limit: '20KB',
      unit: 'bytes',
      cut: true,
      ...hour,
    },
    {
      id: 'whole',
      match: { services: ['chat', 'gem'] },
      per: ['service', 'model'],
      limit: 10_000,
      unit: 'tokens',
      ...hour,
    },
    {
      id: 'stream',
      match: { services: ['stream'] },
      limit: 300,
      unit: 'tokens',
      cut: true,
      ...hour,
    },
  ],
})
const cordon = await place.start()
await hire(place)
const maya = await loginOf(place, 'maya')
const key = await keyWith(place, 'decisions:read')

t.teardown(async () => {
  await cordon.stop()
  for (const peer of sockets.clients) peer.terminate()
  origin.close()
  place.remove()
})

async function opened(service: Service): Promise<WebSocket> {
  const socket = new WebSocket(`wss://${hostOf(service)}/v1/realtime?model=a-model`, {
    agent: new Agent({
      ca: authority.root,
      proxyEnv: { HTTPS_PROXY: cordon.proxy.replace('//', `//${maya}@`) },
    }),
  })
  await once(socket, 'open')
  return socket
}

function says(socket: WebSocket, message: object): void {
  socket.send(JSON.stringify(message))
}

const HELLO = {
  type: 'conversation.item.create',
  item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hello you' }] },
}

type Row = Readonly<Record<string, unknown>>

async function budgets(query: string): Promise<readonly Row[]> {
  const { body, status } = await cordon.call(`/v1/budgets?${query}`, key)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body['items'] as Row[]
}

async function usedOf(query: string, expected: (used: number) => boolean): Promise<number> {
  return eventually(
    async () => (await budgets(query)).reduce((sum, { used }) => sum + Number(used), 0),
    expected,
  )
}

t.test('a conversation costs what its service tells, as it goes', async (t) => {
  const socket = await opened('voice')
  says(socket, { type: 'session.update', session: { instructions: 'be kind to whoever asks' } })
  says(socket, HELLO)
  for (let n = 1; n <= 2; n++) {
    says(socket, { type: 'response.create', words: 3 })
    for (;;) {
      const [data] = (await once(socket, 'message')) as [Buffer]
      if (data.toString('utf8').includes('response.done')) break
    }
  }
  socket.close()
  await once(socket, 'close')
  t.equal(await usedOf('budget=voice', (used) => used === 140), 140, 'twice what was told')
  const [row] = await budgets('budget=voice&user=maya')
  t.match(row, {
    budget_id: 'voice',
    subject: { user: { name: 'maya' } },
    limit: 1000,
    used: 140,
    remaining: 860,
    window: '1h',
    // oxlint-disable-next-line no-thenable -- as the setting is called
    then: 'deny',
  })
  t.match(await budgets('budget=voice&user=ben'), [{ used: 0, subject: { user: { name: 'ben' } } }])
  const rows = await decisions('voice', (all) =>
    all.some(({ output_tokens: tokens }) => tokens === 80),
  )
  const told = rows.find(({ output_tokens: tokens }) => tokens === 80)
  t.match(told, { action: 'send_prompt', input_tokens: 60 })
})

for (const service of ['live', 'obliged'] as const)
  t.test(`a conversation ends when its budget does: ${service}`, async (t) => {
    const socket = await opened(service)
    let heard = 0
    socket.on('message', () => (heard += 1))
    says(socket, HELLO)
    says(socket, { type: 'response.create', words: EVENTS })
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
    t.equal(code, 1008)
    t.match(
      reason.toString('utf8'),
      new RegExp(
        `^the budget "${service}" of 300 tokens in 1h ran out during the answer; decision `,
      ),
    )
    t.ok(heard > 20 && heard < EVENTS, `${heard}`)
    const rows = await decisions(service, (all) => all.some(({ decision }) => decision === 'DENY'))
    const cut = rows.find(({ decision }) => decision === 'DENY')
    t.match(cut, { primary_policy_id: `budget:${service}`, action: 'send_prompt' })
    await t.rejects(opened(service), /403/, 'and the next one does not begin')
    t.match(await budgets(`budget=${service}`), [{ remaining: 0, subject: {} }])
  })

t.test('bytes of both directions, in what nobody understands and in what stays shut', async (t) => {
  const socket = await opened('bytes')
  says(socket, { type: 'response.create', words: EVENTS })
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  t.equal(code, 1008)
  t.match(reason.toString('utf8'), /^the budget "bytes" of 20000 bytes/)
  const tls = await secured(
    { port: cordon.proxyPort, ca: origin.authority.rootCert },
    {},
    `${hostOf('shut')}:443`,
  )
  const asks = (): void => {
    if (!tls.destroyed) tls.write(`GET /file HTTP/1.1\r\nHost: ${hostOf('shut')}\r\n\r\n`)
  }
  // What breaks off in the middle of something that is written may be told as a reset.
  const closed = new Promise((resolve) => {
    tls.on('error', () => undefined).once('close', resolve)
  })
  tls.on('data', asks)
  asks()
  await closed
  t.match(await budgets('budget=bytes&service=shut'), [{ remaining: 0 }])
  const rows = await decisions('shut', (all) => all.some(({ decision }) => decision === 'DENY'))
  t.match(
    rows.find(({ decision }) => decision === 'DENY'),
    { primary_policy_id: 'budget:bytes' },
  )
})

t.test(
  'documents are charged what they tell, and the next request sees it',
  { skip: await withoutCurl() },
  async (t) => {
    const through = ['-x', cordon.proxy, '-U', maya, '--cacert', authority.file]
    const ask = async (
      service: Service,
      path: string,
      body: object,
      ...more: string[]
    ): Promise<void> => {
      const given = ['--json', JSON.stringify(body), `https://${hostOf(service)}${path}`]
      const { out, code } = await curl(...through, ...more, ...given)
      t.equal(code, 0, out)
    }
    const messages = [{ role: 'user', content: 'hello' }]
    let used = 0
    for (const version of ['--http1.1', '--http2']) {
      await ask('chat', '/v1/chat/completions', { model: 'm', messages }, version)
      used += 33
      t.equal(await usedOf('budget=whole&service=chat', (is) => is === used), used)
      await ask('chat', '/v1/messages', { model: 'm', max_tokens: 9, messages }, version)
      used += 107
      t.equal(await usedOf('budget=whole&service=chat', (is) => is === used), used)
    }
    const contents = [{ parts: [{ text: 'hello' }] }]
    await ask('gem', '/v1beta/models/g:generateContent', { contents })
    t.equal(await usedOf('budget=whole&service=gem&model=g', (is) => is === 11), 11)
  },
)

t.test('a stream of HTTP/2 on both legs ends when its budget does', async (t) => {
  const tls = await secured(
    { port: cordon.proxyPort, ca: authority.root },
    { ALPNProtocols: ['h2'] },
    `${hostOf('stream')}:443`,
  )
  t.equal(tls.alpnProtocol, 'h2')
  const session = connectHttp2(`https://${hostOf('stream')}`, { createConnection: () => tls })
  t.teardown(() => session.destroy())
  const body = JSON.stringify({
    model: 'm',
    stream: true,
    messages: [{ role: 'user', content: 'hi' }],
  })
  const stream = session.request({
    ':method': 'POST',
    ':path': '/v1/chat/completions',
    'content-type': 'application/json',
  })
  stream.end(body)
  let text = ''
  for await (const part of stream.setEncoding('utf8')) text += part as string
  const events = text.split('\n\n').filter((event) => event !== '')
  t.ok(events.length > 20 && events.length < EVENTS, `${events.length}`)
  t.match(events.at(-1), /^data: \{"error":.*\\"stream\\" of 300 tokens in 1h ran out during/)
  t.equal(origin.received.at(-1)?.version, '2.0')
  t.equal((await usedOf('budget=stream', (used) => used >= 300 && used < 600)) >= 300, true)
  const next = session.request({
    ':method': 'POST',
    ':path': '/v1/chat/completions',
    'content-type': 'application/json',
  })
  next.end(body)
  const [headers] = (await once(next, 'response')) as [Record<string, string>]
  t.equal(Number(headers[':status']), 403, 'on the same connection')
  t.ok(Number(headers['retry-after']) > 0)
})

t.test('people can see why they are refused', async (t) => {
  const list = await place.done(['budget', 'list', '--user', 'maya'])
  t.match(list, /live +all +\d+ +300 tokens +0 +1h +20/)
  t.match(list, /voice +maya +140 +1000 tokens +860/)
  const shown = await place.done(['budget', 'show', 'live'])
  t.match(shown, /^live: 300 tokens in 1h \(fixed\), then deny; a running answer ends with it\n/)
  const page = JSON.parse(await place.done(['budget', 'list', '--json', '--limit', '2'])) as {
    items: Row[]
    next_cursor: string
    complete: boolean
  }
  t.equal(page.items.length, 2)
  t.equal(page.complete, true)
  const next = ['budget', 'list', '--json', '--cursor', page.next_cursor]
  const rest = JSON.parse(await place.done(next)) as { items: Row[] }
  t.equal(rest.items.length + 2, (await budgets('limit=100')).length)
  const unknown = await place.cordon(['budget', 'show', 'liv'])
  t.equal(unknown.code, 3)
  t.match(unknown.err, /there is no budget "liv" \(did you mean "live"\?\)/)
  t.equal((await place.cordon(['budget', 'list', '--user', 'nobody'])).code, 3)
  t.equal((await cordon.call('/v1/budgets', await keyWith(place, 'policies:read'))).status, 403)
})

async function decisions(
  service: string,
  holds: (rows: readonly Row[]) => boolean,
): Promise<readonly Row[]> {
  return eventually(async () => {
    const { body } = await cordon.call(`/v1/decisions?limit=100&service=${service}`, key)
    return body['items'] as Row[]
  }, holds)
}
