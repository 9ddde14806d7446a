// What is taken as a stored policy, and what is refused, with its place.

import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import {
  MAX_TEXT_BYTES,
  type PolicyText,
  readText,
  versionBehind,
} from '../../src/governance/policy-draft.ts'

const REGO = `# METADATA
# scope: package
# title: No uploads
# custom:
#   cordon:
#     id: no-uploads
#     version: 1.2.0
#     priority: 700
#     scope: {actions: [upload_file]}
package acme.uploads

deny contains "no files" if input.action == "upload_file"
`
const CEDAR = `@id("no-uploads")
@name("No uploads")
@priority("700")
forbid (principal, action == Cordon::Action::"upload_file", resource);
`

t.test('what it is, what it is called and where it lies', async (t) => {
  t.match(readText({ text: REGO }), {
    policy_id: 'no-uploads',
    type: 'policy',
    language: 'rego',
    path: 'no-uploads.rego',
    metadata: {
      name: 'No uploads',
      version: '1.2.0',
      priority: 700,
      scope: { actions: ['upload_file'] },
    },
  })
  t.match(readText({ text: CEDAR }), {
    policy_id: 'no-uploads',
    language: 'cedar',
    path: 'no-uploads.cedar',
    metadata: { name: 'No uploads', priority: 700 },
  })
  t.match(readText({ text: 'package acme.x\n\nallow if true\n' }), {
    policy_id: 'acme.x',
    path: 'acme.x.rego',
  })
  t.match(readText({ text: 'package lib.dates\n\nyear := 2026\n', path: 'lib/dates.rego' }), {
    policy_id: 'lib/dates.rego',
    type: 'library',
  })
  t.match(readText({ text: '{"limits": {"upload": 3}}', path: 'acme/data.json' }), {
    policy_id: 'acme/data.json',
    type: 'data',
    language: 'json',
  })
  t.match(
    readText({
      text: 'package acme.uploads_test\n\ntest_it if true\n',
      path: 'a/uploads_test.rego',
    }),
    { type: 'test', language: 'rego' },
  )
  t.match(readText({ text: 'cases: []\n', path: 'uploads.test.yaml' }), { type: 'test' })
})

t.test('no policy is called like a test, and no two ids share a file', async (t) => {
  const named = (id: string): string =>
    readText({ text: REGO.replace('id: no-uploads', `id: ${id}`) }).path
  t.equal(named('uploads_test'), 'uploads_test.policy.rego')
  t.not(named('"a:b"'), named('"a/b"'))
  t.match(named('"a:b"'), /^a-b-[0-9a-f]{8}\.rego$/)
})

t.test('what is refused, and where', async (t) => {
  const refused = (policy: PolicyText, code: string, pointer: string, message: RegExp): void => {
    try {
      readText(policy)
      t.fail(`is refused: ${String(message)}`)
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      t.equal(error.code, code, String(message))
      t.equal(error.problems[0]?.pointer, pointer, String(message))
      const [problem = { file: '', message: '' }] = error.problems
      t.match(`${error.message} ${formatProblem(problem)}`, message)
    }
  }
  refused({ text: ' \n' }, 'INPUT_INVALID', '/text', /empty/)
  refused({ text: `${REGO}#${'x'.repeat(MAX_TEXT_BYTES)}` }, 'INPUT_INVALID', '/text', /256 KiB/)
  refused({ text: `${REGO}# \0` }, 'INPUT_INVALID', '/text', /NUL/)
  refused({ text: `${REGO}# \ud800` }, 'INPUT_INVALID', '/text', /surrogate/)
  refused({ text: 'package lib\n\nx := 1\n' }, 'INPUT_INVALID', '/text', /library/)
  for (const path of ['../x.rego', '/x.rego', 'a//x.rego', '.x.rego', 'a.b/x.rego', 'a\\x.rego'])
    refused({ text: REGO, path }, 'INPUT_INVALID', '/path', /relative/)
  refused({ text: REGO, path: 'x.txt' }, 'INPUT_INVALID', '/path', /no name of a policy file/)
  refused({ text: REGO, policy_id: 'other' }, 'INPUT_INVALID', '/policy_id', /names itself/)
  const odd = REGO.replace('id: no-uploads', 'id: "a b"')
  refused({ text: odd }, 'INPUT_INVALID', '/text', /cannot be that of a stored policy/)
  const steep = REGO.replace('priority: 700', 'priority: 7000')
  refused({ text: steep }, 'POLICY_INVALID', '/text', /priority must be/)
  refused({ text: 'deny if true\n', path: 'x.rego' }, 'POLICY_INVALID', '/text', /package/)
  refused({ text: 'forbid (principal' }, 'POLICY_INVALID', '/text', /./)
  refused({ text: 'forbid (principal, action, resource);' }, 'POLICY_INVALID', '/text', /@id/)
  refused(
    { text: `${CEDAR}${CEDAR.replace('no-uploads', 'b')}` },
    'POLICY_INVALID',
    '/text',
    /one statement/,
  )
})

t.test('the version that comes next', async (t) => {
  t.equal(versionBehind(undefined, undefined, undefined), '1.0.0')
  t.equal(versionBehind(undefined, undefined, '0.3.0'), '0.3.0', 'as the text says')
  t.equal(versionBehind('1.0.0', undefined, undefined), '1.0.1')
  t.equal(versionBehind('1.0.0', undefined, '1.1.0'), '1.1.0')
  t.equal(versionBehind('1.1.0', undefined, '1.1.0'), '1.1.1', 'the text was left as it was')
  t.equal(versionBehind('1.0.0', '2.0.0-rc.1', '1.1.0'), '2.0.0-rc.1', 'as it was asked for')
  for (const [newest, asked] of [
    ['1.0.0', '1.0.0'],
    ['1.0.0', '0.9.0'],
    ['1.0.0', '1.0.0-rc.1'],
    ['1.0.0', '1.0.0+x'],
    [undefined, 'v1'],
    [undefined, '1.0'],
  ] as const)
    t.throws(() => versionBehind(newest, asked, undefined), { code: 'INPUT_INVALID' }, asked)
})
