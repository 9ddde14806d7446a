export const FINDING_CATEGORIES = [
  'secret',
  'financial',
  'government_id',
  'pii',
  'health',
  'network',
  'code',
  'confidential',
] as const
export type FindingCategory = (typeof FINDING_CATEGORIES)[number]

/** Something detected in content. The value itself is never kept. */
export interface Finding {
  readonly type: string
  readonly category: FindingCategory
  /** Occurrences after normalisation. */
  readonly count: number
  /** 0 to 1. */
  readonly confidence: number
}

/** A place of a finding in the original text, in code points, end exclusive. */
export interface Span {
  readonly type: string
  readonly start: number
  readonly end: number
}
