// Does a witness show its conflict? Asked of the policies themselves, as `cordon policy eval` would.

import type { Conflict } from '../../src/model/conflict.ts'
import type { PolicyEvaluated, Verdict } from '../../src/model/decision.ts'
import { ambiguityBetween } from '../../src/policy/conflicts/ambiguity.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'

export function shows(conflict: Conflict, set: PolicySet): boolean {
  const { type, witness, policy_a_id: a, policy_b_id: b } = conflict
  // What was only not refuted has none.
  if (witness === null) return conflict.evidence === 'possible'
  const read: unknown = JSON.parse(JSON.stringify(witness))
  const verdict = set.decide(read)
  const [saysA, saysB] = [entryOf(verdict, a), entryOf(verdict, b)]
  switch (type) {
    case 'contradictory_action':
      return isAnswer(saysA) && isAnswer(saysB) && saysA?.effect !== saysB?.effect
    case 'shadowed':
      return isAnswer(saysA) && isAnswer(saysB) && verdict.primary_policy_id !== b
    case 'scope_overlap':
      return saysA !== undefined && saysB !== undefined
    case 'unreachable':
      return saysA === undefined || !saysA.matched
    case 'priority_ambiguity': {
      const said = set.outcomes(read, undefined, new Set([a, b ?? '']))
      const [one, other] = [a, b].map((id) => said.find(({ policy }) => policy.id === id))
      return (
        one !== undefined &&
        other !== undefined &&
        ambiguityBetween(
          { a: one.policy, b: other.policy, combining: set.combining.combining },
          one.outcome,
          other.outcome,
        ) !== undefined
      )
    }
  }
}

/** Of one that is shadowed: where it is among those that answered, so is one that stands before it. */
export function isHiddenIn(conflict: Conflict, answered: ReadonlySet<string>): boolean {
  const { type, policy_a_id: a, policy_b_id: b, together_with: others } = conflict
  return (
    type !== 'shadowed' ||
    !answered.has(b ?? '') ||
    [a, ...others].some((each) => answered.has(each))
  )
}

function entryOf({ policies_evaluated }: Verdict, id: string | null): PolicyEvaluated | undefined {
  return policies_evaluated.find(({ policy_id }) => policy_id === id)
}

function isAnswer(entry: PolicyEvaluated | undefined): boolean {
  return entry !== undefined && entry.effect !== null && entry.error === null
}
