// Is a policy that takes too long refused before it is in force, and held where it shows only later?

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { folderOf, loadDirs, withoutOpa } from '../support/policy-folder.ts'

const options = { skip: withoutOpa() }

const FILES = {
  'a/slow.rego': `# METADATA
# scope: package
# custom:
#   cordon: {id: four-times}
package a.slow

deny if {
	some a in input.user.groups
	some b in input.user.groups
	some c in input.user.groups
	some d in input.user.groups
	concat("", [a, b, c, d]) == "never"
}
`,
  'a/large.rego': `package a.large

deny if count(numbers.range(1, input.content.bytes)) == 0
`,
  'a/good.rego': `package a.good

deny if {
	some a in input.user.groups
	some b in input.content.findings
	a == b.type
}
`,
}

t.test(
  'what exceeds its limits for a large input is refused with its name and place',
  options,
  async (t) => {
    const dir = folderOf(t, FILES)
    const cacheDir = join(dir, '.cache')
    const problems = await loadDirs([dir], {}, { cacheDir, isLive: true }).then(
      () => [],
      (error: unknown) =>
        error instanceof CordonError
          ? error.problems.map((problem) => formatProblem(problem).replace(`${dir}/`, ''))
          : [String(error)],
    )
    t.match(
      problems.toSorted((a, b) => (a < b ? -1 : 1)),
      [
        /^a\/large.rego:1:1: a.large takes too long for a large input: memory limit/,
        /^a\/slow.rego:1:1: four-times takes too long for a large input: (?:time|memory) limit/,
      ],
    )
    const set = await loadDirs([dir], {}, { cacheDir })
    t.equal(set.policies.length, 3, 'where nothing is decided they may be looked at')
  },
)

const HIDDEN = {
  'p.rego': `package p

deny if {
	input.user.attributes.mode == "slow"
	some a in numbers.range(1, 1000)
	some b in numbers.range(1, 1000)
	some c in numbers.range(1, 1000)
	a * b * c == -1
}
`,
  'q.rego': 'package q\n\nreview if input.user.attributes.mode == "slow"\n',
}

t.test('what takes too long only for inputs that nobody foresaw is held', options, async (t) => {
  const dir = folderOf(t, HIDDEN)
  const set = await loadDirs([dir], {}, { cacheDir: join(dir, '.cache'), isLive: true })
  const told: string[] = []
  set.onQuarantine((policy, held) => told.push(`${policy} ${held?.reason ?? 'again'}`))
  const slow = { user: { attributes: { mode: 'slow' } } }
  const errorOf = (input: unknown): string | null =>
    set.decide(input).policies_evaluated.find(({ policy_id: id }) => id === 'p')?.error ?? null
  t.equal(errorOf({}), null)
  for (let time = 0; time < 3; time++) t.match(errorOf(slow), /^(?:time|memory) limit/)
  t.match(told, [/^p it exceeded its time budget 3 times in 3 evaluations/])
  t.match(
    errorOf({ user: { attributes: { mode: 'fast' } } }),
    /^quarantined until \d{4}-/,
    'whatever the input is',
  )
  const verdict = set.decide(slow)
  t.equal(verdict.decision, 'DENY', 'it counts as erring')
  t.equal(
    verdict.policies_evaluated.find(({ policy_id: id }) => id === 'q')?.effect,
    'REVIEW',
    'the others are asked',
  )
  const next = await loadDirs([dir], {}, { cacheDir: join(dir, '.cache'), isLive: true })
  t.match(
    next.decide(slow).policies_evaluated.find(({ policy_id: id }) => id === 'p')?.error,
    /^(?:time|memory) limit/,
    'another revision begins anew',
  )
})

t.test(
  'a statement that is added is tried alone, and what passed is not tried again',
  async (t) => {
    const dir = folderOf(t, {
      'b.cedar': '@id("b") permit(principal, action, resource);',
      'c.cedar': '@id("c") forbid(principal, action, resource) when { principal has email };',
    })
    const cacheDir = join(dir, '.cache')
    const file = join(cacheDir, 'passed.json')
    const passed = async (): Promise<readonly string[]> => {
      const set = await loadDirs([dir], {}, { cacheDir, isLive: true })
      set.close()
      return JSON.parse(readFileSync(file, 'utf8')) as string[]
    }
    const two = await passed()
    t.equal(two.length, 2)
    // Before the others, so that whatever is counted from the first one is another.
    writeFileSync(
      join(dir, 'a.cedar'),
      '@id("a") permit(principal, action, resource) when { true };',
    )
    const three = await passed()
    t.equal(three.length, 3)
    t.ok(two.every((key) => three.includes(key)))
    // It is written anew whenever anything was tried.
    const { ino } = statSync(file)
    t.same(await passed(), three)
    t.equal(statSync(file).ino, ino, 'nothing was tried')
  },
)
