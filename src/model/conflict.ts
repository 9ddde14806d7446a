// What is wrong between policies, or with one alone (docs/reference/conflicts.md).

import type { Severity } from './decision.ts'

/** The gravest kind first. */
export const CONFLICT_TYPES = [
  'contradictory_action',
  'shadowed',
  'priority_ambiguity',
  'unreachable',
  'scope_overlap',
] as const
/**
 * contradictory_action: both answer a request, and differently. shadowed: a higher tier always answers first, one policy or some together.
 * priority_ambiguity: what both say cannot be put in order. unreachable: it can never apply. scope_overlap: both are
 * asked for some requests.
 */
export type ConflictType = (typeof CONFLICT_TYPES)[number]

export const EVIDENCE = ['proven', 'witnessed', 'possible'] as const
/**
 * proven: it follows from the conditions, and the witness shows it. witnessed: the witness shows it. possible: nothing
 * speaks against it, and no request was found that shows it.
 */
export type Evidence = (typeof EVIDENCE)[number]

export interface Conflict {
  readonly type: ConflictType
  /** The one that comes first: by priority, then by id. */
  readonly policy_a_id: string
  /** Null where only one policy is concerned. */
  readonly policy_b_id: string | null
  /** More of them: only together with the first one do they always answer before the second. */
  readonly together_with: readonly string[]
  readonly severity: Severity
  readonly evidence: Evidence
  /** One sentence. */
  readonly says: string
  /** A whole input document: `cordon policy eval` shows the conflict with it. Null where none was found. */
  readonly witness: Readonly<Record<string, unknown>> | null
  /** The same as long as neither policy changes, sha256 in hex. */
  readonly fingerprint: string
}

export interface ConflictReport {
  /** The gravest first. */
  readonly conflicts: readonly Conflict[]
  readonly policies: number
  /** Pairs of policies whose scopes meet. */
  readonly pairs: number
  /** Pairs that may disagree, of those and of others that may meet, and were looked into. */
  readonly examined: number
  /** Pairs that may disagree and were not looked into. */
  readonly left_out: number
  /** Whether everything was looked into. */
  readonly complete: boolean
  /** What was not looked at, and why. */
  readonly notes: readonly string[]
}
