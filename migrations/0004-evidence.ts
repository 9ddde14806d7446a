// What proves the records: keys, list of writers, checkpoints and leaf hashes, as the ledger's folder has them
// (docs/decisions/0008-ledger.md); and which transaction brought which records, for those who follow.
//
// A tree belongs to a writer and a list of writers to an installation, whatever tenants their records name, so
// the keys of these tables have no tenant.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  `create table ledger_keys (
    installation uuid not null, number integer not null, vkey text not null, note text, primary key (installation, number))`,
  `create table ledger_roster (
    installation uuid not null, number integer not null, note text not null, primary key (installation, number))`,
  // A seal has the frontier of its tree, so that checking can begin behind it where older leaves never came.
  `create table ledger_checkpoints (
    writer uuid not null, size bigint not null, time timestamptz not null, is_seal boolean not null, frontier bytea, note text not null,
    primary key (writer, is_seal, size))`,
  // Tile t holds the leaves of sequence numbers 32t+1 to 32t+32, 32 bytes each; zeros stand for a leaf that never came.
  `create table ledger_leaves (writer uuid not null, tile bigint not null, hashes bytea not null, primary key (writer, tile))`,
  // A transaction that began earlier may commit later: whoever follows reads what is below pg_snapshot_xmin().
  `create table ledger_batches (
    tenant text not null, position xid8 not null, writer uuid not null, first_seq bigint not null, last_seq bigint not null,
    at timestamptz not null default now(), primary key (tenant, position, writer, first_seq))`,
  `create index ledger_batches_oldest on ledger_batches (at)`,
]
