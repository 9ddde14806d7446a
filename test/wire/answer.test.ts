// Token counts of every format that tells them, cut anywhere, coded or not, and nothing held.

import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { AnswerMeter, type Usage } from '../../src/wire/answer.ts'

const quoted = String.raw`say \"usage\": {\"prompt_tokens\": 9} and "`
const inner = {
  type: 'x',
  'amazon-bedrock-invocationMetrics': { inputTokenCount: 3, outputTokenCount: 4 },
}
const ANSWERS: readonly (readonly [string, string, Usage | undefined])[] = [
  [
    'openai-chat',
    `{"choices":[{"message":{"content":"${quoted.slice(0, -1)}"}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}`,
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'openai-chat',
    sse(
      { choices: [{}], usage: null },
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } },
    ) + 'data: [DONE]\n\n',
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'openai-responses',
    sse(
      { type: 'response.created', response: { usage: null } },
      { type: 'response.completed', response: { usage: { input_tokens: 3, output_tokens: 4 } } },
    ),
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'anthropic',
    sse(
      {
        type: 'message_start',
        message: { usage: { input_tokens: 1, cache_read_input_tokens: 2, output_tokens: 1 } },
      },
      { type: 'message_delta', usage: { output_tokens: 4 } },
    ),
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'gemini',
    `[${JSON.stringify({ candidates: [], usageMetadata: { promptTokenCount: 2 } })},\n${JSON.stringify({ usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 1, thoughtsTokenCount: 3 } }, undefined, 2)}]`,
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'ollama',
    '{"response":"a","done":false}\n{"done":true,"prompt_eval_count":3,"eval_count":4}\n',
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'bedrock-converse',
    `\u0000\u0001:event-type\u0007\u0000{"usage":{"inputTokens":3,"outputTokens":4}}\u0001`,
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'bedrock-invoke',
    `\u0000{"bytes":"${Buffer.from(JSON.stringify(inner)).toString('base64')}"}\u0001`,
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'cohere-v2',
    sse({
      type: 'message-end',
      delta: {
        usage: { billed_units: { input_tokens: 1 }, tokens: { input_tokens: 3, output_tokens: 4 } },
      },
    }),
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'cohere-v1',
    '{"event_type":"stream-end","response":{"meta":{"tokens":{"input_tokens":3,"output_tokens":4}}}}\n',
    { input_tokens: 3, output_tokens: 4 },
  ],
  ['huggingface-tgi', sse({ details: { generated_tokens: 4 } }), { output_tokens: 4 }],
  [
    'replicate',
    '{"metrics":{"input_token_count":3,"output_token_count":4}}',
    { input_tokens: 3, output_tokens: 4 },
  ],
  [
    'qwen-web',
    sse({ choices: [], usage: { input_tokens: 3, output_tokens: 4 } }),
    { input_tokens: 3, output_tokens: 4 },
  ],
  ['chatgpt-web', sse({ usage: { input_tokens: 3 } }), undefined],
  ['openai-chat', '{"usage":{"prompt_tokens":"3","completion_tokens":-4}}', undefined],
  ['openai-chat', '{"usage":{"prompt_tokens":3', undefined],
]

for (const [format, answer, usage] of ANSWERS)
  t.test(`${format}: ${answer.length} bytes`, async (t) => {
    const bytes = Buffer.from(answer)
    const wrong = Array.from(bytes.keys()).filter((cut) => {
      const found = meter(format, [bytes.subarray(0, cut), bytes.subarray(cut)])
      return JSON.stringify(found) !== JSON.stringify(usage)
    })
    t.strictSame(wrong, [], 'cut at any place')
    t.strictSame(
      meter(
        format,
        Array.from(bytes, (byte) => Buffer.from([byte])),
      ),
      usage,
      'byte by byte',
    )
    for (const [coding, encode] of [
      ['gzip', gzipSync],
      ['br', brotliCompressSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      const coded = new AnswerMeter(format, 'text/event-stream', coding)
      const whole = encode(bytes)
      coded.push(whole.subarray(0, 10))
      coded.push(whole.subarray(10))
      t.strictSame(await coded.end(), usage, coding)
    }
  })

t.test('answers of any size are passed over', async (t) => {
  const meter = new AnswerMeter('openai-chat', 'application/json', undefined)
  const filler = Buffer.from('"usage":{"usage":{"a":"'.repeat(3000))
  for (let part = 0; part < 200; part++) meter.push(filler)
  meter.push(Buffer.from(`"}}}${' '.repeat(10_000)}"usage":{"prompt_tokens":3}`))
  t.strictSame(meter.end(), { input_tokens: 3 })
})

t.test('what cannot be read tells nothing and breaks nothing', async (t) => {
  const broken = new AnswerMeter('openai-chat', undefined, 'gzip')
  broken.push(Buffer.from('no gzip at all'))
  broken.push(Buffer.from('{"usage":{"prompt_tokens":3}}'))
  t.equal(await broken.end(), undefined)
  const picture = new AnswerMeter('openai-other', 'image/png', undefined)
  picture.push(Buffer.from('{"usage":{"prompt_tokens":3}}'))
  t.equal(picture.end(), undefined)
  t.equal(picture.isDone, true)
  const unknown = new AnswerMeter('openai-chat', undefined, 'compress')
  unknown.push(Buffer.from('x'))
  t.equal(await unknown.end(), undefined)
  const left = new AnswerMeter('openai-chat', undefined, 'br')
  left.push(brotliCompressSync('x'))
  left.abort()
  t.equal(await left.end(), undefined)
})

function sse(...events: readonly unknown[]): string {
  return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
}

function meter(format: string, parts: readonly Buffer[]): unknown {
  const found = new AnswerMeter(format, undefined, undefined)
  for (const part of parts) found.push(part)
  return found.end()
}
