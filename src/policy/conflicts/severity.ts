// How grave is a conflict? By what becomes of a refusal.

import type { Evidence } from '../../model/conflict.ts'
import type { Effect, Severity } from '../../model/decision.ts'
import { SEVERITIES } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { Combining } from '../combine.ts'

const STRENGTH: Readonly<Record<Effect, number>> = { ALLOW: 0, REVIEW: 1, DENY: 2 }

export interface Pair {
  /** Comes first: by priority, then by id. */
  readonly a: PolicyMetadata
  readonly b: PolicyMetadata
  readonly combining: Combining
}

/** Of two that answer differently. */
export function contradictionSeverity(
  { a, b, combining }: Pair,
  saysA: Effect,
  saysB: Effect,
  evidence: Evidence,
): Severity {
  const ordered = combining === 'priority_tiers' && a.priority > b.priority
  if (!ordered) {
    // The stricter one holds.
    const isOpposite = saysA !== 'REVIEW' && saysB !== 'REVIEW'
    const severity = combining === 'most_restrictive' || !isOpposite ? 'low' : 'medium'
    return weaker(severity, a, b, evidence)
  }
  if (STRENGTH[saysA] > STRENGTH[saysB]) return 'low'
  return weaker(saysA === 'ALLOW' && saysB === 'DENY' ? 'critical' : 'high', a, b, evidence)
}

/** Of one that a higher tier never lets decide; undefined: what it says is not known. */
export function shadowSeverity(
  { a, b }: Pair,
  saysA: Effect,
  saysB: Effect,
  evidence: Evidence,
): Severity {
  if (b.mode !== 'enforce') return 'low'
  if (STRENGTH[saysA] > STRENGTH[saysB]) return 'medium'
  if (saysA === saysB) return 'low'
  return weaker(saysA === 'ALLOW' && saysB === 'DENY' ? 'critical' : 'high', a, b, evidence)
}

/** What does not count yet is less grave, and so is what nobody has seen. */
function weaker(
  severity: Severity,
  a: PolicyMetadata,
  b: PolicyMetadata,
  evidence: Evidence,
): Severity {
  const steps =
    (a.mode === 'enforce' && b.mode === 'enforce' ? 0 : 2) + (evidence === 'possible' ? 1 : 0)
  return SEVERITIES[Math.max(0, SEVERITIES.indexOf(severity) - steps)] ?? 'low'
}

/** One that can never apply: a refusal that is missing is the graver. */
export function unreachableSeverity(
  { mode }: PolicyMetadata,
  effects: readonly Effect[],
): Severity {
  if (mode !== 'enforce') return 'low'
  return effects.some((effect) => effect !== 'ALLOW') ? 'high' : 'medium'
}
