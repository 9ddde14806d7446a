// Policies of the database: files with a life of their own (docs/decisions/0009-policy-life.md).

/** A file as the active policies of the store have it; `path` is relative, with `/`, as below a policy folder. */
export interface StoredFile {
  readonly path: string
  readonly text: string
}

export const POLICY_STATUSES = ['draft', 'review', 'approved', 'active', 'archived'] as const
/** Where a version is on its way: written, submitted, approved by a second person, in force, over. */
export type PolicyStatus = (typeof POLICY_STATUSES)[number]

export const POLICY_TYPES = ['policy', 'library', 'data', 'test'] as const
/** What a file is to the others; all but policies have their path as id. */
export type PolicyType = (typeof POLICY_TYPES)[number]

export const POLICY_LANGUAGES = ['rego', 'cedar', 'json', 'yaml'] as const
export type PolicyLanguage = (typeof POLICY_LANGUAGES)[number]
