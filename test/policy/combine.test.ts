import * as fc from 'fast-check'
import t from 'tap'
import type { Effect } from '../../src/model/decision.ts'
import {
  byCodePoint,
  canonical,
  COMBINING,
  combine,
  type CombineOptions,
  type Evaluated,
} from '../../src/policy/combine.ts'
import { document, evaluated } from '../support/policy-arbitraries.ts'
import { RULES } from '../support/policy-rules.ts'

const options: fc.Arbitrary<CombineOptions> = fc.record({
  combining: fc.constantFrom(...COMBINING),
  defaults: fc.constant(RULES.defaults),
  onError: fc.constantFrom('deny' as const, 'ignore' as const),
})

function ordered(candidates: readonly Evaluated[]): Evaluated[] {
  return candidates.toSorted(
    (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
  )
}

/** INTERFACES section 4, "Combining", by brute force over the priorities. */
function answer(candidates: readonly Evaluated[], rules: CombineOptions): Effect | undefined {
  const said = candidates.map(({ policy, outcome }) => ({
    priority: policy.priority,
    effect: outcome.error === null ? outcome.effect : rules.onError === 'deny' ? 'DENY' : null,
  }))
  const tiers =
    rules.combining === 'most_restrictive'
      ? [said]
      : Array.from({ length: 1001 }, (_, at) =>
          said.filter(({ priority }) => priority === 1000 - at),
        )
  for (const tier of tiers)
    for (const effect of ['DENY', 'REVIEW', 'ALLOW'] as const)
      if (tier.some((each) => each.effect === effect)) return effect
  return undefined
}

function fallback(input: unknown): Effect {
  const resource = (input as { resource?: { approval_status?: string; ai?: boolean } | null })
    .resource
  const status = resource?.approval_status
  if (status === 'prohibited') return 'DENY'
  return status === 'review_required' ? 'REVIEW' : 'ALLOW'
}

t.test('decision, would_be and primary are those of brute force', async () => {
  fc.assert(
    fc.property(evaluated(12), document, options, (candidates, input, rules) => {
      const verdict = combine(ordered(candidates), input, rules)
      const enforcing = candidates.filter(({ policy }) => policy.mode === 'enforce')
      const decided = answer(enforcing, rules)
      const decision = decided ?? fallback(input)
      const would = answer(candidates, rules) ?? fallback(input)
      const primary = ordered(enforcing).find(({ outcome }) =>
        outcome.error === null
          ? outcome.effect === decided
          : rules.onError === 'deny' && decided === 'DENY',
      )
      return (
        verdict.decision === decision &&
        verdict.would_be === (would === decision ? null : would) &&
        verdict.primary_policy_id ===
          (decided === undefined ? null : (primary?.policy.id ?? 'none'))
      )
    }),
    { numRuns: 500 },
  )
})

t.test('a policy that says the same again changes nothing', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, rules) => {
      const twice = candidates.flatMap((each) => [
        each,
        { ...each, policy: { ...each.policy, id: `${each.policy.id}~` } },
      ])
      const one = combine(ordered(candidates), input, rules)
      const two = combine(ordered(twice), input, rules)
      return (
        one.decision === two.decision &&
        one.would_be === two.would_be &&
        obligations(one) === obligations(two)
      )
    }),
  )
})

t.test('no obligation comes from nowhere, none is told twice', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, rules) => {
      const verdict = combine(ordered(candidates), input, rules)
      const offered = new Set(
        candidates.flatMap(({ outcome }) => outcome.obligations.map(canonical)),
      )
      const given = verdict.obligations.map(canonical)
      return new Set(given).size === given.length && given.every((each) => offered.has(each))
    }),
  )
})

function obligations(verdict: { obligations: readonly unknown[] }): string {
  return verdict.obligations.map(canonical).toSorted().join()
}

type Row = readonly [
  id: string,
  priority: number,
  effect: Effect | null,
  more?: {
    obligations?: readonly string[]
    mode?: 'warn' | 'audit'
    error?: string
    reasons?: string[]
  },
]

function verdictOf(rows: readonly Row[], rules: Partial<CombineOptions> = {}) {
  const candidates = rows.map(([id, priority, effect, more = {}]): Evaluated => ({
    policy: {
      id,
      name: `Policy ${id}`,
      language: 'cedar',
      file: 'x.cedar',
      priority,
      severity: 'high',
      mode: more.mode ?? 'enforce',
      scope: {},
      reads: [],
    },
    outcome: {
      effect,
      reasons: more.reasons ?? [],
      obligations: (more.obligations ?? []).map((type) => ({ type, parameters: {} })),
      error: more.error ?? null,
    },
  }))
  const input = { resource: { ai: true, approval_status: 'review_required' } }
  const verdict = combine(ordered(candidates), input, { ...RULES, ...rules })
  return {
    decision: verdict.decision,
    primary: verdict.primary_policy_id,
    would_be: verdict.would_be,
    obligations: verdict.obligations.map(({ type }) => type),
    matched: verdict.policies_evaluated.flatMap(({ policy_id, matched, effect }) =>
      matched ? [`${policy_id}:${effect}`] : [],
    ),
  }
}

t.test('the first tier with an answer decides', async (t) => {
  t.same(
    verdictOf([
      ['low', 1, 'DENY'],
      ['b', 5, 'ALLOW'],
      ['a', 5, 'ALLOW'],
    ]),
    {
      decision: 'ALLOW',
      primary: 'a',
      would_be: null,
      obligations: [],
      matched: ['a:ALLOW', 'b:ALLOW', 'low:DENY'],
    },
  )
})

t.test('most_restrictive takes the strictest of all tiers and their obligations', async (t) => {
  const rows: Row[] = [
    ['low', 1, 'DENY', { obligations: ['notify'] }],
    ['b', 5, 'ALLOW', { obligations: ['redact'] }],
    ['c', 9, 'DENY', { obligations: ['coach'] }],
  ]
  t.match(verdictOf(rows, { combining: 'most_restrictive' }), {
    decision: 'DENY',
    primary: 'c',
    obligations: ['coach', 'notify'],
  })
})

t.test(
  'obligations without an answer join an ALLOW or REVIEW of any tier, never a DENY',
  async (t) => {
    const adds: Row = ['adds', 0, null, { obligations: ['redact'] }]
    t.match(verdictOf([adds, ['x', 9, 'ALLOW']]), {
      obligations: ['redact'],
      matched: ['x:ALLOW', 'adds:null'],
    })
    t.match(verdictOf([adds]), { decision: 'REVIEW', primary: null, obligations: ['redact'] })
    t.match(verdictOf([adds, ['x', 9, 'DENY']]), { obligations: [], matched: ['x:DENY'] })
    const warns: Row = ['warns', 9, null, { obligations: ['redact'], mode: 'warn' }]
    t.same(verdictOf([warns]).obligations, [], 'only enforcing policies add')
  },
)

t.test('obligations of the tier are those of policies with the winning effect', async (t) => {
  const rows: Row[] = [
    ['a', 5, 'REVIEW', { obligations: ['coach'] }],
    ['b', 5, 'ALLOW', { obligations: ['redact'] }],
    ['c', 4, 'REVIEW', { obligations: ['notify'] }],
  ]
  t.same(verdictOf(rows).obligations, ['coach'])
})

t.test('warn and audit policies only show in would_be', async (t) => {
  t.match(
    verdictOf([
      ['w', 9, 'DENY', { mode: 'warn' }],
      ['e', 5, 'ALLOW'],
    ]),
    {
      decision: 'ALLOW',
      primary: 'e',
      would_be: 'DENY',
    },
  )
  t.match(
    verdictOf([
      ['w', 9, 'ALLOW', { mode: 'audit' }],
      ['e', 5, 'DENY'],
    ]),
    {
      decision: 'DENY',
      would_be: 'ALLOW',
    },
  )
})

t.test('an erring policy is a DENY of its own tier and mode, or nothing', async (t) => {
  const errs: Row = ['errs', 9, 'ALLOW', { error: 'broken', obligations: ['redact'] }]
  t.match(verdictOf([errs, ['e', 5, 'ALLOW']]), {
    decision: 'DENY',
    primary: 'errs',
    obligations: [],
  })
  t.match(verdictOf([errs, ['e', 5, 'ALLOW']], { onError: 'ignore' }), {
    decision: 'ALLOW',
    primary: 'e',
    matched: ['e:ALLOW'],
  })
  const warns: Row = ['warns', 9, null, { error: 'broken', mode: 'warn' }]
  t.match(verdictOf([warns, ['e', 5, 'ALLOW']]), { decision: 'ALLOW', would_be: 'DENY' })
})

t.test('the reason is that of the primary policy, sorted and joined', async (t) => {
  const policy = {
    id: 'p',
    name: 'P',
    language: 'cedar',
    file: 'x',
    priority: 1,
    severity: 'low',
    mode: 'enforce',
    scope: {},
    reads: [],
  } as const
  const said = (reasons: string[]): string =>
    combine(
      [{ policy, outcome: { effect: 'DENY', reasons, obligations: [], error: null } }],
      {},
      RULES,
    ).reason
  t.equal(said(['b', 'a', 'b']), 'a; b')
  t.equal(said([]), 'P', 'its name where it gives none')
})
