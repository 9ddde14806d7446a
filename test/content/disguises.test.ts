// What is written so that a machine should not see it is seen; spans say where it stood in the original.

import t from 'tap'
import { detect } from '../../src/content/detect.ts'
import { draw } from '../support/draw.ts'

const EMAIL = 'maya.lind@acme.example'
const CARD = '4539148803436467'
const IBAN = 'DE02120300000000202051'

const DISGUISES: Readonly<Record<string, (value: string) => string>> = {
  'zero-width spaces': (value) => value.split('').join('\u200B'),
  'soft hyphens': (value) => value.split('').join('\u00AD'),
  'a byte order mark': (value) => `${value.slice(0, 3)}\uFEFF${value.slice(3)}`,
  tags: (value) => `${value.slice(0, 4)}\u{E0041}${value.slice(4)}`,
  'full-width forms': (value) =>
    value.replaceAll(/[!-~]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 0xfee0)),
  'mathematical digits': (value) =>
    value.replaceAll(/\d/g, (one) => String.fromCodePoint(0x1_d7ce + Number(one))),
  'look-alike letters': (value) =>
    value.replaceAll('a', 'а').replaceAll('e', 'е').replaceAll('E', 'Ε'),
  'JSON escapes': (value) =>
    value.replaceAll(
      /./g,
      (one) => String.raw`\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  'doubled JSON escapes': (value) =>
    value.replaceAll(
      /./g,
      (one) => String.raw`\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  'JavaScript escapes': (value) =>
    value.replaceAll(
      /./g,
      (one) => String.raw`\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`,
    ),
  'percent encoding': (value) =>
    value.replaceAll(/./g, (one) => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`),
  'percent encoding of marks': (value) => encodeURIComponent(value),
  'decimal entities': (value) => value.replaceAll(/./g, (one) => `&#${one.charCodeAt(0)};`),
  'hexadecimal entities': (value) =>
    value.replaceAll(/./g, (one) => `&#x${one.charCodeAt(0).toString(16)};`),
  'named entities': (value) => value.replaceAll('@', '&commat;').replaceAll('.', '&period;'),
  base64: (value) => Buffer.from(value).toString('base64'),
  'base64 without padding': (value) => Buffer.from(value).toString('base64url'),
  hexadecimal: (value) => Buffer.from(value).toString('hex'),
  'hexadecimal capitals': (value) => Buffer.from(value).toString('hex').toUpperCase(),
}

for (const [name, disguise] of Object.entries(DISGUISES)) {
  t.test(`${name} hide nothing`, async (t) => {
    for (const [type, value] of [
      ['email', EMAIL],
      ['credit_card', CARD],
      ['iban', IBAN],
      ['github', `ghp_${draw('alnum', 36)}`],
    ] as const) {
      const hidden = disguise(value)
      const text = `😀 see ${hidden} here`
      const report = detect({ text })
      t.same(report.input.finding_types, [type], type)
      const [span, ...more] = report.spans()
      t.same(more, [], 'once')
      t.equal(Array.from(text).slice(span?.start, span?.end).join(''), hidden, 'the span is exact')
    }
  })
}

t.test('digits of other scripts are digits', async (t) => {
  for (const zero of [0x660, 0x6f0, 0x966, 0xff10]) {
    const text = CARD.replaceAll(/\d/g, (one) => String.fromCodePoint(zero + Number(one)))
    t.same(detect({ text }).input.finding_types, ['credit_card'], text)
  }
})

t.test('blanks that do not break are blanks', async (t) => {
  t.same(detect({ text: '4539\u00A01488\u00A00343\u00A06467' }).input.finding_types, [
    'credit_card',
  ])
  t.same(
    detect({ text: 'DE02\u202F1203\u202F0000\u202F0000\u202F2020\u202F51' }).input.finding_types,
    ['iban'],
  )
})

t.test('encoded text of many lines is one text', async (t) => {
  const secret = `ghp_${draw('alnum', 36)}`
  const block = Buffer.from(`${'line of text '.repeat(9)}${secret} and ${EMAIL}`).toString('base64')
  const text = `begin\n${block.replaceAll(/.{76}/g, '$&\r\n')}\nend`
  t.same(detect({ text }).input.finding_types, ['email', 'github'])
  t.same(
    detect({ text })
      .spans()
      .map(({ start }) => start),
    [6, 6],
    'both stand for the whole run',
  )
})

t.test('one level of encoding is undone, not two', async (t) => {
  const twice = Buffer.from(Buffer.from(`to ${EMAIL} please`).toString('base64')).toString('base64')
  t.same(detect({ text: twice }).input.finding_types, [])
})

t.test('two values of one type in one encoded run are two', async (t) => {
  const text = Buffer.from(`${EMAIL} and b@acme.example`).toString('base64')
  t.equal(detect({ text }).input.findings[0]?.count, 2)
})

t.test('a value in an encoded run has one type, and a run may hold many values', async (t) => {
  const one = Buffer.from('my number is 536-22-8714 or so').toString('base64')
  t.same(detect({ text: one }).input.finding_types, ['us_ssn'])
  const many = Buffer.from('a@acme.example '.repeat(5000)).toString('base64')
  t.equal(detect({ text: many }).input.findings[0]?.count, 5000)
})

t.test('a value that both readings show counts once', async (t) => {
  const text = String.raw`C:\new\x ${EMAIL}\n and 100%25 &amp; ${CARD}`
  t.same(
    detect({ text }).input.findings.map(({ count }) => count),
    [1, 1],
  )
})

t.test('escaped line ends are line ends in JSON, and paths stay paths elsewhere', async (t) => {
  const secret = `ghp_${draw('alnum', 36)}`
  t.same(
    detect({ text: JSON.stringify({ content: `see\n${secret}\nthere` }) }).input.finding_types,
    ['github'],
  )
  t.same(detect({ text: String.raw`C:\temp\notes token=${secret}` }).input.finding_types, [
    'github',
  ])
})

t.test('spans count code points', async (t) => {
  const text = `👩‍👩‍👧 ${EMAIL} 𝒳 ${CARD}`
  const points = Array.from(text)
  t.same(
    detect({ text })
      .spans()
      .map(({ type, start, end }) => [type, points.slice(start, end).join('')]),
    [
      ['email', EMAIL],
      ['credit_card', CARD],
    ],
  )
})

t.test('ordinary text in other scripts holds nothing', async (t) => {
  for (const text of [
    '今日は天気がいいですね。明日も晴れます。',
    'Привет, как дела? Всё хорошо.',
    'مرحبا، كيف حالك اليوم؟',
  ])
    t.same(detect({ text }).input.findings, [], text)
})
