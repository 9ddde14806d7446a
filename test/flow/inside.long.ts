// Inside TLS, from outside: what is asked of an AI service is read, decided, changed where it has to be, and kept.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import Anthropic, { PermissionDeniedError as AnthropicDenied } from '@anthropic-ai/sdk'
import OpenAI, { PermissionDeniedError } from 'openai'
import t from 'tap'
import { fetch as undiciFetch, ProxyAgent } from 'undici'
import { WebSocket } from 'ws'
import { AiOrigin, message } from '../support/ai-origin.ts'
import { keyWith, loginOf } from '../support/company.ts'
import { eventually, Place } from '../support/cordon.ts'
import { filesHolding } from '../support/files-holding.ts'
import {
  hireTwo,
  HOSTS,
  settingsFor,
  sharedAuthority,
  writeCompany,
} from '../support/inside-company.ts'
import { basic, curl } from '../support/through-proxy.ts'

const ANSWER = 'Hello from the stand-in'
/** What must be found nowhere afterwards. */
const secret = `sk-proj-${randomBytes(24).toString('hex')}`
const prompt = `what of ${randomBytes(12).toString('hex')}`
const bearer = randomBytes(16).toString('hex')
const query = randomBytes(12).toString('hex')

const origin = await new AiOrigin(Object.values(HOSTS)).listen()
const place = await new Place().withStore()
writeCompany(place, origin)
const authority = sharedAuthority(place)
place.configure(
  settingsFor(origin, {
    intercept: { ca: authority.ca },
    policy: { review: 'hold', hold_timeout: '60s' },
  }),
)
const cordon = await place.start()
await hireTwo(place)
const [maya, ben, key] = await Promise.all([
  loginOf(place, 'maya'),
  loginOf(place, 'ben'),
  keyWith(place, 'decisions:read,reviews:write', 'ben'),
])

const agents = [maya, ben].map(
  (login) =>
    new ProxyAgent({
      uri: cordon.proxy,
      token: basic(login),
      requestTls: { ca: authority.root },
    }),
)
const [asMaya, asBen] = agents

t.teardown(async () => {
  await Promise.all(agents.map((agent) => agent.destroy()))
  await cordon.stop()
  origin.close()
  place.remove()
})

const throughCordon = [
  '--suppress-connect-headers',
  '--proxy',
  cordon.proxy,
  '--proxy-user',
  maya,
  '--cacert',
  authority.file,
]
const chat = openai(HOSTS.chat, asMaya)

t.test(
  'an answer arrives; who asked what of which model is kept, and CONNECT is not',
  async (t) => {
    const answer = await chat.chat.completions.create({
      model: 'a-model',
      messages: [{ role: 'user', content: prompt }],
    })
    t.equal(answer.choices[0]?.message.content, ANSWER)
    t.match(origin.last, { method: 'POST', url: '/v1/chat/completions', host: HOSTS.chat })
    t.notOk(
      Object.keys(origin.last?.headers ?? {}).find((name) => /^(?:proxy-|x-cordon-)/.test(name)),
    )
    const [record] = await decisions('service=open-chat')
    t.match(record, {
      decision: 'ALLOW',
      action: 'send_prompt',
      user: { name: 'maya', department: 'Engineering' },
      resource: {
        id: 'open-chat',
        host: HOSTS.chat,
        path: '/v1/chat/completions',
        model: 'a-model',
      },
    })
    const [row] = await ended(({ decision_id: id }) => id === record?.['decision_id'])
    t.match(row, {
      visibility: 'content',
      format: 'openai-chat',
      input_tokens: 3,
      output_tokens: 4,
      status: 200,
    })
    const { body } = await cordon.call(`/v1/decisions/${String(record?.['decision_id'])}`, key)
    t.match(body, { action: 'send_prompt' })
    t.equal((await decisions('service=open-chat')).length, 1)
  },
)

t.test('a program of Node needs nothing but its environment', async (t) => {
  const env = {
    NODE_USE_ENV_PROXY: '1',
    HTTPS_PROXY: cordon.proxy.replace('//', `//${maya}@`),
    NODE_EXTRA_CA_CERTS: authority.file,
  }
  const program = `const answer = await fetch('${url(HOSTS.chat)}', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: process.argv[1] })
    console.log(answer.status, await answer.text())`
  for (const [content, said] of [
    [prompt, ANSWER],
    [secret, '403 {"error":{"message":"the text holds a secret'],
  ] as const) {
    const body = JSON.stringify({ model: 'a-model', messages: [{ role: 'user', content }] })
    const args = ['--input-type=module', '--eval', program, body]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    t.match(stdout, said)
  }
})

t.test('Anthropic answers too, and its stream tells its tokens', async (t) => {
  const claude = anthropic()
  const request = {
    model: 'a-model',
    max_tokens: 8,
    messages: [{ role: 'user' as const, content: prompt }],
  }
  const { content } = await claude.messages.create(request)
  t.match(content, [{ type: 'text', text: ANSWER }])
  let text = ''
  for await (const event of await claude.messages.create({ ...request, stream: true }))
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
      text += event.delta.text
  t.equal(text, ANSWER)
  const rows = await ended(({ resource }) => hostOf(resource) === HOSTS.claude, 2)
  for (const row of rows) t.match(row, { format: 'anthropic', input_tokens: 3, output_tokens: 4 })
})

t.test('events arrive one by one', async (t) => {
  origin.gate.allow(1)
  const stream = await chat.chat.completions.create({
    model: 'a-model',
    messages: [{ role: 'user', content: prompt }],
    stream: true,
  })
  let text = ''
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    // The next one is not sent before this one has come.
    origin.gate.allow(chunk.choices[0]?.finish_reason === 'stop' ? Infinity : 1)
  }
  t.equal(text, ANSWER)
})

t.test('a client that goes away is seen by the origin', async (t) => {
  const before = origin.abandoned
  origin.gate.allow(1)
  const aborting = new AbortController()
  const stream = await chat.chat.completions.create(
    { model: 'a-model', messages: [{ role: 'user', content: prompt }], stream: true },
    { signal: aborting.signal },
  )
  for await (const _ of stream) aborting.abort()
  await origin.untilAbandoned(before + 1)
  t.equal(origin.abandoned, before + 1)
  // A killed client says nothing: its connection ends.
  origin.gate.allow(1)
  const killed = await curlOf(
    '--http2',
    '--no-buffer',
    '--json',
    JSON.stringify({ model: 'a-model', messages: [], stream: true }),
    url(HOSTS.chat),
  )
  killed.kill('SIGKILL')
  await origin.untilAbandoned(before + 2)
  origin.gate.allow(Infinity)
})

t.test('a secret is found before a byte leaves, whatever speaks', async (t) => {
  const before = origin.received.length
  const asked = [{ role: 'user' as const, content: `use ${secret}` }]
  for (const stream of [false, true]) {
    const denied = await failureOf(
      chat.chat.completions.create({ model: 'a-model', messages: asked, stream }),
    )
    t.ok(denied instanceof PermissionDeniedError, String(denied))
    t.match((denied as Error).message, /the text holds a secret \(decision [-0-9a-f]{36}\)/)
    const { headers } = denied as PermissionDeniedError
    t.match(headers.get('content-type'), /^application\/json/, 'never an event stream')
    t.equal(headers.get('x-should-retry'), 'false')
  }
  // A key in the wrong line of a configuration.
  const misplaced = await failureOf(
    chat.chat.completions.create({
      model: secret,
      messages: [{ role: 'user', content: prompt }],
      tools: [{ type: 'function', function: { name: secret } }],
    }),
  )
  t.ok(misplaced instanceof PermissionDeniedError, String(misplaced))
  const denied = await failureOf(
    anthropic().messages.create({ model: 'a-model', max_tokens: 8, messages: asked }),
  )
  t.ok(denied instanceof AnthropicDenied, String(denied))
  t.match((denied as Error).message, /permission_error.*the text holds a secret/)
  const body = JSON.stringify({ model: 'a-model', messages: asked })
  for (const version of ['--http1.1', '--http2']) {
    const { out } = await ask(version, '--include', '--json', body, url(HOSTS.chat))
    t.match(out, /^HTTP\/(?:1\.1|2) 403/)
    t.match(out, /proxy-status: cordon; error=http_request_denied/i)
    t.notMatch(out, secret)
  }
  t.equal(origin.received.length, before)
  const rows = await ended(({ decision }) => decision === 'DENY', 7)
  for (const row of rows) t.match(row['findings'], [{ category: 'secret' }])
  const violations = await cordon.export('violations')
  t.ok(
    violations.some(({ count }) => Number(count) >= 4),
    'one of a person, policy and service',
  )
})

t.test('denied at the door: a prohibited service, a department', async (t) => {
  const before = origin.received.length
  const { out } = await ask('--include', url(HOSTS.banned))
  t.match(out, /403/)
  t.match(out, /"code":"policy_denied"/)
  const denied = await failureOf(
    openai(HOSTS.chat, asBen).chat.completions.create({
      model: 'a-model',
      messages: [{ role: 'user', content: prompt }],
    }),
  )
  t.match(denied, { status: 403 })
  t.match(String(denied), /support may not chat/)
  t.equal(origin.received.length, before)
})

t.test('policies see model, stream, tools, attachments, and what cannot be read', async (t) => {
  const messages = [{ role: 'user' as const, content: prompt }]
  const tool = { type: 'function' as const, function: { name: 'delete_everything' } }
  const picture = {
    type: 'image_url' as const,
    image_url: { url: `data:image/png;base64,${randomBytes(60).toString('base64')}` },
  }
  const table = [
    [{ model: 'dear-model', messages }, 'that model is too dear'],
    [{ model: 'still-model', messages, stream: true }, 'no streams from this model'],
    [{ model: 'a-model', messages, tools: [tool] }, 'that tool is not to be called'],
    [
      { model: 'a-model', messages: [{ role: 'user' as const, content: [picture] }] },
      'no pictures',
    ],
  ] as const
  for (const [body, reason] of table) {
    const denied = await failureOf(chat.chat.completions.create(body as never))
    t.match(String(denied), reason)
  }
  t.equal(
    (await chat.chat.completions.create({ model: 'still-model', messages })).choices.length,
    1,
  )
  const strange = ['--data-binary', `words=${prompt}`, '-H', 'content-type: application/x-strange']
  const denied = await ask(...strange, url(HOSTS.strict, '/strange'))
  t.match(denied.out, 'what cannot be read does not pass')
  t.equal((await ask(...strange, url(HOSTS.chat, '/strange'))).out, 'POST ' + (prompt.length + 6))
})

t.test('redact changes the matched characters and nothing else', async (t) => {
  const written = (mail: string, money: string): string =>
    `{"model":"a-model",  "messages":[{"role":"user","content":"mail ${mail} or pay \\u0064 ${money} ${prompt}"}]}`
  const iban = 'DE89370400440532013000'
  const given = written('maya@acme-corp.com', iban)
  const expected = written('[REDACTED:email]', '[REDACTED:iban]')
  const type = ['-H', 'content-type: application/json']
  for (const version of ['--http1.1', '--http2']) {
    const { out } = await ask(version, ...type, '--data-binary', given, url(HOSTS.chat))
    t.match(out, ANSWER)
    t.equal(origin.last?.body.toString('utf8'), expected)
    t.equal(origin.last?.headers['content-length'], String(expected.length))
  }
  const file = place.write('body.gz', '')
  writeFileSync(file, gzipSync(given))
  const zipped = ['-H', 'content-encoding: gzip', '--data-binary', `@${file}`]
  await ask(...type, ...zipped, url(HOSTS.chat))
  t.equal(origin.last?.body.toString('utf8'), expected)
  t.equal(origin.last?.headers['content-encoding'], undefined)
  const [row] = await ended(({ obligations }) => JSON.stringify(obligations).includes('redact'))
  t.match(row, { decision: 'ALLOW' })
})

t.test('what is too large passes unsearched, and is not redacted by half', async (t) => {
  const large = (content: string): string =>
    JSON.stringify({
      model: 'a-model',
      messages: [{ role: 'user', content: `${content} ${prompt} ${'word '.repeat(40_000)}` }],
    })
  const file = place.write('large.json', large('hello'))
  const type = ['-H', 'content-type: application/json']
  t.match((await ask(...type, '--data-binary', `@${file}`, url(HOSTS.chat))).out, ANSWER)
  t.equal(origin.last?.body.length, large('hello').length)
  const before = origin.received.length
  const mail = place.write('mail.json', large('to maya@acme-corp.com'))
  const { out } = await ask(...type, '--data-binary', `@${mail}`, url(HOSTS.chat))
  t.match(out, 'redact is required and cannot be done here')
  t.equal(origin.received.length, before)
  const [row] = await ended(({ visibility_reason: why }) => why === 'too_large')
  t.match(row, { visibility: 'metadata', visibility_reason: 'too_large' })
  place.write('large.json', '')
  place.write('mail.json', '')
})

t.test('a review holds the request until somebody answers', async (t) => {
  const before = origin.received.length
  const held = openai(HOSTS.asked, asMaya).chat.completions.create({
    model: 'a-model',
    messages: [{ role: 'user', content: prompt }],
  })
  const { body } = await eventually(
    () => cordon.call('/v1/reviews?status=pending', key),
    ({ body: { items } }) => (items as unknown[]).length === 1,
  )
  t.equal(origin.received.length, before, 'nothing has left')
  const [{ review_id: id, ...review } = { review_id: '' }] = body['items'] as {
    review_id: string
  }[]
  t.match(review, { service_id: 'asked', action: 'send_prompt' })
  await cordon.call(`/v1/reviews/${id}`, key, { decision: 'approve' })
  t.equal((await held).choices[0]?.message.content, ANSWER)
})

t.test('WebSocket messages: passed as they are, redacted, refused', async (t) => {
  const said = (text: string): string =>
    JSON.stringify({
      type: 'conversation.item.create',
      item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
    })
  const socket = new WebSocket(`wss://${HOSTS.chat}/v1/realtime?model=a-model`, {
    agent: new Agent({
      ca: authority.root,
      proxyEnv: { HTTPS_PROXY: cordon.proxy.replace('//', `//${maya}@`) },
    }),
    headers: { authorization: `Bearer ${bearer}` },
  })
  await once(socket, 'open')
  for (const [given, expected] of [
    [said(`ä ${prompt}`), said(`ä ${prompt}`)],
    ['{"type": "session.update" }', '{"type": "session.update" }'],
    [said('to maya@acme-corp.com'), said('to [REDACTED:email]')],
  ] as const) {
    socket.send(given)
    t.equal(await message(socket), expected)
  }
  const before = origin.messages.length
  socket.send(said(secret))
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  t.equal(code, 1008)
  const [id] = /[-0-9a-f]{36}$/.exec(reason.toString('utf8')) ?? []
  t.equal(origin.messages.length, before)
  const [row] = await ended(({ decision_id: one }) => one === id)
  t.match(row, { decision: 'DENY', action: 'send_prompt', resource: { host: HOSTS.chat } })
  // What no message of text said was seen by nobody.
  const [upgrade] = await ended(({ visibility_reason: why }) => why === 'websocket')
  t.match(upgrade, { decision: 'ALLOW', action: 'access_ai_service', visibility: 'metadata' })
})

t.test(
  'a client that does not trust us leaves one record, and is suggested after three',
  async (t) => {
    for (let n = 0; n < 3; n++) {
      const { code } = await curl('-x', cordon.proxy, '-U', maya, url(HOSTS.peeked))
      t.not(code, 0)
    }
    const { body } = await eventually(
      () => cordon.call('/v1/interception/failures', key),
      ({ body: { items } }) => (items as { failures: number }[])[0]?.failures === 3,
    )
    t.match((body['items'] as unknown[])[0], { host: HOSTS.peeked, suggested: true })
    const rows = await ended(({ visibility }) => visibility === 'sni', 3)
    t.equal(rows.length, 3, 'no other CONNECT was recorded beside what was asked inside it')
    for (const row of rows)
      t.match(row, { resource: { host: HOSTS.peeked }, visibility_reason: 'handshake_failed' })
  },
)

t.test('metrics and coverage sum it up', async (t) => {
  const text = await (await fetch(`${cordon.metrics}/metrics`)).text()
  const count = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)
  t.ok(count(/^cordon_interception_total\{outcome="intercepted",[^}]*\} (\d+)/m) > 5)
  t.equal(count(/^cordon_interception_total\{outcome="failed",reason="untrusted"\} (\d+)/m), 3)
  t.ok(count(/^cordon_ai_bytes_total\{visibility="content"[^}]*\} (\d+)/m) > 1000)
  const { body } = await cordon.call('/v1/coverage?by=department', key)
  t.ok(Number(body['bytes']) > 1000)
  t.ok((body['seen'] as { content: number }).content > 0)
  t.ok((body['items'] as { name: string }[]).some(({ name }) => name === 'Engineering'))
})

t.test('nothing of what was said lies anywhere afterwards', async (t) => {
  await ask(url(HOSTS.chat, `/v1/models?q=${query}`))
  await cordon.stop()
  const texts = [secret, prompt, bearer, query, key, maya.slice(5), ben.slice(4)]
  t.same(filesHolding(place.dir, texts), [])
  for (const text of texts) t.notMatch(cordon.said, text)
  t.not(filesHolding(place.dir, ['the text holds a secret']).length, 0, 'the search finds')
})

function openai(host: string, dispatcher: ProxyAgent | undefined): OpenAI {
  return new OpenAI({
    apiKey: bearer,
    baseURL: `https://${host}/v1`,
    fetch: undiciFetch as unknown as typeof fetch,
    fetchOptions: { dispatcher } as never,
  })
}

function anthropic(): Anthropic {
  return new Anthropic({
    apiKey: bearer,
    baseURL: `https://${HOSTS.claude}`,
    fetch: undiciFetch as unknown as typeof fetch,
    fetchOptions: { dispatcher: asMaya } as never,
  })
}

function url(host: string, path = '/v1/chat/completions'): string {
  return `https://${host}${path}`
}

/** curl as maya, who trusts the authority. */
function ask(...args: string[]): ReturnType<typeof curl> {
  return curl(...throughCordon, ...args)
}

/** The same, once it has said something. */
async function curlOf(...args: string[]): Promise<ChildProcess> {
  const child = spawn('curl', ['--silent', ...throughCordon, ...args])
  await once(child.stdout, 'data')
  return child
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

function hostOf(resource: unknown): unknown {
  return (resource as { host?: string }).host
}

async function decisions(filter: string): Promise<Record<string, unknown>[]> {
  const { body } = await eventually(
    () => cordon.call(`/v1/decisions?${filter}`, key),
    ({ body: { items } }) => (items as unknown[]).length > 0,
  )
  return body['items'] as Record<string, unknown>[]
}

/** Decisions whose end is known, the newest first, once there are so many. */
async function ended(
  holds: (row: Record<string, unknown>) => boolean,
  least = 1,
): Promise<Record<string, unknown>[]> {
  return eventually(
    async () =>
      (await decisions('limit=200')).filter((row) => row['status'] !== null && holds(row)),
    ({ length }) => length >= least,
  )
}
