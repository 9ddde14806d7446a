// In which order pairs of policies are looked into: those first in which a refusal may be void.

import type { Effect } from '../../model/decision.ts'
import type { Combining } from '../combine.ts'
import type { PolicySource } from './sources.ts'

/** Whom a policy is to be compared with; undefined: with nobody. */
export type Pass = (
  a: PolicySource,
  combining: Combining,
) => ((b: PolicySource) => boolean) | undefined

/** A refusal that counts, behind something weaker that comes first. */
export const voided: Pass = ({ policy, answers }, combining) => {
  if (combining !== 'priority_tiers' || policy.mode !== 'enforce') return undefined
  if (!answers.has('ALLOW') && !answers.has('REVIEW')) return undefined
  return (b) =>
    b.policy.mode === 'enforce' &&
    b.policy.priority < policy.priority &&
    (b.answers.has('DENY') || (answers.has('ALLOW') && b.answers.has('REVIEW')))
}

/** ALLOW and DENY in one tier. */
const level: Pass = ({ policy, answers }, combining) => {
  const opposite = (['ALLOW', 'DENY'] as const).filter((effect) =>
    answers.has(effect === 'ALLOW' ? 'DENY' : 'ALLOW'),
  )
  if (combining !== 'priority_tiers' || opposite.length === 0) return undefined
  return (b) =>
    b.policy.priority === policy.priority && opposite.some((effect) => b.answers.has(effect))
}

/** Anything that may be answered differently. */
const differing: Pass = ({ answers }) => {
  const other = EFFECTS.filter((effect) => answers.size > 1 || !answers.has(effect))
  return answers.size === 0 ? undefined : (b) => other.some((effect) => b.answers.has(effect))
}

/** The same answer in one tier, where it matters whose it is. */
const alike: Pass = (a, combining) => (b) =>
  (combining !== 'priority_tiers' || b.policy.priority === a.policy.priority) &&
  mayBeAmbiguous(a, b)

const EFFECTS: readonly Effect[] = ['ALLOW', 'REVIEW', 'DENY']

export const PASSES: readonly Pass[] = [voided, level, differing, alike]

/** Obligations, reviews, and severities of what is refused. */
export function mayBeAmbiguous(a: PolicySource, b: PolicySource): boolean {
  if (a.mayOblige && b.mayOblige) return true
  if (a.answers.has('REVIEW') && b.answers.has('REVIEW')) return true
  return a.policy.severity !== b.policy.severity && a.answers.has('DENY') && b.answers.has('DENY')
}

/** What the passes look at: policies that are alike in it are compared with the same others. */
export function likeness({ policy, answers, mayOblige }: PolicySource): string {
  const { priority, mode, severity } = policy
  return [priority, mode, severity, [...answers.keys()].join('+'), mayOblige].join()
}
