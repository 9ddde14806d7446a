// Why a decision came out as it did (docs/reference/combining.md says what each part means).

import type { Effect, Mode, Obligation } from './decision.ts'

/** XACML 3.0's word for what one policy says; Review stands between Deny and Permit. */
export type XacmlDecision = 'Deny' | 'Review' | 'Permit' | 'NotApplicable' | 'Indeterminate{D}'

/** What the explanation is made from. */
export type ExplanationBasis =
  /** The policies at hand were asked. */
  | 'evaluated'
  /** The policies of the revision that the decision was made under were asked again. */
  | 'revision'
  /** That revision is not at hand: what the record tells, and nothing more. */
  | 'record'

/** A value that a policy read. Exactly one of `value`, `absent` and `left_out` is there. */
export interface ReadValue {
  /** Dotted, below `input`. */
  readonly path: string
  readonly value?: unknown
  readonly absent?: true
  /** Why it is not shown. */
  readonly left_out?: string
}

export interface ExplainedRule {
  readonly rule: string
  readonly outcome: 'holds' | 'does not hold' | 'undefined' | 'error'
  readonly reasons?: readonly string[]
  readonly error?: string
}

export interface ExplainedClause {
  readonly text: string
  readonly outcome: 'holds' | 'does not hold' | 'not reached' | 'error'
  readonly error?: string
}

/** An expression of Rego that failed, as OPA's trace tells it. */
export interface FailedExpression {
  readonly file: string
  readonly row: number
  readonly text: string
}

export interface ExplainedCandidate {
  readonly policy_id: string
  readonly policy_name: string
  readonly priority: number
  readonly mode: Mode
  readonly language?: 'rego' | 'cedar'
  /** Where it stands. */
  readonly file?: string
  readonly line?: number
  /** What it says; an error counts as `policy.on_error` wants. */
  readonly effect: Effect | null
  readonly xacml: XacmlDecision
  readonly reasons: readonly string[]
  readonly obligations: readonly Obligation[]
  readonly error: string | null
  readonly part:
    | 'decides'
    | 'agrees'
    | 'adds obligations'
    | 'overruled'
    | 'would have decided'
    /** An exception lifted it: it did not vote. */
    | 'lifted'
    | 'none'
  /** One sentence. */
  readonly why: string
  readonly rules?: readonly ExplainedRule[]
  readonly clauses?: readonly ExplainedClause[]
  readonly failed?: readonly FailedExpression[]
  readonly values: readonly ReadValue[]
  /** Fields that it reads and the record does not have: what it says now need not be what it said. */
  readonly cannot_tell?: readonly string[]
}

/** A policy that was not asked, and the dimensions of its scope that did not hold. */
export interface NotAsked {
  readonly policy_id: string
  readonly policy_name: string
  readonly priority: number
  readonly mode: Mode
  readonly missed: readonly {
    readonly dimension: string
    readonly wanted: readonly string[]
    /** How many more are wanted than `wanted` shows. */
    readonly more?: number
    readonly seen: readonly string[]
    /** The record does not have the field: it may have held. */
    readonly cannot_tell?: true
  }[]
}

/** One step of the combining: a tier of equal priority, or under `most_restrictive` all policies. */
export interface Step {
  readonly priority: number | null
  readonly policies: readonly string[]
  readonly answer: Effect | null
  readonly decides: boolean
  readonly says: string
}

export interface Explanation {
  /** Of a recorded decision. */
  readonly decision_id?: string
  readonly time?: string
  readonly decision: Effect
  readonly reason: string
  readonly primary_policy_id: string | null
  readonly would_be: Effect | null
  readonly basis: ExplanationBasis
  readonly revision: {
    readonly id: string
    /** Whether it is what decides today. */
    readonly in_force: boolean
  }
  /** What an explanation of this kind cannot know, in sentences. */
  readonly limits: readonly string[]
  readonly combining: {
    readonly algorithm: string
    readonly xacml: string
    readonly on_error: string
  }
  readonly steps: readonly Step[]
  readonly default: {
    readonly class: string
    readonly effect: Effect
    /** Whether it decided. */
    readonly applied: boolean
  }
  readonly obligations: readonly (Obligation & {
    readonly from: readonly string[]
    readonly because: 'decides' | 'added'
  })[]
  readonly would_be_because: string | null
  /** What happened after the policies had spoken: mode, monitor, review, exception, a door that could not. */
  readonly afterwards: readonly string[]
  readonly candidates: readonly ExplainedCandidate[]
  readonly candidates_total: number
  readonly not_asked: readonly NotAsked[]
  readonly not_asked_total: number
  /** How often each dimension kept a policy from being asked. */
  readonly not_asked_by: Readonly<Record<string, number>>
  /** For whoever asked: one paragraph without any word of this business. */
  readonly for_the_person: string
}
