// Do statements in slices, over requests cut down to what they read, say what Cedar says of each alone over the whole?

import { createRequire } from 'node:module'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import t from 'tap'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { entityKey, requestMaker } from '../../src/policy/cedar/entities.ts'
import { type CedarPolicy, readCedar } from '../../src/policy/cedar/read.ts'
import { combine } from '../../src/policy/combine.ts'
import { failed, type PolicyOutcome, SILENT } from '../../src/policy/engine.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { Dice } from '../support/dice.ts'
import { RULES } from '../support/policy-rules.ts'
import { randomCedar, randomInput } from '../support/random-policies.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

const STATEMENTS = 24
const INPUTS = 25

t.test(
  'random statements: the verdict is that of each alone, combined by brute force',
  async (t) => {
    const dice = new Dice()
    t.comment(`seed ${dice.seed}`)
    const texts = [
      ...Array.from({ length: STATEMENTS }, (_, number) => randomCedar(dice, number)),
      // One at least overflows, and decides nothing.
      '@id("overflow") @mode("audit") @priority("0") permit(principal, action, resource) when { 9223372036854775807 + 1 > 0 };',
    ]
    const { policies, problems } = readCedar({
      path: 'x.cedar',
      name: 'x.cedar',
      text: texts.join('\n'),
    })
    t.same(problems, [])
    const set = new PolicySet([new CedarEngine(policies)], '', RULES)
    const byId = new Map(policies.map((policy, index) => [policy.metadata.id, texts[index] ?? '']))
    let errors = 0
    for (let round = 0; round < INPUTS; round++) {
      const input = randomInput(dice)
      const alone = new Map(
        policies.map((policy) => [
          policy.metadata.id,
          askAlone(policy, byId.get(policy.metadata.id) ?? '', input),
        ]),
      )
      errors += [...alone.values()].filter(({ error }) => error !== null).length
      // Out of scope is not satisfied: all of them may be combined.
      const wanted = combine(
        set.policies.map((policy) => ({ policy, outcome: alone.get(policy.id) ?? failed('lost') })),
        input,
        RULES,
      )
      for (const verdict of [set.decide(input), set.decide(input)]) {
        t.equal(verdict.decision, wanted.decision, JSON.stringify(input, big))
        t.equal(verdict.reason, wanted.reason)
        t.equal(verdict.primary_policy_id, wanted.primary_policy_id)
        t.equal(verdict.would_be, wanted.would_be)
        const said = verdict.policies_evaluated.filter(
          ({ matched, error }) => matched || error !== null,
        )
        t.same(
          said.map(({ policy_id: id, effect }) => [id, effect]),
          wanted.policies_evaluated
            .filter(({ matched, error }) => matched || error !== null)
            .map(({ policy_id: id, effect }) => [id, effect]),
        )
      }
    }
    t.ok(errors > 0, 'some of them overflow')
  },
)

/** One statement as its author wrote it, over the whole request, by Cedar's stateless interface. */
function askAlone({ outcome }: CedarPolicy, text: string, input: unknown): PolicyOutcome {
  const looks = {
    reads: [''],
    entities: everything(input),
    lists: { sought: new Map(), whole: [''] },
  }
  const request = requestMaker([looks])(input)
  const answer = cedar.isAuthorized({
    ...request,
    validateRequest: false,
    policies: { staticPolicies: { only: text } },
  } as unknown as CedarWasm.AuthorizationCall)
  if (answer.type === 'failure') return failed(answer.errors[0]?.message ?? '')
  const { reason, errors } = answer.response.diagnostics
  const [error] = errors
  if (error !== undefined) return failed(error.error.message)
  return reason.includes('only') ? outcome : SILENT
}

/** Every name in the document as an entity of every type. */
function everything(input: unknown): readonly string[] {
  const names = JSON.stringify(input, big).match(/"[^"]*"/g) ?? []
  return [...names, '"unknown"'].flatMap((name) =>
    ['User', 'Action', 'Service', 'Group', 'Role', 'Department', 'Category', 'Vendor'].map((type) =>
      entityKey(`Cordon::${type}`, JSON.parse(name) as string),
    ),
  )
}

function big(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

t.test('more slices than there is room for, and what is closed is given back', async (t) => {
  const text = Array.from(
    { length: 200 },
    (_, index) =>
      `@id("s${index}") permit(principal in Cordon::Group::"g${index}", action, resource);`,
  ).join('\n')
  const { policies } = readCedar({ path: 'x.cedar', name: 'x.cedar', text })
  const engine = new CedarEngine(policies)
  const ask = (index: number): string | null =>
    engine.evaluate([index, 199 - index], {
      document: { user: { groups: [`g${index}`] } },
      json: () => Buffer.alloc(0),
    })[0]?.effect ?? null
  for (let round = 0; round < 3; round++)
    for (let index = 0; index < 100; index++) t.equal(ask(index), 'ALLOW')
  engine.close()
  t.equal(ask(5), 'ALLOW', 'what is asked again is prepared again')
  engine.close()
})
