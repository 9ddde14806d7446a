// Policies that have nothing but a scope, compared with every request of a small domain: what contradicts and what never
// decides is found, no more and no less.

import * as fc from 'fast-check'
import t from 'tap'
import type { Effect } from '../../src/model/decision.ts'
import { type PolicyMetadata, SCOPE_KEYS, type Scope } from '../../src/model/policy.ts'
import { byCodePoint, type Evaluated } from '../../src/policy/combine.ts'
import { ALWAYS } from '../../src/policy/conflicts/condition.ts'
import { findConflicts, type Judged } from '../../src/policy/conflicts/find.ts'
import type { PolicySource } from '../../src/policy/conflicts/sources.ts'
import { valuesOf } from '../../src/policy/scope.ts'
import { isHiddenIn } from '../support/conflicts.ts'
import { RULES } from '../support/policy-rules.ts'

interface Plain {
  readonly effect: Effect
  readonly priority?: number
  readonly mode?: 'enforce' | 'warn'
  readonly scope: Scope
}

function sourcesOf(plain: readonly Plain[]): readonly PolicySource[] {
  return plain
    .map(({ effect, priority = 100, mode = 'enforce', scope }, at): PolicySource => {
      const policy: PolicyMetadata = {
        id: `p${at}`,
        name: `p${at}`,
        language: 'cedar',
        file: 'x.cedar',
        priority,
        severity: 'medium',
        mode,
        scope,
        reads: [],
      }
      const kind = JSON.stringify([effect, scope])
      return {
        policy,
        digest: `${at} ${kind}`,
        hangsOn: `${at} ${kind}`,
        kind,
        answers: new Map([[effect, ALWAYS]]),
        speaks: ALWAYS,
        obliges: [],
        mayOblige: false,
        constants: [],
        impossible: false,
      }
    })
    .toSorted(
      (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
    )
}

function judging(sources: readonly PolicySource[]): Judged & { asked: number } {
  return {
    combining: { ...RULES, combining: 'priority_tiers' },
    asked: 0,
    outcomes(document, _json, only) {
      this.asked += 1
      return sources.flatMap(({ policy, answers }): readonly Evaluated[] => {
        const isAsked = only?.has(policy.id) !== false && inScope(policy.scope, document)
        const [effect = null] = answers.keys()
        const outcome = { effect, reasons: [], obligations: [], error: null }
        return isAsked ? [{ policy, outcome }] : []
      })
    },
  }
}

function inScope(scope: Scope, document: unknown): boolean {
  return SCOPE_KEYS.every((key) => {
    const names = scope[key] ?? []
    return names.length === 0 || valuesOf(key, document).some((one) => names.includes(one))
  })
}

const some = (...names: string[]) => fc.subarray(names)
const plainPolicy = fc.record({
  effect: fc.constantFrom<Effect>('ALLOW', 'DENY', 'REVIEW'),
  priority: fc.constantFrom(100, 200, 300),
  mode: fc.constantFrom('enforce', 'enforce', 'warn'),
  scope: fc.record({
    departments: some('d1', 'd2'),
    groups: fc.oneof(fc.constant([]), some('g1', 'g2')),
    services: some('s1', 's2', 'unknown'),
    actions: fc.oneof(fc.constant([]), some('a1', 'a2')),
  }),
}) satisfies fc.Arbitrary<Plain>

const DOMAIN = [[], ['d1'], ['d2'], ['d1', 'd2']].flatMap((path) =>
  [[], ['g1'], ['g2'], ['g1', 'g2']].flatMap((groups) =>
    ['s1', 's2', 's3', undefined].flatMap((id) =>
      ['a1', 'a2', 'a3'].map((action) => ({
        user: { id: 'u', groups, department: { name: path.at(-1) ?? 'd3', path } },
        action,
        resource: id === undefined ? {} : { id },
        context: { source: 'proxy' },
      })),
    ),
  ),
)

t.test('what contradicts, and what never decides, is found: no more and no less', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(plainPolicy, { minLength: 2, maxLength: 6 }),
      async (plain: readonly Plain[]) => {
        const sources = sourcesOf(plain)
        const policies = judging(sources)
        const { conflicts, complete } = await findConflicts({ policies, sources })
        const told = (type: string): readonly string[] =>
          conflicts
            .filter((each) => each.type === type)
            .map(({ policy_a_id: a, policy_b_id: b }) => `${a} ${b}`)
        const contradicting = new Set<string>()
        const asked = new Set<string>()
        const decidesSomewhere = new Set<string>()
        for (const request of DOMAIN) {
          const said = policies.outcomes(request)
          const ids = new Set(said.map(({ policy }) => policy.id))
          for (const conflict of conflicts)
            if (!isHiddenIn(conflict, ids)) throw new Error(`not so: ${conflict.says}`)
          for (const [at, one] of said.entries()) {
            asked.add(one.policy.id)
            const isBehind = said.some(
              ({ policy }) => policy.mode === 'enforce' && policy.priority > one.policy.priority,
            )
            if (!isBehind) decidesSomewhere.add(one.policy.id)
            for (const other of said.slice(at + 1))
              if (one.outcome.effect !== other.outcome.effect)
                contradicting.add(`${one.policy.id} ${other.policy.id}`)
          }
        }
        const hidden = [...asked].filter((id) => !decidesSomewhere.has(id))
        const toldHidden = new Set(told('shadowed').map((pair) => pair.split(' ')[1] ?? ''))
        same(told('contradictory_action').toSorted(), [...contradicting].toSorted())
        same([...toldHidden].toSorted(), hidden.toSorted())
        if (!complete) throw new Error('not complete')
        for (const { type, witness, policy_a_id: a, policy_b_id: b } of conflicts) {
          if (type === 'unreachable') continue
          const ids = new Set(policies.outcomes(witness).map(({ policy }) => policy.id))
          if (!ids.has(a) || !ids.has(b ?? '')) throw new Error(`no witness of ${type} ${a} ${b}`)
        }
      },
    ),
    { numRuns: 60 },
  )
})

function same(one: readonly string[], other: readonly string[]): void {
  if (one.join() !== other.join()) throw new Error(`told: ${one.join()}; so: ${other.join()}`)
}

t.test('one policy for each of two services stand before one for both', async (t) => {
  const look = async (...services: string[][]) => {
    const sources = sourcesOf([
      { effect: 'ALLOW', priority: 200, scope: { services: services[0] ?? [] } },
      { effect: 'ALLOW', priority: 300, scope: { services: services[1] ?? [] } },
      { effect: 'DENY', scope: { services: services[2] ?? [], groups: ['g'] } },
    ])
    const { conflicts } = await findConflicts({ policies: judging(sources), sources })
    return conflicts
      .filter(({ type }) => type === 'shadowed')
      .map(({ severity, evidence, policy_b_id: b, policy_a_id: a, together_with: others }) =>
        [severity, evidence, [a, ...others].toSorted().join('+'), b].join(' '),
      )
  }
  t.same(await look(['a'], ['b'], ['a', 'b']), ['critical proven p0+p1 p2'])
  t.same(await look(['a'], ['b'], ['a', 'b', 'c']), [])
  t.same(await look(['a', 'b'], ['b'], ['a', 'b']), ['critical proven p0 p2'])
  t.same(await look(['a'], [], ['a', 'b']), ['critical proven p1 p2', 'low proven p1 p0'])
})

t.test('many policies without scopes are few questions', async (t) => {
  const sources = sourcesOf(
    Array.from({ length: 200 }, (_, at): Plain => ({
      effect: at % 2 === 0 ? 'ALLOW' : 'DENY',
      scope: {},
    })),
  )
  const policies = judging(sources)
  const report = await findConflicts({ policies, sources })
  t.match(report, { pairs: 19_900, examined: 10_000, left_out: 0, complete: true })
  t.equal(report.conflicts.filter(({ type }) => type === 'contradictory_action').length, 10_000)
  t.ok(policies.asked < 10, `${policies.asked}`)
})

t.test('what is cancelled tells what it left out, and how far it came', async (t) => {
  const sources = sourcesOf(
    Array.from({ length: 100 }, (_, at): Plain => ({
      effect: at % 2 === 0 ? 'ALLOW' : 'DENY',
      scope: {},
    })),
  )
  const over = new AbortController()
  const parts: number[] = []
  const report = await findConflicts({
    policies: judging(sources),
    sources,
    signal: over.signal,
    onProgress: (part) => {
      parts.push(part)
      if (part > 0.2) over.abort()
    },
  })
  t.equal(report.complete, false)
  t.equal(report.examined + report.left_out, 2500)
  t.ok(report.left_out > 0)
  t.match(report.notes, [/pairs that may disagree.*were not looked into: it was cancelled/])
  t.same(
    parts,
    parts.toSorted((a, b) => a - b),
  )
})
