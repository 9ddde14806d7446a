// Conflicts and explanations of Rego: conditions from OPA's syntax tree, failed expressions from its trace.

import * as fc from 'fast-check'
import t from 'tap'
import type { Conflict } from '../../src/model/conflict.ts'
import { conflictsOf } from '../../src/policy/conflicts/of-folders.ts'
import { explain } from '../../src/policy/explain.ts'
import { readFolder } from '../../src/policy/folder.ts'
import { failedExpressions } from '../../src/policy/rego/trace.ts'
import { isHiddenIn, shows } from '../support/conflicts.ts'
import { folderOf, loadDirs, toolchain, withoutOpa } from '../support/policy-folder.ts'

const skip = withoutOpa()
const policy = (id: string, priority: number, body: string): string => `# METADATA
# scope: package
# custom:
#   cordon:
#     id: ${id}
#     priority: ${priority}
package acme.${id}

${body}
`

async function look(
  t: Parameters<typeof folderOf>[0],
  files: Readonly<Record<string, string>>,
  tools = toolchain(),
) {
  const dir = folderOf(t, files)
  const set = await loadDirs([dir])
  const report = await conflictsOf(set, [readFolder(dir)], tools, {})
  for (const conflict of report.conflicts)
    t.ok(shows(conflict, set), `the witness shows it: ${JSON.stringify(conflict)}`)
  return { set, report, dir }
}

function told(conflicts: readonly Conflict[]): readonly string[] {
  return conflicts
    .filter(({ type }) => type !== 'scope_overlap')
    .map((each) =>
      [each.type, each.policy_a_id, each.policy_b_id, each.severity, each.evidence].join(' '),
    )
}

t.test('conditions of Rego are understood', { skip }, async (t) => {
  const cases: readonly (readonly [string, string, string, readonly string[]])[] = [
    [
      'comparisons',
      'allow if input.resource.risk_score < 40',
      'deny if input.resource.risk_score >= 40',
      [],
    ],
    [
      'helpers and constants',
      'local if "local_llm" in input.resource.capabilities\n\nallow if local',
      'limit := 10\n\nlocal if "local_llm" in input.resource.capabilities\n\ndeny if {\n\tnot local\n\tinput.user.risk_score > limit\n}',
      [],
    ],
    [
      'members of a constant set',
      'good := {"approved", "review_required"}\n\nallow if input.resource.approval_status in good',
      'deny if input.resource.approval_status == "prohibited"',
      [],
    ],
    [
      'items of a list',
      'allow if input.user.groups[_] == "staff"',
      'deny contains "no" if {\n\tsome finding in input.content.findings\n\tfinding.type == "api_key"\n\tfinding.count > 3\n}',
      ['contradictory_action one other critical proven'],
    ],
    [
      'texts',
      'allow if startswith(input.resource.host, "api.")',
      'deny if endswith(input.resource.host, ".example")',
      ['contradictory_action one other critical proven'],
    ],
    [
      'what is not understood is tried',
      'allow if input.user.risk_score + 5 < 50',
      'deny if count(input.user.groups) > 1',
      ['contradictory_action one other critical witnessed'],
    ],
    [
      'one behind the other',
      'allow if input.resource.ai',
      'deny if {\n\tinput.resource.ai\n\tinput.action == "paste"\n}',
      ['contradictory_action one other critical proven', 'shadowed one other critical proven'],
    ],
    [
      'a default is no answer',
      'default allow := false',
      'deny if input.resource.ai',
      ['unreachable one  medium proven'],
    ],
  ]
  for (const [what, one, other, expected] of cases) {
    await t.test(what, async (t) => {
      const { report } = await look(t, {
        'one.rego': policy('one', 900, one),
        'other.rego': policy('other', 100, other),
      })
      t.same(told(report.conflicts), expected)
    })
  }
})

t.test('rules of a library in the same package count too', { skip }, async (t) => {
  const { report } = await look(t, {
    'one.rego': policy('one', 900, 'allow if good\n\ngood if input.action == "paste"'),
    'more.rego': 'package acme.one\n\ngood if input.action == "send_prompt"\n',
    'other.rego': policy('other', 100, 'deny if input.action == "send_prompt"'),
  })
  t.match(told(report.conflicts), ['contradictory_action one other critical proven'])
})

t.test('without OPA requests are tried', { skip }, async (t) => {
  const none = { find: () => undefined, run: () => Promise.reject(new Error('none')) }
  const { report } = await look(
    t,
    {
      'one.rego': policy('one', 900, 'allow if input.resource.approval_status == "approved"'),
      'other.rego': policy('other', 100, 'deny if "interns" in input.user.groups'),
    },
    none as never,
  )
  t.match(told(report.conflicts), ['contradictory_action one other critical witnessed'])
  t.match(report.notes, [/OPA is not installed/])
})

const CONDITIONS = [
  'input.user.risk_score > 50',
  'input.user.risk_score <= 50',
  'not input.user.risk_score',
  'input.resource.approval_status == "approved"',
  'input.resource.approval_status != "approved"',
  'input.context.time.hour < 8',
  '"a" in input.user.groups',
  'not "a" in input.user.groups',
  'input.user.groups[_] == "b"',
  'helper',
  'not helper',
  'input.action in {"paste", "upload_file"}',
]
const DOMAIN = [[], ['a'], ['b'], ['a', 'b']].flatMap((groups) =>
  [undefined, 3, 10].flatMap((hour) =>
    [undefined, 0, 50, 100].flatMap((score) =>
      ['approved', 'prohibited', undefined].flatMap((status) =>
        ['send_prompt', 'paste'].map((action) => ({
          user: { id: 'u', groups, ...(score === undefined ? {} : { risk_score: score }) },
          action,
          resource: {
            id: 's',
            ai: true,
            ...(status === undefined ? {} : { approval_status: status }),
          },
          context: { source: 'proxy', ...(hour === undefined ? {} : { time: { hour } }) },
        })),
      ),
    ),
  ),
)
const body = fc
  .array(
    fc.record({
      rule: fc.constantFrom('allow if', 'deny if', 'review if', 'deny contains "no" if'),
      conditions: fc.array(fc.constantFrom(...CONDITIONS), { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 2 },
  )
  .filter((rules) => {
    const kinds = rules.filter(({ rule }) => rule.startsWith('deny')).map(({ rule }) => rule)
    return new Set(kinds).size <= 1
  })
  .map((rules) =>
    [
      'helper if input.resource.approval_status in {"approved"}',
      'helper if input.user.risk_score == 100',
      ...rules.map(({ rule, conditions }) => `${rule} {\n\t${conditions.join('\n\t')}\n}`),
    ].join('\n\n'),
  )

t.test('brute force finds no contradiction that is not told', { skip }, async (t) => {
  // One folder with many policies, because OPA takes seconds for each.
  const bodies = fc.sample(body, { numRuns: 40, seed: 7 })
  const files = Object.fromEntries(
    bodies.map((text, at) => [`p${at}.rego`, policy(`p${at}`, at % 2 === 0 ? 500 : 100, text)]),
  )
  const { set, report } = await look(t, files)
  const known = new Set(
    report.conflicts.map((each) => `${each.type} ${each.policy_a_id} ${each.policy_b_id}`),
  )
  const missing = new Set<string>()
  const answered = new Set<string>()
  const wrong = new Set<string>()
  for (const input of DOMAIN) {
    const said = set
      .decide(input)
      .policies_evaluated.filter(({ effect, error }) => effect !== null && error === null)
    const ids = new Set(said.map(({ policy_id: id }) => id))
    for (const [at, one] of said.entries()) {
      answered.add(one.policy_id)
      for (const other of said.slice(at + 1)) {
        const name = `contradictory_action ${one.policy_id} ${other.policy_id}`
        if (one.effect !== other.effect && !known.has(name)) missing.add(name)
      }
    }
    for (const conflict of report.conflicts)
      if (!isHiddenIn(conflict, ids)) wrong.add(conflict.says)
  }
  t.same([...missing], [])
  t.same([...wrong], [])
  for (const { type, policy_a_id: a } of report.conflicts)
    if (type === 'unreachable') t.notOk(answered.has(a), `${a} is reached`)
})

t.test('which rule is undefined, and which expression failed at which row', { skip }, async (t) => {
  const dir = folderOf(t, {
    'one.rego': policy(
      'one',
      900,
      'deny contains "no keys" if {\n\tinput.resource.ai\n\tinput.content.bytes > limit\n}\n\nlimit := data.limits.most',
    ),
    'data.json': '{"limits": {"most": 1000}}',
  })
  const set = await loadDirs([dir])
  const input = { resource: { ai: true, name: 'Chat' }, content: { bytes: 10 } }
  const trace = (policies: Parameters<typeof failedExpressions>[2], document: unknown) =>
    failedExpressions([readFolder(dir)], toolchain(), policies, document)
  const silent = await explain(set, input, { trace })
  t.match(silent.candidates, [
    {
      policy_id: 'one',
      effect: null,
      rules: [{ rule: 'deny', outcome: 'does not hold' }],
      failed: [{ row: 11, text: 'input.content.bytes > limit' }],
      values: [
        { path: 'content.bytes', value: 10 },
        { path: 'resource.ai', value: true },
      ],
    },
  ])
  const inner = folderOf(t, {
    'one.rego': policy(
      'one',
      900,
      'local if "local_llm" in input.resource.capabilities\n\nhigh := [x | some x in input.content.list; x > 3]\n\ndeny if {\n\tnot local\n\tcount(high) > 5\n}',
    ),
  })
  const told = await explain(
    await loadDirs([inner]),
    { resource: { capabilities: ['chat'] }, content: { list: [1, 9] } },
    {
      trace: (policies, document) =>
        failedExpressions([readFolder(inner)], toolchain(), policies, document),
    },
  )
  t.same(
    told.candidates[0]?.failed?.map(({ text }) => text),
    ['count(high) > 5'],
    'what fails behind a not, or for one item, is no reason',
  )
  const denied = await explain(set, { ...input, content: { bytes: 2000 } }, { trace })
  t.match(denied.candidates, [
    {
      effect: 'DENY',
      rules: [{ rule: 'deny', outcome: 'holds', reasons: ['no keys'] }],
      failed: undefined,
    },
  ])
  const without = await explain(set, input, {
    trace: (policies, document) =>
      failedExpressions([readFolder(dir)], { find: () => undefined } as never, policies, document),
  })
  t.match(without.limits, [/OPA is not installed/])
})
