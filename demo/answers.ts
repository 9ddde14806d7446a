// What the stand-ins say, in the formats of OpenAI and Anthropic, whole and streaming.

const WORDS = ['Hello', ' from', ' the', ' stand-in']

export interface Asked {
  readonly stream?: boolean
  readonly model?: string
}

/** A whole answer, or the events of one. */
export function answerTo(path: string, { model = '', stream = false }: Asked): string | string[] {
  const anthropic = path === '/v1/messages'
  if (stream) return anthropic ? anthropicEvents(model) : openAiEvents(model)
  return JSON.stringify(anthropic ? anthropicMessage(model) : openAiCompletion(model))
}

/** The frames that answer a message of a WebSocket. */
export function realtimeFrames(): string[] {
  return [
    ...WORDS.map((delta) => JSON.stringify({ type: 'response.output_text.delta', delta })),
    JSON.stringify({ type: 'response.done', response: { status: 'completed' } }),
  ]
}

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
