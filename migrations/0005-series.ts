// What keeps the time series in bounds and answers without reading them: aggregates, ages, holds, upkeep.
//
// decisions_hourly, people_daily and violations_daily have the same names and columns in every database. Where TimescaleDB
// has its own licence they are continuous aggregates. Elsewhere each is a view over a table of sums and the rows
// that are not summed yet, and src/store/aggregates.ts does what TimescaleDB does: rows that arrive below what is
// summed are told in late_arrivals, by triggers, whoever inserts them.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const run = (statement: string) => sql.raw(statement).execute(db)
  const timescale = await hypertables(db)
  for (const statement of TABLES) await run(statement)
  for (const series of ['decisions', 'violation_facts']) {
    // TimescaleDB has such an index by itself; a page of it spans a hundred others, so it costs next to nothing.
    if (timescale === undefined)
      await run(`create index ${series}_time on ${series} using brin (time)`)
    await run(
      `create trigger tell_late_arrivals after insert on ${series} referencing new table as arrived
         for each statement execute function tell_late_arrivals()`,
    )
  }
  for (const aggregate of AGGREGATES) {
    const { name, bucket, columns } = aggregate
    await run(rowsOf(aggregate))
    if (timescale === 'timescale') {
      await run(
        `create materialized view ${name}
           with (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false)
           as ${selectOf(aggregate, `time_bucket(interval '1 ${bucket}', time)`)} ${groupOf(aggregate)} with no data`,
      )
      await run(`create index ${name}_tenant on ${name} (tenant, ${bucket})`)
      continue
    }
    // No text of a person's or a service's is in a key, whose entries PostgreSQL bounds.
    await run(
      `create table ${name}_sums (${columns.map(([column, type]) => `${column} ${type} not null`).join(', ')},
         id bigint generated always as identity, primary key (tenant, ${bucket}, id))`,
    )
    await run(`insert into aggregate_watermarks (aggregate, until) values ('${name}', '-infinity')`)
    const until = `(select until from aggregate_watermarks where aggregate = '${name}')`
    await run(
      `create view ${name} as
         select ${columns.map(([column]) => column).join(', ')} from ${name}_sums where ${bucket} < ${until}
         union all ${selectOf(aggregate, binned(bucket))} where time >= ${until} ${groupOf(aggregate)}`,
    )
  }
}

/** Undefined where the series are no hypertables, else the licence that the server runs under. */
async function hypertables(db: Kysely<unknown>): Promise<string | undefined> {
  const { rows } = await sql<{ version: string; licence: string; hyper: boolean }>`
    select extversion as version, current_setting('timescaledb.license', true) as licence,
      (select relkind = 'r' from pg_class where oid = 'decisions'::regclass) as hyper
    from pg_extension where extname = 'timescaledb'`.execute(db)
  const [found] = rows
  if (found?.hyper !== true) return undefined
  const [major = 0, minor = 0] = found.version.split('.').map(Number)
  if (major < 2 || (major === 2 && minor < 18)) {
    throw new Error(
      `TimescaleDB 2.18 or newer is needed, this is ${found.version}: update it with ALTER EXTENSION timescaledb UPDATE`,
    )
  }
  return found.licence
}

interface Aggregate {
  readonly name: string
  readonly series: string
  readonly bucket: 'hour' | 'day'
  /** Name, type and expression, the bucket second; what follows the keys is added up. */
  readonly columns: readonly (readonly [string, string, string])[]
  readonly keys: number
}

/** Empty where there is none, and cut: a column of groups has no nulls and no texts without a bound. */
function plain(column: string): string {
  return `left(coalesce(${column}, ''), 255)`
}

/** The first policy, in the order in which they were asked, that gives the answer which was not enforced. */
function wouldBePolicy(): string {
  const first = (effect: string): string =>
    `when '${effect}' then ${plain(`jsonb_path_query_first(policies_evaluated, '$[*] ? (@.matched == true && @.effect == "${effect}")') ->> 'policy_id'`)}`
  return `case would_be ${['ALLOW', 'DENY', 'REVIEW'].map(first).join(' ')} else '' end`
}

const SEEN = [
  ['first_seen', 'timestamptz', 'min(time)'],
  ['last_seen', 'timestamptz', 'max(time)'],
] as const

const AGGREGATES: readonly Aggregate[] = [
  {
    name: 'decisions_hourly',
    series: 'decisions',
    bucket: 'hour',
    columns: [
      ['tenant', 'text', 'tenant'],
      ['hour', 'timestamptz', ''],
      ['decision', 'text', 'decision'],
      ['source', 'text', plain('source')],
      ['mode', 'text', plain('mode')],
      ['action', 'text', plain('action')],
      ['service', 'text', plain('resource_id')],
      ['ai', 'boolean', 'resource_ai'],
      ['department', 'text', plain('user_department')],
      ['policy', 'text', plain('primary_policy_id')],
      ['would_be', 'text', plain('would_be')],
      ['would_be_policy', 'text', wouldBePolicy()],
      ['requests', 'bigint', 'count(*)'],
      ...SEEN,
    ],
    keys: 12,
  },
  {
    name: 'people_daily',
    series: 'decisions',
    bucket: 'day',
    columns: [
      ['tenant', 'text', 'tenant'],
      ['day', 'timestamptz', ''],
      ['person_key', 'text', 'person_key'],
      ['department', 'text', plain('user_department')],
      ['service', 'text', plain('resource_id')],
      ['ai', 'boolean', 'resource_ai'],
      ['decision', 'text', 'decision'],
      ['requests', 'bigint', 'count(*)'],
      ...SEEN,
    ],
    keys: 7,
  },
  {
    name: 'violations_daily',
    series: 'violation_facts',
    bucket: 'day',
    columns: [
      ['tenant', 'text', 'tenant'],
      ['day', 'timestamptz', ''],
      ['severity', 'text', plain('severity')],
      ['policy', 'text', plain('policy_id')],
      ['service', 'text', plain('resource_id')],
      ['department', 'text', plain('user_department')],
      ['person_key', 'text', 'person_key'],
      ['violations', 'bigint', 'count(*)'],
      ...SEEN,
    ],
    keys: 7,
  },
]

function selectOf({ series, columns }: Aggregate, bucket: string): string {
  const list = columns.map(([column, , value]) => `${value === '' ? bucket : value} as ${column}`)
  return `select ${list.join(', ')} from ${series}`
}

function groupOf({ keys }: Aggregate): string {
  return `group by ${Array.from({ length: keys }, (_, index) => index + 1).join(', ')}`
}

/** In UTC, whatever the zone of a session. */
function binned(bucket: string): string {
  return `date_bin(interval '1 ${bucket}', time, timestamptz '2000-01-01 00:00:00+00')`
}

/** What rows of a time add up to: all of them, those of a tenant, or those that a writer brought at once. */
function rowsOf(aggregate: Aggregate): string {
  const { name, columns, bucket } = aggregate
  return `
    create function ${name}_of(since timestamptz, before timestamptz, whose text default null,
      from_writer uuid default null, first_seq bigint default null, last_seq bigint default null)
    returns table (${columns.map(([column, type]) => `${column} ${type}`).join(', ')}) language sql stable as $$
      ${selectOf(aggregate, binned(bucket))} as rows where rows.time >= $1 and rows.time < $2
        and ($3 is null or rows.tenant = $3) and ($4 is null or (rows.writer = $4 and rows.seq between $5 and $6))
      ${groupOf(aggregate)} $$`
}

const TABLES = [
  `alter table violation_facts add column user_department text`,
  // Rows before that are told as they arrive; until is up to where an aggregate is summed.
  `create table late_thresholds (series text primary key, before timestamptz not null)`,
  `create table aggregate_watermarks (aggregate text primary key, until timestamptz not null)`,
  `insert into late_thresholds (series, before) values ('decisions', '-infinity'), ('violation_facts', '-infinity')`,
  `create table late_arrivals (
    tenant text not null, id bigint generated always as identity, series text not null, hour timestamptz not null,
    writer uuid not null, first_seq bigint not null, last_seq bigint not null, primary key (tenant, id))`,
  // The lock is held to the end of the transaction: whoever moves the threshold waits for those that did not know it.
  `create function tell_late_arrivals() returns trigger language plpgsql as $$
    declare threshold timestamptz;
    begin
      perform pg_advisory_xact_lock_shared(7303603);
      select before into threshold from late_thresholds where series = tg_table_name;
      insert into late_arrivals (tenant, series, hour, writer, first_seq, last_seq)
        select tenant, tg_table_name, date_bin(interval '1 hour', time, timestamptz '2000-01-01 00:00:00+00'), writer, min(seq), max(seq)
        from arrived where time < threshold group by 1, 3, 4;
      return null;
    end $$`,
  // Milliseconds; each Cordon tells those of its tenant.
  `create table retention_settings (
    tenant text primary key, decisions bigint not null, outcomes bigint not null, violations bigint not null, audit bigint not null,
    aggregates bigint not null, updated_at timestamptz not null default now())`,
  // Rows before that have gone, but for those that a hold kept. It never moves back.
  `create table retention_horizons (tenant text not null, series text not null, before timestamptz not null, primary key (tenant, series))`,
  // The other end of an audit record retention_applied, by its event_id: how much has really gone.
  `create table retention_runs (
    tenant text not null, event_id uuid not null, series text not null, before timestamptz not null, rows bigint not null, writers jsonb not null,
    gone bigint not null default 0, began_at timestamptz not null default now(), ended_at timestamptz, primary key (tenant, event_id))`,
  `create table legal_holds (
    tenant text not null, hold_id uuid not null, name text not null, person_keys text[], time_from timestamptz, time_to timestamptz,
    reason text not null, created_by text not null, created_at timestamptz not null default now(),
    released_at timestamptz, released_by text, release_reason text, primary key (tenant, hold_id))`,
  `create unique index legal_holds_name on legal_holds (tenant, name) where released_at is null`,
  `create table upkeep_runs (
    id bigint generated always as identity primary key, began_at timestamptz not null default now(), ended_at timestamptz, by text not null,
    steps jsonb not null default '[]', error text)`,
]
