import * as fc from 'fast-check'
import t from 'tap'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { readCedar } from '../../src/policy/cedar/read.ts'
import { type Engine, SILENT } from '../../src/policy/engine.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { neighbours, policies } from '../support/policy-arbitraries.ts'
import { RULES } from '../support/policy-rules.ts'

const STATEMENTS = `
@priority("900") @mode("warn") forbid(principal in Cordon::Group::"a", action, resource);
@priority("900") permit(principal, action == Cordon::Action::"paste", resource) when { principal has name && principal.name like "*é*" };
@decision("review") forbid(principal, action, resource in Cordon::Vendor::"c") unless { resource has ai && resource.ai };
@decision("none") @obligations("[{\\"type\\":\\"redact\\"}]") permit(principal, action, resource) when { context has content };
@priority("5") forbid(principal in Cordon::Department::"b", action, resource) when { context has source && context.source == "a" };
@priority("5") permit(principal, action, resource) when { resource has id && resource.id != "a" && principal in Cordon::Role::"c" };
`

function cedarSet(text: string): PolicySet {
  const { policies, problems } = readCedar({ path: 'x.cedar', name: 'x.cedar', text })
  if (problems.length > 0) throw new Error(problems[0]?.message)
  return new PolicySet([new CedarEngine(policies)], 'digest', RULES)
}

t.test('what is remembered is what would be answered anew', async () => {
  const remembering = cedarSet(STATEMENTS)
  // A document with its text is always judged anew.
  const fresh = (input: unknown): string =>
    JSON.stringify(remembering.decide(input, Buffer.from(JSON.stringify(input))))
  const remembered = (input: unknown): string => JSON.stringify(remembering.decide(input))
  fc.assert(
    fc.property(neighbours, ([one, other]) => {
      return remembered(one) === fresh(one) && remembered(other) === fresh(other)
    }),
    { numRuns: 500 },
  )
})

/** Counts how often it is asked; answers by the user's name. */
function counting(reads: readonly string[], error: string | null = null) {
  const asked: unknown[] = []
  const engine: Engine = {
    policies: [
      {
        id: 'p',
        name: 'p',
        language: 'rego',
        file: 'p.rego',
        priority: 1,
        severity: 'low',
        mode: 'enforce',
        scope: {},
        reads,
      },
    ],
    evaluate: (indexes, input) => {
      asked.push(input.document)
      return indexes.map(() => ({ effect: 'ALLOW', reasons: [], obligations: [], error }))
    },
  }
  return { asked, set: new PolicySet([engine], 'digest', RULES) }
}

t.test('an input that differs only where no policy reads is not judged again', async (t) => {
  const { asked, set } = counting(['user.name'])
  for (const id of ['1', '2', '3']) set.decide({ user: { name: 'maya', id } })
  t.equal(asked.length, 1)
  set.decide({ user: { name: 'sam' } })
  set.decide({ user: {} })
  set.decide({})
  t.equal(asked.length, 3, 'an absent field is a value of its own')
  set.decide({ user: { name: 'sam' }, resource: { approval_status: 'prohibited' } })
  t.equal(asked.length, 4, 'the class of traffic counts')
})

const UNLIKE: readonly (readonly [unknown, unknown])[] = [
  ['1', 1],
  ['true', true],
  ['null', null],
  [[], {}],
  [['a', 'b'], ['a,b']],
  ['a\u0000', 'a'],
  [9007199254740993n, 9007199254740992n],
]
for (const [one, other] of UNLIKE) {
  t.test(
    `${String(one)} (${typeof one}) is not taken for ${String(other)} (${typeof other})`,
    async (t) => {
      const { asked, set } = counting(['user.x', 'user.y'])
      set.decide({ user: { x: one } })
      set.decide({ user: { x: other } })
      set.decide({ user: { y: one } })
      t.equal(asked.length, 3)
    },
  )
}

t.test('candidates are forgotten, however many people have some of their own', async (t) => {
  const [OPEN, PEOPLE] = [4000, 90]
  const policy = (id: string, users: readonly string[]): Engine['policies'][number] => ({
    id,
    name: id,
    language: 'rego',
    file: 'p.rego',
    priority: 1,
    severity: 'low',
    mode: 'enforce',
    scope: { users },
    reads: ['user.name'],
  })
  let asked: readonly number[] = []
  const engine: Engine = {
    policies: [
      ...Array.from({ length: OPEN }, (_, number) => policy(`open-${number}`, [])),
      ...Array.from({ length: PEOPLE }, (_, number) => policy(`of-${number}`, [`u${number}`])),
    ],
    evaluate: (indexes) => {
      asked = indexes
      return indexes.map(() => SILENT)
    },
  }
  const set = new PolicySet([engine], 'digest', RULES)
  // An engine is given the same list while the candidates are remembered.
  const listOf = (person: number, name: string): readonly number[] => {
    set.decide({ user: { id: `u${person}`, name } })
    return asked
  }
  const first = listOf(0, 'a')
  t.equal(listOf(0, 'b'), first)
  for (let person = 1; person < PEOPLE; person++) listOf(person, 'a')
  t.not(listOf(0, 'c'), first)
})

t.test('a policy that reads everything is judged every time', async (t) => {
  const { asked, set } = counting([''])
  set.decide({})
  set.decide({})
  t.equal(asked.length, 2)
})

t.test('errors are not remembered', async (t) => {
  const { asked, set } = counting([], 'broken')
  t.equal(set.decide({}).decision, 'DENY')
  set.decide({})
  t.equal(asked.length, 2)
})

t.test('an engine that throws denies, it never allows', async (t) => {
  const { set } = counting([])
  const [policy] = set.policies
  const engine: Engine = {
    policies: policy === undefined ? [] : [policy],
    evaluate: () => {
      throw new RangeError('gone')
    },
  }
  const verdict = new PolicySet([engine], 'digest', RULES).decide({})
  t.match(verdict, { decision: 'DENY', errors: 1, policies_evaluated: [{ error: 'gone' }] })
})

t.test('without any policy the default of the class decides', async (t) => {
  const set = new PolicySet([], '', RULES)
  const of = (resource: unknown): string => set.decide({ resource }).decision
  t.equal(of({ approval_status: 'approved', ai: true }), 'ALLOW')
  t.equal(of({ approval_status: 'review_required' }), 'REVIEW')
  t.equal(of({ approval_status: 'prohibited' }), 'DENY')
  t.equal(of({ approval_status: 'unknown', ai: true }), 'ALLOW')
  t.equal(of(undefined), 'ALLOW')
  t.same(set.decide('no object').policies_evaluated, [])
})

t.test('policies are told in order of priority, then id by code point', async () => {
  fc.assert(
    fc.property(policies(20), (list) => {
      const engine: Engine = {
        policies: list,
        evaluate: (indexes) =>
          indexes.map(() => ({ effect: null, reasons: [], obligations: [], error: null })),
      }
      const set = new PolicySet([engine], '', RULES)
      return set.policies.every(({ priority, id }, at) => {
        const before = set.policies[at - 1]
        if (before === undefined) return true
        return (
          before.priority > priority ||
          (before.priority === priority && codePoints(before.id) < codePoints(id))
        )
      })
    }),
  )
})

function codePoints(text: string): string {
  return Array.from(text, (character) =>
    (character.codePointAt(0) ?? 0).toString(16).padStart(6, '0'),
  ).join('')
}

t.test('the revision follows policies and settings', async (t) => {
  const one = new PolicySet([], 'a', RULES).revision
  t.match(one, /^sha256:[0-9a-f]{64}$/)
  t.equal(new PolicySet([], 'a', RULES).revision, one)
  t.not(new PolicySet([], 'b', RULES).revision, one)
  t.not(new PolicySet([], 'a', { ...RULES, combining: 'most_restrictive' }).revision, one)
})

t.test('which services have policies that want to know what is said', async (t) => {
  const chat = { id: 'chat', service_type: 'chatbot', vendor: 'Acme' }
  const other = { id: 'other', service_type: 'llm_api', vendor: 'Else' }
  const cases: readonly (readonly [string, readonly [boolean, boolean, boolean]])[] = [
    ['permit (principal, action, resource);', [false, false, false]],
    [
      'forbid (principal, action, resource) when { context has content && context.content has parsed && !context.content.parsed };',
      [true, true, true],
    ],
    [
      'forbid (principal, action, resource == Cordon::Service::"chat") when { context has content && context.content has parsed && !context.content.parsed };',
      [true, false, false],
    ],
    [
      'forbid (principal, action, resource in Cordon::Category::"llm_api") when { context has content && context.content has parsed && !context.content.parsed };',
      [false, true, false],
    ],
    [
      'forbid (principal, action, resource) when { resource has model && resource.model == "m" };',
      [true, true, true],
    ],
    [
      '@obligations("[{\\"type\\": \\"redact\\"}]") permit (principal, action, resource);',
      [true, true, true],
    ],
  ]
  for (const [text, expected] of cases) {
    const set = cedarSet(`@id("p")\n${text}`)
    const answers = [chat, other, undefined].map((service) => set.readContent(service))
    t.same(answers, expected, text)
    t.same(
      [chat, other, undefined].map((service) => set.readContent(service)),
      expected,
      'and again',
    )
  }
})
