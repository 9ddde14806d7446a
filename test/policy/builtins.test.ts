// Do the host's built-ins, and those of the wasm that it answers, say what OPA says?

import t from 'tap'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { decode, fromJson, type RegoValue, toJson } from '../../src/policy/rego/value.ts'
import { askOpa, readCalls } from '../support/builtin-calls.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { compileFiles, engineOf, opaMissing } from '../support/rego-policies.ts'

const options = opaMissing === false ? {} : { skip: opaMissing }
const builtins = createHostBuiltins()

t.test('each call of the table has the result that OPA had', async (t) => {
  for (const { name, args, result } of readCalls()) {
    const value = builtins.call(
      name,
      args.map((text) => decode(text, builtins.exact(name))),
    )
    t.same(
      value === undefined ? [] : [comparable(toJson(value))],
      result.map(comparable),
      `${name}(${args.join(', ')})`,
    )
  }
})

t.test('OPA still says what the table says', { skip: withoutOpa() }, async (t) => {
  const calls = readCalls()
  t.same(
    (await askOpa(calls)).map(({ result }) => result),
    calls.map(({ result }) => result),
  )
})

t.test('generated calls have the results that OPA has', { skip: withoutOpa() }, async (t) => {
  const texts = ['', 'a', 'aXbX', 'é😀x', ' \t', '10.0.0.1', '{"a":[1,2.5]}', '%5d|%v|%q']
  const items: readonly unknown[] = [0, -1, 2.5, 1e15 + 1, 'a', 'é"\\', [1, ['x']], { b: null }]
  const calls = [
    ...texts.flatMap((a) =>
      texts.flatMap((b) => [
        { name: 'indexof', args: [JSON.stringify(a), JSON.stringify(b)] },
        { name: 'strings.count', args: [JSON.stringify(a), JSON.stringify(b)] },
        { name: 'net.cidr_contains', args: ['"::ffff:10.0.0.0/104"', JSON.stringify(a)] },
      ]),
    ),
    ...items.flatMap((item) =>
      ['%v', '%s', '%d', '%q', '%08.3f', '%T', '%-9v|', '%+v', '%e'].map((format) => ({
        name: 'sprintf',
        args: [JSON.stringify(format), JSON.stringify([item])],
      })),
    ),
    ...items.map((item) => ({ name: 'json.marshal', args: [JSON.stringify(item)] })),
    ...items.map((item) => ({ name: 'yaml.marshal', args: [JSON.stringify(item)] })),
  ]
  for (const { name, args, result } of await askOpa(calls)) {
    const value = builtins.call(
      name,
      args.map((text) => decode(text, builtins.exact(name))),
    )
    t.same(
      value === undefined ? [] : [comparable(toJson(value))],
      result.map(comparable),
      `${name}(${args.join(', ')})`,
    )
  }
})

const HOLDS = [
  'replace("abc", input.empty, "-") == "-a-b-c-"',
  'net.cidr_contains("10.0.0.0/8", input.mapped)',
  'net.cidr_intersects("10.0.0.0/8", concat("", [input.mapped, "/128"]))',
  'concat(",", {"b", "a", "zz", "c", input.empty}) == ",a,b,c,zz"',
  'json.marshal({"b", "a", "zz", input.empty}) == `["","a","b","zz"]`',
  'format_int(12345678901234567890 + input.zero, 16) == "ab54a98ceb1f0ad2"',
  'not indexof("abc", input.empty)',
  'not json.is_valid(concat("", ["1 2", input.empty]))',
  'not base64.decode(concat("", ["abc", input.empty]))',
  'json.unmarshal(concat("", [`{"a":[1]}`, input.empty])).a[0] == 1',
]

t.test('inside a policy the host answers where the wasm differs from OPA', options, async (t) => {
  const input = JSON.stringify({ empty: '', mapped: '::ffff:10.0.0.1', zero: 0 })
  const files = Object.fromEntries(
    HOLDS.map((rule, index) => [`p${index}.rego`, `package p${index}\nallow if ${rule}\n`]),
  )
  const engine = engineOf(await compileFiles(files), builtins)
  const outcomes = engine.evaluate(
    HOLDS.map((_, index) => index),
    { document: {}, json: () => Buffer.from(input) },
  )
  for (const [index, rule] of HOLDS.entries()) t.match(outcomes[index], { effect: 'ALLOW' }, rule)
})

t.test('a result beyond a bound is an error, never undefined', async (t) => {
  const calls: readonly [string, readonly unknown[]][] = [
    ['sprintf', ['%999999d%999999d%999999d%999999d%999999d', [1, 2, 3, 4, 5]]],
    ['replace', ['a'.repeat(1000), '', 'b'.repeat(100_000)]],
    ['net.cidr_expand', ['10.0.0.0/8']],
    ['numbers.range_step', [1, 10_000_000, 1]],
  ]
  for (const [name, args] of calls)
    t.throws(() => builtins.call(name, args.map(fromJson)), { name: 'BuiltinLimit' }, name)
})

t.test('what nothing answers is not offered', async (t) => {
  for (const name of ['http.send', 'rand.intn', 'rego.parse_module', 'uuid.rfc4122'])
    t.notOk(builtins.has(name), name)
  for (const name of ['plus', 'internal.member_2', 'internal.print', 'regex.match', 'sprintf'])
    t.ok(builtins.has(name), name)
})

const REFUSED = [
  'http.send',
  'net.lookup_ip_addr',
  'opa.runtime',
  'rand.intn',
  'time.now_ns',
  'uuid.rfc4122',
]

t.test(
  'every built-in of OPA is there, or refused for a reason',
  { skip: withoutOpa() },
  async (t) => {
    const { stdout } = await toolchain().run(['capabilities', '--current'])
    const { builtins: all } = JSON.parse(stdout) as { builtins: { name: string }[] }
    const missing = all.map(({ name }) => name).filter((name) => !builtins.has(name))
    t.same(
      missing.filter((name) => builtins.refusal(name) === undefined),
      REFUSED,
    )
  },
)

/** -0 is 0, and a number is its value. */
function comparable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, item: unknown) =>
      typeof item === 'bigint' ? `integer ${item}` : item,
    ),
  ) as RegoValue
}
