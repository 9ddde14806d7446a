// Erasing people, and the secret that their keys are made with.
//
// An erasure is ordered by a record in the ledger (`person_erased`); the recorder that ships it makes the row here, in the
// transaction of the record. What then has been done in the store, and in which data directory, is told beside it.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  `create table person_secrets (
    tenant text not null, secret bytea not null check (length(secret) = 32), made_at timestamptz not null default now(),
    primary key (tenant))`,
  // position: the transaction that made the row; one that began before it may still bring what it did not know to erase.
  `create table erasures (
    tenant text not null, erasure_id uuid not null, person_keys text[] not null, before timestamptz not null, reason text,
    position xid8 not null default pg_current_xact_id(), ordered_at timestamptz not null default now(),
    erased jsonb not null default '{}', done_at timestamptz, primary key (tenant, erasure_id))`,
  `create table ledger_folders (
    tenant text not null, installation uuid not null, first_seen timestamptz not null default now(),
    last_seen timestamptz not null default now(), primary key (tenant, installation))`,
  `create table erasure_folders (
    tenant text not null, erasure_id uuid not null, installation uuid not null, records bigint not null,
    segments bigint not null, done_at timestamptz not null default now(), primary key (tenant, erasure_id, installation))`,
]
