// What do the parts of an interception cost by themselves, in process?

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { connect, createSecureContext } from 'node:tls'
import { detect } from '../src/content/detect.ts'
import { HelloReader } from '../src/tls/client-hello.ts'
import { createIssuing, createRoot } from '../src/tls/create.ts'
import { Issuer } from '../src/tls/issuer.ts'
import { AnswerMeter } from '../src/wire/answer.ts'
import { expectedOf, readRequest, type WireHead } from '../src/wire/request.ts'
import { chatOf } from './support/prose.ts'
import { CHAT_PATH } from './support/tls-origins.ts'

const CALLS = 3000
const WARM = 1000
const asJson = process.argv.includes('--json')
const chat = Buffer.from(JSON.stringify(chatOf(2048)))
const long = Buffer.from(JSON.stringify(chatOf(20_480)))
const fields = new Map([
  ['content-type', 'application/json'],
  ['host', 'api.openai.com'],
  ['user-agent', 'bench/1.0'],
])
const head: WireHead = {
  method: 'POST',
  path: CHAT_PATH,
  protocol: 'openai-chat',
  header: (name) => fields.get(name),
}
const issuer = newIssuer()
const leaf = issuer.issue('api.openai.com')
const hello = await helloOf('api.openai.com')

const event = Buffer.from(
  `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" sea"},"finish_reason":null}]}\n\n`,
)
const answer = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'The sea is wide. '.repeat(40) } },
    ],
    usage: { prompt_tokens: 400, completion_tokens: 200, total_tokens: 600 },
  }),
)
const stream = new AnswerMeter('openai-chat', 'text/event-stream', undefined)

const { text } = readRequest(head, chat, false)
if (text === undefined) throw new Error('the chat of the bench is not read')
const { text: longText } = readRequest(head, long, false)

measure('head: which format is expected', () => expectedOf(head))
measure('body of 2 KB read', () => readRequest(head, chat, false))
measure('body of 20 KB read', () => readRequest(head, long, false))
measure('its text searched, 2 KB', () => detect({ text }))
measure('its text searched, 20 KB', () => detect({ text: longText ?? '' }))
measure('usage of an answer of 1 KB', () => {
  const meter = new AnswerMeter('openai-chat', 'application/json', undefined)
  meter.push(answer)
  return meter.end()
})
measure('an event of a stream', () => {
  stream.push(event)
  return stream
})
measure('client hello read', () => new HelloReader().push(hello))
measure('leaf minted', (call) => issuer.issue(`${call}.openai.com`))
measure('TLS context of a leaf', () => createSecureContext({ cert: leaf.cert, key: leaf.key }))

function measure(stage: string, call: (index: number) => unknown): void {
  const times: number[] = []
  let seen = 0
  for (let index = 0; index < WARM + CALLS; index++) {
    const start = performance.now()
    // An answer that nobody reads might be left out.
    if (call(index) !== undefined) seen++
    if (index >= WARM) times.push(performance.now() - start)
  }
  if (seen === 0) throw new Error(`${stage} gave nothing`)
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 100_000) / 100
  const result = { bench: 'intercept-stages', stage, p50_us: at(0.5), p99_us: at(0.99) }
  process.stdout.write(
    asJson
      ? `${JSON.stringify(result)}\n`
      : `${stage.padEnd(32)} p50 ${String(result.p50_us).padStart(7)}  p99 ${String(result.p99_us).padStart(7)}\n`,
  )
}

function newIssuer(): Issuer {
  const now = Date.now()
  const made = createRoot('Bench', now)
  const root = { certificate: new X509Certificate(made.certificate), key: made.key }
  const issuing = createIssuing(root, 'Bench', ['openai.com'], now)
  return new Issuer({
    rootCert: made.certificate,
    chain: issuing.certificate,
    key: issuing.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  })
}

/** As Node's client sends it. */
async function helloOf(servername: string): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const client = connect({ port: address.port, host: '127.0.0.1', servername })
  client.on('error', () => undefined)
  const [socket] = await once(server, 'connection')
  const chunk = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
  client.destroy()
  server.close()
  return chunk
}
