import type { FindingCategory } from '../model/finding.ts'

/** A value that a detector found: its place in the text that was searched, in UTF-16 units. Never the value. */
export interface Candidate {
  readonly type: string
  readonly category: FindingCategory
  readonly start: number
  readonly end: number
  readonly confidence: number
  /** Values that lie in one encoded run share its number and its place. */
  readonly run?: number
}
