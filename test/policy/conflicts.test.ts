import t from 'tap'
import type { Conflict, ConflictReport } from '../../src/model/conflict.ts'
import type { Catalogued } from '../../src/policy/conflicts/reach.ts'
import { bruteForce, conflictsIn, lookIn } from '../support/cedar-conflicts.ts'
import { shows } from '../support/conflicts.ts'

/** Those of a type, as `a b severity evidence`. */
function told({ conflicts }: ConflictReport, type: Conflict['type']): readonly string[] {
  return conflicts.flatMap((each) =>
    each.type === type
      ? [[each.policy_a_id, each.policy_b_id, each.severity, each.evidence].join(' ')]
      : [],
  )
}

const ALLOW_ALL = '@id("allow") @priority("900") permit(principal, action, resource);'
const DENY_ALL = '@id("deny") @priority("100") forbid(principal, action, resource);'

t.test('an ALLOW that comes first makes a DENY void', async (t) => {
  const report = await conflictsIn(`${ALLOW_ALL}\n${DENY_ALL}`)
  t.same(told(report, 'contradictory_action'), ['allow deny critical proven'])
  t.same(told(report, 'shadowed'), ['allow deny critical proven'])
  t.same(told(report, 'scope_overlap'), [], 'what is graver says it all')
  t.ok(report.conflicts.every((conflict) => shows(conflict, report.set)))
})

t.test('the other way round nothing is void', async (t) => {
  const report = await conflictsIn(
    `${ALLOW_ALL.replace('900', '100')}\n${DENY_ALL.replace('100', '900')}`,
  )
  t.same(told(report, 'contradictory_action'), ['deny allow low proven'])
  t.same(told(report, 'shadowed'), ['deny allow medium proven'])
  const level = await conflictsIn(`${ALLOW_ALL.replace('900', '100')}\n${DENY_ALL}`)
  t.same(told(level, 'contradictory_action'), ['allow deny medium proven'])
  const strict = await conflictsIn(`${ALLOW_ALL}\n${DENY_ALL}`, { combining: 'most_restrictive' })
  t.same(told(strict, 'contradictory_action'), ['allow deny low proven'])
  t.same(told(strict, 'shadowed'), [])
})

t.test('what does not enforce is less grave', async (t) => {
  const report = await conflictsIn(`${ALLOW_ALL}\n${DENY_ALL.replace('@id', '@mode("warn") @id')}`)
  t.same(told(report, 'contradictory_action'), ['allow deny medium proven'])
})

const NEVER_BOTH: readonly (readonly [string, string, string])[] = [
  [
    'categories',
    'resource in Cordon::Category::"chatbot"',
    'resource in Cordon::Category::"llm_api"',
  ],
  ['services', 'resource == Cordon::Service::"a"', 'resource == Cordon::Service::"b"'],
]
for (const [what, one, other] of NEVER_BOTH) {
  t.test(`two ${what} never meet`, async (t) => {
    const report = await conflictsIn(`
      @id("one") permit(principal, action, ${one});
      @id("other") forbid(principal, action, ${other});`)
    t.same(report.conflicts, [])
    t.equal(report.pairs, 0)
  })
}

const DISJOINT: readonly (readonly [string, string])[] = [
  [
    'resource has risk_score && resource.risk_score < 40',
    'resource has risk_score && resource.risk_score >= 40',
  ],
  [
    'resource has approval_status && resource.approval_status == "approved"',
    'resource has approval_status && resource.approval_status == "prohibited"',
  ],
  ['context has content', '!(context has content)'],
  ['resource has ai && resource.ai', '!(resource has ai && resource.ai)'],
  [
    'principal has groups && principal.groups.contains("a")',
    'principal has groups && !principal.groups.contains("a")',
  ],
  [
    'context has time && context.time has hour && context.time.hour > 8',
    'context has time && context.time has hour && context.time.hour < 9',
  ],
]
for (const [one, other] of DISJOINT) {
  t.test(`${one} and ${other} are never both so`, async (t) => {
    const report = await conflictsIn(`
      @id("one") @priority("900") permit(principal, action, resource) when { ${one} };
      @id("other") @priority("100") forbid(principal, action, resource) when { ${other} };`)
    t.same(told(report, 'contradictory_action'), [])
    t.same(told(report, 'scope_overlap'), ['one other low proven'])
  })
}

t.test('somebody may be in two groups, and in a department and the one above it', async (t) => {
  for (const kind of ['Group', 'Department', 'Role']) {
    const report = await conflictsIn(`
      @id("one") @priority("900") permit(principal in Cordon::${kind}::"a", action, resource);
      @id("other") forbid(principal in Cordon::${kind}::"b", action, resource);`)
    t.same(told(report, 'contradictory_action'), ['one other critical proven'], kind)
    t.equal(shows(report.conflicts[0] as Conflict, report.set), true)
  }
})

t.test('what nobody can put in order', async (t) => {
  const coach = (id: string, message: string): string =>
    `@id("${id}") @obligations("[{\\"type\\":\\"coach\\",\\"parameters\\":{\\"message\\":\\"${message}\\"}}]") permit(principal, action, resource);`
  t.same(told(await conflictsIn(coach('a', 'x') + coach('b', 'y')), 'priority_ambiguity'), [
    'a b medium proven',
  ])
  t.same(told(await conflictsIn(coach('a', 'x') + coach('b', 'x')), 'priority_ambiguity'), [])
  const review = (id: string): string =>
    `@id("${id}") @decision("review") forbid(principal, action, resource);`
  t.same(told(await conflictsIn(review('a') + review('b')), 'priority_ambiguity'), [
    'a b medium proven',
  ])
})

t.test('what can never apply', async (t) => {
  const impossible = `@id("p") forbid(principal, action == Cordon::Action::"paste", resource)
    when { resource has risk_score && resource.risk_score > 50 && resource.risk_score < 50 };`
  const report = await conflictsIn(impossible)
  t.same(told(report, 'unreachable'), ['p  high proven'])
  t.ok(shows(report.conflicts[0] as Conflict, report.set))
  const catalogued: Catalogued = {
    services: [{ id: 'chatgpt', vendor: 'OpenAI', service_type: 'chatbot' }],
    names: { groups: new Set(['staff']) },
  }
  const unreachable = async (head: string) =>
    told(await conflictsIn(`@id("p") permit(${head});`, { catalogued }), 'unreachable').length
  t.equal(await unreachable('principal, action, resource == Cordon::Service::"chatgtp"'), 1)
  t.equal(await unreachable('principal, action, resource == Cordon::Service::"chatgpt"'), 0)
  t.equal(await unreachable('principal, action, resource == Cordon::Service::"unknown"'), 0)
  t.equal(await unreachable('principal in Cordon::Group::"stuff", action, resource'), 1)
  t.equal(
    await unreachable('principal in Cordon::Department::"any", action, resource'),
    0,
    'nobody knows departments here',
  )
})

t.test('two scopes that no service of the catalogue lies in never meet', async (t) => {
  const services = [{ id: 'chatgpt', vendor: 'OpenAI', service_type: 'chatbot' }]
  const both = async (service: string, category: string): Promise<number> => {
    const report = await conflictsIn(
      `@id("a") @priority("900") permit(principal, action, resource == Cordon::Service::"${service}");
      @id("b") forbid(principal, action, resource in Cordon::Category::"${category}");`,
      { catalogued: { services } },
    )
    return told(report, 'contradictory_action').length
  }
  t.equal(await both('chatgpt', 'llm_api'), 0)
  t.equal(await both('chatgpt', 'chatbot'), 1)
  t.equal(await both('ours', 'llm_api'), 1, 'what the catalogue does not know may be anything')
})

t.test('only conflicts of the candidates', async (t) => {
  const report = await conflictsIn(
    `${ALLOW_ALL}\n${DENY_ALL}\n@id("new") @priority("500") forbid(principal, action, resource);`,
    {
      candidates: new Set(['new']),
    },
  )
  t.ok(report.conflicts.length > 0)
  t.ok(report.conflicts.every((each) => [each.policy_a_id, each.policy_b_id].includes('new')))
})

t.test('a fingerprint follows the two texts, and nothing else', async (t) => {
  const of = async (text: string) =>
    (await conflictsIn(text)).conflicts.find(({ type }) => type === 'contradictory_action')
      ?.fingerprint
  const one = await of(`${ALLOW_ALL}\n${DENY_ALL}`)
  t.equal(
    await of(`${ALLOW_ALL}\n@id("third") permit(principal, action, resource);\n${DENY_ALL}`),
    one,
  )
  t.not(
    await of(`${ALLOW_ALL}\n${DENY_ALL.replace('deny', 'deny')} `.replace('"100"', '"101"')),
    one,
  )
})

t.test(
  'a second look compares only what has changed, and tells the same as a first one',
  async (t) => {
    const policies = Array.from(
      { length: 24 },
      (_, at) =>
        `@id("p${at}") @priority("${100 + (at % 3)}") ${at % 2 === 0 ? 'permit' : 'forbid'}(principal, action, resource) when { resource has risk_score && resource.risk_score > ${at} };`,
    )
    const told = ({ report }: Awaited<ReturnType<typeof lookIn>>): readonly string[] =>
      report.conflicts
        .filter(({ type }) => type !== 'scope_overlap')
        .map(({ fingerprint, type, policy_a_id: a }) => `${type} ${a} ${fingerprint}`)
        .toSorted()
    const first = await lookIn(policies.join('\n'))
    const changed = policies.with(5, ALLOW_ALL).slice(0, -1).join('\n')
    const second = await lookIn(changed, first)
    const anew = await lookIn(changed)
    t.same(told(second), told(anew))
    t.equal(second.report.pairs, anew.report.pairs)
    t.ok(second.report.examined < 23, 'one policy with each other one at most')
    t.ok(anew.report.examined > 100)
    const same = await lookIn(changed, second)
    t.equal(same.report.examined, 0)
    t.same(told(same), told(anew))
    const catalogued: Catalogued = { services: [{ id: 'chatgpt' }] }
    const other = await lookIn(changed, same, catalogued)
    t.equal(other.report.examined, anew.report.examined, 'another catalogue: everything anew')
  },
)

t.test('texts that begin in two ways are no one text', async (t) => {
  const pair = async (one: string, other: string) =>
    told(
      await conflictsIn(`
      @id("one") permit(principal, action, resource) when { resource has host && resource.host like "${one}" };
      @id("other") forbid(principal, action, resource) when { resource has host && resource.host like "${other}" };`),
      'contradictory_action',
    ).length
  t.equal(await pair('api.*', 'chat.*'), 0)
  t.equal(await pair('*.example', '*.test'), 0)
  t.equal(await pair('api.*', '*.example'), 1)
  t.equal(await pair('api.*', 'api.eu.*'), 1)
})

t.test('brute force over a small domain agrees', async () => {
  await bruteForce(2)
})
