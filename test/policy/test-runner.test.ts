import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { runPolicyTests } from '../../src/policy/test-runner.ts'
import { folderOf, loadDirs, problemsOf, toolchain, withoutOpa } from '../support/policy-folder.ts'

const POLICY = `@id("sales-no-mail") @priority("200") @reason("no addresses")
@obligations("[{\\"type\\":\\"coach\\",\\"parameters\\":{\\"message\\":\\"ask\\"}}]")
forbid(principal in Cordon::Group::"sales", action == Cordon::Action::"send_prompt", resource)
when { context has content && context.content has finding_types
  && context.content.finding_types.contains("email") };
`

const TABLE = `now: 2026-03-01T10:00:00Z
users:
  maya: {id: u-1, groups: [sales]}
services:
  chatgpt: {id: chatgpt, ai: true, approval_status: approved}
contents:
  mail: {finding_types: [email]}
cases:
  - name: sales may not send addresses
    user: maya
    service: chatgpt
    action: send_prompt
    content: mail
    expect:
      decision: DENY
      primary: sales-no-mail
      would_be: null
      reason: addresses
      obligations: [coach]
      matched: [sales-no-mail]
  - name: others may
    user: {id: u-2}
    service: chatgpt
    expect: {decision: ALLOW, primary: null, obligations: [{type: coach, parameters: {message: ask}}]}
`

async function run(dir: string): Promise<readonly string[]> {
  const results = await runPolicyTests({
    dirs: [dir],
    toolchain: toolchain(),
    policies: await loadDirs([dir]),
  })
  return results.map(({ file, line, name, outcome, detail }) =>
    [`${file.replace(`${dir}/`, '')}:${line}`, outcome, name, detail].filter(Boolean).join(' '),
  )
}

t.test('a table test passes or tells every difference, with its place', async (t) => {
  const dir = folderOf(t, { 'a.cedar': POLICY, 'a.test.yaml': TABLE })
  t.same(await run(dir), [
    'a.test.yaml:9 pass sales may not send addresses',
    'a.test.yaml:21 fail others may obligations are [], expected [{"parameters":{"message":"ask"},"type":"coach"}]',
  ])
})

t.test('the clock of a table test is an input', async (t) => {
  const dir = folderOf(t, {
    'a.cedar':
      'permit(principal, action, resource) when { context has time && context.time has weekday && context.time.weekday == 7 && context.time has hour && context.time.hour == 10 };',
    'a.test.yaml':
      'now: 2026-03-01T10:00:00Z\ncases: [{name: Sunday, expect: {primary: "a.cedar:1"}}]',
  })
  t.same(await run(dir), ['a.test.yaml:2 pass Sunday'])
})

const MATRIX = `now: 2026-03-02T10:00:00Z
users:
  maya: {id: u-1, groups: [sales]}
  ben: {id: u-2}
services:
  chatgpt: {id: chatgpt, ai: true, approval_status: approved}
contents:
  mail: {finding_types: [email]}
tables:
  - name: prompts
    contents: [mail, null]
    actions: [send_prompt]
    expected:
      - {users: maya, contents: mail, decision: DENY}
      - {users: ben, decision: ALLOW, primary: null}
      - {contents: mail, decision: ALLOW}
`

t.test(
  'a table is every combination; rows add up, and what no row speaks of is told',
  async (t) => {
    const dir = folderOf(t, { 'a.cedar': POLICY, 'a.test.yaml': MATRIX })
    t.same(await run(dir), [
      'a.test.yaml:14 pass prompts: maya, chatgpt, mail, send_prompt',
      'a.test.yaml:16 fail prompts: maya, chatgpt, mail, send_prompt decision is "DENY", expected "ALLOW"',
      'a.test.yaml:10 unlisted prompts: maya, chatgpt, send_prompt no row speaks of it; the answer is ALLOW',
      'a.test.yaml:15 pass prompts: ben, chatgpt, mail, send_prompt',
      'a.test.yaml:16 pass prompts: ben, chatgpt, mail, send_prompt',
      'a.test.yaml:15 pass prompts: ben, chatgpt, send_prompt',
    ])
  },
)

t.test('a case may share its input with others, and has a clock of its own', async (t) => {
  const dir = folderOf(t, {
    'a.cedar':
      'permit(principal, action, resource) when { context has time && context.time has hour && context.time.hour == 22 };\n@id("sales") @priority("900") forbid(principal in Cordon::Group::"sales", action, resource);',
    'a.test.yaml': `now: 2026-03-01T10:00:00Z
users: {maya: {groups: [sales]}}
cases:
  - {name: day, expect: {primary: null}}
  - {name: night, now: 2026-03-01T22:00:00Z, expect: {primary: "a.cedar:1"}}
  - {name: whole, input: &base {action: send_prompt}, user: maya, expect: {primary: sales}}
  - {name: whole without maya, input: *base, expect: {primary: null}}
`,
  })
  t.same(
    (await run(dir)).map((line) => line.split(' ')[1]),
    ['pass', 'pass', 'pass', 'pass'],
  )
})

const BROKEN: Readonly<Record<string, readonly [yaml: string, problem: string]>> = {
  'no cases': [
    'now: 2026-01-01T00:00:00Z\n',
    'a.test.yaml:1:1: a table test is a map with a list of cases or of tables',
  ],
  'an unknown key': [
    'cases:\n  - name: x\n    usr: maya\n    expect: {decision: DENY}\n',
    'a.test.yaml:2:1: unknown key "usr" (did you mean "user"?)',
  ],
  'an unknown fixture': [
    'users: {}\ncases:\n  - {name: x, user: maya, expect: {decision: DENY}}\n',
    'a.test.yaml:3:1: users has no "maya"',
  ],
  'nothing expected': ['cases:\n  - {name: x}\n', 'a.test.yaml:2:1: a case needs what to expect'],
  'a value that its table does not have': [
    'users: {a: {}}\ntables:\n  - name: x\n    expected:\n      - {users: a, decision: DENY}\n      - {users: b, decision: DENY}\n',
    'a.test.yaml:6:1: the table has no "b" among its users',
  ],
  'a row without an expectation': [
    'tables:\n  - name: x\n    expected: [{}]\n',
    'a.test.yaml:3:1: a row needs what to expect',
  ],
  'an axis that no fixture has': [
    'users: {maya: {}}\ntables:\n  - {name: x, users: [may], expected: []}\n',
    'a.test.yaml:3:1: users has no "may" (did you mean "maya"?)',
  ],
  'too many combinations': [
    `users: {${Array.from({ length: 101 }, (_, at) => `u${at}: {}`).join(', ')}}\nservices: {${Array.from({ length: 100 }, (_, at) => `s${at}: {}`).join(', ')}}\ntables: [{name: x, expected: []}]\n`,
    'a.test.yaml:3:1: the table has 10100 combinations, a file at most 10000 cases',
  ],
  'an effect that there is not': [
    'cases:\n  - {name: x, expect: {decision: DENIED}}\n',
    'a.test.yaml:2:1: decision is one of ALLOW, DENY, REVIEW',
  ],
  'aliases of aliases': [
    `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]\ncases: []\n`,
    'a.test.yaml:1:1: more than 100 aliases: write the values out',
  ],
  'a wrong clock': [
    'now: noon\ncases: []\n',
    'a.test.yaml:1:1: now is a date and time such as 2026-03-02T10:00:00Z',
  ],
}

for (const [what, [yaml, problem]] of Object.entries(BROKEN)) {
  t.test(`a table test with ${what} is refused`, async (t) => {
    const dir = folderOf(t, { 'a.test.yaml': yaml })
    const error = await run(dir).catch((error: unknown) => error)
    if (!(error instanceof CordonError)) throw error
    t.same(
      error.problems.map((each) => formatProblem(each).replace(`${dir}/`, '')),
      [problem],
    )
  })
}

t.test('Rego tests run in OPA, with the data of the folder', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, {
    'lists/data.json': '{"blocked": ["evil"]}',
    'p.rego': 'package p\n\ndeny if input.resource.id in data.lists.blocked\n',
    'p_test.rego': `package p_test

import data.p

test_blocked if p.deny with input as {"resource": {"id": "evil"}}

test_wrong if p.deny with input as {"resource": {"id": "fine"}}

todo_test_later if false
`,
  })
  t.same(await run(dir), [
    'p_test.rego:5 pass p_test.test_blocked',
    'p_test.rego:7 fail p_test.test_wrong the test rule does not hold',
    'p_test.rego:9 skip p_test.todo_test_later marked as todo',
  ])
})

t.test('Rego tests that OPA refuses are an error', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, {
    'p.rego': 'package p\n\nallow := true\n',
    'p_test.rego': 'package p_test\n\ntest_x if nonsense(1)\n',
  })
  await t.rejects(run(dir), { code: 'POLICY_INVALID' })
})

t.test('many table tests let other things have a turn, and end at their limit', async (t) => {
  const cases = Array.from(
    { length: 20 },
    (_each, index) => `  - {name: c${index}, expect: {decision: ALLOW}}`,
  )
  const dir = folderOf(t, { 'a.test.yaml': ['cases:', ...cases, ''].join('\n') })
  const policies = await loadDirs([dir])
  let turns = 0
  const others = setInterval(() => (turns += 1), 1)
  t.teardown(() => clearInterval(others))
  const slow = {
    decide: (document: unknown) => {
      const until = performance.now() + 6
      while (performance.now() < until);
      return policies.decide(document)
    },
  }
  const tests = { dirs: [dir], toolchain: toolchain(), policies: slow }
  t.equal((await runPolicyTests(tests)).length, 20)
  t.ok(turns >= 10, `others had ${turns} turns`)
  await t.rejects(runPolicyTests({ ...tests, timeLimitMs: 20 }), {
    code: 'POLICY_INVALID',
    problems: [{ file: `${dir}/a.test.yaml`, message: /take more than 0.02 s/ }],
  })
})

t.test(
  'a test asks nothing of the network and of this process',
  { skip: withoutOpa() },
  async (t) => {
    const calls = {
      'opa.runtime': 'opa.runtime().env.PATH',
      'http.send': 'http.send({"method": "get", "url": "http://127.0.0.1:9/"})',
      'net.lookup_ip_addr': 'net.lookup_ip_addr("localhost")',
    }
    for (const [name, call] of Object.entries(calls)) {
      const dir = t.testdir({
        'a.cedar': POLICY,
        'a_test.rego': `package a_test\n\ntest_x if {\n\t${call}\n}\n`,
      })
      await t.rejects(run(dir), { message: new RegExp(`undefined function ${name}`) })
    }
    const dir = t.testdir({
      'a.rego':
        '# METADATA\n# scope: package\n# schemas:\n#   - input: {"$ref": "http://127.0.0.1:9/schema.json"}\npackage a\n\ndeny if input.x\n',
    })
    t.match((await problemsOf(dir)).join(), /remote reference loading disabled/)
  },
)
