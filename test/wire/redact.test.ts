// What is found is taken out of the body, through every encoding around it, and nothing else changes.

import * as fc from 'fast-check'
import t from 'tap'
import { detect } from '../../src/content/detect.ts'
import type { Span } from '../../src/model/finding.ts'
import { readRequest, type WireHead, type WireReading } from '../../src/wire/request.ts'
import { draw } from '../support/draw.ts'

const NEEDLE = 'NEEDLE'

t.test('in generated bodies only the found characters change', async () => {
  const word = fc.oneof(
    fc.constantFrom('a', 'ü', '😀', '"', '\\', '\n', ' ', 'x y', '\u2028', '/'),
    fc.constant(NEEDLE),
  )
  const text = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join(''))
  const body = fc.record({
    model: fc.constant('gpt-4o'),
    temperature: fc.double({ noNaN: true, noDefaultInfinity: true }),
    messages: fc.array(
      fc.record({
        role: fc.constantFrom('user', 'system'),
        content: fc.oneof(text, fc.array(fc.record({ type: fc.constant('text'), text }))),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    metadata: fc.dictionary(fc.constantFrom('note', 'team', 'x'), text),
  })
  fc.assert(
    fc.property(body, fc.constantFrom(0, 2), fc.boolean(), (value, indent, ascii) => {
      const written = spelled(JSON.stringify(value, undefined, indent), ascii)
      const reading = chat(written)
      const redacted = String(reading.redact(needles(reading)))
      const wanted = JSON.stringify(value).replaceAll(NEEDLE, '[REDACTED:x]')
      return (
        JSON.stringify(JSON.parse(redacted)) === wanted &&
        redacted === written.replaceAll(NEEDLE, '[REDACTED:x]')
      )
    }),
    { numRuns: 300 },
  )
})

t.test('numbers, order, white space and escapes of the rest stay as they are', async (t) => {
  const body =
    '{ "temperature": 1.50e+0,"messages":[ {"content":"\\u006d\\u0061\\u0069l NEEDLE \\/ \\ud83d\\ude00 NEEDLE", "role":"user"}],\t"model":"m" ,"seed":12345678901234567890}'
  const reading = chat(body)
  t.equal(String(reading.redact(needles(reading))), body.replaceAll(NEEDLE, '[REDACTED:x]'))
})

t.test('JSON inside strings stays JSON', async (t) => {
  const inner = { note: `say "${NEEDLE}"\n`, deep: JSON.stringify({ key: NEEDLE }) }
  const body = JSON.stringify({
    model: 'm',
    messages: [
      {
        role: 'assistant',
        tool_calls: [{ function: { name: 'f', arguments: JSON.stringify(inner) } }],
      },
    ],
  })
  const reading = chat(body)
  t.equal(String(reading.redact(needles(reading))), body.replaceAll(NEEDLE, '[REDACTED:x]'))
})

t.test('files in base64 are encoded anew', async (t) => {
  const file = Buffer.from(`name,mail\nx,${NEEDLE}\n`).toString('base64')
  const body = JSON.stringify({
    model: 'm',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'file', file: { filename: 'a.csv', file_data: `data:text/csv;base64,${file}` } },
        ],
      },
    ],
  })
  const reading = chat(body)
  t.match(reading.attachments, [{ media_type: 'text/csv', filename: 'a.csv', searched: true }])
  const url = String(reading.redact(needles(reading))).match(/data:text\/csv;base64,([^"]+)/)?.[1]
  t.equal(String(Buffer.from(url ?? '', 'base64')), 'name,mail\nx,[REDACTED:x]\n')
})

t.test('forms, parts and envelopes keep their form', async (t) => {
  const form = `a=1&f.req=${encodeURIComponent(JSON.stringify([null, JSON.stringify([[`hä 😀 ${NEEDLE} ü`]])]))}&at=x`
  const gemini = read(
    '/_/BardChatUi/data/assistant.lamda.BardFrontendService/StreamGenerate',
    'application/x-www-form-urlencoded',
    form,
  )
  t.match(gemini, { format: 'gemini-web', parsed: true, action: 'send_prompt' })
  t.equal(
    String(gemini.redact(needles(gemini))),
    form.replace(NEEDLE, encodeURIComponent('[REDACTED:x]')),
  )

  const parts = [
    '--b1\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nä ',
    NEEDLE,
    '\r\n--b1\r\nContent-Disposition: form-data; name="file"; filename="n.txt"\r\nContent-Type: text/plain\r\n\r\n',
    NEEDLE,
    '\r\n--b1--\r\n',
  ].join('')
  const edit = read('/v1/images/edits', 'multipart/form-data; boundary=b1', parts)
  t.equal(String(edit.redact(needles(edit))), parts.replaceAll(NEEDLE, '[REDACTED:x]'))

  const message = JSON.stringify({
    scenario: 'k1',
    message: { blocks: [{ text: { content: NEEDLE } }] },
  })
  const kimi = read(
    '/apiv2/kimi.gateway.chat.v1.ChatService/Chat',
    'application/connect+json',
    envelope(Buffer.from(message)),
  )
  t.strictSame(
    kimi.redact(needles(kimi)),
    envelope(Buffer.from(message.replace(NEEDLE, '[REDACTED:x]'))),
  )
})

t.test('what cannot be taken out is told', async (t) => {
  const number = chat(
    '{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":{"card":123456789012}}',
  )
  t.match(number.text, /card: 123456789012/)
  t.equal(number.redact(spansOf(number.text ?? '', '123456789012')), undefined, 'a number')
  const key = chat(
    '{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":{"NEEDLE":"v"}}',
  )
  t.equal(key.redact(needles(key)), undefined, 'a key')
  const cut = readRequest(
    head('/v1/chat/completions', 'application/json'),
    Buffer.from('{"messages":[{"role":"user","content":"NEEDLE'),
    true,
  )
  t.match(cut.text, /NEEDLE/)
  t.equal(cut.redact(needles(cut)), undefined, 'a body that goes on')
  const odd = chat('{"model":"m","messages":[{"role":"user","content":"NEEDLE"}]} x')
  t.match(odd.text, /NEEDLE/)
  t.equal(odd.redact(needles(odd)), undefined, 'a body that is no JSON')
  t.equal(String(chat('{"messages":[]}').redact([])), '{"messages":[]}', 'nothing to take out')
})

t.test('what the detectors find is taken out', async (t) => {
  const email = `${draw('small', 8)}@acme.example`
  const password = `Wint3r!${draw('digits', 2)}`
  const body = JSON.stringify({
    model: 'm',
    messages: [
      { role: 'user', content: `write to ${email} 😀 now` },
      { role: 'user', content: '4539148803436467' },
      {
        role: 'assistant',
        tool_calls: [{ function: { name: 'f', arguments: JSON.stringify({ password }) } }],
      },
    ],
  })
  const reading = chat(body)
  const { input, spans } = detect({ text: reading.text ?? '', media_type: 'text/plain' })
  t.strictSame(input.finding_types, ['credit_card', 'email', 'password'])
  t.equal(input.findings[0]?.confidence, 0.95, 'a number that is all of its part stands alone')
  const redacted = String(reading.redact(spans()))
  t.equal(
    redacted,
    body
      .replace(email, '[REDACTED:email]')
      .replace('4539148803436467', '[REDACTED:credit_card]')
      .replace(password, '[REDACTED:password]'),
  )
})

function chat(body: string): WireReading {
  return read('/v1/chat/completions', 'application/json', body)
}

function read(path: string, type: string, body: string | Buffer): WireReading {
  return readRequest(head(path, type), Buffer.from(body), false)
}

function head(path: string, type: string): WireHead {
  return {
    method: 'POST',
    path,
    protocol: 'custom',
    header: (name) => (name === 'content-type' ? type : undefined),
  }
}

function envelope(payload: Buffer): Buffer {
  const start = Buffer.alloc(5)
  start.writeUInt32BE(payload.length, 1)
  return Buffer.concat([start, payload])
}

function needles({ text }: WireReading): Span[] {
  return spansOf(text ?? '', NEEDLE)
}

/** Places in code points, as findings have them. */
function spansOf(text: string, value: string): Span[] {
  const spans: Span[] = []
  for (let at = text.indexOf(value); at !== -1; at = text.indexOf(value, at + 1)) {
    const start = Array.from(text.slice(0, at)).length
    spans.push({ type: 'x', start, end: start + Array.from(value).length })
  }
  return spans
}

/** Some writers of JSON escape all that is not ASCII. */
function spelled(json: string, ascii: boolean): string {
  if (!ascii) return json
  return json.replaceAll(
    /[\u0080-\uffff]/g,
    (one) => String.raw`\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
