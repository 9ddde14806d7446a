// Which pairs of policies are looked into, those first in which a refusal may be void.

import type { Combining } from '../combine.ts'
import type { Conjunction } from './condition.ts'
import type { PolicySource } from './sources.ts'

/** Whom a policy is to be compared with; undefined: with nobody. */
export type Pass = (
  a: PolicySource,
  combining: Combining,
) => ((b: PolicySource) => boolean) | undefined

/** A refusal that counts, behind something weaker that comes first. */
const voided: Pass = ({ policy, answers }, combining) => {
  if (combining !== 'priority_tiers' || policy.mode !== 'enforce') return undefined
  if (!answers.has('ALLOW') && !answers.has('REVIEW')) return undefined
  return (b) =>
    b.policy.mode === 'enforce' &&
    b.policy.priority < policy.priority &&
    (b.answers.has('DENY') || (answers.has('ALLOW') && b.answers.has('REVIEW')))
}

/** Anything that may be answered differently. */
const differing: Pass = ({ answers }) =>
  answers.size === 0
    ? undefined
    : (b) => [...b.answers.keys()].some((effect) => answers.size > 1 || !answers.has(effect))

/** The same answer, where it matters whose it is: obligations, reviews, severities; and one behind the other. */
const alike: Pass = ({ policy, answers, mayOblige, speaks }, combining) => {
  const isTiered = combining === 'priority_tiers'
  const isBroad = isTiered && policy.mode === 'enforce' && speaks.some(isBroadly)
  return (b) => {
    const isSameTier = !isTiered || b.policy.priority === policy.priority
    if (!isSameTier) return isBroad && b.policy.priority < policy.priority && b.answers.size > 0
    return (
      (mayOblige && b.mayOblige) ||
      (answers.has('REVIEW') && b.answers.has('REVIEW')) ||
      b.policy.severity !== policy.severity
    )
  }
}

export const PASSES: readonly Pass[] = [voided, differing, alike]

/** What the passes look at: policies that are alike in it are compared with the same others. */
export function likeness({ policy, answers, mayOblige, speaks }: PolicySource): string {
  const { priority, mode, severity } = policy
  const effects = [...answers.keys()].join('+')
  return [priority, mode, severity, effects, mayOblige, speaks.some(isBroadly)].join()
}

/** It answers for much, so that others may stand behind it. */
function isBroadly({ atoms, exact }: Conjunction): boolean {
  return exact && atoms.length <= 2
}
