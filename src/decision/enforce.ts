// From what the policies say to what is done: catalogue monitor mode, the point's mode, the door's abilities.
//
// Each step only ever weakens a refusal by an explicit setting, except the last: an obligation that the
// door cannot perform turns letting through into DENY (fail closed).

import type { Effect, Mode, Obligation, Verdict } from '../model/decision.ts'
import type { Finding } from '../model/finding.ts'
import type { ContentInput } from '../model/input.ts'

/** What REVIEW does to a request (`policy.review`). */
export type ReviewHandling = 'refuse' | 'allow' | 'hold'

export interface Circumstances {
  readonly pointMode: Mode
  /** The catalogue entry is recorded, never enforced. */
  readonly monitor: boolean
  readonly review: ReviewHandling
  readonly capabilities: readonly string[]
  readonly content: ContentInput | undefined
  /** It was let through before: what had to be taken out of it was. */
  readonly isOpen?: boolean
}

export interface Enforced {
  readonly decision: Effect
  readonly reason: string
  readonly obligations: readonly Obligation[]
  readonly would_be: Effect | null
  /** An obligation could not be performed, so that letting through became DENY. */
  readonly unperformed: boolean
}

const NONE: readonly Obligation[] = []
/** Performed by recording the decision, which every door does. */
const PERFORMED_BY_RECORDING = 'notify'

export function enforce(verdict: Verdict, circumstances: Circumstances): Enforced {
  if (circumstances.monitor || circumstances.pointMode !== 'enforce') return observed(verdict)
  const { decision, reason, obligations, would_be } = verdict
  const letsThrough =
    decision === 'ALLOW' || (decision === 'REVIEW' && circumstances.review === 'allow')
  if (!letsThrough || obligations.length === 0)
    return { decision, reason, obligations, would_be, unperformed: false }

  const missing = obligations.filter((obligation) => !isPerformed(obligation, circumstances))
  if (missing.length === 0) return { decision, reason, obligations, would_be, unperformed: false }
  const names = [...new Set(missing.map(({ type }) => type))].join(', ')
  return {
    decision: 'DENY',
    reason: `${names} is required and cannot be done here${reason === '' ? '' : `: ${reason}`}`,
    obligations: NONE,
    would_be: would_be === 'DENY' ? null : would_be,
    unperformed: true,
  }
}

/** Nothing is refused; `would_be` tells what would have been. */
function observed({ decision, reason, would_be }: Verdict): Enforced {
  const answer = decision === 'ALLOW' ? would_be : decision
  return { decision: 'ALLOW', reason, obligations: NONE, would_be: answer, unperformed: false }
}

function isPerformed(
  obligation: Obligation,
  { capabilities, content, isOpen }: Circumstances,
): boolean {
  if (obligation.type === PERFORMED_BY_RECORDING) return true
  if (obligation.type === 'redact') {
    if (isOpen === true) return true
    const seen = content !== undefined && content.classified && content.parsed && !content.truncated
    if (!seen) return false
    return capabilities.includes('redact') || !hasSomethingToRedact(obligation, content)
  }
  return capabilities.includes(obligation.type)
}

function hasSomethingToRedact(obligation: Obligation, { findings }: ContentInput): boolean {
  return findings.some((finding) => concerns(obligation, finding))
}

/** `redact` {types?, categories?}: with neither, every finding. */
export function concerns({ parameters }: Obligation, { type, category }: Finding): boolean {
  const types = listOf(parameters['types'])
  const categories = listOf(parameters['categories'])
  if (types === undefined && categories === undefined) return true
  return types?.includes(type) === true || categories?.includes(category) === true
}

function listOf(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined
}
