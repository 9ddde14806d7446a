// The reader agrees with JSON.parse on what is JSON, and on every string in it.

import * as fc from 'fast-check'
import t from 'tap'
import { member, readJson, type JsonNode } from '../../src/wire/json.ts'

/** After JSONTestSuite: what readers of JSON get wrong. */
const CASES = [
  '',
  ' ',
  '[]',
  '[ ]',
  '{}',
  '[1,]',
  '[,1]',
  '[1 2]',
  '{"a":1,}',
  '{"a"}',
  '{a:1}',
  "{'a':1}",
  '{"a":1,"a":2}',
  '{"a" "b"}',
  '{"a"::1}',
  '[-]',
  '[-0]',
  '[01]',
  '[-01]',
  '[1.]',
  '[.5]',
  '[1e]',
  '[1e+]',
  '[1E-7]',
  '[1.5e+10]',
  '[0e1]',
  '[+1]',
  '[NaN]',
  '[Infinity]',
  '[0x1]',
  '[nul]',
  '[nulll]',
  '[true]',
  '[TRUE]',
  'true',
  '1',
  '-12.5e3',
  '"a"',
  '"a',
  '"\t"',
  '"\u0000"',
  String.raw`"\t\u0041\/\b\f\n\r\\\""`,
  String.raw`"\x41"`,
  String.raw`"\u004"`,
  String.raw`"\uD800"`,
  String.raw`"\uD83D\uDE00"`,
  String.raw`"\U0041"`,
  '"\u007f"',
  '"\u2028"',
  '[1]x',
  '[1] ',
  '[1]\n[2]',
  '[[]',
  '[]]',
  '{"a":[}',
  '\u00a0[]',
  '\f[]',
  '/**/[]',
  '[1]//x',
  '{"":""}',
  '{"\\u0061":1}',
  '[""]',
  '["a\\"]',
]

t.test('what is JSON is JSON, and what is none is none', async (t) => {
  t.strictSame(
    CASES.filter((text) => isRead(text) !== isParsed(text)),
    [],
  )
})

t.test('mutations of JSON are judged as JSON.parse judges them', async () => {
  const mutated = fc
    .tuple(fc.json(), fc.nat(), fc.constantFrom('"', '\\', ',', '}', ']', '1', ' ', 'e', ''))
    .map(([text, at, what]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + what + text.slice(place + 1)
    })
  fc.assert(
    fc.property(fc.oneof(fc.json(), mutated), (text) => isRead(text) === isParsed(text)),
    { numRuns: 500 },
  )
})

t.test('every string is read, at its place', async () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'grapheme' }), (text) => {
      const { root } = readJson(text)
      const seen = stringsOf(root).map(({ value }) => value)
      const places = stringsOf(root).map(({ start, end }) => JSON.parse(text.slice(start, end)))
      const wanted = parsedStrings(JSON.parse(text))
      return equal(seen.toSorted(), wanted.toSorted()) && equal(seen, places)
    }),
    { numRuns: 300 },
  )
})

t.test('a text that ends early gives the strings before its end', async (t) => {
  const text =
    '{"model":"m","messages":[{"role":"user","content":"first"},{"content":"a\\u0041b"}]}'
  for (let cut = 1; cut < text.length; cut++) {
    const { root, problem } = readJson(text.slice(0, cut))
    t.equal(problem, 'incomplete', `cut at ${cut}`)
    for (const { value } of stringsOf(root))
      t.ok(['m', 'user', 'first', 'aAb'].some((whole) => whole.startsWith(value)))
  }
  t.strictSame(
    stringsOf(readJson(text.slice(0, text.indexOf('"a\\') + 3)).root).map(({ value }) => value),
    ['m', 'user', 'first', 'a'],
  )
})

t.test('depth and number of values are bounded', async (t) => {
  t.equal(readJson('['.repeat(128) + ']'.repeat(128)).problem, undefined)
  t.equal(readJson('['.repeat(129) + ']'.repeat(129)).problem, 'depth')
  t.equal(readJson('['.repeat(1_000_000)).problem, 'depth')
  t.equal(readJson(`[${'"",'.repeat(300_000)}""]`).problem, 'too_many')
  t.equal(readJson(`[${'0.125,'.repeat(300_000)}1]`).problem, undefined, 'vectors are no texts')
})

t.test('a key that stands twice is told', async (t) => {
  t.equal(readJson('{"a":1,"b":2}').repeats, false)
  t.equal(readJson('{"a":1,"b":{"c":1,"\\u0063":2}}').repeats, true)
  t.equal(
    readJson(`{${Array.from({ length: 20 }, (_, n) => `"k${n % 19}":1`).join()}}`).repeats,
    true,
  )
  t.equal(member(readJson('{"model":"a","model":"b"}').root, 'model')?.value, 'b')
})

function isRead(text: string): boolean {
  return readJson(text).problem === undefined
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function stringsOf(node: JsonNode | undefined): JsonNode[] {
  if (node === undefined) return []
  return node.kind === 'string' ? [node] : node.items.flatMap(stringsOf)
}

function parsedStrings(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(parsedStrings)
}

function equal(one: readonly unknown[], other: readonly unknown[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
