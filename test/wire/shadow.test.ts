// On a host that nobody knows, bodies alone tell AI from other APIs: a labelled set of both kinds.

import t from 'tap'
import { readRequest, type WireHead } from '../../src/wire/request.ts'

type Sample = readonly [path: string, body: unknown]

const say = (content: unknown, role = 'user'): unknown => ({ role, content })

const AI: readonly Sample[] = [
  ['/v1/chat/completions', { model: 'x', messages: [say('hi')] }],
  ['/v1/chat/completions', { messages: [say('hi')] }],
  ['/proxy', { model: 'my-model', messages: [say('hi')], stream: true }],
  ['/api', { model: 'anything', messages: [say([{ type: 'text', text: 'hi' }])] }],
  ['/llm', { messages: [say('be kind', 'system'), say('hi')], temperature: 0.2 }],
  [
    '/api/chat',
    {
      id: 'c1',
      messages: [
        { id: 'm', role: 'user', parts: [{ type: 'text', text: 'hi' }] },
        { role: 'assistant', parts: [{ type: 'text', text: 'yes' }] },
      ],
    },
  ],
  ['/anthropic', { model: 'claude-x', max_tokens: 5, system: 'be kind', messages: [say('hi')] }],
  [
    '/v1/messages',
    {
      model: 'x',
      max_tokens: 5,
      messages: [say([{ type: 'tool_result', tool_use_id: 't', content: 'x' }])],
    },
  ],
  ['/v1/complete', { prompt: '\n\nHuman: hi', max_tokens_to_sample: 3 }],
  ['/google', { contents: [{ role: 'user', parts: [{ text: 'hi' }] }] }],
  ['/g', { contents: { parts: { text: 'hi' } }, generationConfig: {} }],
  [
    '/v1internal:generateContent',
    { model: 'gemini', request: { contents: [{ parts: [{ text: 'x' }] }] } },
  ],
  ['/v1/models/m:generateContent', { contents: [{ parts: [{ text: 'x' }] }] }],
  ['/r', { model: 'gpt-5', input: [{ type: 'message', role: 'user', content: 'x' }] }],
  ['/r', { model: 'gpt-5', input: 'hi', instructions: 'be kind' }],
  ['/v1/responses', { model: 'gpt-5', input: 'hi' }],
  ['/e', { model: 'text-embedding-3-small', input: ['a', 'b'] }],
  ['/v1/embeddings', { model: 'bge-m3', input: 'a' }],
  ['/api/generate', { model: 'llama3', prompt: 'why' }],
  ['/x', { model: 'llama3', prompt: 'why', stream: false }],
  ['/api/chat', { model: 'llama3', messages: [say('why')] }],
  ['/complete', { model: 'codestral', prompt: 'def f', suffix: 'return', max_tokens: 10 }],
  ['/completion', { prompt: 'why', n_predict: 10, temperature: 1, model: 'x' }],
  ['/v1/images/generations', { prompt: 'a cat', n: 1, size: '1024x1024' }],
  ['/', { model: 'dall-e-3', prompt: 'a cat', size: '1024x1024' }],
  ['/', { inputs: 'hi', parameters: { max_new_tokens: 5 } }],
  ['/chat', { message: 'hi', chat_history: [{ role: 'USER', message: 'x' }], model: 'command-r' }],
  ['/model/x.y/converse', { messages: [say([{ text: 'hi' }])] }],
  ['/c', { messages: [say([{ text: 'hi' }], 'assistant')], inferenceConfig: {} }],
  ['/v1/predictions', { version: 'a'.repeat(64), input: { prompt: 'x' } }],
  [
    '/backend-api/conversation',
    {
      action: 'next',
      messages: [{ author: { role: 'user' }, content: { content_type: 'text', parts: ['hi'] } }],
    },
  ],
  ['/rpc', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'x', arguments: {} } }],
  [
    '/rpc',
    { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-03-26' } },
  ],
  ['/rpc', { jsonrpc: '2.0', method: 'notifications/initialized' }],
  ['/rpc', [{ jsonrpc: '2.0', id: 1, method: 'tools/list' }]],
  ['/q', { conversationState: { currentMessage: { userInputMessage: { content: 'hi' } } } }],
]

const OTHER: readonly Sample[] = [
  // People and their messages.
  ['/api/messages', { channel: 'C1', text: 'hello' }],
  ['/v1/messages', { messages: [{ from: 'a', to: 'b', body: 'hi' }] }],
  ['/api/chat', { messages: [{ sender: 'maya', text: 'hi' }] }],
  [
    '/v1/messages',
    {
      messages: [
        { role: 'agent', content: 'hi' },
        { role: 'customer', content: 'yo' },
      ],
    },
  ],
  ['/messages', { message: { role: 'user', content: 'hi' } }],
  ['/v1/chat', { message: 'hi', room: 7 }],
  ['/_matrix/client/v3/rooms/r/send/m.room.message/1', { msgtype: 'm.text', body: 'hi' }],
  ['/bot/sendMessage', { chat_id: 1, text: 'hi' }],
  ['/v1.0/me/sendMail', { message: { subject: 'x', body: { content: 'hi' }, toRecipients: [] } }],
  ['/2010-04-01/Messages.json', { To: '1', Body: 'x', messages: [] }],
  ['/support', { model: 'T-1000', messages: ['broken', 'help'] }],
  // Remote calls.
  ['/', { jsonrpc: '2.0', id: 1, method: 'eth_call', params: [{ to: '0x0' }, 'latest'] }],
  ['/', { jsonrpc: '2.0', id: 1, method: 'textDocument/completion', params: {} }],
  [
    '/',
    {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { processId: 1, rootUri: null, capabilities: {} },
    },
  ],
  ['/', { jsonrpc: '2.0', id: 1, method: 'ping' }],
  ['/', { jsonrpc: '2.0', id: 1, method: 'aria2.addUri', params: [] }],
  ['/', { jsonrpc: '2.0', id: 1, result: 'x' }],
  [
    '/',
    [
      { jsonrpc: '2.0', id: 1, method: 'eth_blockNumber' },
      { jsonrpc: '2.0', id: 2, method: 'net_version' },
    ],
  ],
  ['/graphql', { query: 'query { viewer { id } }', variables: {} }],
  [
    '/api/graphql/',
    {
      query: 'mutation M($input: I!) { m(input: $input) { id } }',
      variables: { input: { content: 'hi' } },
    },
  ],
  ['/graphql', { operationName: 'Send', variables: { message: 'hi' }, extensions: {} }],
  // Words that formats share with the world.
  ['/cars', { model: 'Golf', prompt: 'Test drive?' }],
  ['/predict', { model: 'churn', input: { age: 3 } }],
  ['/convert', { model: 'a4', input: 'in.doc', output: 'out.pdf' }],
  ['/search', { input: 'shoes', size: 20 }],
  ['/survey', { prompt: 'How was it?', answers: [] }],
  ['/api/generate', { prompt: 'pdf', template: 'invoice' }],
  ['/responses', { survey: 1, input: 'good' }],
  ['/completions', { query: 'sho', limit: 5 }],
  ['/form', { inputs: [{ name: 'a', value: 'b' }] }],
  ['/ml', { inputs: 'x' }],
  ['/predictions', { input: { symbol: 'X' } }],
  ['/cms', { contents: [{ title: 'a', body: 'b' }], parts: [] }],
  ['/cms', { contents: 'text', model: 'article' }],
  ['/mail', { contents: [{ parts: [{ mime: 'x', body: 'y' }] }] }],
  ['/cad', { model: 'bracket', parts: [{ text: 'M3' }] }],
  ['/v1/files', { name: 'a', size: 3 }],
  ['/models/user', { name: 'x' }],
  // Telemetry.
  [
    '/v1/batch',
    { batch: [{ type: 'track', event: 'x', properties: { model: 'iPhone', role: 'user' } }] },
  ],
  ['/collect', { messages: [{ type: 'identify', userId: 'u' }], writeKey: 'k' }],
  ['/envelope', { event_id: 'x', user: { id: 1 }, message: 'boom', model: 'p' }],
  ['/v1/traces', { resourceSpans: [{ scopeSpans: [{ spans: [{ name: 'chat' }] }] }] }],
  ['/_bulk', { index: { _id: '1' } }],
  [
    '/users',
    {
      users: [
        { role: 'user', name: 'x' },
        { role: 'system', name: 'y' },
      ],
    },
  ],
  ['/roles', { role: 'assistant', content: 'x', model: 'y' }],
]

t.test('bodies of AI formats are known on any host', async (t) => {
  t.strictSame(
    AI.filter(([path, body]) => !isAi(path, body)),
    [],
  )
})

t.test('ordinary bodies are not taken for AI', async (t) => {
  t.strictSame(
    OTHER.filter(([path, body]) => isAi(path, body)),
    [],
  )
})

t.test('a path alone makes no AI of a body that is none', async (t) => {
  const paths = [
    '/v1/messages',
    '/api/chat',
    '/responses',
    '/v1/chat',
    '/api/generate',
    '/embeddings',
  ]
  const taken = paths.flatMap((path) =>
    OTHER.filter(([, body]) => isAi(path, body)).map(([, body]) => [path, body]),
  )
  t.strictSame(
    taken,
    [
      ['/responses', { model: 'a4', input: 'in.doc', output: 'out.pdf' }],
      ['/api/generate', { model: 'Golf', prompt: 'Test drive?' }],
      ['/embeddings', { model: 'a4', input: 'in.doc', output: 'out.pdf' }],
    ],
    'but for the shortest calls of these formats, letter by letter',
  )
})

function isAi(path: string, body: unknown): boolean {
  const head: WireHead = {
    method: 'POST',
    path,
    header: (name) => (name === 'content-type' ? 'application/json' : undefined),
  }
  return readRequest(head, Buffer.from(JSON.stringify(body)), false).format !== undefined
}
