// Stand-ins for AI services on this machine: the OpenAI and Anthropic formats, whole and streaming.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface StandIn {
  readonly port: number
  close(): Promise<void>
}

/** Answers every request of both APIs with a greeting. */
export async function startStandIn(): Promise<StandIn> {
  const server: Server = createServer((request, response) => {
    void answer(request, response)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const body =
    parts.length === 0
      ? {}
      : (JSON.parse(Buffer.concat(parts).toString('utf8')) as { stream?: boolean; model?: string })
  const events =
    request.url === '/v1/messages'
      ? anthropicEvents(body.model ?? '')
      : openAiEvents(body.model ?? '')
  if (body.stream === true) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    for (const event of events) {
      response.write(event)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    response.end()
    return
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify(
      request.url === '/v1/messages'
        ? anthropicMessage(body.model ?? '')
        : openAiCompletion(body.model ?? ''),
    ),
  )
}

const WORDS = ['Hello', ' from', ' the', ' stand-in']

function openAiCompletion(model: string): unknown {
  const message = { role: 'assistant', content: WORDS.join('') }
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model,
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 },
  }
}

function openAiEvents(model: string): string[] {
  const chunk = (delta: unknown, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  return [
    ...WORDS.map((content) => chunk({ content }, null)),
    chunk({}, 'stop'),
    'data: [DONE]\n\n',
  ]
}

function anthropicMessage(model: string): unknown {
  return {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model,
    content: [{ type: 'text', text: WORDS.join('') }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 4 },
  }
}

function anthropicEvents(model: string): string[] {
  const event = (type: string, rest: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`
  return [
    event('message_start', {
      message: { ...(anthropicMessage(model) as object), content: [], stop_reason: null },
    }),
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    ...WORDS.map((text) =>
      event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
    ),
    event('content_block_stop', { index: 0 }),
    event('message_delta', {
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: 4 },
    }),
    event('message_stop', {}),
  ]
}
