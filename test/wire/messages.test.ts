// What WebSocket clients say, message by message: words are prompts, gestures and sound are none.

import t from 'tap'
import { readMessage, type WireHead } from '../../src/wire/request.ts'

const PROMPTS: readonly (readonly [
  path: string,
  message: unknown,
  format: string,
  text: string,
])[] = [
  [
    '/v1/realtime',
    {
      type: 'conversation.item.create',
      item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'W' }] },
    },
    'openai-realtime',
    'W',
  ],
  [
    '/v1/realtime',
    {
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: 'call_1', output: 'W' },
    },
    'openai-realtime',
    'W',
  ],
  [
    '/v1/realtime',
    {
      type: 'session.update',
      session: { model: 'gpt-realtime', instructions: 'W', tools: [{ name: 'f' }] },
    },
    'openai-realtime',
    'W',
  ],
  ['/v1/realtime', { type: 'something.new', words: 'W' }, 'openai-realtime', 'words: W'],
  [
    '/backend-api/codex/responses',
    { type: 'response.create', model: 'gpt-5-codex', input: [{ role: 'user', content: 'W' }] },
    'openai-responses',
    'W',
  ],
  [
    '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent',
    { clientContent: { turns: [{ role: 'user', parts: [{ text: 'W' }] }] } },
    'gemini-live',
    'W',
  ],
  [
    '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent',
    { toolResponse: { functionResponses: [{ name: 'f', response: { out: 'W' } }] } },
    'gemini-live',
    'out: W',
  ],
  [
    '/c/api/chat',
    { event: 'send', conversationId: 'c', content: [{ type: 'text', text: 'W' }], mode: 'smart' },
    'copilot-consumer',
    'W',
  ],
]
const GESTURES: readonly (readonly [path: string, message: unknown])[] = [
  [
    '/v1/realtime',
    { type: 'input_audio_buffer.append', audio: Buffer.alloc(900, 7).toString('base64') },
  ],
  ['/v1/realtime', { type: 'response.create' }],
  ['/v1/realtime', { type: 'response.cancel', event_id: 'event_1' }],
  ['/v1/realtime', { type: 'session.update', session: { voice: 'alloy' } }],
  [
    '/x.BidiGenerateContent',
    { setup: { model: 'models/m', generationConfig: { responseModalities: ['AUDIO'] } } },
  ],
  [
    '/x.BidiGenerateContent',
    {
      realtimeInput: {
        audio: { mimeType: 'audio/pcm', data: Buffer.alloc(600, 9).toString('base64') },
      },
    },
  ],
  ['/c/api/chat', { event: 'ping' }],
]

t.test('words are prompts', async (t) => {
  for (const [path, message, format, text] of PROMPTS) {
    const reading = readMessage(headOf(path), JSON.stringify(message), false)
    t.match(reading, { format, parsed: true, action: 'send_prompt' }, JSON.stringify(message))
    t.ok(reading.text?.split('\n\u001E\n').includes(text), text)
    const start = Array.from(reading.text?.slice(0, reading.text.lastIndexOf('W')) ?? '').length
    t.equal(
      String(reading.redact([{ type: 'x', start, end: start + 1 }])),
      JSON.stringify(message).replace('"W"', '"[REDACTED:x]"'),
    )
  }
})

t.test('gestures and sound are none', async (t) => {
  for (const [path, message] of GESTURES)
    t.match(
      readMessage(headOf(path), JSON.stringify(message), false),
      { parsed: true, action: 'access_ai_service', text: undefined },
      JSON.stringify(message),
    )
})

t.test('records of SignalR are read one by one', async (t) => {
  const path = '/m365Copilot/Chathub/o@t'
  const records = [
    { protocol: 'json', version: 1 },
    {
      type: 4,
      target: 'chat',
      invocationId: '0',
      arguments: [{ message: { author: 'user', text: 'W 😀' } }],
    },
    { type: 6 },
  ]
  const text = records.map((record) => `${JSON.stringify(record)}\u001E`).join('')
  const reading = readMessage(headOf(path), text, false)
  t.match(reading, { format: 'm365-copilot', parsed: true, action: 'send_prompt' })
  const start = reading.text?.indexOf('W 😀') ?? 0
  t.equal(
    String(reading.redact([{ type: 'x', start, end: start + 3 }])),
    text.replace('W 😀', '[REDACTED:x]'),
  )
  t.match(readMessage(headOf(path), '{"type":6}\u001E', false), { action: 'access_ai_service' })
})

t.test('what is no JSON is searched as it stands', async (t) => {
  t.match(readMessage(headOf('/v1/realtime'), 'W is no JSON', false), {
    parsed: false,
    text: 'W is no JSON',
  })
  t.match(readMessage(headOf('/chat'), '{"text":"W"}', false), {
    format: undefined,
    parsed: false,
    text: 'W',
  })
  t.match(
    readMessage(
      headOf('/v1/realtime'),
      '{"type":"conversation.item.create","item":{"content":[{"text":"W',
      true,
    ),
    {
      parsed: false,
      text: /W/,
      action: 'send_prompt',
    },
  )
})

function headOf(path: string): WireHead {
  return {
    method: 'GET',
    path,
    protocol: 'custom',
    header: (name) => (name === 'upgrade' ? 'websocket' : undefined),
  }
}
