// Each wire format by its own path on a service that is known to speak it: what it says, asks and carries.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { PATH_FORMATS } from '../../src/wire/formats.ts'
import { expectedOf, readRequest, type WireHead } from '../../src/wire/request.ts'

interface Case {
  readonly format: string
  readonly path: string
  readonly body: unknown
  /** Without it: send_prompt. */
  readonly action?: string
  readonly model?: string
  readonly stream?: boolean
  readonly tools?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly protocol?: string
  readonly query?: string
  /** Parts of the text; `W` stands in each body where words are. */
  readonly says?: readonly string[]
  readonly attachments?: readonly unknown[]
}

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452deadbeefcafe00ff', 'hex').toString(
  'base64',
)
const turn = { role: 'user', content: 'W1' }
const CASES: readonly Case[] = [
  {
    format: 'openai-chat',
    path: '/gateway/openai/v1/chat/completions',
    model: 'gpt-4o',
    stream: true,
    tools: ['look'],
    body: {
      model: 'gpt-4o',
      stream: true,
      messages: [
        { role: 'system', content: 'W1' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'W2' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'look', arguments: '{"password":"W3"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'W4' },
      ],
      tools: [
        {
          type: 'function',
          function: {
            name: 'look',
            description: 'W5',
            parameters: {
              type: 'object',
              properties: { q: { type: 'string', description: 'W6' } },
            },
          },
        },
      ],
      metadata: { secret: 'W7' },
    },
    says: ['W1', 'W2', 'password: W3', 'W4', 'W5', 'W6', 'secret: W7'],
    attachments: [{ kind: 'image', media_type: 'image/png', bytes: 24, searched: false }],
  },
  {
    format: 'openai-responses',
    path: '/v1/responses',
    model: 'gpt-5',
    stream: false,
    tools: ['web_search', 'f'],
    body: {
      model: 'gpt-5',
      instructions: 'W1',
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'W2' },
            { type: 'input_image', file_id: 'file-abc' },
          ],
        },
        { type: 'function_call_output', call_id: 'call_1', output: 'W3' },
        { type: 'reasoning', encrypted_content: 'gAAA'.repeat(50) },
      ],
      tools: [{ type: 'web_search' }, { type: 'function', name: 'f', description: 'W4' }],
    },
    says: ['W1', 'W2', 'W3', 'W4'],
    attachments: [{ kind: 'reference', searched: false }],
  },
  {
    format: 'openai-responses',
    path: '/backend-api/codex/responses',
    model: 'gpt-5-codex',
    body: {
      model: 'gpt-5-codex',
      input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'W1' }] }],
    },
  },
  {
    format: 'openai-legacy-completions',
    path: '/v1/engines/copilot-codex/completions',
    model: 'copilot-codex',
    body: { prompt: 'W1', suffix: 'W2', extra: { context: ['W3'], language: 'ts' } },
    says: ['W1', 'W2', 'W3'],
  },
  {
    format: 'openai-other',
    path: '/v1/embeddings',
    model: 'text-embedding-3-small',
    body: { model: 'text-embedding-3-small', input: ['W1', 'W2'] },
    says: ['W1', 'W2'],
  },
  { format: 'openai-other', path: '/v1/moderations', body: { input: 'W1' } },
  {
    format: 'openai-other',
    path: '/v1/audio/speech',
    body: { model: 'tts-1', input: 'W1', voice: 'alloy', instructions: 'W2' },
    says: ['W1', 'W2'],
  },
  {
    format: 'openai-other',
    path: '/v1/rerank',
    body: { model: 'r', query: 'W1', documents: ['W2', { text: 'W3' }] },
    says: ['W1', 'W2', 'W3'],
  },
  {
    format: 'anthropic',
    path: '/v1/messages',
    model: 'claude-sonnet-4-5',
    stream: true,
    tools: ['Bash', 'notes'],
    body: {
      model: 'claude-sonnet-4-5',
      stream: true,
      max_tokens: 8,
      system: [{ type: 'text', text: 'W1', cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'user', content: 'W2' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'W3', signature: 'EqQB'.repeat(40) },
            {
              type: 'tool_use',
              id: 'toolu_01',
              name: 'Bash',
              input: { command: 'W4', token: 'W5' },
            },
          ],
        },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'toolu_01',
              content: [{ type: 'text', text: 'W6' }],
            },
            {
              type: 'document',
              title: 'a.pdf',
              source: {
                type: 'base64',
                media_type: 'application/pdf',
                data: Buffer.from('%PDF-1.7 \u0000\u0001 binary binary').toString('base64'),
              },
            },
          ],
        },
      ],
      tools: [{ name: 'Bash', description: 'W7', input_schema: { type: 'object' } }],
      mcp_servers: [
        { type: 'url', name: 'notes', url: 'https://x.example', authorization_token: 'W8' },
      ],
    },
    says: ['W1', 'W2', 'W3', 'W4', 'token: W5', 'W6', 'W7', 'authorization_token: W8'],
    attachments: [
      { kind: 'document', media_type: 'application/pdf', filename: 'a.pdf', searched: false },
    ],
  },
  {
    format: 'anthropic',
    path: '/v1/messages/count_tokens',
    body: { model: 'claude-x', messages: [turn] },
  },
  {
    format: 'anthropic',
    path: '/v1/projects/p/locations/l/publishers/anthropic/models/claude-3:streamRawPredict',
    model: 'claude-3',
    stream: true,
    body: { anthropic_version: 'vertex-2023-10-16', messages: [turn], max_tokens: 9 },
  },
  {
    format: 'anthropic-legacy',
    path: '/v1/complete',
    body: { model: 'claude-2', prompt: '\n\nHuman: W1\n\nAssistant:', max_tokens_to_sample: 3 },
  },
  {
    format: 'gemini',
    path: '/v1beta/models/gemini-2.5-pro:streamGenerateContent',
    query: 'alt=sse',
    model: 'gemini-2.5-pro',
    stream: true,
    tools: ['f', 'googleSearch'],
    body: {
      contents: [
        {
          role: 'user',
          parts: [
            { text: 'W1' },
            { inlineData: { mimeType: 'image/png', data: PNG } },
            { fileData: { mimeType: 'video/mp4', fileUri: 'https://files.example/1' } },
          ],
        },
        { role: 'user', parts: [{ functionResponse: { name: 'f', response: { out: 'W2' } } }] },
      ],
      system_instruction: { parts: [{ text: 'W3' }] },
      tools: [{ functionDeclarations: [{ name: 'f', description: 'W4' }] }, { googleSearch: {} }],
    },
    says: ['W1', 'out: W2', 'W3', 'W4'],
    attachments: [{ kind: 'image', bytes: 24 }, { kind: 'reference' }],
  },
  {
    format: 'gemini',
    path: '/v1internal:generateContent',
    model: 'gemini-2.5-flash',
    stream: false,
    body: {
      model: 'gemini-2.5-flash',
      project: 'p',
      request: { contents: [{ role: 'user', parts: [{ text: 'W1' }] }] },
    },
  },
  {
    format: 'gemini',
    path: '/v1beta/models/text-embedding-004:embedContent',
    model: 'text-embedding-004',
    body: { content: { parts: [{ text: 'W1' }] } },
  },
  {
    format: 'bedrock-converse',
    path: '/model/anthropic.claude-3%3A0/converse-stream',
    model: 'anthropic.claude-3:0',
    stream: true,
    tools: ['f'],
    body: {
      messages: [
        {
          role: 'user',
          content: [{ text: 'W1' }, { toolResult: { content: [{ json: { a: 'W2' } }] } }],
        },
      ],
      system: [{ text: 'W3' }],
      toolConfig: { tools: [{ toolSpec: { name: 'f', description: 'W4' } }] },
    },
    says: ['W1', 'W2', 'W3', 'W4'],
  },
  {
    format: 'bedrock-invoke',
    path: '/model/amazon.titan-text/invoke',
    model: 'amazon.titan-text',
    body: { inputText: 'W1' },
  },
  {
    format: 'bedrock-invoke',
    path: '/model/stability.sd3/invoke',
    body: { text_prompts: [{ text: 'W1' }] },
  },
  {
    format: 'azure-openai',
    path: '/openai/deployments/my-gpt/chat/completions',
    query: 'api-version=2024-06-01',
    model: 'my-gpt',
    body: { messages: [turn], data_sources: [{ parameters: { key: 'W2' } }] },
    says: ['W1', 'key: W2'],
  },
  {
    format: 'azure-openai',
    path: '/openai/v1/responses',
    protocol: 'azure-openai',
    body: { model: 'm', input: 'W1' },
  },
  {
    format: 'cohere-v2',
    path: '/v2/chat',
    protocol: 'cohere',
    model: 'command-r',
    body: {
      model: 'command-r',
      messages: [turn],
      documents: ['W2', { id: 'd', data: { snippet: 'W3' } }],
    },
    says: ['W1', 'W2', 'snippet: W3'],
  },
  {
    format: 'cohere-v1',
    path: '/v1/chat',
    protocol: 'cohere',
    body: { message: 'W1', preamble: 'W2', chat_history: [{ role: 'USER', message: 'W3' }] },
    says: ['W1', 'W2', 'W3'],
  },
  {
    format: 'ollama',
    path: '/api/chat',
    protocol: 'ollama',
    model: 'llama3.2',
    stream: true,
    body: { model: 'llama3.2', messages: [{ ...turn, images: [PNG] }] },
    attachments: [{ kind: 'image', bytes: 24 }],
  },
  {
    format: 'ollama',
    path: '/api/generate',
    protocol: 'ollama',
    stream: false,
    body: { model: 'm', prompt: 'W1', system: 'W2', template: 'W3', stream: false },
    says: ['W1', 'W2', 'W3'],
  },
  {
    format: 'huggingface-tgi',
    path: '/models/gpt2/large',
    model: 'gpt2/large',
    body: { inputs: 'W1', parameters: { max_new_tokens: 3 } },
  },
  {
    format: 'replicate',
    path: '/v1/models/meta/llama-3/predictions',
    model: 'meta/llama-3',
    body: { input: { prompt: 'W1', system_prompt: 'W2', image: `data:image/png;base64,${PNG}` } },
    says: ['W1', 'W2'],
    attachments: [{ kind: 'image' }],
  },
  {
    format: 'chatgpt-web',
    path: '/backend-api/f/conversation',
    model: 'auto',
    stream: true,
    body: {
      action: 'next',
      model: 'auto',
      messages: [
        {
          id: '6f2c1d3e-aaaa-4bbb-8ccc-123456789012',
          author: { role: 'user' },
          content: {
            content_type: 'multimodal_text',
            parts: ['W1', { asset_pointer: 'file-service://file-1' }],
          },
          metadata: {
            attachments: [{ id: 'file-1', name: 'a.png', mimeType: 'image/png', size: 12 }],
          },
        },
      ],
    },
    attachments: [
      { kind: 'reference' },
      { kind: 'reference', filename: 'a.png', media_type: 'image/png', bytes: 12 },
    ],
  },
  {
    format: 'chatgpt-web',
    path: '/backend-api/files',
    action: 'upload_file',
    body: { file_name: 'W1', file_size: 3, use_case: 'multimodal' },
  },
  {
    format: 'claude-web',
    path: '/api/organizations/o/chat_conversations/c/completion',
    stream: true,
    model: 'claude-x',
    body: {
      prompt: 'W1',
      model: 'claude-x',
      attachments: [
        { file_name: 'a.docx', file_size: 9, file_type: 'docx', extracted_content: 'W2' },
      ],
      files: [],
    },
    says: ['W1', 'W2'],
    attachments: [{ kind: 'document', filename: 'a.docx', bytes: 9, searched: true }],
  },
  {
    format: 'perplexity-web',
    path: '/rest/sse/perplexity_ask',
    model: 'sonar',
    body: { query_str: 'W1', params: { dsl_query: 'W2', model_preference: 'sonar' } },
    says: ['W1', 'W2'],
  },
  {
    format: 'grok-web',
    path: '/rest/app-chat/conversations/new',
    model: 'grok-4',
    body: { message: 'W1', modelName: 'grok-4', fileAttachments: ['f1'] },
    attachments: [{ kind: 'reference' }],
  },
  {
    format: 'deepseek-web',
    path: '/api/v0/chat/completion',
    body: { prompt: 'W1', ref_file_ids: [], thinking_enabled: true },
  },
  {
    format: 'qwen-web',
    path: '/api/v2/chat/completions',
    query: 'chat_id=1',
    model: 'qwen3',
    body: { model: 'qwen3', stream: true, messages: [turn] },
    stream: true,
  },
  {
    format: 'meta-ai-web',
    path: '/api/graphql/',
    body: { variables: { message: { sensitive_string_value: 'W1' } } },
  },
  {
    format: 'poe-web',
    path: '/api/gql_POST',
    model: 'GPT-4o',
    body: { queryName: 'sendMessage', variables: { bot: 'GPT-4o', query: 'W1' } },
  },
  {
    format: 'amazon-q',
    path: '/',
    headers: {
      'x-amz-target': 'AmazonCodeWhispererStreamingService.GenerateAssistantResponse',
      'content-type': 'application/x-amz-json-1.0',
    },
    model: 'm1',
    tools: ['t'],
    body: {
      conversationState: {
        currentMessage: {
          userInputMessage: {
            content: 'W1',
            modelId: 'm1',
            userInputMessageContext: {
              tools: [{ toolSpecification: { name: 't' } }],
              editorState: { document: { text: 'W2' } },
            },
          },
        },
        history: [{ assistantResponseMessage: { content: 'W3' } }],
      },
    },
    says: ['W1', 'W2', 'W3'],
  },
  {
    format: 'mcp-2025',
    path: '/mcp',
    tools: ['add'],
    body: {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'add', arguments: { note: 'W1' } },
    },
    says: ['note: W1'],
  },
  {
    format: 'mcp-2025',
    path: '/mcp',
    action: 'access_ai_service',
    body: {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', clientInfo: { name: 'W1' } },
    },
  },
  {
    format: 'mcp-2025',
    path: '/mcp',
    action: 'access_ai_service',
    headers: { 'mcp-session-id': 's' },
    body: { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { cursor: 'W1' } },
  },
  {
    format: 'mcp-2025',
    path: '/mcp',
    headers: { 'mcp-session-id': 's' },
    body: {
      jsonrpc: '2.0',
      id: 7,
      result: { role: 'assistant', content: { type: 'text', text: 'W1' } },
    },
  },
  {
    format: 'mcp-2026-07-28',
    path: '/mcp',
    tools: ['add'],
    headers: { 'mcp-method': 'tools/call', 'mcp-name': 'add' },
    body: {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'add', arguments: { note: 'W1' } },
    },
  },
  {
    format: 'mcp-http-sse-2024',
    path: '/messages',
    query: 'session_id=1',
    tools: ['add'],
    body: {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'add', arguments: { note: 'W1' } },
    },
  },
]

for (const one of CASES)
  t.test(`${one.format} at ${one.path}`, async (t) => {
    const head = headOf(one)
    const reading = readRequest(head, Buffer.from(JSON.stringify(one.body)), false)
    t.match(reading, {
      format: one.format,
      parsed: true,
      action: one.action ?? 'send_prompt',
      ...(one.model !== undefined && { model: one.model }),
      ...(one.stream !== undefined && { stream: one.stream }),
      ...(one.tools !== undefined && { tools: one.tools }),
      ...(one.attachments !== undefined && { attachments: one.attachments }),
    })
    t.equal(reading.attachments.length, one.attachments?.length ?? 0)
    const parts = (reading.text ?? '').split('\n\u001E\n')
    for (const part of one.says ?? ['W1'])
      t.ok(
        parts.some((found) => found === part || found.includes(part)),
        part,
      )
    const { format, mayBeAi } = expectedOf(head)
    t.equal(mayBeAi, true)
    if (!one.format.startsWith('mcp')) t.equal(format, one.format, 'the head alone says it too')
    const odd = readRequest(head, Buffer.from('{"nothing":"of the kind"}'), false)
    if (one.action === undefined) t.equal(odd.parsed, false, 'another body is not understood')
    t.match(odd.text, 'of the kind')
  })

t.test('every format of the specification is known', async (t) => {
  const { formats } = readDocs()
  const read = new Set([
    ...PATH_FORMATS,
    'azure-openai',
    'mcp-2025',
    'mcp-2026-07-28',
    'mcp-http-sse-2024',
  ])
  t.strictSame(
    [...formats].filter((id) => !read.has(id)),
    ['copilot-github'],
    'which is three others',
  )
})

t.test('what names no prompt is asked without one', async (t) => {
  for (const [method, path] of [
    ['GET', '/v1/models'],
    ['GET', '/v1/chat/completions'],
    ['DELETE', '/v1/files/f'],
    ['OPTIONS', '/v1/chat/completions'],
  ] as const) {
    const head: WireHead = { method, path, protocol: 'openai', header: () => undefined }
    t.equal(expectedOf(head).kind, 'other')
    t.match(readRequest(head, Buffer.alloc(0), false), {
      action: 'access_ai_service',
      text: undefined,
    })
  }
})

t.test('headers and body of a stateless MCP request say one thing', async (t) => {
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'add' } }
  const two = headOf({
    format: '',
    path: '/mcp',
    body: call,
    headers: { 'mcp-method': 'tools/list' },
  })
  t.match(readRequest(two, Buffer.from(JSON.stringify(call)), false), {
    format: 'mcp-2026-07-28',
    parsed: false,
  })
})

t.test('keys that stand twice, broken UTF-8 and other encodings are not understood', async (t) => {
  const head = headOf({ format: '', path: '/v1/chat/completions', body: '' })
  const twice = readRequest(
    head,
    Buffer.from('{"model":"a","model":"b","messages":[{"role":"user","content":"W1"}]}'),
    false,
  )
  t.match(twice, { parsed: false, text: 'W1' })
  const broken = readRequest(
    head,
    Buffer.from('{"messages":[{"role":"user","content":"W1 \xff"}]}', 'latin1'),
    false,
  )
  t.match(broken, { parsed: false, text: /W1/ })
  const wide = readRequest(
    head,
    Buffer.from('\uFEFF{"messages":[{"role":"user","content":"W1"}]}', 'utf16le'),
    false,
  )
  t.match(wide, { parsed: false, text: /W1/ })
})

function headOf({ path, headers, protocol, query }: Case): WireHead {
  const all: Readonly<Record<string, string>> = { 'content-type': 'application/json', ...headers }
  return {
    method: 'POST',
    path,
    protocol: protocol ?? 'custom',
    ...(query !== undefined && { query }),
    header: (name) => all[name],
  }
}

function readDocs(): { formats: ReadonlySet<string> } {
  const page = readFileSync(
    new URL('../../docs/reference/wire-formats.md', import.meta.url),
    'utf8',
  )
  return { formats: new Set([...page.matchAll(/^\| `([a-z0-9-]+)`/gm)].map(([, id = '']) => id)) }
}
