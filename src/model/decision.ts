// The Decision: a value, the same through every door (INTERFACES section 3).

import type { Finding, Span } from './finding.ts'

export const EFFECTS = ['ALLOW', 'DENY', 'REVIEW'] as const
export type Effect = (typeof EFFECTS)[number]

export const MODES = ['enforce', 'warn', 'audit'] as const
/** enforce: applied. warn: passes, client and ledger are told. audit: ledger only. */
export type Mode = (typeof MODES)[number]

export const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

export interface Obligation {
  readonly type: string
  readonly parameters: Readonly<Record<string, unknown>>
}

export interface PolicyEvaluated {
  readonly policy_id: string
  readonly policy_name: string
  readonly matched: boolean
  readonly priority: number
  readonly effect: Effect | null
  readonly mode: Mode
  readonly error: string | null
}

/** What the policies alone say of an input document: no door, no point mode, no ids. */
export interface Verdict {
  readonly decision: Effect
  readonly reason: string
  readonly primary_policy_id: string | null
  readonly policies_evaluated: readonly PolicyEvaluated[]
  readonly obligations: readonly Obligation[]
  /** The answer with warn and audit policies counted as enforcing; null where it is `decision`. */
  readonly would_be: Effect | null
  /** Of the violation that a DENY or REVIEW makes: the primary policy's; medium without one. */
  readonly severity: Severity
  /** Reasons of matched warn policies that would have denied or held, for `X-Cordon-Warning`. */
  readonly warnings: readonly string[]
  /** Whether any candidate policy read `input.content`: then the answer must not be reused. */
  readonly read_content: boolean
  /** How many candidates erred (counted in `cordon_policy_errors_total`). */
  readonly errors: number
}

/** The document that callers and the ledger get; every key is always present. */
export interface Decision {
  readonly decision_id: string
  readonly decision: Effect
  readonly reason: string
  readonly confidence: number
  readonly risk_score: number | null
  readonly primary_policy_id: string | null
  readonly policies_evaluated: readonly PolicyEvaluated[]
  readonly obligations: readonly Obligation[]
  readonly service: { readonly id: string; readonly name: string } | null
  readonly findings: readonly Finding[]
  readonly review_id: string | null
  /** That lets through what would be refused; of several the first, the record has all. */
  readonly exception_id: string | null
  readonly would_be: Effect | null
  /** Seconds a door may reuse the answer for an identical request; 0 where content decided. */
  readonly ttl: number
  readonly revision: string
  readonly evaluation_us: number
  readonly spans?: readonly Span[]
}
