// What is not searched is told; hostile texts end; nothing of a value is left in what comes out.

import { array, assert, base64String, constantFrom, oneof, property, string } from 'fast-check'
import t from 'tap'
import { detect } from '../../src/content/detect.ts'
import { draw, jwt, pem } from '../support/draw.ts'

const CARD = '4539148803436467'

t.test('only the first bytes are searched, and that is told', async (t) => {
  const text = `${'é'.repeat(100)} ${CARD} maya@acme.example`
  const { input } = detect({ text }, 220)
  t.match(input, { truncated: true, classified: true, bytes: Buffer.byteLength(text) })
  t.same(input.finding_types, ['credit_card'], 'what stands before the bound')
  t.match(detect({ text }, 201).input, { truncated: true, findings: [] })
  t.match(detect({ text }, Buffer.byteLength(text)).input, { truncated: false })
})

t.test('a bound in the middle of a character is no error', async (t) => {
  for (const most of [1, 2, 3, 4, 5])
    t.match(detect({ text: '😀😀' }, most).input, { truncated: true })
})

t.test('what is no text is not classified', async (t) => {
  const { input } = detect({ text: `x ${CARD}`, media_type: 'image/png' })
  t.match(input, { classified: false, findings: [] })
  for (const type of ['text/plain; charset=utf-8', 'application/json', 'application/vnd.api+json'])
    t.match(detect({ text: `x ${CARD}`, media_type: type }).input, {
      classified: true,
      finding_types: ['credit_card'],
    })
})

t.test('an empty text has no findings', async (t) => {
  t.match(detect({ text: '' }).input, {
    classified: true,
    truncated: false,
    bytes: 0,
    findings: [],
  })
})

t.test('markings give labels, findings do not', async (t) => {
  t.same(detect({ text: 'STRICTLY CONFIDENTIAL\nmaya@acme.example' }).input.data_classification, [
    'confidential',
  ])
  t.same(detect({ text: 'Internal use only? No: INTERNAL USE ONLY' }).input.data_classification, [
    'internal',
  ])
  t.same(detect({ text: 'the secret of a confidential talk' }).input.data_classification, [])
})

const SIZE = 32 * 1024
const HOSTILE: readonly string[] = [
  'a',
  '7',
  '@',
  '7 ',
  '77 ',
  '4-',
  '.',
  ':',
  '://',
  '=',
  '%41',
  '&#64;',
  '\\u0040',
  '\\',
  '\u200B',
  'е',
  '+1 ',
  '-----BEGIN ',
  '-----BEGIN PRIVATE KEY-----',
  'sk-',
  'sk-proj-',
  'eyJ',
  'eyJhbGciOi.',
  'curl -u ',
  'kind: Secret\n',
  'password=',
  'password is ',
  'Server=a;Password=',
  '"auths":{"a":{',
  '"type":"service_account"',
  'a@',
  'a.',
  '"@',
  'PuTTY-User-Key-File-2: ',
  'https://a:',
  'born ',
  'phone ',
  'DE02 ',
  'AKIAAAAAAAAAAAAAAAA1 ',
  '4111 1111 1111 1112 ',
  'aws secret ',
  ':: ',
  '1.1.1.',
  'aa:',
  '[[[',
  '{"a":',
  'Q~',
  '0x',
  'mailto:a@b',
]
for (const piece of HOSTILE)
  t.test(`${JSON.stringify(piece)} over and over comes to an end`, async (t) => {
    const text = piece.repeat(Math.ceil(SIZE / piece.length)).slice(0, SIZE)
    t.match(detect({ text }).input, { classified: true, truncated: false })
  })

t.test('base64 of base64 of base64 is opened once', async (t) => {
  let text = `${'x'.repeat(1000)} ${CARD}`
  for (let level = 0; level < 12; level++) text = Buffer.from(text).toString('base64')
  t.same(detect({ text }).input.findings, [])
})

t.test('twenty thousand values are twenty thousand', async (t) => {
  const many = 20_000
  t.match(detect({ text: 'maya@acme.example '.repeat(many) }).input.findings, [
    { type: 'email', count: many },
  ])
})

t.test('nothing of a value is in what comes out', async (t) => {
  const secrets = [
    () => `ghp_${draw('alnum', 36)}`,
    () => `sk-ant-api03-${draw('url', 95)}`,
    () => `postgres://app:${draw('alnum', 18)}@db.acme.dev/app`,
    () => `my password is ${draw('alnum', 12)}`,
    jwt,
    () => pem('RSA PRIVATE KEY'),
    () => `4539 1488 0343 6467`,
    () => `${draw('small', 12)}@${draw('small', 9)}.example`,
    () => Buffer.from(`token ${draw('alnum', 12)} ghp_${draw('alnum', 36)}`).toString('base64'),
  ]
  assert(
    property(
      array(constantFrom(...secrets), { minLength: 1, maxLength: 4 }),
      string({ maxLength: 40 }),
      (makers, between) => {
        const values = makers.map((make) => make())
        const report = detect({ text: values.join(` ${between}\n`) })
        const out = JSON.stringify([report.input, report.spans()])
        return values.every((value) => pieces(value).every((piece) => !out.includes(piece)))
      },
    ),
    { numRuns: 60 },
  )
  t.pass('no six characters of any value')
})

t.test('spans lie in the text, in order, whatever the text', async (t) => {
  const part = oneof(
    string({ unit: 'grapheme', maxLength: 12 }),
    constantFrom(
      CARD,
      'maya@acme.example',
      '+49 30 901820',
      '\\u0041',
      '%40',
      '&#x40;',
      '\u200B',
      '=',
      ':',
    ),
    base64String({ maxLength: 64 }),
  )
  assert(
    property(array(part, { maxLength: 12 }), (parts) => {
      const text = parts.join('')
      const { input, spans } = detect({ text })
      const size = Array.from(text).length
      const places = spans()
      const total = input.findings.reduce((sum, { count }) => sum + count, 0)
      const ordered = places.every(
        ({ start, end }, index) =>
          start < end && end <= size && start >= (places[index - 1]?.start ?? 0),
      )
      return ordered && places.length === total
    }),
    { numRuns: 200 },
  )
  t.pass('for 200 texts')
})

function pieces(value: string): string[] {
  const found: string[] = []
  for (let at = 0; at + 6 <= value.length; at++) found.push(value.slice(at, at + 6))
  // A type may be named like a word of the text around the value (`password`).
  return found.filter((piece) => !'my password is postgres://app:@db.acme.dev/app'.includes(piece))
}
