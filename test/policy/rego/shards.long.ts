// Does a change of one policy cost one build, and do revisions share what they have in common?

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { readFolder } from '../../../src/policy/folder.ts'
import { createHostBuiltins } from '../../../src/policy/rego/builtins/registry.ts'
import { compileRego } from '../../../src/policy/rego/compile.ts'
import type { CompiledRego } from '../../../src/policy/rego/manifest.ts'
import { type RunOptions, type RunResult, Toolchain } from '../../../src/policy/rego/toolchain.ts'
import { opaMissing, toolchain } from '../../support/rego-policies.ts'

const options = opaMissing === false ? {} : { skip: opaMissing }

/** Counts what OPA is asked to do. */
class Counting extends Toolchain {
  readonly commands: string[] = []

  override async run(args: readonly string[], given?: RunOptions): Promise<RunResult> {
    this.commands.push(args[0] ?? '')
    return toolchain.run(args, given)
  }

  builds(): number {
    return this.commands.splice(0).filter((command) => command === 'build').length
  }
}

function policy(number: number, extra = ''): string {
  return `# METADATA
# scope: package
# custom:
#   cordon:
#     scope: {services: [service-${number % 8}]}
package acme.p${number}

deny if {
	input.n == ${number}
	data.lib.known
}
${extra}`
}

class Place {
  readonly dir: string
  readonly counting = new Counting({ env: {}, toolsDir: '/nowhere', mayInstall: false })

  constructor(t: Test) {
    this.dir = t.testdir()
    for (let number = 0; number < 400; number++) this.write(`p${number}.rego`, policy(number))
    this.write('lib.rego', 'package lib\n\nknown if input.user.id in data.people.known\n')
    this.write('people/data.json', '{"known": ["u-1"]}')
    this.write('odd name!.rego', 'package odd\n\nallow if data.other.x == 1\n')
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.dir, name)), { recursive: true })
    writeFileSync(join(this.dir, name), text)
  }

  compile(): Promise<CompiledRego> {
    return compileRego(readFolder(this.dir), {
      toolchain: this.counting,
      builtins: createHostBuiltins(),
      cacheDir: join(this.dir, '.cache'),
    })
  }
}

t.test('only what changed is built again', options, async (t) => {
  const place = new Place(t)
  const first = await place.compile()
  const all = place.counting.builds()
  t.equal(all, first.shards.length)
  t.ok(all >= 4, `${all} shards`)

  const again = await place.compile()
  t.equal(place.counting.builds(), 0, 'nothing changed')
  t.same(again.manifest, first.manifest)

  place.write('p7.rego', policy(7, 'allow if input.user.known\n'))
  const changed = await place.compile()
  t.equal(place.counting.builds(), 1, 'a policy')
  const keys = (compiled: CompiledRego): string[] => compiled.manifest.shards.map(({ key }) => key)
  t.equal(keys(changed).filter((key) => !keys(first).includes(key)).length, 1)

  place.write('new.rego', policy(1001))
  await place.compile()
  t.ok(place.counting.builds() <= 2, 'one more policy')

  rmSync(join(place.dir, 'new.rego'))
  await place.compile()
  t.equal(place.counting.builds(), 0, 'one policy less is what there was before')

  place.write('people/data.json', '{"known": ["u-2"]}')
  await place.compile()
  t.equal(place.counting.builds(), 0, 'data is no code')

  place.write('p7_test.rego', 'package acme.p7_test\n\ntest_it if true\n')
  await place.compile()
  t.equal(place.counting.builds(), 0, 'nor are tests')

  place.write('lib.rego', 'package lib\n\nknown if input.user.known\n')
  await place.compile()
  t.equal(place.counting.builds(), all, 'what all of them use')
})

t.test('a shard knows the data that its policies refer to, and no other', options, async (t) => {
  const place = new Place(t)
  place.write('other/data.json', '{"x": 1, "y": 2}')
  place.write('unread/data.json', '{"large": [1, 2, 3]}')
  const { manifest, shards } = await place.compile()
  const of = (name: string): string =>
    shards[manifest.policies.find((each) => each.package === name)?.shard ?? -1]?.data ?? ''
  t.match(of('acme.p7'), /"people":\{"known":\["u-1"\]\}/)
  t.notMatch(of('acme.p7'), /large/)
  t.match(of('odd'), /"other":\{"x":1\}/)
  t.notMatch(of('odd'), /"y"/)
})

t.test('a folder that OPA refuses leaves nothing half done', options, async (t) => {
  const place = new Place(t)
  place.write('p3.rego', 'package acme.p3\n\ndeny if nonsense(1)\n')
  await t.rejects(place.compile(), { code: 'POLICY_INVALID' })
  t.equal(place.counting.builds(), 0, 'and is not built')
  place.write('p3.rego', 'package cordon_answers\n\ndeny if true\n')
  const error: unknown = await place.compile().catch((thrown: unknown) => thrown)
  t.match(error, {
    problems: [{ message: /the package cordon_answers is Cordon's own/, line: 1 }],
  })
})
