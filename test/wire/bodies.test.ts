// Uploads, forms, envelopes and bodies of no kind: what can be read of them, and nothing throws.

import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'
import { expectedOf, readRequest, type WireHead, type WireReading } from '../../src/wire/request.ts'

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452deadbeefcafe00ff', 'hex')

t.test('files that go up are attachments, their text is searched', async (t) => {
  const form = (name: string, filename: string, type: string, content: Buffer): Buffer =>
    Buffer.concat([
      Buffer.from(
        `--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: ${type}\r\n\r\n`,
      ),
      content,
      Buffer.from('\r\n--b--\r\n'),
    ])
  const csv = read(
    '/v1/files',
    'multipart/form-data; boundary=b',
    form('file', 'a.csv', 'text/csv', Buffer.from('W1,W2')),
  )
  t.match(csv, {
    format: 'openai-other',
    parsed: true,
    action: 'upload_file',
    text: /purpose: assistants[^]*W1,W2/,
  })
  t.strictSame(csv.attachments, [
    { kind: 'document', media_type: 'text/csv', bytes: 5, filename: 'a.csv', searched: true },
  ])
  const sound = read(
    '/v1/audio/transcriptions',
    'multipart/form-data; boundary="b"',
    form('file', 'C:\\x\\a.mp3', 'audio/mpeg', Buffer.from('ID3\u0000\u0001')),
  )
  t.match(sound, {
    action: 'upload_file',
    attachments: [{ kind: 'audio', filename: 'a.mp3', searched: false }],
  })
  const edit = read(
    '/v1/images/edits',
    'multipart/form-data; boundary=b',
    form('image', 'a.png', 'image/png', PNG),
  )
  t.match(edit, { action: 'send_prompt', attachments: [{ kind: 'image', searched: false }] })
  const disguised = read(
    '/v1/files',
    'multipart/form-data; boundary=b',
    form('file', 'a.png', 'image/png', Buffer.from('W1 is text')),
  )
  t.match(disguised, { text: /W1 is text/, attachments: [{ kind: 'document', searched: true }] })

  const raw = read('/c/api/attachments', 'image/png', PNG)
  t.match(raw, { format: 'copilot-consumer', action: 'upload_file', text: undefined, parsed: true })
  t.strictSame(raw.attachments, [
    { kind: 'image', media_type: 'image/png', bytes: 24, searched: false },
  ])
  t.equal(raw.redact([]), undefined)
  const text = read('/c/api/attachments', 'text/plain', Buffer.from('W1 plain'))
  t.match(text, { action: 'upload_file', text: 'W1 plain', parsed: true })
  t.equal(String(text.redact([{ type: 'x', start: 0, end: 2 }])), '[REDACTED:x] plain')
  t.equal(expectedOf(headOf('/anything', 'application/pdf')).kind, 'upload')
})

t.test('parts that are out of form are read as far as they go, and not trusted', async (t) => {
  const part = '--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nW1\r\n'
  for (const [body, text] of [
    [part, /W1/],
    [`${part}--b`, /W1/],
    [`preamble\r\n${part}--b--`, /W1/],
    [part.replaceAll('\r\n', '\n'), /W1/],
    [`${part}--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--`, /W1/],
    [
      `${part}--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\nVzE=\r\n--b--`,
      /W1/,
    ],
  ] as const)
    t.match(
      read('/v1/images/edits', 'multipart/form-data; boundary=b', Buffer.from(body)),
      { parsed: false, text },
      JSON.stringify(body),
    )
  t.match(read('/v1/images/edits', 'multipart/form-data', Buffer.from(`${part}--b--`)), {
    parsed: false,
    text: /W1/,
  })
})

t.test('strings of protobuf messages are found without their fields being known', async (t) => {
  const field = (number: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([number * 8 + 2, content.length]), content])
  const message = field(
    1,
    Buffer.concat([
      field(1, Buffer.from('W1 prompt')),
      Buffer.from([16, 1]),
      field(13, Buffer.from('id')),
    ]),
  )
  const frame = (flags: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(5)
    head[0] = flags
    head.writeUInt32BE(payload.length, 1)
    return Buffer.concat([head, payload])
  }
  const path = '/aiserver.v1.ChatService/StreamUnifiedChatWithTools'
  for (const [type, body] of [
    ['application/connect+proto', frame(0, message)],
    ['application/connect+proto', frame(1, gzipSync(message))],
    ['application/grpc-web+proto', Buffer.concat([frame(0, message), frame(2, Buffer.alloc(0))])],
    ['application/proto', message],
  ] as const) {
    const reading = read(path, type, body)
    t.match(
      reading,
      { format: 'cursor', parsed: true, action: 'send_prompt', text: /W1 prompt/ },
      type,
    )
    t.equal(
      reading.redact([{ type: 'x', start: 0, end: 99 }]),
      undefined,
      'lengths around it would change',
    )
  }
  t.match(read(path, 'application/connect+proto', frame(0, message).subarray(0, 12)), {
    parsed: false,
  })
  t.match(
    read(
      '/exa.language_server_pb.LanguageServerService/GetChatMessage',
      'application/proto',
      message,
    ),
    { format: 'windsurf' },
  )
})

t.test('base64 is a file where it is one, and text where it is not', async (t) => {
  const chat = (part: unknown): WireReading =>
    read(
      '/v1/chat/completions',
      'application/json',
      Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: [part] }] })),
    )
  const noise = Buffer.from(Array.from({ length: 600 }, (_, n) => (n * 97 + 130) % 256)).toString(
    'base64',
  )
  t.match(chat({ type: 'input_audio', input_audio: { data: noise, format: 'wav' } }), {
    text: undefined,
    attachments: [{ kind: 'audio', media_type: 'audio/wav', bytes: 600 }],
  })
  t.match(
    chat({
      type: 'document',
      source: {
        data: Buffer.from('W1 in a text file').toString('base64'),
        media_type: 'application/pdf',
      },
    }),
    { text: 'W1 in a text file', attachments: [{ searched: true }] },
  )
  t.match(chat({ type: 'image', data: 'W1isNoFileButAVeryLongWord123' }), { text: /W1isNoFile/ })
  t.match(chat({ type: 'image_url', image_url: { url: 'https://x.example/a?token=W1' } }), {
    text: /W1/,
  })
  t.match(
    chat({ type: 'text', text: noise }),
    { text: noise },
    'what stands under a key for text is text',
  )
})

t.test('no body and no head makes it throw', async () => {
  const types = fc.constantFrom(
    'application/json',
    'multipart/form-data; boundary=b',
    'application/x-www-form-urlencoded',
    'application/connect+json',
    'application/connect+proto',
    'application/proto',
    'application/x-ndjson',
    'text/plain',
    'image/png',
    '',
  )
  const paths = fc.constantFrom(
    '/v1/chat/completions',
    '/v1/files',
    '/',
    '/mcp',
    '/api/graphql/',
    '/a.BardFrontendService/StreamGenerate',
    '/model/%E0%A4%A/invoke',
    '/aiserver.v1.ChatService/x',
    '/:predict',
  )
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom(
        '--b\r\n',
        '--b--',
        'Content-Disposition: form-data; name="a"\r\n\r\n',
        'f.req=%',
        '%5B%22',
        '{"messages":[',
        '{"role":"user","content":"',
        '\\u00',
        '"}',
        ']}',
        'data:text/plain;base64,',
        '\u0000\u0000\u0000\u0000\u0005',
      )
      .map((text) => Buffer.from(text)),
  )
  const body = fc.array(piece, { maxLength: 8 }).map((pieces) => Buffer.concat(pieces))
  fc.assert(
    fc.property(types, paths, body, fc.boolean(), (type, path, bytes, truncated) => {
      const reading = readRequest(headOf(path, type), bytes, truncated)
      const redacted = reading.redact([{ type: 'x', start: 0, end: 3 }])
      return (redacted === undefined || reading.parsed) && (!truncated || !reading.parsed)
    }),
    { numRuns: 2000 },
  )
})

function read(path: string, type: string, body: Buffer): WireReading {
  return readRequest(headOf(path, type), body, false)
}

function headOf(path: string, type: string): WireHead {
  return {
    method: 'POST',
    path,
    protocol: 'custom',
    header: (name) => (name === 'content-type' ? type : undefined),
  }
}
