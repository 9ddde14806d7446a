// Policies and versions as people and programs read them.

import type { PolicyMetadata } from '../model/policy.ts'
import type { PolicyLanguage, PolicyStatus, PolicyType } from '../model/stored-policy.ts'
import type {
  HistoryEntry,
  PolicyHead,
  VersionListed,
  VersionMetadata,
  VersionRow,
} from '../store/policy-versions.ts'

/** Whoever did something; the name is null for who is not in the directory, and where people are shown by pseudonyms. */
export interface Person {
  readonly id: string
  readonly name: string | null
}

/** A policy, of the store or of a folder; what a text does not say is null. */
export interface PolicyView {
  readonly policy_id: string
  readonly origin: 'store' | 'folder'
  readonly type: PolicyType
  readonly language: PolicyLanguage
  readonly name: string
  readonly description: string | null
  readonly status: PolicyStatus
  readonly version: string | null
  readonly priority: number | null
  readonly severity: string | null
  readonly mode: string | null
  readonly scope: Readonly<Record<string, readonly string[]>>
  readonly framework: string | null
  readonly article: string | null
  /** Of a stored file its path among the others, of a folder the file. */
  readonly path: string
  readonly line: number | null
  readonly effective_from: Date | null
  readonly expires_at: Date | null
  readonly created_at: Date | null
  readonly updated_at: Date | null
}

export interface VersionSummary {
  readonly policy_id: string
  readonly version: string
  readonly status: PolicyStatus
  /** Counts the changes of this version; the ETag of the API. */
  readonly edition: number
  readonly metadata: VersionMetadata
  readonly text_sha256: string
  readonly text_bytes: number
  readonly change_summary: string | null
  readonly git: { readonly commit: string | null; readonly branch: string | null } | null
  /** Whoever wrote any of it: none of them can approve it. */
  readonly contributors: readonly Person[]
  readonly created_at: Date
  readonly created_by: Person | null
  readonly changed_at: Date
  readonly changed_by: Person | null
  readonly submitted_at: Date | null
  readonly submitted_by: Person | null
  readonly approved_at: Date | null
  readonly approved_by: Person | null
  /** When it last became active. */
  readonly activated_at: Date | null
  readonly archived_at: Date | null
  readonly effective_from: Date | null
  readonly expires_at: Date | null
  readonly rejudge: boolean
}

export interface VersionView extends VersionSummary {
  readonly text: string
  /** Why a date that has come was not carried out. */
  readonly due_problem: string | null
  /** Oldest first; of very many changes the first and the newest. */
  readonly history: readonly (Omit<HistoryEntry, 'by'> & { readonly by: Person })[]
}

export type Names = ReadonlyMap<string, string>

export function headView(head: PolicyHead): PolicyView {
  const { rule_metadata: metadata } = head
  return {
    policy_id: head.policy_id,
    origin: 'store',
    type: head.policy_type,
    language: head.rule_engine,
    ...described(metadata),
    status: head.status,
    version: head.version,
    path: head.path,
    line: null,
    effective_from: head.effective_date,
    expires_at: head.expiry_date,
    created_at: head.created_at,
    updated_at: head.updated_at,
  }
}

export function folderView(policy: PolicyMetadata): PolicyView {
  return {
    policy_id: policy.id,
    origin: 'folder',
    type: 'policy',
    language: policy.language,
    ...described(policy),
    status: 'active',
    version: policy.version ?? null,
    path: policy.file,
    line: policy.line ?? null,
    effective_from: null,
    expires_at: null,
    created_at: null,
    updated_at: null,
  }
}

export function summaryOf(row: VersionListed, names: Names): VersionSummary {
  const person = (id: string | null): Person | null => (id === null ? null : personOf(id, names))
  const { git_commit_sha: commit, git_branch: branch } = row
  return {
    policy_id: row.policy_id,
    version: row.version,
    status: row.status,
    edition: row.edition,
    metadata: row.rule_metadata,
    text_sha256: row.text_sha256,
    text_bytes: row.text_bytes,
    change_summary: row.change_summary,
    git: commit === null && branch === null ? null : { commit, branch },
    contributors: row.contributors.map((id) => personOf(id, names)),
    created_at: row.created_at,
    created_by: person(row.created_by),
    changed_at: row.changed_at,
    changed_by: person(row.changed_by),
    submitted_at: row.submitted_at,
    submitted_by: person(row.submitted_by),
    approved_at: row.approved_at,
    approved_by: person(row.approved_by),
    activated_at: row.activated_at,
    archived_at: row.archived_at,
    effective_from: row.effective_from,
    expires_at: row.expires_at,
    rejudge: row.rejudge,
  }
}

export function versionView(row: VersionRow, names: Names): VersionView {
  return {
    ...summaryOf(row, names),
    text: row.rule_content,
    due_problem: row.due_problem,
    history: row.history.map((entry) => ({ ...entry, by: personOf(entry.by, names) })),
  }
}

/** Everybody whom the views of these versions name. */
export function peopleOf(rows: readonly (VersionListed | VersionRow)[]): readonly string[] {
  const ids = rows.flatMap((row) => [
    ...row.contributors,
    ...('history' in row ? row.history.map(({ by }) => by) : []),
    row.created_by,
    row.changed_by,
    row.submitted_by,
    row.approved_by,
  ])
  return [...new Set(ids.filter((id) => id !== null))]
}

function personOf(id: string, names: Names): Person {
  return { id, name: names.get(id) ?? null }
}

function described(metadata: VersionMetadata) {
  return {
    name: metadata.name,
    description: metadata.description ?? null,
    priority: metadata.priority ?? null,
    severity: metadata.severity ?? null,
    mode: metadata.mode ?? null,
    scope: metadata.scope ?? {},
    framework: metadata.framework ?? null,
    article: metadata.article ?? null,
  }
}
