// What people's violations come to: points that decay, and from which violations none come.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // As they stood at as_of; made anew from violations whenever one opens (src/store/person-risk.ts), so any row may go.
  `create table person_risks (
    tenant text not null, person_key text not null, user_id text, points double precision not null, as_of timestamptz not null,
    violations bigint not null, updated_at timestamptz not null default now(), primary key (tenant, person_key))`,
  `create index person_risks_user on person_risks (tenant, user_id) where user_id is not null`,
  // False: who was refused because of their risk, or of a budget, is not more of a risk for it. Null: a former release.
  `alter table violations add column raises_risk boolean`,
]
