// The algebra of combining, against a second implementation and against itself.

import * as fc from 'fast-check'
import t from 'tap'
import type { Verdict } from '../../src/model/decision.ts'
import {
  byCodePoint,
  canonical,
  COMBINING,
  combine,
  type CombineOptions,
  type Evaluated,
} from '../../src/policy/combine.ts'
import { SILENT } from '../../src/policy/engine.ts'
import { naiveVerdict } from '../support/naive-combining.ts'
import { document, evaluated } from '../support/policy-arbitraries.ts'

const word = fc.constantFrom('allow' as const, 'review' as const, 'deny' as const)
const options: fc.Arbitrary<CombineOptions> = fc.record({
  combining: fc.constantFrom(...COMBINING),
  defaults: fc.record({
    approved: word,
    review_required: word,
    prohibited: word,
    unknown_ai: word,
    other: word,
  }),
  onError: fc.constantFrom('deny' as const, 'ignore' as const),
})

function ordered(candidates: readonly Evaluated[]): Evaluated[] {
  return candidates.toSorted(
    (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
  )
}

function judge(candidates: readonly Evaluated[], input: unknown, rules: CombineOptions): Verdict {
  return combine(ordered(candidates), input, rules)
}

function obligationsOf({ obligations }: Verdict): readonly string[] {
  return obligations.map(({ type, parameters }) => canonical({ type, parameters })).toSorted()
}

/** What a request comes to; whose it was is left out. */
function outcomeOf(verdict: Verdict): string {
  return canonical([verdict.decision, verdict.would_be, obligationsOf(verdict)])
}

t.test('it is what the text of INTERFACES says', async () => {
  fc.assert(
    fc.property(evaluated(10), document, options, (candidates, input, rules) => {
      const verdict = judge(candidates, input, rules)
      const naive = naiveVerdict(candidates, input, rules)
      return (
        canonical({
          decision: verdict.decision,
          primary: verdict.primary_policy_id,
          would_be: verdict.would_be,
          obligations: obligationsOf(verdict),
          matched: verdict.policies_evaluated.flatMap(({ policy_id: id, matched }) =>
            matched ? [id] : [],
          ),
        }) === canonical(naive)
      )
    }),
    { numRuns: 600 },
  )
})

t.test('deny-overrides does not look at the order: other ids come to the same', async () => {
  fc.assert(
    fc.property(
      evaluated(8),
      document,
      options,
      fc.infiniteStream(fc.nat(1e6)),
      (candidates, input, rules, names) => {
        const renamed = candidates.map((each) => ({
          ...each,
          policy: { ...each.policy, id: `${String(names.next().value)}/${each.policy.id}` },
        }))
        return (
          outcomeOf(judge(renamed, input, rules)) === outcomeOf(judge(candidates, input, rules))
        )
      },
    ),
  )
})

t.test('first-applicable: what stands behind the tier that decides changes no answer', async () => {
  fc.assert(
    fc.property(evaluated(6), evaluated(6), document, options, (candidates, more, input, given) => {
      const rules = { ...given, combining: 'priority_tiers' as const }
      const enforcing = candidates.map((each) => ({
        ...each,
        policy: { ...each.policy, mode: 'enforce' as const, priority: each.policy.priority + 1 },
      }))
      const before = judge(enforcing, input, rules)
      if (before.primary_policy_id === null) return true
      const behind = more.map((each) => ({
        policy: { ...each.policy, id: `${each.policy.id}~`, priority: 0 },
        // Obligations without an answer are added from everywhere, and so are not asked of here.
        outcome: { ...each.outcome, effect: each.outcome.effect ?? ('ALLOW' as const) },
      }))
      const after = judge([...enforcing, ...behind], input, rules)
      return (
        after.decision === before.decision &&
        after.primary_policy_id === before.primary_policy_id &&
        after.reason === before.reason &&
        canonical(obligationsOf(after)) === canonical(obligationsOf(before))
      )
    }),
  )
})

t.test('most_restrictive is one tier', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, given) => {
      const level = candidates.map((each) => ({
        ...each,
        policy: { ...each.policy, priority: 7 },
      }))
      return (
        outcomeOf(judge(candidates, input, { ...given, combining: 'most_restrictive' })) ===
        outcomeOf(judge(level, input, { ...given, combining: 'priority_tiers' }))
      )
    }),
  )
})

t.test('most_restrictive is monotone: one policy more is never more lenient', async () => {
  const strength = { ALLOW: 0, REVIEW: 1, DENY: 2 }
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, given) => {
      const rules = { ...given, combining: 'most_restrictive' as const }
      const [one, ...rest] = candidates
      if (one === undefined) return true
      const fewer = judge(rest, input, rules)
      return (
        fewer.primary_policy_id === null ||
        strength[judge(candidates, input, rules).decision] >= strength[fewer.decision]
      )
    }),
  )
})

t.test('would_be is the decision if every policy enforced', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, rules) => {
      const verdict = judge(candidates, input, rules)
      const enforced = judge(
        candidates.map((each) => ({
          ...each,
          policy: { ...each.policy, mode: 'enforce' as const },
        })),
        input,
        rules,
      )
      return (verdict.would_be ?? verdict.decision) === enforced.decision
    }),
  )
})

t.test('an error is a DENY without obligations, or nothing', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, rules) => {
      const stands = candidates.map((each): Evaluated =>
        each.outcome.error === null
          ? each
          : {
              ...each,
              outcome: rules.onError === 'deny' ? { ...SILENT, effect: 'DENY' } : SILENT,
            },
      )
      return outcomeOf(judge(candidates, input, rules)) === outcomeOf(judge(stands, input, rules))
    }),
  )
})

t.test('a policy in warn or audit changes nothing that is done', async () => {
  fc.assert(
    fc.property(evaluated(8), document, options, (candidates, input, rules) => {
      const enforcing = candidates.filter(({ policy }) => policy.mode === 'enforce')
      const all = judge(candidates, input, rules)
      const some = judge(enforcing, input, rules)
      return (
        all.decision === some.decision &&
        all.primary_policy_id === some.primary_policy_id &&
        canonical(obligationsOf(all)) === canonical(obligationsOf(some))
      )
    }),
  )
})

t.test('what only obliges joins every ALLOW and REVIEW, never a DENY', async () => {
  fc.assert(
    fc.property(evaluated(6), document, options, (candidates, input, rules) => {
      const adds = {
        policy: {
          id: 'adds',
          name: 'adds',
          language: 'cedar',
          file: 'x.cedar',
          scope: {},
          reads: [],
          mode: 'enforce',
          priority: 3,
          severity: 'low',
        },
        outcome: {
          ...SILENT,
          obligations: [{ type: 'justify', parameters: { message: 'why?' } }],
        },
      } as Evaluated
      const without = judge(candidates, input, rules)
      const verdict = judge([...candidates, adds], input, rules)
      const isJoined = verdict.obligations.some(({ type }) => type === 'justify')
      const entry = verdict.policies_evaluated.find(({ policy_id: id }) => id === 'adds')
      return (
        verdict.decision === without.decision &&
        isJoined === (verdict.decision !== 'DENY') &&
        entry?.matched === isJoined &&
        entry.effect === null
      )
    }),
  )
})
