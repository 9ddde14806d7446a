// What could be seen of an exchange, and what follows from it: coverage by the hour, and suspected AI.
//
// Both are added up as outcomes arrive, in the transaction that moves the cursor, so each counts once. Reports
// over months then read some thousand rows instead of every outcome, and outlive the records themselves.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  `alter table outcomes add column visibility text`,
  `alter table outcomes add column visibility_reason text`,
  `alter table outcomes add column format text`,
  `alter table outcomes add column input_tokens bigint`,
  `alter table outcomes add column output_tokens bigint`,
  `create index outcomes_handshakes on outcomes (tenant, time desc) where visibility_reason = 'handshake_failed'`,
  // What is absent is empty here, because a key has no nulls.
  `create table coverage_hours (
    tenant text not null, hour timestamptz not null, ai boolean not null, visibility text not null, reason text not null,
    department text not null, service text not null, host text not null,
    requests bigint not null, bytes_in bigint not null, bytes_out bigint not null,
    primary key (tenant, hour, ai, visibility, reason, department, service, host))`,
  `create table shadow_ai (
    tenant text not null, host text not null, person_key text not null, department text not null, format text not null,
    first_seen timestamptz not null, last_seen timestamptz not null,
    requests bigint not null, bytes_in bigint not null, bytes_out bigint not null,
    primary key (tenant, host, person_key, department, format))`,
  `create index shadow_ai_newest on shadow_ai (tenant, last_seen desc)`,
]
