// Is only looked through again what a change can touch, and is whatever is wrong with the whole refused all the same?

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CordonError } from '../../../src/base/errors.ts'
import { compileRego } from '../../../src/policy/rego/compile.ts'
import type { Toolchain } from '../../../src/policy/rego/toolchain.ts'
import { folderOf, opaMissing, plainBuiltins, toolchain } from '../../support/rego-policies.ts'

type Files = Readonly<Record<string, string>>

const options = opaMissing === false ? {} : { skip: opaMissing }

/** Compiles folders over one cache; tells which files OPA was to check, and how often it built. */
function bench(
  cacheDir: string,
): (files: Files) => Promise<{ checked: string[]; builds: number; error: string }> {
  return async (files) => {
    const checked: string[] = []
    let builds = 0
    const counting = Object.create(toolchain) as Toolchain
    counting.run = async (args, settings) => {
      if (args[0] === 'check') checked.push(...filesBelow(settings?.cwd ?? ''))
      if (args[0] === 'build') builds += 1
      return toolchain.run(args, settings)
    }
    const { folder, remove } = folderOf(files)
    const error = await compileRego(folder, {
      toolchain: counting,
      builtins: plainBuiltins,
      cacheDir,
    })
      .then(
        () => '',
        (reason: unknown) =>
          reason instanceof CordonError
            ? reason.problems.map(({ message }) => message).join('\n')
            : String(reason),
      )
      .finally(remove)
    return { checked, builds, error }
  }
}

function filesBelow(dir: string, prefix = ''): string[] {
  return readdirSync(dir).flatMap((name) =>
    statSync(join(dir, name)).isDirectory()
      ? filesBelow(join(dir, name), `${prefix}${name}/`)
      : [`${prefix}${name}`],
  )
}

const LIB = 'package lib\n\nfar(x) if x > 3\n\nnear if input.n < 2\n'
const GOOD: Files = {
  'lib.rego': LIB,
  'a.rego': 'package team.a\n\nimport data.lib\n\ndeny if lib.far(input.n)\n',
  'b.rego': 'package team.b\n\ndeny if data.lib.near\n',
  'c.rego': 'package team.c\n\ndeny if input.n == 7\n',
  'd.rego': 'package team.d\n\ndeny if input.n == 8\n',
  'deep.rego': 'package team.c.deep\n\nx := 1\n',
}

t.test('what did not change is not looked through again', options, async (t) => {
  const compile = bench(t.testdir())
  const first = await compile(GOOD)
  t.equal(first.error, '')
  t.equal(first.checked.length, Object.keys(GOOD).length)
  t.same((await compile(GOOD)).checked, [])
  const one = { ...GOOD, 'd.rego': 'package team.d\n\ndeny if input.n == 9\n' }
  t.same(await compile(one), { checked: ['d.rego'], builds: 1, error: '' })
  t.same(await compile(GOOD), { checked: [], builds: 0, error: '' }, 'a change back')
  const library = { ...GOOD, 'lib.rego': LIB.replace('3', '4') }
  t.same((await compile(library)).checked.toSorted(), ['a.rego', 'b.rego', 'lib.rego'])
  const { 'd.rego': _, ...less } = GOOD
  t.same((await compile(less)).checked, [], 'of what is removed nobody made use')
})

const CHANGES: readonly (readonly [what: string, change: Files, error: RegExp])[] = [
  ['a library that others use is gone', { 'lib.rego': '' }, /undefined function data\.lib\.far/],
  [
    'a function takes other arguments',
    { 'lib.rego': LIB.replace('far(x)', 'far(x, y)') },
    /function data\.lib\.far has arity 2, got 1 argument/,
  ],
  [
    'a function gives another type',
    {
      'lib.rego': LIB.replace('far(x) if x > 3', 'far(x) := "s" if x > 3'),
      'a.rego': 'package team.a\n\nimport data.lib\n\ndeny if lib.far(input.n) == 7\n',
    },
    /match error/,
  ],
  [
    'a rule has the name of a package',
    { 'e.rego': 'package team\n\nc := 1\n' },
    /conflicts with rule/,
  ],
  [
    'a rule has the name of a package far below',
    { 'e.rego': 'package team\n\nc.deep := 1\n' },
    /conflict/,
  ],
  [
    'a rule is in two files',
    { 'e.rego': 'package lib\n\nnear := 5\n\nfar := 3\n' },
    /conflicting rules/,
  ],
  [
    'rules of several packages use each other',
    {
      'lib.rego': `${LIB}\nround if data.team.b.deny\n`,
      'b.rego': 'package team.b\n\ndeny if data.lib.round\n',
    },
    /recursive/,
  ],
  [
    'annotations hold for packages below',
    {
      'e.rego':
        '# METADATA\n# scope: subpackages\n# schemas:\n#   - input.n: {type: string}\npackage team\n',
    },
    /match error/,
  ],
]

for (const [what, change, error] of CHANGES) {
  t.test(`refused beside what has passed: ${what}`, options, async (t) => {
    const dir = t.testdir()
    const compile = bench(join(dir, 'cache'))
    t.equal((await compile(GOOD)).error, '')
    const files = Object.fromEntries(
      Object.entries({ ...GOOD, ...change }).filter(([, text]) => text !== ''),
    )
    const found = await compile(files)
    t.match(found.error, error)
    t.match((await compile(files)).error, error, 'and again')
    t.match((await bench(join(dir, 'alone'))(files)).error, error, 'as it is alone')
    t.same(await compile(GOOD), { checked: [], builds: 0, error: '' })
  })
}
