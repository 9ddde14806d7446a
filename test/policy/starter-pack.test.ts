// Is what ships compiled what lies beside it, and does the pack work where there is no OPA?

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readFolder } from '../../src/policy/folder.ts'
import { loadPolicySet } from '../../src/policy/load.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { compileRego } from '../../src/policy/rego/compile.ts'
import type { Manifest } from '../../src/policy/rego/manifest.ts'
import { OPA_VERSION, Toolchain } from '../../src/policy/rego/toolchain.ts'
import { differences, readTableTests } from '../../src/policy/table-tests.ts'
import { runPolicyTests } from '../../src/policy/test-runner.ts'
import { loadDirs, toolchain, withoutOpa } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'

const ROOT = join(import.meta.dirname, '../..')
const PACK = join(ROOT, 'policies')
const COMPILED = ['policies', 'test/policy/twins', 'test/policy/eu_ai_act']

const otherOpa = withoutOpa() || (await differentOpa())

for (const name of COMPILED) {
  const dir = join(ROOT, name)
  const folder = readFolder(dir)

  t.test(`${name}: the manifest names each source and each shard by its hash`, async (t) => {
    const { sources, shards, opa } = manifestOf(dir)
    t.same(sources, {
      ...Object.fromEntries(folder.rego.map(({ name: file }) => [file, sha256(join(dir, file))])),
      data: createHash('sha256').update('{}').digest('hex'),
    })
    for (const { file, sha256: hash } of shards)
      t.equal(sha256(join(dir, 'compiled', file)), hash, file)
    t.equal(opa, OPA_VERSION)
  })

  t.test(`${name}: compiling again gives the same bytes`, { skip: otherOpa }, async (t) => {
    const { manifest, shards } = await compileRego(folder, {
      toolchain: toolchain(),
      builtins: createHostBuiltins(),
      cacheDir: t.testdir(),
    })
    t.same(manifestOf(dir), JSON.parse(JSON.stringify(manifest)))
    for (const [index, { file }] of manifest.shards.entries())
      t.ok(readFileSync(join(dir, 'compiled', file)).equals(shards[index]?.wasm ?? Buffer.of()))
  })

  t.test(`${name}: the folder is loaded without OPA, as its manifest says`, async (t) => {
    const set = await loadWithoutOpa(dir, t.testdir())
    const described = set.policies
      .filter(({ language }) => language === 'rego')
      .map(
        ({
          language: _language,
          line: _line,
          file,
          name: title,
          description: _description,
          ...rest
        }) => ({
          ...rest,
          title,
          file: file.slice(dir.length + 1),
        }),
      )
    const listed = manifestOf(dir).policies.map(
      ({
        package: _package,
        entrypoint: _entrypoint,
        answer: _answer,
        rules: _rules,
        shard: _shard,
        ...rest
      }) => rest,
    )
    t.same(byId(described), byId(listed))
  })
}

t.test('a new installation observes: only secrets are enforced', async (t) => {
  const { policies } = await loadDirs([PACK])
  t.same(
    policies.filter(({ mode }) => mode !== 'warn').map(({ id, mode }) => [id, mode]),
    [['secrets-to-external', 'enforce']],
  )
})

t.test('every policy says what it follows, and has a version', async (t) => {
  const { policies } = await loadDirs([PACK])
  for (const { id, name, version, framework, article } of policies) {
    t.not(name, id)
    t.match({ version, framework, article }, { version: /^\d/, framework: /./, article: /./ }, id)
  }
})

t.test('the table tests pass without OPA, and each policy answers in one of them', async (t) => {
  const set = await loadWithoutOpa(PACK, t.testdir())
  const answered = new Set<string>()
  for (const file of readFolder(PACK).tableTests) {
    for (const { name, input, expect } of readTableTests(file)) {
      const verdict = set.decide(input)
      t.same(differences(verdict, expect ?? {}), [], name)
      for (const { policy_id, effect } of verdict.policies_evaluated)
        if (effect !== null) answered.add(policy_id)
    }
  }
  t.same([...answered].toSorted(), set.policies.map(({ id }) => id).toSorted())
})

t.test('all tests of the pack pass', { skip: withoutOpa() }, async (t) => {
  const policies = await loadDirs([PACK])
  const results = await runPolicyTests({ dirs: [PACK], toolchain: toolchain(), policies })
  t.same(
    results.filter(({ outcome }) => outcome !== 'pass'),
    [],
  )
  t.ok(results.length > 0)
})

function loadWithoutOpa(dir: string, empty: string): Promise<PolicySet> {
  return loadPolicySet({
    dirs: [dir],
    combining: RULES,
    toolchain: new Toolchain({ env: { PATH: '' }, toolsDir: empty, mayInstall: false }),
    builtins: createHostBuiltins(),
    cacheDir: empty,
  })
}

/** Another version of the compiler writes other bytes. */
async function differentOpa(): Promise<false | string> {
  const { stdout } = await toolchain().run(['version'])
  return stdout.includes(`Version: ${OPA_VERSION.slice(1)}\n`) ? false : `OPA is not ${OPA_VERSION}`
}

function manifestOf(dir: string): Manifest {
  return JSON.parse(readFileSync(join(dir, 'compiled/manifest.json'), 'utf8')) as Manifest
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

function byId<T extends { readonly id: string }>(items: readonly T[]): readonly T[] {
  return items.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}
