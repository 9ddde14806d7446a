// Do the built-ins of a policy that runs, those in the wasm and those of the host, answer as OPA does?

import t from 'tap'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { askBoth, type BuiltinCall } from '../support/differential.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { compileFiles, engineOf, outcomesOf } from '../support/rego-policies.ts'

const options = { skip: withoutOpa() }

const TEXTS = [
  '',
  'a',
  'aXbX',
  'é😀x',
  ' \tx ',
  '\u0000a',
  'ǅ',
  '1e5',
  '+1',
  '0x10',
  'a%20b',
  'YQ==',
]
const NUMBERS = [
  0,
  1,
  -1,
  2.5,
  -0.5,
  0.1,
  3,
  7,
  1e21,
  1e-7,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 64n,
]
const PATTERNS = [
  '',
  'a+',
  '(a)(b)?',
  '^|X',
  '(?i)x',
  String.raw`\pL`,
  String.raw`\C`,
  '(?<n>a)',
  '[',
  'a{2,',
]
const ZONES = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Nope/Zone']
const LAYOUTS = ['RFC3339Nano', 'RFC850', 'Jan _2 06 3:4:5pm', '002 .000 Z07:00', 'x']
const TIMES = [0, -1, 951_827_696n * 10n ** 9n, 1_711_850_400_123_456_789n, -(2n ** 63n)]
const OBJECTS = [{}, { a: 1 }, { a: { b: [1, { c: 2 }] }, z: 's' }]
const SETS = [set(), set(1, 'b'), [], [1, 2], 'x', null]
const LISTS = [[], [1, 'a'], [[2], [3, [4]]], 'x']
const MIXED = [
  null,
  true,
  0,
  1,
  1.5,
  2n ** 53n + 1n,
  '',
  'a',
  'é',
  [],
  [1],
  {},
  { k: 1 },
  set(),
  set(1),
]
const TEMPLATES = [
  '{{.a}}|{{.q}}',
  '{{range $k, $v := .a}}{{$k}}{{$v}}{{end}}',
  '{{if .z -}} x {{- else}}y{{end}}',
  '{{len .z}}{{html .z}}',
  '{{nope}}',
  '{{printf "%5s|%v" .z .a}}',
]

const FAMILIES: Readonly<Record<string, readonly BuiltinCall[]>> = {
  arithmetic: [
    ...['plus', 'minus', 'mul', 'div', 'rem'].flatMap((name) => all(name, NUMBERS, NUMBERS)),
    ...['abs', 'ceil', 'floor', 'round', 'to_number'].flatMap((name) => all(name, NUMBERS)),
    ...['sum', 'product', 'max', 'min', 'sort', 'count'].flatMap((name) =>
      all(name, [[], NUMBERS, NUMBERS.slice(3, 7), set(1, 2.5), ['a']]),
    ),
    ...all('minus', [set(1, 2)], [set(2), set()]),
    ...all('numbers.range_step', [1, 5], [5, 1], [2, 0]),
    ...all('bits.lsh', [1, -1, 5], [0, 3, 70, -1]),
  ],
  texts: [
    ...[
      'lower',
      'upper',
      'trim_space',
      'strings.reverse',
      'base64.encode',
      'base64.is_valid',
      'base64.decode',
      'base64url.decode',
      'hex.encode',
      'urlquery.encode',
      'urlquery.decode',
      'crypto.sha256',
      'json.is_valid',
      'units.parse',
      'units.parse_bytes',
      'uri.parse',
      'semver.is_valid',
      'time.parse_duration_ns',
    ].flatMap((name) => all(name, TEXTS)),
    ...[
      'contains',
      'split',
      'trim',
      'indexof',
      'indexof_n',
      'strings.count',
      'crypto.hmac.sha1',
    ].flatMap((name) => all(name, TEXTS, TEXTS)),
    ...all('yaml.is_valid', ['a: b', '"\u0001"', 'a: *x', '- a\nb: 1', '{a', '?']),
    ...all('replace', TEXTS, ['', 'X', 'é'], ['', 'Z']),
    ...all('substring', TEXTS, [0, 1, 5], [-1, 2]),
    ...all('concat', ['', ','], [['a', 'b'], set('b', 'a'), [1]]),
    ...all('strings.render_template', TEMPLATES, OBJECTS),
  ],
  collections: [
    ...all('array.concat', LISTS, LISTS),
    ...['array.reverse', 'array.flatten'].flatMap((name) => all(name, LISTS)),
    ...all('array.slice', LISTS, [-1, 0, 1], [0, 2, 9]),
    ...['and', 'or'].flatMap((name) => all(name, SETS, SETS)),
    ...['union', 'intersection'].flatMap((name) => all(name, [set(), set(set(1), set(1, 2)), [1]])),
    ...all('object.union', OBJECTS, OBJECTS),
    ...all('numbers.range', [0, 3, -2, 1.5], [0, 3, -2]),
    ...all('graph.reachable', [{ a: ['b'], b: ['c'], c: ['a'] }, {}], [['a'], set('c'), []]),
    ...all('strings.replace_n', [{ a: 'b', b: 'a' }, { '': 'x' }, {}], TEXTS),
    ...['trim_left', 'trim_right', 'trim_prefix', 'trim_suffix', 'startswith', 'endswith'].flatMap(
      (name) => all(name, TEXTS, ['', 'a', ' ', 'é', 'X']),
    ),
    ...['bits.and', 'bits.or', 'bits.xor'].flatMap((name) =>
      all(name, [0, 5, -3, 2n ** 40n, 1.5], [0, 3, -1]),
    ),
    ...all('bits.negate', [0, 5, -3, 1.5]),
    ...all('bits.rsh', [0, 5, -3], [0, 1, 64, -1]),
    ...all('base64url.encode', TEXTS),
  ],
  comparisons: [
    ...['equal', 'neq', 'lt', 'lte', 'gt', 'gte'].flatMap((name) => all(name, MIXED, MIXED)),
    ...['array', 'boolean', 'null', 'number', 'object', 'set', 'string'].flatMap((type) =>
      all(`is_${type}`, MIXED),
    ),
    ...all('internal.member_2', MIXED, [['a', 1], set('a', null), { k: 'a' }]),
    ...all('internal.member_3', [0, 'k'], MIXED, [['a', 1], { k: 'a' }]),
  ],
  sprintf: all(
    'sprintf',
    ['%v', '%d', '%5.1f|', '%x', '%q', '%+08d', '%T', '%e', '%s %s', '%[2]v'],
    [...[...NUMBERS, ...TEXTS, true, null, [1.5, 'x'], { a: set() }].map((item) => [item]), [1, 2]],
  ),
  patterns: [
    ...['regex.match', 'regex.split'].flatMap((name) => all(name, PATTERNS, TEXTS)),
    ...all('regex.is_valid', PATTERNS),
    ...all('regex.replace', TEXTS, PATTERNS, ['$1x', '${1}']),
    ...all('regex.find_all_string_submatch_n', PATTERNS, TEXTS, [-1, 1]),
    ...all('glob.match', ['a*', '{a,b}?', '[!a]*', '**.x'], [null, [], ['X']], TEXTS),
    ...all(
      'net.cidr_contains',
      ['10.0.0.0/8', '::ffff:10.0.0.0/104', '::/0'],
      ['10.1.1.1', '10.0.0.0/08', '::1', 'x'],
    ),
    ...all('net.cidr_merge', [
      ['10.0.0.0/25', '10.0.0.128/25', '10.0.0.5'],
      ['::/1', '8000::/1'],
    ]),
  ],
  times: [
    ...['time.clock', 'time.date', 'time.weekday'].flatMap((name) =>
      all(name, [...TIMES, ...TIMES.slice(0, 4).flatMap((at) => ZONES.map((zone) => [at, zone]))]),
    ),
    ...TIMES.slice(0, 4).flatMap((at) =>
      ZONES.flatMap((zone) => LAYOUTS.map((layout) => call('time.format', [at, zone, layout]))),
    ),
    ...all('time.add_date', TIMES.slice(0, 4), [1], [-13], [31]),
    ...all('time.diff', TIMES.slice(0, 4), TIMES.slice(0, 4)),
    ...all('time.parse_ns', LAYOUTS, ['2020-01-02T03:04:05.6+01:00', 'Jan  2 20 3:4:5am', 'x']),
  ],
  documents: [
    ...['json.marshal', 'yaml.marshal', 'type_name', 'object.keys'].flatMap((name) =>
      all(name, [...OBJECTS, ...SETS, ...TEXTS, ...NUMBERS]),
    ),
    ...['json.filter', 'json.remove'].flatMap((name) =>
      all(name, OBJECTS, [[], [''], ['a/b/1', '/z'], set('a'), [['a', 'b', 0]]]),
    ),
    ...['object.remove', 'object.filter'].flatMap((name) =>
      all(name, OBJECTS, [['a'], set('z'), {}, 'a']),
    ),
    ...all('object.get', OBJECTS, ['a', ['a', 'b', 1, 'c'], []], [null]),
    ...all('object.union_n', [[], OBJECTS, [{ a: 1 }, 2]]),
    ...all('object.subset', [...OBJECTS, ...SETS.slice(0, 4)], [...OBJECTS, ...SETS.slice(0, 4)]),
    ...all('json.unmarshal', ['{"a":1.0}', '[1,2', '1e2', '"\\ud83d"', '9223372036854775808']),
    ...all('yaml.unmarshal', ['a: 1_0\nb: ~', '- yes\n- 0o7', 'a: |\n x\n', '"\\ud83d"', '%']),
  ],
}

for (const [family, calls] of Object.entries(FAMILIES)) {
  t.test(`${family}: ${calls.length} calls have the results of OPA`, options, async (t) => {
    const answers = await askBoth(calls)
    t.equal(answers.length, calls.length)
    t.same(
      answers.filter(({ opa, own }) => opa !== own),
      [],
    )
  })
}

function set(...items: readonly unknown[]): unknown {
  return { $set: items }
}

function call(name: string, ...args: readonly unknown[]): BuiltinCall {
  return { name, args }
}

/** Every combination of operands. */
function all(name: string, ...operands: readonly (readonly unknown[])[]): readonly BuiltinCall[] {
  const rows = operands.reduce<readonly (readonly unknown[])[]>(
    (known, values) => known.flatMap((row) => values.map((value) => [...row, value])),
    [[]],
  )
  return rows.map((args) => ({ name, args }))
}

const WALKS = [
  '[x | some x in {"zeta", "alpha", "é", "😀", "a"}]',
  '[x | some x in {3, 10, "a", [1], {"k": 1}, null, {1, 2}}]',
  '[[k, v] | some k, v in input.o]',
  '[step | walk(input.o, step)]',
  '[[a, b] | some a in input.o.a; some b in {"q", "p"}]',
  'sprintf("%v", [[x | some x in {"d", "a"}]])',
  '[k | some k in object.keys(input.o)]',
]

t.test('sets and objects are walked over in the order of their members', options, async (t) => {
  const files = Object.fromEntries(
    WALKS.map((walk, index) => [
      `p${index}.rego`,
      `package p${index}\nallow if true\nreason := json.marshal(${walk})\n`,
    ]),
  )
  const input = { o: { z: 1, a: { y: 1, b: [2, { q: 1, c: 2 }] }, m: null, B: 3, 10: 1, 9: 2 } }
  const engine = engineOf(await compileFiles(files), createHostBuiltins())
  const outcomes = outcomesOf(engine, input)
  for (const [index, walk] of WALKS.entries()) {
    const { stdout } = await toolchain().run(
      ['eval', '--format', 'raw', '--stdin-input', `json.marshal(${walk})`],
      { input: JSON.stringify(input) },
    )
    t.same(outcomes.get(`p${index}`)?.reasons, [stdout.trim()], walk)
  }
})
