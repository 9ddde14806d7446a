// What both languages give: a list of policies, and what each of some of them says of an input.

import type { Effect, Obligation } from '../model/decision.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { ReadTree } from './projection.ts'
import type { QuarantineListener } from './quarantine.ts'

/** What one policy says. `effect: null` with obligations: it only adds them. */
export interface PolicyOutcome {
  readonly effect: Effect | null
  readonly reasons: readonly string[]
  readonly obligations: readonly Obligation[]
  readonly error: string | null
}

export const SILENT: PolicyOutcome = { effect: null, reasons: [], obligations: [], error: null }

export function failed(error: string): PolicyOutcome {
  return { effect: null, reasons: [], obligations: [], error }
}

/** An input document in the forms that engines want, made at most once a request. */
export interface EngineInput {
  readonly document: unknown
  /** The document as JSON with exact integers. */
  json(): Uint8Array
  /** As JSON what policies with these reads can see of it; absent where the whole must be given. */
  readonly part?: (reads: ReadTree) => string
}

/** What stands behind an outcome: asked for by explanations only. */
export interface PolicyDetail {
  /** Rego: rules of the convention that exist, each with its value; without one it is undefined. */
  readonly rules?: readonly RuleValue[]
  /** Cedar: the parts of the statement, all of which must hold, in their order. */
  readonly clauses?: readonly ClauseValue[]
}

export interface RuleValue {
  readonly rule: string
  readonly value?: unknown
  readonly error?: string
}

export interface ClauseValue {
  /** As Cedar writes it. */
  readonly text: string
  /** Null: not reached, because one before it does not hold. */
  readonly holds: boolean | null
  readonly error?: string
}

export interface Engine {
  readonly policies: readonly PolicyMetadata[]
  /**
   * The outcomes of the policies at these indexes, in the same order. Never throws. What an engine prepares
   * for a list it keeps as long as that list (the same array) is around.
   */
  evaluate(indexes: readonly number[], input: EngineInput): readonly PolicyOutcome[]
  /** What stands behind the outcome of one policy; slow. Never throws. */
  detail?(index: number, input: EngineInput): PolicyDetail
  /** Tells of policies that take too long again and again, where the engine holds them. */
  onQuarantine?(listener: QuarantineListener): void
  /** Frees what the engine holds outside of JavaScript's memory. */
  close?(): void
}
