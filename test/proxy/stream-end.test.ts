// Where a stream may be ended in the middle, and with which words.

import t from 'tap'
import type { Progress } from '../../src/decision/running-answer.ts'
import type { ResponseHead } from '../../src/http1/message.ts'
import type { Decision } from '../../src/model/decision.ts'
import { AnswerReader } from '../../src/proxy/answer-reader.ts'
import { refusalOfDecision } from '../../src/proxy/refusals.ts'
import { lastEventOf } from '../../src/proxy/refuse.ts'
import { StreamEnd, streamFormOf } from '../../src/proxy/stream-end.ts'

const DECISION = { decision_id: 'd-1', reason: 'used up' } as unknown as Decision
const REFUSAL = refusalOfDecision(DECISION, undefined)

function head(type: string, more: Partial<ResponseHead> = {}, ...fields: string[]): ResponseHead {
  return {
    status: 200,
    reason: 'OK',
    minor: 1,
    fields: ['Content-Type', 'content-type', type, ...fields],
    contentLength: -1,
    chunked: true,
    keepAlive: true,
    upgrade: undefined,
    keepAliveSeconds: undefined,
    ...more,
  }
}

t.test('which answers are streams', async (t) => {
  t.equal(streamFormOf(head('text/event-stream; charset=utf-8')), 'events')
  t.equal(streamFormOf(head('application/x-ndjson')), 'lines')
  t.equal(streamFormOf(head('application/json')), undefined)
  t.equal(streamFormOf(head('application/vnd.amazon.eventstream')), 'opaque')
  t.equal(streamFormOf(head('text/event-stream', { contentLength: 100 })), 'opaque')
  t.equal(
    streamFormOf(head('text/event-stream', {}, 'Content-Encoding', 'content-encoding', 'gzip')),
    'opaque',
  )
})

t.test('between two events, however they are cut', async (t) => {
  for (const end of ['\n\n', '\r\n\r\n']) {
    const stream = Buffer.from(`data: 1${end}data: 2${end}data: 3`)
    const first = 7 + end.length
    for (let at = 0; at <= stream.length; at++) {
      const following = new StreamEnd('events')
      following.passed(stream.subarray(0, at))
      const place = following.placeIn(stream.subarray(at))
      const next = [0, first, 2 * first].find((each) => each >= at)
      t.equal(place, next === undefined ? undefined : next - at, `${end.length} ${at}`)
    }
  }
  const lines = new StreamEnd('lines')
  lines.passed(Buffer.from('{"a":'))
  t.equal(lines.placeIn(Buffer.from('1}\n{"b"')), 3)
})

t.test('the last event speaks as the service does', async (t) => {
  const text = (format: string, form: 'events' | 'lines' = 'events'): string =>
    lastEventOf({ ...REFUSAL, format }, form).toString()
  t.equal(
    text('anthropic'),
    'event: error\ndata: {"type":"error","error":{"type":"permission_error","message":"used up (decision d-1)"}}\n\n',
  )
  t.match(
    text('openai-chat'),
    /^data: \{"error":\{"message":"used up \(decision d-1\)","type":"policy_violation"/,
  )
  t.match(text('gemini'), /^data: \{"error":\{"code":403,/)
  t.equal(text('ollama', 'lines'), '{"error":"used up (decision d-1)"}\n')
})

t.test('whoever counts an answer is told how it grows, and of a document nothing', async (t) => {
  const seen: Progress[] = []
  const reading = (type: string): AnswerReader => {
    const reader = new AnswerReader('openai-chat', {
      passed: (progress) => seen.push(progress),
      whenOver: () => undefined,
    })
    reader.head(head(type))
    return reader
  }
  const event = Buffer.from('data: {"choices":[{"delta":{"content":"12345678"}}]}\n\n')
  const usage = Buffer.from('data: {"usage":{"prompt_tokens":50,"completion_tokens":9}}\n\n')
  const reader = reading('text/event-stream')
  for (const bytes of [event, event, usage]) reader.content(bytes)
  t.same(seen, [
    { tokens: 2, bytes: event.length },
    { tokens: 4, bytes: 2 * event.length },
    { tokens: 9, bytes: 2 * event.length + usage.length, asked: 50 },
  ])
  t.equal(reader.measured, 9)
  t.same(reader.usage(false), { input_tokens: 50 }, 'what broke off was not counted to its end')
  reading('application/json').content(event)
  t.equal(seen.length, 3)
  reading('application/vnd.amazon.eventstream').content(Buffer.from('x'))
  t.equal(seen.length, 4)
})

t.test('an answer that made something tells what it cost too, an error nothing', async (t) => {
  for (const [status, cost] of [
    [201, { input_tokens: 5, output_tokens: 9 }],
    [500, undefined],
  ] as const) {
    const reader = new AnswerReader('openai-chat')
    reader.head(head('application/json', { status }))
    reader.content(Buffer.from('{"usage":{"prompt_tokens":5,"completion_tokens":9}}'))
    t.same(reader.usage(true), cost)
  }
})
