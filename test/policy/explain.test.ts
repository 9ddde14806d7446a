import * as fc from 'fast-check'
import t from 'tap'
import type { Explanation } from '../../src/model/explanation.ts'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { readCedar } from '../../src/policy/cedar/read.ts'
import { canonical, type CombineOptions } from '../../src/policy/combine.ts'
import { type Engine, SILENT } from '../../src/policy/engine.ts'
import { inWords } from '../../src/policy/explain-words.ts'
import { explain, type ExplainOptions } from '../../src/policy/explain.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { document } from '../support/policy-arbitraries.ts'
import { RULES } from '../support/policy-rules.ts'

const POLICIES = `
@id("secrets") @priority("900") @reason("the text holds a secret")
@explanation("{service} may not get secrets. Take it out, or use {alternative}.")
forbid(principal, action, resource)
when { resource has ai && resource.ai && context has content && context.content has finding_types
  && context.content.finding_types.contains("api_key") };
@id("sales") @priority("500") permit(principal in Cordon::Department::"Sales", action, resource);
@id("uploads") @priority("500") @mode("warn") forbid(principal, action == Cordon::Action::"upload_file", resource);
@id("coach") @decision("none") @obligations("[{\\"type\\":\\"coach\\",\\"parameters\\":{\\"message\\":\\"think first\\"}}]")
permit(principal, action, resource) unless { principal has status && principal.status == "suspended" };
`

function cedarSet(text: string, rules: Partial<CombineOptions> = {}): PolicySet {
  const { policies, problems } = readCedar({ path: 'x.cedar', name: 'x.cedar', text })
  if (problems.length > 0) throw new Error(problems[0]?.message)
  return new PolicySet([new CedarEngine(policies)], 'digest', { ...RULES, ...rules })
}

const MAYA = {
  id: 'u-1',
  name: 'Maya',
  known: true,
  department: { name: 'Sales', path: ['Sales'] },
}
const CHAT = { id: 'chatgpt', name: 'ChatGPT', ai: true, known: true, approval_status: 'approved' }
const INPUT = { user: MAYA, action: 'send_prompt', resource: CHAT, context: { source: 'proxy' } }
const SECRET = { ...INPUT, content: { finding_types: ['api_key'], text: 'sk-live-not-a-real-one' } }

function about(input: unknown, options: ExplainOptions = {}): Promise<Explanation> {
  return explain(cedarSet(POLICIES), input, options)
}

function candidate({ candidates }: Explanation, id: string) {
  return candidates.find(({ policy_id: each }) => each === id)
}

t.test('an explanation explains the decision that is made', async () => {
  const set = cedarSet(POLICIES.replaceAll('Sales', 'a').replaceAll('api_key', 'b'))
  await fc.assert(
    fc.asyncProperty(document, async (input) => {
      const verdict = set.decide(input)
      const told = await explain(set, input)
      const decides = told.steps.filter((step) => step.decides)
      return (
        told.decision === verdict.decision &&
        told.reason === verdict.reason &&
        told.primary_policy_id === verdict.primary_policy_id &&
        told.would_be === verdict.would_be &&
        canonical(told.obligations.map(({ type, parameters }) => ({ type, parameters }))) ===
          canonical(verdict.obligations) &&
        told.default.applied === (verdict.primary_policy_id === null) &&
        decides.length === (verdict.primary_policy_id === null ? 0 : 1) &&
        told.candidates_total + told.not_asked_total === set.policies.length
      )
    }),
    { numRuns: 25 },
  )
})

t.test('which step decides, and what the others are', async (t) => {
  const told = await about(SECRET)
  t.match(told, {
    decision: 'DENY',
    primary_policy_id: 'secrets',
    combining: { algorithm: 'priority_tiers', xacml: /first-applicable.*deny-overrides/ },
    steps: [
      { priority: 900, answer: 'DENY', decides: true },
      { priority: 500, answer: 'ALLOW', decides: false, says: /too late/ },
      { priority: 100, answer: null, decides: false },
    ],
  })
  t.match(candidate(told, 'secrets'), { part: 'decides', xacml: 'Deny' })
  t.match(candidate(told, 'sales'), { part: 'overruled', xacml: 'Permit' })
  t.match(candidate(told, 'coach'), { part: 'none', xacml: 'NotApplicable' })
})

t.test('obligations tell whose they are', async (t) => {
  const told = await about(INPUT)
  t.match(told.obligations, [{ type: 'coach', from: ['coach'], because: 'added' }])
  t.match(candidate(told, 'coach'), { part: 'adds obligations', effect: null })
})

t.test('what warn and audit would have changed', async (t) => {
  const told = await about({ ...INPUT, action: 'upload_file' })
  t.match(told, { decision: 'ALLOW', would_be: 'DENY', would_be_because: /uploads \(warn\)/ })
  t.match(candidate(told, 'uploads'), { part: 'would have decided', mode: 'warn' })
})

t.test(
  'why a policy was not asked: the list that it wants, and the value that was seen',
  async (t) => {
    const told = await about({
      ...INPUT,
      user: { ...MAYA, department: { name: 'Law', path: ['Acme', 'Law'] } },
    })
    t.match(told.not_asked, [
      {
        policy_id: 'sales',
        missed: [{ dimension: 'departments', wanted: ['Sales'], seen: ['Law', 'Acme'] }],
      },
      {
        policy_id: 'uploads',
        missed: [{ dimension: 'actions', wanted: ['upload_file'], seen: ['send_prompt'] }],
      },
    ])
    t.same(told.not_asked_by, { departments: 1, actions: 1 })
  },
)

t.test('which part of a statement does not hold, and what was not reached', async (t) => {
  const told = candidate(await about(INPUT), 'secrets')
  t.same(
    told?.clauses?.map(({ outcome }) => outcome),
    ['holds', 'holds', 'does not hold', 'not reached', 'not reached'],
  )
  t.match(told?.clauses?.[2]?.text, /when \{.*content/)
  t.match(told?.why, /does not hold: when \{/)
  const suspended = { ...INPUT, user: { ...MAYA, status: 'suspended' } }
  t.match(candidate(await about(suspended), 'coach')?.clauses, [
    { outcome: 'does not hold', text: /^unless/ },
  ])
})

t.test('values are those that records keep', async (t) => {
  const told = await explain(
    cedarSet(
      '@id("p") forbid(principal, action, resource) when { context has content && resource has model && resource.model like "*x*" && resource has path && principal has email && principal.email like "*@*" };',
    ),
    {
      ...SECRET,
      user: { ...MAYA, email: 'maya@acme.example' },
      resource: { ...CHAT, model: 'sk-live-not-a-real-one', path: '/a?token=1' },
      content: {
        ...SECRET.content,
        findings: [
          {
            type: 'api_key',
            category: 'secret',
            count: 1,
            confidence: 1,
            value: 'sk-live-not-a-real-one',
          },
        ],
        attachments: [{ kind: 'file', filename: 'salaries.xlsx' }],
      },
    },
  )
  const text = JSON.stringify(told) + inWords(told)
  for (const word of ['sk-live', 'token=1', 'salaries']) t.notMatch(text, word)
  const values = told.candidates[0]?.values ?? []
  t.match(
    values.find(({ path }) => path === 'resource.model'),
    { left_out: /found/ },
  )
  t.match(
    values.find(({ path }) => path === 'content.findings'),
    { value: [{ type: 'api_key', count: 1 }] },
  )
  t.match(
    values.find(({ path }) => path === 'user.email'),
    { value: 'maya@acme.example' },
  )
  const shown = await explain(
    cedarSet(POLICIES),
    { ...INPUT, user: { ...MAYA, status: 'active' } },
    { pseudonymous: true },
  )
  t.notMatch(JSON.stringify(shown.candidates), 'Maya')
})

t.test('the person reads no word of this business', async (t) => {
  const denied = await about(SECRET, { alternative: 'Claude' })
  t.equal(denied.for_the_person, 'ChatGPT may not get secrets. Take it out, or use Claude.')
  const alone = await about(SECRET)
  t.match(alone.for_the_person, 'or use an approved service.')
  const cases: readonly (readonly [object, RegExp])[] = [
    [
      { ...INPUT, resource: { ...CHAT, approval_status: 'prohibited' }, user: {} },
      /ChatGPT was not let through: it is not approved for your work\./,
    ],
    [
      { ...INPUT, resource: { ...CHAT, approval_status: 'review_required' }, user: {} },
      /waits for somebody to look at it/,
    ],
    [INPUT, /was let through. Please note: think first$/],
  ]
  for (const [input, expected] of cases) {
    const { for_the_person: text } = await about(input)
    t.match(text, expected)
    t.notMatch(text, /polic|tier|priorit|effect|DENY|obligation|undefined/i)
  }
})

t.test('an exception is told, and what it lifted does not vote', async (t) => {
  const told = await about(SECRET, { excepted: new Set(['secrets']) })
  t.match(told, { decision: 'ALLOW', primary_policy_id: 'sales' })
  t.match(candidate(told, 'secrets'), { part: 'lifted', effect: 'DENY' })
})

t.test('an error is Indeterminate', async (t) => {
  const broken =
    '@id("broken") forbid(principal, action, resource) when { principal has risk_score && principal.risk_score + 9223372036854775807 > 0 };'
  const input = { ...INPUT, user: { ...MAYA, risk_score: 5 } }
  for (const [onError, effect] of [
    ['deny', 'DENY'],
    ['ignore', null],
  ] as const) {
    const told = await explain(cedarSet(broken, { onError }), input)
    t.match(candidate(told, 'broken'), { xacml: 'Indeterminate{D}', effect, error: /overflow/ })
    t.notMatch(told.for_the_person, /overflow|broken/)
  }
})

t.test('what the record does not have is not guessed', async (t) => {
  const set = cedarSet(
    '@id("p") @priority("9") forbid(principal, action, resource) when { principal has email && principal.email like "*@acme.example" };',
  )
  const entry = {
    policy_id: 'p',
    policy_name: 'p',
    matched: true,
    priority: 9,
    effect: 'DENY' as const,
    mode: 'enforce' as const,
    error: null,
  }
  const told = await explain(set, INPUT, {
    masked: ['user.email'],
    recorded: [entry],
    basis: 'revision',
  })
  t.match(told, {
    decision: 'DENY',
    limits: [/does not have user.email/],
    candidates: [
      { policy_id: 'p', effect: 'DENY', cannot_tell: ['user.email'], why: /^cannot tell/ },
    ],
  })
  t.notOk(told.candidates[0]?.clauses, 'parts that were judged without it would mislead')
})

t.test('words and JSON are bounded, whatever is asked', async (t) => {
  const engine: Engine = {
    policies: Array.from({ length: 400 }, (_, at) => ({
      id: `p${at}`,
      name: 'p',
      language: 'cedar',
      file: 'x.cedar',
      priority: 100,
      severity: 'low',
      mode: 'enforce',
      scope: { groups: [`g${at % 2}`] },
      reads: [''],
    })),
    evaluate: (indexes) => indexes.map(() => ({ ...SILENT, effect: 'ALLOW' })),
  }
  const set = new PolicySet([engine], 'digest', RULES)
  const told = await explain(set, { user: { groups: ['g0'], id: 'x'.repeat(100_000) } })
  t.equal(told.candidates.length, 200)
  t.equal(told.candidates_total, 200)
  t.equal(told.not_asked.length, 100)
  t.equal(told.not_asked_total, 200)
  t.match(inWords(told), '100 more; --policy ID tells of one')
  const one = await explain(set, {}, { only: new Set(['p7']) })
  t.equal(one.not_asked_total, 1)
})

t.test('an explanation names only places that are filled in', async (t) => {
  const problemsOf = (text: string): readonly string[] =>
    readCedar({ path: 'x.cedar', name: 'x.cedar', text }).problems.map(({ message }) => message)
  const statement = (text: string): string =>
    `@explanation(${JSON.stringify(text)}) forbid(principal, action, resource);`
  t.same(problemsOf(statement('Use {alternative}, not {service}: {reason} {action}.')), [])
  t.match(problemsOf(statement('Use {servce}.')), [/place \{servce\}.*did you mean "service"/])
  t.match(problemsOf(statement('x'.repeat(1001))), [/1 to 1000 characters/])
  t.match(problemsOf(statement('')), [/1 to 1000 characters/])
})

t.test('what only obliges says whether that counts, and names are one or the other', async (t) => {
  t.match(candidate(await about(INPUT), 'coach')?.why, /it adds its obligations$/)
  t.match(candidate(await about(SECRET), 'coach')?.why, /its obligations do not count here$/)
  const scoped = cedarSet(
    '@id("p") permit(principal, action in [Cordon::Action::"paste", Cordon::Action::"upload_file"], resource);',
  )
  t.match(
    inWords(await explain(scoped, INPUT)),
    /p: actions must be paste or upload_file, and it is send_prompt/,
  )
})
