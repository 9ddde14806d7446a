// Is the METADATA of a package found wherever OPA finds it?

import t from 'tap'
import { metadataOf } from '../../../src/policy/rego/annotations.ts'

const BLOCK = '# custom: {cordon: {mode: audit, priority: 7}}\n'

const TEXTS: readonly string[] = [
  `# METADATA\n${BLOCK}package a\n`,
  `# METADATA\n# scope: package\n${BLOCK}package a\n`,
  `# METADATA\n${BLOCK}\n\npackage a\n`,
  `# METADATA\n${BLOCK}\n# who it is for\n\npackage a\n`,
  `# METADATA\n${BLOCK}package\n  a\n`,
  `#METADATA\n${BLOCK}package a\n`,
  `# METADATA of this policy\n${BLOCK}package a\n`,
  `# METADATA\r\n${BLOCK.replace('\n', '\r\n')}\r\npackage a\r\n`,
]
for (const text of TEXTS) {
  t.test(JSON.stringify(text), async (t) => {
    const problems: never[] = []
    const file = { name: 'a.rego', path: '/a.rego', text: `${text}\ndeny := true\n` }
    t.match(metadataOf(file, 'a', [], problems), { id: 'a', mode: 'audit', priority: 7 })
    t.same(problems, [])
  })
}

t.test('that of a rule, or of packages below, is not that of the package', async (t) => {
  for (const text of [
    `package a\n\n# METADATA\n${BLOCK}deny := true\n`,
    `# METADATA\n# scope: subpackages\n${BLOCK}package a\n\ndeny := true\n`,
  ])
    t.match(metadataOf({ name: 'a.rego', path: '/a.rego', text }, 'a', [], []), {
      mode: 'enforce',
      priority: 100,
    })
})
