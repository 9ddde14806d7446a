// The length of an answer's text, counted as it passes and cut anywhere.

import { array, assert, integer, property, string } from 'fast-check'
import t from 'tap'
import { AnswerMeter } from '../../src/wire/answer.ts'
import { OutputScan } from '../../src/wire/output-scan.ts'

const STREAMS: readonly (readonly [
  name: string,
  stream: string,
  characters: number,
  format?: string,
])[] = [
  [
    'openai',
    'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\ndata: {"choices":[{"delta":{"content":" you"}}]}\n\n',
    9,
  ],
  [
    'openai responses',
    [
      '{"type":"response.created","response":{"instructions":"x","metadata":{"text":"no"}}}',
      '{"type":"response.output_text.delta","delta":"Hello"}',
      '{"type":"response.output_text.delta", "delta" :"\\"type\\":\\"a.b\\""}',
      '{"type":"response.output_text.done","text":"Hello"}',
      '{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"Hello"}]}]}}',
    ]
      .map((event) => `data: ${event}\n\n`)
      .join(''),
    17,
    'openai-responses',
  ],
  [
    'openai realtime',
    [
      '{"type":"conversation.item.added","item":{"type":"message","content":[{"type":"input_text","text":"of the client"}]}}',
      '{"type":"response.output_audio.delta","delta":"UklGRiQAAABXQVZF"}',
      '{"type":"response.output_audio_transcript.delta","delta":"Hello"}',
      '{"type":"conversation.item.input_audio_transcription.delta","delta":"said"}',
    ].join(''),
    5,
    'openai-realtime',
  ],
  [
    'anthropic',
    'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}\n\n',
    5,
  ],
  [
    'a tool of anthropic',
    'data: {"delta":{"type":"input_json_delta","partial_json":"{\\"a\\":1}"}}\n\n',
    7,
  ],
  ['gemini', 'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}]}}]}\n\n', 5],
  ['ollama', '{"model":"m","response":"Hello","done":false}\n{"message":{"content":"you"}}\n', 8],
  ['blanks', '{ "content" :\n "Hello" }', 5],
  ['nothing said', '{"content":null,"text":[],"id":"content","x":"\\"text\\":\\"no\\""}', 0],
]

for (const [name, stream, characters, format = 'openai-chat'] of STREAMS) {
  t.test(name, async (t) => {
    const bytes = Buffer.from(stream)
    const expected = Math.ceil(characters / 4)
    for (let at = 0; at <= bytes.length; at++) {
      const scan = new OutputScan(format)
      scan.push(bytes.subarray(0, at))
      scan.push(bytes.subarray(at))
      if (scan.tokens !== expected) t.equal(scan.tokens, expected, `cut at ${at}`)
    }
    const scan = new OutputScan(format)
    for (const byte of bytes) scan.push(Buffer.from([byte]))
    t.equal(scan.tokens, expected, 'byte by byte')
  })
}

t.test('any text, in any pieces, is as long as it is', async (t) => {
  assert(
    property(string({ unit: 'grapheme' }), array(integer({ min: 1, max: 9 })), (text, cuts) => {
      const bytes = Buffer.from(`data: ${JSON.stringify({ delta: { content: text } })}\n\n`)
      const scan = new OutputScan('openai-chat')
      let at = 0
      for (const cut of cuts) {
        scan.push(bytes.subarray(at, at + cut))
        at += cut
      }
      scan.push(bytes.subarray(at))
      const most = Math.ceil(Buffer.byteLength(JSON.stringify(text)) / 4)
      const least = Math.floor(text.length / 4)
      return scan.tokens >= least && scan.tokens <= most
    }),
  )
  t.pass()
})

t.test('what the service says counts more', async (t) => {
  const meter = new AnswerMeter('openai-chat', 'text/event-stream', undefined, true)
  meter.push(Buffer.from('data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'))
  t.equal(meter.outputTokens, 2)
  meter.push(Buffer.from('data: {"usage":{"prompt_tokens":5,"completion_tokens":40}}\n\n'))
  t.equal(meter.outputTokens, 40)
  const silent = new AnswerMeter('chatgpt-web', 'text/event-stream', undefined, true)
  silent.push(Buffer.from('data: {"content":"Hello you"}\n\n'))
  t.equal(silent.outputTokens, 3, 'of a service that never tells')
  const unasked = new AnswerMeter('openai-chat', 'text/event-stream', undefined)
  unasked.push(Buffer.from('data: {"content":"Hello you"}\n\n'))
  t.equal(unasked.outputTokens, 0)
})
