import t from 'tap'
import { coverageOf } from '../../src/policy/test-coverage.ts'
import { folderOf, loadDirs, toolchain, withoutOpa } from '../support/policy-folder.ts'

const CEDAR = `@id("mail")
forbid(principal in Cordon::Group::"sales", action, resource)
when { context has content && context.content has finding_types }
unless { resource has ai && resource.ai };
`

async function coverage(dir: string) {
  const policies = await loadDirs([dir])
  return coverageOf({ dirs: [dir], toolchain: toolchain(), policies })
}

t.test('Cedar: each part of a statement has held and has failed', async (t) => {
  const dir = folderOf(t, {
    'a.cedar': CEDAR,
    'a.test.yaml': `users: {maya: {groups: [sales]}, ben: {}}
contents: {mail: {finding_types: [email]}}
cases:
  - {name: x, user: maya, content: mail, expect: {decision: DENY}}
  - {name: y, user: ben, content: mail, expect: {decision: ALLOW}}
`,
  })
  const { percent, files } = await coverage(dir)
  const [file] = files
  t.equal(file?.file, `${dir}/a.cedar`)
  // Head both ways; content and finding_types held; neither part of `unless` failed.
  t.same(
    file?.missing.map(({ never, line }) => [never, line]),
    [
      ['failed', 1],
      ['failed', 1],
      ['failed', 1],
    ],
  )
  t.equal(percent, percentOf(file?.covered, file?.total))
})

t.test('a statement that no test has reached is not covered at all', async (t) => {
  const { percent, covered } = await coverage(folderOf(t, { 'a.cedar': CEDAR }))
  t.same({ percent, covered }, { percent: 0, covered: 0 })
})

t.test('Rego: lines that tests in either form have reached', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, {
    'a.rego': `# METADATA
# scope: package
# custom: {cordon: {id: a}}
package acme["two-words"].a

deny contains "x" if {
	input.user.id == "u-1"
	input.resource.ai
}

review if {
	input.action == "upload_file"
	input.user.id == "u-3"
}
`,
    'a_test.rego':
      'package acme_test\n\ntest_review if {\n\tdata.acme["two-words"].a.review with input as {"action": "upload_file", "user": {"id": "u-3"}}\n}\n',
    'a.test.yaml':
      'cases:\n  - {name: x, user: {id: u-1}, expect: {decision: ALLOW}}\n  - {name: wrong, user: {id: u-2}, expect: {decision: DENY}}\n',
  })
  const { files } = await coverage(dir)
  t.match(files, [{ file: `${dir}/a.rego`, language: 'rego', missing: [{ line: 6 }] }])
  t.equal(files.length, 1, 'tests are not counted')
})

function percentOf(covered = 0, total = 0): number {
  return Math.floor((covered / total) * 1000) / 10
}
