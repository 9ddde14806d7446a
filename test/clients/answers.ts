// What the stand-in AI services answer: whole bodies and events, in the words of each API.

export const ANSWER = 'Hello from the stand-in'
const WORDS = ['Hello', ' from', ' the', ' stand-in']

export interface Event {
  readonly bytes: string
  /** Whether every client tells its user of it, so that the next one can wait until it came. */
  readonly told: boolean
}

export interface Reply {
  readonly type: string
  readonly body: string | readonly Event[]
}

/** The reply to a request, undefined where there is no such page. */
export function replyTo(method: string, path: string, body: string): Reply | undefined {
  if (method === 'GET' && path === '/')
    return { type: 'text/html', body: `<!doctype html><title>A chat page</title><p>${ANSWER}</p>` }
  if (method !== 'POST') return undefined
  const asked = JSON.parse(body === '' ? '{}' : body) as { stream?: boolean; model?: string }
  const model = asked.model ?? 'a-model'
  const stream = asked.stream === true
  if (path.endsWith('/chat/completions')) return stream ? chatEvents(model) : whole(chat(model))
  if (path.endsWith('/responses')) return stream ? responseEvents(model) : whole(response(model))
  if (path.endsWith('/embeddings')) return whole(embedding(model))
  if (path.endsWith('/messages')) return stream ? messageEvents(model) : whole(message(model))
  if (path.endsWith(':generateContent')) return whole(gemini(WORDS.join('')))
  if (path.endsWith(':streamGenerateContent'))
    return events(WORDS.map((word) => `data: ${JSON.stringify(gemini(word))}\r\n\r\n`))
  if (path.endsWith('/conversation')) return stream ? webEvents() : whole({ v: ANSWER })
  return undefined
}

/** The frames of a realtime session that answer one message. */
export function realtimeFrames(): string[] {
  return [
    ...WORDS.map((delta) => JSON.stringify({ type: 'response.output_text.delta', delta })),
    JSON.stringify({
      type: 'response.done',
      response: { usage: { input_tokens: 3, output_tokens: 4 } },
    }),
  ]
}

function whole(body: unknown): Reply {
  return { type: 'application/json', body: JSON.stringify(body) }
}

function events(told: readonly string[], last: readonly string[] = []): Reply {
  return {
    type: 'text/event-stream',
    body: [
      ...told.map((bytes) => ({ bytes, told: true })),
      ...last.map((bytes) => ({ bytes, told: false })),
    ],
  }
}

function chat(model: string): unknown {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: ANSWER, refusal: null },
        finish_reason: 'stop',
        logprobs: null,
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
  }
}

function chatEvents(model: string): Reply {
  const chunk = (delta: unknown, finish: string | null): string =>
    `data: ${JSON.stringify({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1,
      model,
      choices: [{ index: 0, delta, finish_reason: finish }],
    })}\n\n`
  return events(
    [...WORDS.map((content) => chunk({ content }, null)), chunk({}, 'stop')],
    ['data: [DONE]\n\n'],
  )
}

function response(model: string, status = 'completed'): Record<string, unknown> {
  const done = status === 'completed'
  return {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status,
    model,
    output: done ? [outputMessage()] : [],
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: done
      ? {
          input_tokens: 3,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: 4,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: 7,
        }
      : null,
  }
}

function outputMessage(): unknown {
  return {
    id: 'msg_1',
    type: 'message',
    status: 'completed',
    role: 'assistant',
    content: [{ type: 'output_text', text: ANSWER, annotations: [], logprobs: [] }],
  }
}

function responseEvents(model: string): Reply {
  let number = 0
  const event = (type: string, rest: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...rest })}\n\n`
  const part = { item_id: 'msg_1', output_index: 0, content_index: 0 }
  return events([
    event('response.created', { response: response(model, 'in_progress') }),
    ...WORDS.map((delta) => event('response.output_text.delta', { ...part, delta, logprobs: [] })),
    event('response.output_text.done', { ...part, text: ANSWER, logprobs: [] }),
    event('response.completed', { response: response(model) }),
  ])
}

function embedding(model: string): unknown {
  return {
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: [0.25, 0.5] }],
    model,
    usage: { prompt_tokens: 3, total_tokens: 3 },
  }
}

function message(model: string): object {
  return {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model,
    content: [{ type: 'text', text: ANSWER }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 3, output_tokens: 4 },
  }
}

function messageEvents(model: string): Reply {
  const event = (type: string, rest: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`
  return events([
    event('message_start', { message: { ...message(model), content: [], stop_reason: null } }),
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
  ])
}

function gemini(text: string): unknown {
  return {
    candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason: 'STOP', index: 0 }],
    usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4, totalTokenCount: 7 },
    modelVersion: 'a-model',
  }
}

function webEvents(): Reply {
  return events(
    WORDS.map((word) => `data: ${JSON.stringify({ v: word })}\n\n`),
    ['data: [DONE]\n\n'],
  )
}

/** What the chat page does: posts, reads events as they come, opens a socket; `told` is the run's. */
export const PAGE_SCRIPT = `
globalThis.post = async (url, body) => {
  const answer = await fetch(url, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    text += value
    for (const line of value.split('\\n')) if (line.startsWith('data:')) void told()
  }
  const [entry] = performance.getEntriesByName(new URL(url, location.href).href).slice(-1)
  return { status: answer.status, http: entry?.nextHopProtocol ?? '', body: text }
}
globalThis.talk = (url, message) =>
  new Promise((resolve) => {
    let text = ''
    const socket = new WebSocket(url)
    socket.onopen = () => socket.send(message)
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data)
      text += frame.delta ?? ''
      void told()
      if (frame.type !== 'response.done') return
      socket.onclose = null
      socket.close()
      resolve({ text })
    }
    socket.onclose = ({ code, reason }) => resolve({ code, reason })
  })
`
