import * as fc from 'fast-check'
import t from 'tap'
import { parseExact, stringifyExact } from '../../src/base/exact-json.ts'

t.test('integers to 64 bits come back digit by digit', async (t) => {
  for (const digits of [
    '133497216000000001',
    '9223372036854775807',
    '-9223372036854775808',
    '9007199254740993',
  ]) {
    t.equal(stringifyExact(parseExact(`{"n":${digits}}`)), `{"n":${digits}}`)
  }
})

t.test('everything that JSON holds comes back the same', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      t.equal(stringifyExact(parseExact(text)), text)
    }),
    { numRuns: 200 },
  )
})

t.test('nesting is bounded, whatever stands in strings', async (t) => {
  t.throws(() => parseExact('['.repeat(200) + ']'.repeat(200)), { code: 'INPUT_INVALID' })
  t.same(parseExact(JSON.stringify({ text: '['.repeat(500) })), { text: '['.repeat(500) })
  t.throws(() => parseExact('{"a":'), SyntaxError.prototype)
})
