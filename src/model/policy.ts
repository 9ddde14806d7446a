// A policy's metadata and scope, whichever language it is written in (INTERFACES section 4).

import type { Mode, Severity } from './decision.ts'

export const SCOPE_KEYS = [
  'departments',
  'groups',
  'users',
  'roles',
  'services',
  'categories',
  'vendors',
  'actions',
  'sources',
  'labels',
] as const
export type ScopeKey = (typeof SCOPE_KEYS)[number]
/** OR inside a list, AND between lists; a missing or empty list means all. */
export type Scope = Readonly<Partial<Record<ScopeKey, readonly string[]>>>

export interface PolicyMetadata {
  readonly id: string
  readonly name: string
  readonly language: 'rego' | 'cedar'
  readonly file: string
  /** Where its annotations begin, or the policy itself. */
  readonly line?: number
  readonly version?: string
  readonly description?: string
  readonly priority: number
  readonly severity: Severity
  readonly mode: Mode
  readonly scope: Scope
  readonly framework?: string
  readonly article?: string
  /** What the person is told instead of the reason, with places such as `{service}` (src/policy/explain-words.ts). */
  readonly explanation?: string
  /** Paths of the input document that the policy can read, dotted (`user.department.name`); `['']`: all of it. */
  readonly reads: readonly string[]
  /** Whether it may oblige to redact, as far as its text tells. */
  readonly redacts?: boolean
}
