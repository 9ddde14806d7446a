import type { FindingCategory } from '../model/finding.ts'

/** A value that a detector found: its place in the view that was searched, in UTF-16 units. */
export interface Candidate {
  readonly type: string
  readonly category: FindingCategory
  readonly start: number
  readonly end: number
  readonly confidence: number
}
