// Sections 1 to 5 of the data model, with a tenant in every key. docs/reference/store.md says where and why
// the columns differ from the seed's.
//
// Time series are hypertables where TimescaleDB is loaded, range partitions elsewhere: a partitioned table
// cannot become a hypertable, so the choice is made here, once. The months are made by src/store/partitions.ts.

import { type Kysely, sql } from 'kysely'

const TIME_SERIES = ['decisions', 'outcomes', 'violation_facts', 'audit_events'] as const

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of ORDINARY) await sql.raw(statement).execute(db)
  const timescale = await hasTimescale(db)
  if (timescale) await sql.raw('create extension if not exists timescaledb').execute(db)
  for (const table of TIME_SERIES) {
    const columns = SERIES[table]
    if (timescale) {
      await sql.raw(`create table ${table} (${columns})`).execute(db)
      await sql
        .raw(`select create_hypertable('${table}', by_range('time', interval '1 day'))`)
        .execute(db)
    } else {
      await sql.raw(`create table ${table} (${columns}) partition by range (time)`).execute(db)
      await sql.raw(`create table ${table}_default partition of ${table} default`).execute(db)
    }
  }
  for (const statement of INDEXES) await sql.raw(statement).execute(db)
}

/** Loaded means preloaded too: otherwise CREATE EXTENSION ends the connection. */
async function hasTimescale(db: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql<{ ok: boolean }>`
    select exists (select from pg_available_extensions where name = 'timescaledb')
      and coalesce(current_setting('shared_preload_libraries', true), '') like '%timescaledb%' as ok`.execute(
    db,
  )
  return rows[0]?.ok === true
}

const SERIES: Readonly<Record<(typeof TIME_SERIES)[number], string>> = {
  decisions: `
    tenant text not null, time timestamptz not null, decision_id uuid not null, request_id uuid not null,
    user_id text, user_name text, user_email text, user_department text, user_known boolean not null, person_key text not null,
    action text not null,
    resource_type text not null, resource_id text, resource_name text, resource_host text, resource_path text,
    resource_category text, resource_known boolean not null, resource_ai boolean not null, approval_status text,
    decision text not null check (decision in ('ALLOW', 'DENY', 'REVIEW')), reason text not null, would_be text, confidence double precision,
    risk_score integer, risk_factors jsonb, policies_evaluated jsonb not null, primary_policy_id text, obligations jsonb not null,
    review_id uuid, mode text not null, revision text not null,
    source text not null, network text, ip_address text, geo_location text, user_agent text, device jsonb,
    content_classified boolean, findings jsonb not null, data_classification text[],
    evaluation_us integer, ttl integer,
    writer uuid not null, seq bigint not null, leaf bytea not null, record text not null, personal bytea,
    primary key (tenant, time, writer, seq)`,
  outcomes: `
    tenant text not null, time timestamptz not null, request_id uuid not null, decision_id uuid not null,
    status integer not null, bytes_in bigint not null, bytes_out bigint not null, duration_ms bigint not null,
    writer uuid not null, seq bigint not null, leaf bytea not null, record text not null,
    primary key (tenant, time, writer, seq)`,
  violation_facts: `
    tenant text not null, time timestamptz not null, violation_id uuid not null, decision_id uuid not null,
    person_key text not null, violation_type text not null, policy_id text, severity text not null,
    resource_id text, writer uuid not null, seq bigint not null,
    primary key (tenant, time, writer, seq)`,
  audit_events: `
    tenant text not null, time timestamptz not null, event_id uuid not null, event_type text not null, severity text not null,
    actor_id text, actor_name text, actor_type text not null, target_type text, target_id text, target_name text,
    action text not null, result text not null, event_data jsonb, changes jsonb,
    decision_id uuid, source text, compliance_relevant boolean not null default false, frameworks text[],
    writer uuid not null, seq bigint not null, leaf bytea not null, record text not null, personal bytea,
    primary key (tenant, time, writer, seq)`,
}

const ORDINARY = [
  `create table departments (
    tenant text not null, department_id uuid not null default gen_random_uuid(), name text not null, parent text,
    cost_center text, default_risk_tolerance integer check (default_risk_tolerance between 0 and 100),
    allowed_ai_services text[] not null default '{}', prohibited_ai_services text[] not null default '{}',
    business_unit text, region text, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, department_id))`,
  `create unique index departments_name on departments (tenant, lower(name))`,
  `create table users (
    tenant text not null, user_id uuid not null default gen_random_uuid(), name text not null, email text, external_id text,
    first_name text, last_name text, display_name text, department text, job_title text, manager text, employee_type text,
    risk_score integer check (risk_score between 0 and 100), risk_factors jsonb, clearance_level text,
    attributes jsonb not null default '{}', status text not null default 'active' check (status in ('active', 'suspended', 'inactive')),
    sso_enabled boolean, mfa_enabled boolean, last_login timestamptz, failed_login_attempts integer, deactivated_at timestamptz,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, user_id))`,
  `create unique index users_name on users (tenant, lower(name))`,
  `create unique index users_email on users (tenant, lower(email)) where email is not null`,
  `create unique index users_external_id on users (tenant, lower(external_id)) where external_id is not null`,
  `create table groups (
    tenant text not null, group_id uuid not null default gen_random_uuid(), name text not null, description text, external_id text,
    group_type text, allowed_ai_services text[] not null default '{}', prohibited_ai_services text[] not null default '{}',
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, group_id))`,
  `create unique index groups_name on groups (tenant, lower(name))`,
  `create table user_groups (
    tenant text not null, user_id uuid not null, group_name text not null, added_at timestamptz not null default now(),
    primary key (tenant, user_id, group_name), foreign key (tenant, user_id) references users on delete cascade)`,
  `create table roles (
    tenant text not null, role_id uuid not null default gen_random_uuid(), name text not null, description text,
    permissions jsonb not null default '{}', is_system_role boolean not null default false,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, role_id))`,
  `create unique index roles_name on roles (tenant, lower(name))`,
  `create table user_roles (
    tenant text not null, user_id uuid not null, role_name text not null, assigned_at timestamptz not null default now(),
    assigned_by uuid, expires_at timestamptz,
    primary key (tenant, user_id, role_name), foreign key (tenant, user_id) references users on delete cascade)`,
  `create table assets (
    tenant text not null, asset_id uuid not null default gen_random_uuid(), hostname text not null, external_id text, asset_type text,
    ip_addresses text[] not null default '{}', mac_addresses text[] not null default '{}', serial_number text,
    owner text, department text, os text, os_version text, compliance_status text, edr_agent_installed boolean, edr_agent_version text,
    crown_jewel boolean not null default false, sensitivity text, data_classification text[] not null default '{}',
    installed_software jsonb, vulnerabilities jsonb, last_scan timestamptz, acquired_date timestamptz, retired_date timestamptz,
    status text not null default 'active', created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, asset_id))`,
  `create unique index assets_hostname on assets (tenant, lower(hostname))`,
  `create table policies (
    tenant text not null, policy_id text not null, name text not null, description text, version text not null, status text not null
      check (status in ('draft', 'review', 'active', 'archived')), priority integer not null default 100 check (priority between 0 and 1000),
    policy_type text, framework text, article_reference text, rule_engine text not null, rule_content text not null, rule_metadata jsonb,
    scope jsonb not null default '{}', created_by uuid, updated_by uuid, approved_by uuid, approved_at timestamptz,
    effective_date timestamptz, expiry_date timestamptz, compliance_mappings jsonb, tags text[], comments text,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (tenant, policy_id))`,
  `create table policy_versions (
    tenant text not null, version_id uuid not null default gen_random_uuid(), policy_id text not null, version text not null,
    rule_content text not null, rule_metadata jsonb, change_summary text, changed_at timestamptz not null default now(), changed_by uuid,
    git_commit_sha text, git_branch text, primary key (tenant, version_id), unique (tenant, policy_id, version))`,
  `create table policy_conflicts (
    tenant text not null, conflict_id uuid not null default gen_random_uuid(), policy_a_id text not null, policy_b_id text not null,
    conflict_type text not null, conflict_details jsonb not null, severity text not null, resolved boolean not null default false,
    resolution_notes text, detected_at timestamptz not null default now(), resolved_at timestamptz, primary key (tenant, conflict_id))`,
  `create table ai_services (
    tenant text not null, service_id text not null, overrides jsonb not null default '{}', discovered_at timestamptz, last_seen timestamptz,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (tenant, service_id))`,
  `create table ai_service_signatures (
    tenant text not null, signature_id uuid not null default gen_random_uuid(), service_id text not null, signature_type text not null,
    pattern text not null, confidence double precision not null default 1 check (confidence between 0 and 1),
    created_at timestamptz not null default now(), primary key (tenant, signature_id), unique (tenant, service_id, signature_type, pattern))`,
  `create table violations (
    tenant text not null, violation_id uuid not null, day date not null, person_key text not null, policy_id text not null, service_id text not null,
    user_id text, user_name text, user_department text, violation_type text not null, policy_name text, severity text not null,
    resource_type text, resource_name text, status text not null default 'open' check (status in ('open', 'investigating', 'resolved', 'false_positive')),
    assigned_to uuid, resolution_notes text, resolved_at timestamptz, notification_sent boolean not null default false,
    escalated boolean not null default false, escalated_at timestamptz, count bigint not null, first_seen timestamptz not null, last_seen timestamptz not null,
    last_decision_id uuid not null, primary key (tenant, violation_id), unique (tenant, person_key, policy_id, service_id, day))`,
  `create table exceptions (
    tenant text not null, exception_id uuid not null default gen_random_uuid(), exception_type text not null, reason text not null, justification text not null,
    user_id uuid, department text, group_name text, policy_id text, ai_service_id text, conditions jsonb, status text not null default 'pending',
    requested_by uuid, requested_at timestamptz not null default now(), approved_by uuid, approved_at timestamptz, effective_from timestamptz,
    effective_until timestamptz, usage_count integer not null default 0, last_used timestamptz, revoked_by uuid, revoked_at timestamptz,
    revocation_reason text, primary key (tenant, exception_id))`,
  `create table reviews (
    tenant text not null, review_id uuid not null, person_key text not null, person text not null, service_id text not null, policy_id text not null,
    action text not null, reason text not null, status text not null default 'pending' check (status in ('pending', 'approved', 'denied')),
    count bigint not null default 1, first_seen timestamptz not null default now(), last_seen timestamptz not null default now(),
    first_decision_id uuid not null, answered_at timestamptz, answered_by text, comment text, valid_until timestamptz, primary key (tenant, review_id))`,
  `create unique index reviews_pending on reviews (tenant, person_key, service_id, policy_id, action) where status = 'pending'`,
  `create index reviews_answered on reviews (tenant, person_key, service_id, policy_id, action, answered_at desc)`,
  `create table proxy_tokens (
    tenant text not null, token_id uuid not null default gen_random_uuid(), user_id uuid not null, token_hash bytea not null,
    created_at timestamptz not null default now(), revoked_at timestamptz, primary key (tenant, token_id), unique (tenant, token_hash),
    foreign key (tenant, user_id) references users on delete cascade)`,
  `create table api_keys (
    tenant text not null, key_id uuid not null default gen_random_uuid(), name text not null, scopes text[] not null, user_id uuid,
    key_hash bytea not null, created_at timestamptz not null default now(), revoked_at timestamptz, primary key (tenant, key_id),
    unique (tenant, key_hash),
    foreign key (tenant, user_id) references users on delete cascade)`,
  `create table point_modes (tenant text primary key, mode text not null, until timestamptz not null, set_at timestamptz not null default now())`,
  `create table writers (tenant text not null, writer uuid not null, seq bigint not null, updated_at timestamptz not null default now(), primary key (tenant, writer))`,
  `create table dead_letters (
    tenant text not null, writer uuid not null, seq bigint not null, reason text not null, leaf bytea not null, record text not null, personal bytea,
    set_aside_at timestamptz not null default now(), primary key (tenant, writer, seq))`,
  `create table gaps (
    tenant text not null, writer uuid not null, seq bigint not null, time timestamptz not null, gap_from timestamptz not null, gap_to timestamptz not null,
    count bigint not null, reason text not null, leaf bytea not null, record text not null, primary key (tenant, writer, seq))`,
]

const INDEXES = [
  'create index decisions_id on decisions (tenant, decision_id)',
  'create index decisions_newest on decisions (tenant, time desc, decision_id desc)',
  'create index decisions_user on decisions (tenant, user_id, time desc)',
  'create index decisions_service on decisions (tenant, resource_id, time desc)',
  'create index decisions_decision on decisions (tenant, decision, time desc)',
  'create index outcomes_decision on outcomes (tenant, decision_id)',
  'create index violations_newest on violations (tenant, first_seen desc, violation_id desc)',
  'create index audit_events_newest on audit_events (tenant, time desc, event_id desc)',
]
