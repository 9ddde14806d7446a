// Do Rego values keep order, kind and exactness on their way into the wasm and out of it?

import * as fc from 'fast-check'
import t from 'tap'
import {
  compare,
  decode,
  encode,
  fromJson,
  RegoObject,
  RegoSet,
  type RegoValue,
  toJson,
} from '../../../src/policy/rego/value.ts'

const leaf: fc.Arbitrary<RegoValue> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => (value === 0 ? 0 : value)),
  fc.string({ unit: 'grapheme' }),
)
const { value } = fc.letrec<{ value: RegoValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => new RegoSet(items)),
    fc
      .array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 })
      .map((entries) => new RegoObject(entries)),
  ),
}))

t.test('a value comes back from its text as it was', async () => {
  fc.assert(
    fc.property(value, (given) => compare(decode(encode(given)), given) === 0),
    { numRuns: 300 },
  )
})

t.test('the order is total', async () => {
  fc.assert(
    fc.property(value, value, value, (a, b, c) => {
      const [x, y, z] = [a, b, c].toSorted(compare) as [RegoValue, RegoValue, RegoValue]
      return (
        compare(x, y) <= 0 &&
        compare(y, z) <= 0 &&
        compare(x, z) <= 0 &&
        Math.sign(compare(a, b)) === -Math.sign(compare(b, a))
      )
    }),
    { numRuns: 300 },
  )
})

t.test('kinds sort as in OPA, texts by code point', async (t) => {
  const sorted: RegoValue[] = [
    null,
    false,
    true,
    -1,
    2,
    2n ** 60n,
    '',
    'Z',
    'a',
    '\uffee',
    '😀',
    [],
    [1],
    new RegoObject([]),
    new RegoSet([]),
  ]
  t.strictSame(sorted.toReversed().toSorted(compare), sorted)
})

t.test('sets hold each value once', async (t) => {
  t.strictSame(new RegoSet([3, 1, 2, 1, 1n, '1']).items.map(String), ['1', '2', '3', '1'])
  t.equal(encode(new RegoSet([])), 'set()')
  t.equal(encode(new RegoSet(['b', 'a'])), '{"a","b"}')
})

t.test('JSON goes in and comes out, sets as sorted lists', async (t) => {
  const document = { b: [1, 'x', null], a: { deep: true } }
  t.strictSame(toJson(fromJson(document)), document)
  t.strictSame(toJson(new RegoObject([[1, new RegoSet(['b', 'a'])]])), { 1: ['a', 'b'] })
  t.equal(decode('9007199254740993'), 9007199254740993n)
})

t.test('text that is no value is refused', async (t) => {
  for (const text of ['', '{', '[1', '{"a":1', '{1,', 'tru', '"open', '[1 2', 'set('])
    t.throws(() => decode(text), text)
})
