// What the SDKs really send is understood as a whole.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI, { toFile } from 'openai'
import t from 'tap'
import { expectedOf, readRequest, type WireHead, type WireReading } from '../../src/wire/request.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const seen: Seen[] = []
const server: Server = createServer((request, response) => {
  buffer(request).then(
    (body) => {
      seen.push({
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body,
      })
      response.setHeader('content-type', 'application/json').end('{}')
    },
    (error: unknown) => t.fail(String(error)),
  )
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())
const { port } = server.address() as AddressInfo
const options = { apiKey: 'none', maxRetries: 0 }
const openai = new OpenAI({ ...options, baseURL: `http://127.0.0.1:${port}/v1` })
const anthropic = new Anthropic({ ...options, baseURL: `http://127.0.0.1:${port}` })
const picture = Buffer.from('89504e470d0a1a0a0000000d49484452deadbeefcafe00ff', 'hex').toString(
  'base64',
)

t.test('openai', async (t) => {
  const chat = await sent(() =>
    openai.chat.completions.create({
      model: 'gpt-4o',
      messages: [
        { role: 'developer', content: 'W1' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'W2' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
          ],
        },
      ],
      tools: [
        {
          type: 'function',
          function: {
            name: 'look',
            description: 'W3',
            parameters: { type: 'object', properties: {} },
          },
        },
      ],
    }),
  )
  t.match(chat, {
    format: 'openai-chat',
    parsed: true,
    action: 'send_prompt',
    model: 'gpt-4o',
    stream: false,
    tools: ['look'],
    text: /W1[^]*W2[^]*W3/,
    attachments: [{ kind: 'image' }],
  })
  t.match(
    await sent(() =>
      openai.responses.create({ model: 'gpt-5', input: 'W1', instructions: 'W2', stream: true }),
    ),
    {
      format: 'openai-responses',
      parsed: true,
      action: 'send_prompt',
      stream: true,
      text: /W1[^]*W2|W2[^]*W1/,
    },
  )
  t.match(
    await sent(() =>
      openai.embeddings.create({ model: 'text-embedding-3-small', input: ['W1', 'W2'] }),
    ),
    { format: 'openai-other', parsed: true, action: 'send_prompt', text: /W1[^]*W2/ },
  )
  t.match(await sent(() => openai.images.generate({ model: 'gpt-image-1', prompt: 'W1' })), {
    format: 'openai-other',
    action: 'send_prompt',
    text: 'W1',
  })
  t.match(await sent(() => openai.moderations.create({ input: 'W1' })), {
    format: 'openai-other',
    action: 'send_prompt',
  })
  t.match(
    await sent(async () =>
      openai.files.create({
        purpose: 'assistants',
        file: await toFile(Buffer.from('W1,W2'), 'a.csv', { type: 'text/csv' }),
      }),
    ),
    {
      format: 'openai-other',
      parsed: true,
      action: 'upload_file',
      text: /W1,W2/,
      attachments: [{ filename: 'a.csv', searched: true }],
    },
  )
  t.match(
    await sent(async () =>
      openai.audio.transcriptions.create({
        model: 'whisper-1',
        file: await toFile(Buffer.from('ID3\u0000'), 'a.mp3'),
      }),
    ),
    {
      format: 'openai-other',
      parsed: true,
      action: 'upload_file',
      model: 'whisper-1',
      attachments: [{ kind: 'audio' }],
    },
  )
  t.match(await sent(() => openai.models.list()), { action: 'access_ai_service', text: undefined })
})

t.test('@anthropic-ai/sdk', async (t) => {
  const messages = [{ role: 'user' as const, content: 'W1' }]
  const create = await sent(() =>
    anthropic.messages.create({
      model: 'claude-sonnet-4-5',
      max_tokens: 5,
      system: 'W2',
      stream: true,
      messages: [
        ...messages,
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: picture } },
            { type: 'tool_result', tool_use_id: 'toolu_1', content: 'W3' },
          ],
        },
      ],
      tools: [{ name: 'look', description: 'W4', input_schema: { type: 'object' } }],
    }),
  )
  t.match(create, {
    format: 'anthropic',
    parsed: true,
    action: 'send_prompt',
    model: 'claude-sonnet-4-5',
    stream: true,
    tools: ['look'],
    attachments: [{ kind: 'image' }],
  })
  for (const word of ['W1', 'W2', 'W3', 'W4']) t.match(create.text, word)
  t.match(await sent(() => anthropic.messages.countTokens({ model: 'claude-x', messages })), {
    format: 'anthropic',
    parsed: true,
    action: 'send_prompt',
  })
  t.match(
    await sent(() =>
      anthropic.messages.batches.create({
        requests: [{ custom_id: 'a', params: { model: 'claude-x', max_tokens: 1, messages } }],
      }),
    ),
    { format: 'anthropic', parsed: true, action: 'send_prompt', text: /W1/ },
  )
  t.match(await sent(() => anthropic.models.list()), { action: 'access_ai_service' })
})

t.test('all of them are known on hosts that nobody knows', async (t) => {
  const prompts = seen.filter(({ method, url }) => method === 'POST' && !/files|audio/.test(url))
  t.ok(prompts.length >= 8)
  for (const one of prompts) t.ok(reading(one, undefined).format, one.url)
})

/** What is read of the request that a call sends; the answer is of no use to the SDK, and of no interest. */
async function sent(call: () => PromiseLike<unknown>): Promise<WireReading> {
  const before = seen.length
  await Promise.resolve(call()).catch(() => undefined)
  const one = seen[before]
  if (one === undefined) throw new Error('nothing was sent')
  return reading(one, 'openai')
}

function reading({ method, url, headers, body }: Seen, protocol: string | undefined): WireReading {
  const { pathname, search } = new URL(url, 'http://x.example')
  const head: WireHead = {
    method,
    path: pathname,
    query: search.slice(1),
    ...(protocol !== undefined && { protocol }),
    header: (name) => headers[name]?.toString(),
  }
  if (method === 'POST') t.equal(expectedOf(head).mayBeAi, true)
  return readRequest(head, body, false)
}
