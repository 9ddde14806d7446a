// Does a folder of Rego compile to what its policies need, and is what OPA refuses refused with its place?

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { CordonError, formatProblem } from '../../../src/base/errors.ts'
import { readFolder } from '../../../src/policy/folder.ts'
import { compileBeside, loadCompiled } from '../../../src/policy/rego/compile.ts'
import { Toolchain } from '../../../src/policy/rego/toolchain.ts'
import { warningsOf } from '../../../src/policy/rego/warnings.ts'
import {
  compileFiles,
  engineOf,
  folderOf,
  opaMissing,
  outcomesOf,
  plainBuiltins,
  toolchain,
} from '../../support/rego-policies.ts'

const options = opaMissing === false ? {} : { skip: opaMissing }

async function problemsOf(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  try {
    await compileFiles(files)
    return []
  } catch (error) {
    if (!(error instanceof CordonError) || error.code !== 'POLICY_INVALID') throw error
    return error.problems.map((problem) => formatProblem(problem).replace(/^\/\S*?rego-\w+\//, ''))
  }
}

t.test('what OPA refuses is refused at its place', options, async (t) => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
    ['syntax', { 'team/a.rego': 'package a\ndeny if {\n  x =\n}\n' }, /^team\/a\.rego:4:1: /],
    ['Rego v0', { 'a.rego': 'package a\ndeny { input.x }\n' }, /^a\.rego:2:1: .*`if`/],
    [
      'an unknown function',
      { 'a.rego': 'package a\ndeny if foo.bar(1)\n' },
      /^a\.rego:2:9: undefined function foo\.bar/,
    ],
    [
      'an unknown function of a library',
      { 'a.rego': 'package a\ndeny := true\n', 'lib.rego': 'package lib\n\nx if nope(1)\n' },
      /^lib\.rego:3:6: undefined function nope/,
    ],
    ['a wrong type', { 'a.rego': 'package a\ndeny if count(1) > 2\n' }, /^a\.rego:2:9: /],
    ['recursion', { 'a.rego': 'package a\ndeny if x\nx if deny\n' }, /^a\.rego:2:1: .*recursive/],
    [
      'annotations that are no YAML',
      { 'a.rego': '# METADATA\n# custom: {a: [}\npackage a\ndeny := true\n' },
      /^a\.rego:\d+:1: yaml/,
    ],
    [
      'a file name that OPA would misread',
      { 'a:b.rego': 'package a\ndeny if nope(1)\n' },
      /^a:b\.rego:2:9: undefined function/,
    ],
    [
      'a package of two policy files',
      { 'a.rego': 'package a.b\ndeny := true\n', 'b.rego': '\npackage a.b\nallow := true\n' },
      /^b\.rego:2:1: package a\.b stands in .*a\.rego already/,
    ],
    [
      'a reference to what other policies say',
      {
        'a.rego': 'package a\ndeny if input.x\n',
        'b.rego': 'package b\nallow if data.cordon_answers.p0_deny\n',
      },
      /^b\.rego:1:1: the package cordon_answers is Cordon's own/,
    ],
    [
      'a rule where data has a value',
      { 'a.rego': 'package a\ndeny := true\n', 'a/data.json': '{"deny": 1}' },
      /^a\.rego:1:1: a data document/,
    ],
    ...[
      'http.send({})',
      'time.now_ns()',
      'rand.intn("x", 2)',
      'uuid.rfc4122("x")',
      'opa.runtime()',
      'net.lookup_ip_addr("x")',
    ].map(
      (call) =>
        [
          call,
          { 'a.rego': `package a\n\ndeny if {\n\t${call}\n}\n` },
          /^a\.rego:4:2: \S+ is not allowed: the same input/,
        ] as const,
    ),
  ]
  for (const [what, files, expected] of cases) {
    const problems = await problemsOf(files)
    t.ok(
      problems.some((problem) => expected.test(problem)),
      what,
      { problems },
    )
  }
})

t.test('a shard holds what its policies refer to, and read-sets see it', options, async (t) => {
  const compiled = await compileFiles({
    'a.rego': 'package a\nimport data.lib\ndeny if lib.bad\nallow if own',
    'a_more.rego': 'package a\nown if input.context.bytes > 5',
    'b.rego': 'package b["c-d"]\nallow if data.a.deny',
    'c.rego': 'package c\ndeny if { some key; input.user.attributes[key] == 1 }',
    'd.rego': 'package d\ndeny if walk(input, [_, 1])',
    'e.rego': 'package e\nimport input.resource as r\ndeny if r.id == data.blocked[_]',
    'f.rego': 'package f\ndeny(x) if x\nreason := "no policy"',
    'lib.rego': 'package lib\nbad if input.user.department.name == "Finance"',
    'data.json': '{"blocked": ["evil"], "big": 9007199254740993}',
    'g.rego':
      'package g\nallow if data.big == 9007199254740993\ndeny if data.big == 9007199254740992',
    'a_test.rego': 'package a_test\nthis is no Rego',
  })
  const reads = Object.fromEntries(
    compiled.manifest.policies.map((each) => [each.package, each.reads]),
  )
  t.strictSame(reads, {
    a: ['context.bytes', 'user.department.name'],
    'b.c-d': ['context.bytes', 'user.department.name'],
    c: ['user.attributes'],
    d: [''],
    e: ['resource'],
    g: [],
  })
  const outcomes = outcomesOf(engineOf(compiled), {
    user: { department: { name: 'Finance' } },
    resource: { id: 'evil' },
  })
  const effects = [...outcomes].map(([id, { effect }]) => [id, effect])
  t.strictSame(effects, [
    ['a', 'DENY'],
    ['b.c-d', 'ALLOW'],
    ['c', null],
    ['d', null],
    ['e', 'DENY'],
    ['g', 'ALLOW'],
  ])
})

t.test('many policies lie in several shards and answer alike', options, async (t) => {
  const files: Record<string, string> = { 'lib.rego': 'package lib\nis(n) if input.n == n' }
  for (let n = 0; n < 130; n++)
    files[`p${n}.rego`] =
      `package many.p${n}\ndeny if data.lib.is(${n})\nallow if ${n} == 120\nallow if data.many.p3.deny`
  const compiled = await compileFiles(files)
  t.equal(compiled.shards.length, 2)
  const outcomes = outcomesOf(engineOf(compiled), { n: 3 })
  t.equal(outcomes.get('many.p3')?.effect, 'DENY')
  t.ok(
    [...outcomes].every(([id, { effect }]) => id === 'many.p3' || effect === 'ALLOW'),
    'a reference across shards',
  )
})

t.test('a compiled form is used while it is fresh, without OPA', options, async (t) => {
  const { folder, remove } = folderOf({ 'a.rego': 'package a\ndeny := true\n' })
  const cacheDir = mkdtempSync(join(tmpdir(), 'cordon-test-cache-'))
  t.teardown(() => {
    remove()
    rmSync(cacheDir, { recursive: true, force: true })
  })
  const nothing = new Toolchain({ env: { PATH: '' }, toolsDir: '/nonexistent', mayInstall: false })
  const having = { toolchain, builtins: plainBuiltins, cacheDir }
  const lacking = { ...having, toolchain: nothing }
  await t.rejects(loadCompiled(folder, lacking), {
    code: 'POLICY_TOOLCHAIN_MISSING',
    message: /cordon policy compile/,
  })
  await compileBeside(folder, having)
  t.strictSame(readdirSync(join(folder.dir, 'compiled')), ['manifest.json', 'shard-0.wasm'])
  t.equal((await loadCompiled(readFolder(folder.dir), lacking)).manifest.policies.length, 1)
  const wasm = readFileSync(join(folder.dir, 'compiled/shard-0.wasm'))
  await compileBeside(folder, having)
  t.ok(
    wasm.equals(readFileSync(join(folder.dir, 'compiled/shard-0.wasm'))),
    'the same sources, the same bytes',
  )
  t.notOk(wasm.includes('cordon-rego-'), 'no temporary path inside')

  writeFileSync(join(folder.dir, 'compiled/shard-0.wasm'), wasm.subarray(1))
  const emptyCache = { ...lacking, cacheDir: join(cacheDir, 'empty') }
  await t.rejects(
    loadCompiled(readFolder(folder.dir), emptyCache),
    { code: 'POLICY_TOOLCHAIN_MISSING' },
    'damaged',
  )
  const known = await loadCompiled(readFolder(folder.dir), lacking)
  t.equal(known.manifest.policies.length, 1, 'damaged, and what was compiled is remembered')
  writeFileSync(join(folder.dir, 'compiled/shard-0.wasm'), wasm)
  writeFileSync(join(folder.dir, 'a.rego'), 'package a\ndeny := false\n')
  await t.rejects(
    loadCompiled(readFolder(folder.dir), lacking),
    { code: 'POLICY_TOOLCHAIN_MISSING' },
    'stale',
  )

  await loadCompiled(readFolder(folder.dir), having)
  t.equal(
    (await loadCompiled(readFolder(folder.dir), lacking)).manifest.policies.length,
    1,
    'from the cache',
  )
})

t.test('a folder without Rego needs no OPA', async (t) => {
  const { folder, remove } = folderOf({ 'data.json': '{}' })
  t.teardown(remove)
  const nothing = new Toolchain({ env: {}, toolsDir: '/nonexistent', mayInstall: false })
  const compiled = await loadCompiled(folder, {
    toolchain: nothing,
    builtins: plainBuiltins,
    cacheDir: '/nonexistent',
  })
  t.strictSame(compiled.shards, [])
})

t.test('check warns of what may be absent', async (t) => {
  const text = [
    'package a',
    '# not input.comment',
    'deny if not input.user.attributes["x y"].trained',
    'deny if "not input.text" == input.user.name',
    '  deny if input.user.department.name != "Legal"',
    'reason := json.marshal({"a": 1})',
    'reason := concat(", ", ["a"])',
  ].join('\n')
  t.strictSame(warningsOf({ path: 'a.rego', name: 'a.rego', text }).map(formatProblem), [
    'a.rego:3:9: "not input.user.attributes["x y"].trained" also holds where input.user.attributes["x y"].trained is absent',
    'a.rego:5:11: a rule with "input.user.department.name != ..." does not hold where input.user.department.name is absent',
  ])
})
