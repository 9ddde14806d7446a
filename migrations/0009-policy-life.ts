// The life of a policy (docs/decisions/0009-policy-life.md): a version has a state, authors and dates of its own; a policy
// shows its active version, else its newest. No earlier release reads or writes these tables.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...STATEMENTS, ...REVISIONS]) await sql.raw(statement).execute(db)
}

const STATUSES = `('draft', 'review', 'approved', 'active', 'archived')`

const STATEMENTS = [
  `alter table policies drop constraint if exists policies_status_check`,
  `alter table policies add constraint policies_status_check check (status in ${STATUSES})`,
  // Whoever acts at the command line has a name of the operating system, and no UUID.
  `alter table policies alter column created_by type text`,
  `alter table policies alter column updated_by type text`,
  `alter table policies alter column approved_by type text`,
  `alter table policy_versions alter column changed_by type text`,
  // Where it lies among the files that are in force.
  `alter table policies add column path text`,
  // Some file systems take no notice of case.
  `create unique index policies_path on policies (tenant, lower(path))`,
  // Pages are in the order of code points, whatever the database's language.
  `create index policies_order on policies (tenant, policy_id collate "C")`,

  // Versions of a policy are counted up: a new one is higher than all others, so this is their order too.
  `alter table policy_versions add column number integer not null default 0`,
  `alter table policy_versions add column status text not null default 'draft' check (status in ${STATUSES})`,
  // Counts the changes of a version: what an ETag tells.
  `alter table policy_versions add column edition integer not null default 1`,
  `alter table policy_versions add column text_sha256 text not null default ''`,
  `alter table policy_versions add column text_bytes integer not null default 0`,
  // Who wrote any of it: ids, and keys of their names (src/model/person.ts).
  `alter table policy_versions add column contributors text[] not null default '{}'`,
  `alter table policy_versions add column contributor_keys text[] not null default '{}'`,
  `alter table policy_versions add column history jsonb not null default '[]'`,
  `alter table policy_versions add column created_at timestamptz not null default now()`,
  `alter table policy_versions add column created_by text`,
  `alter table policy_versions add column submitted_at timestamptz`,
  `alter table policy_versions add column submitted_by text`,
  `alter table policy_versions add column approved_at timestamptz`,
  `alter table policy_versions add column approved_by text`,
  `alter table policy_versions add column activated_at timestamptz`,
  `alter table policy_versions add column archived_at timestamptz`,
  `alter table policy_versions add column effective_from timestamptz`,
  `alter table policy_versions add column expires_at timestamptz`,
  `alter table policy_versions add column rejudge boolean not null default false`,
  // Whoever carries out a date that has come takes it until then, so that others leave it alone.
  `alter table policy_versions add column due_retry_at timestamptz`,
  `alter table policy_versions add column due_problem text`,
  `create unique index policy_versions_number on policy_versions (tenant, policy_id, number)`,
  `create unique index policy_versions_active on policy_versions (tenant, policy_id) where status = 'active'`,
  `create index policy_versions_effective on policy_versions (tenant, effective_from)
    where status = 'approved' and effective_from is not null`,
  `create index policy_versions_expiring on policy_versions (tenant, expires_at)
    where status in ('approved', 'active') and expires_at is not null`,

  // Audit events of changes, written with the change; each goes as soon as the ledger has it.
  `create table policy_events (
    tenant text not null, event_id uuid not null, record text not null, made_at timestamptz not null default now(),
    primary key (tenant, event_id))`,
]

// How what is in force reaches the nodes, and what each of them makes of it.
const REVISIONS = [
  // An OPA bundle with sources and compiled forms; sha256 is of its bytes.
  `create table policy_revisions (
    tenant text not null, revision text not null, bundle bytea not null, sha256 text not null, bytes integer not null,
    files integer not null, policies integer not null, created_at timestamptz not null default now(),
    primary key (tenant, revision))`,
  // number counts the changes; rejudge_number is that of the last change after which what is open is judged again.
  `create table policy_heads (
    tenant text primary key, number bigint not null, rejudge_number bigint not null default 0, revision text not null,
    changed_at timestamptz not null default now())`,
  `create table policy_nodes (
    tenant text not null, node text not null, name text not null, role text not null, version text not null,
    rules text not null, revision text, number bigint not null default 0, wanted text, problems jsonb not null default '[]',
    bundles jsonb not null default '[]', active_since timestamptz, seen_at timestamptz not null default now(),
    primary key (tenant, node))`,
]
