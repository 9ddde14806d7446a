// What is known of a conflict beside its names: how sure it is, a request that shows it, and of which texts of the two
// policies it was told. No earlier release reads or writes these tables.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  `alter table policy_conflicts add column evidence text not null default 'possible'`,
  `alter table policy_conflicts add column witness text`,
  `alter table policy_conflicts add column fingerprint text not null default ''`,
  // Whether the last look found it.
  `alter table policy_conflicts add column present boolean not null default true`,
  `alter table policy_conflicts add column last_seen timestamptz not null default now()`,
  // A user id where the directory knows one, else the name of a key or an account.
  `alter table policy_conflicts add column resolved_by text`,
  // The same conflict of the same texts is one row, so that what was resolved stays so until one of them changes.
  `create unique index policy_conflicts_same on policy_conflicts
    (tenant, conflict_type, policy_a_id, policy_b_id, fingerprint)`,
  `create table policy_conflict_scans (tenant text primary key, scanned_at timestamptz not null default now(), report text not null)`,
]
