// What following and searching need beside the records: where in time the decisions of a batch lie, and up to where
// batches are no longer kept, so that whoever comes back late is told.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

function textOf(columns: readonly string[]): string {
  return columns.map((column) => `coalesce(${column}, '')`).join(" || ' ' || ")
}

/** The columns of src/store/filters.ts, in its order. */
const VIOLATION_WORDS = textOf([
  'policy_id',
  'policy_name',
  'service_id',
  'resource_name',
  'user_department',
  'violation_type',
  'user_name',
])
const AUDIT_WORDS = textOf([
  'event_type',
  'action',
  'target_type',
  'actor_name',
  'target_id',
  'target_name',
  'event_data::text',
])

const STATEMENTS = [
  // Null where no decision is among the records.
  `alter table ledger_batches add column time_from timestamptz`,
  `alter table ledger_batches add column time_to timestamptz`,
  // The newest batch that is gone.
  `create table feed_horizons (tenant text primary key, position xid8 not null)`,
  // What is here already came before anybody noted it.
  `insert into feed_horizons (tenant, position) select distinct tenant, pg_current_xact_id() from writers`,
  // Each word as it stands, and the parts of hosts, paths, addresses and names.
  `create function search_words(words text) returns tsvector language sql immutable strict parallel safe as
    $$ select to_tsvector('pg_catalog.simple'::regconfig, words || ' ' || translate(words, '/.@:_"', '      ')) $$`,
  // Thousands a day at most, unlike decisions: there an index of words would cost more than all others together.
  `create index violations_words on violations using gin (search_words(${VIOLATION_WORDS}))`,
  `create index audit_events_words on audit_events using gin (search_words(${AUDIT_WORDS}))`,
  // Ten of the fifty microseconds that a row may take at 20,000 a second went into these (bench/README.md). Lists compare services
  // without case, so they never used the one; of the other, what is common is found without it.
  `drop index decisions_service`,
  `drop index decisions_decision`,
  // Few rows each, so they cost next to nothing.
  `create index decisions_refused on decisions (tenant, decision, time desc) where decision <> 'ALLOW'`,
  `create index decisions_would_be on decisions (tenant, would_be, time desc) where would_be is not null`,
  `create index decisions_review on decisions (tenant, review_id) where review_id is not null`,
]
