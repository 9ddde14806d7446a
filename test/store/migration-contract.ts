// What the migrations make, in each of the databases.

import { type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import type { Store } from '../../src/store/open.ts'
import { makePartitions } from '../../src/store/partitions.ts'
import type { Tables } from '../../src/store/tables.ts'

/** The tables of the data model's sections 1 to 5. */
const MODEL = [
  'policies',
  'policy_versions',
  'policy_conflicts',
  'users',
  'departments',
  'roles',
  'user_roles',
  'groups',
  'user_groups',
  'ai_services',
  'ai_service_signatures',
  'assets',
  'decisions',
  'audit_events',
  'violations',
  'exceptions',
]

/** What proves a writer's records belongs to the writer or its installation, whatever tenants they name. */
const EVIDENCE = new Set(['ledger_keys', 'ledger_roster', 'ledger_checkpoints', 'ledger_leaves'])

/** How far the work on a series or an aggregate is, for all tenants together. */
const PROGRESS = ['late_thresholds', 'aggregate_watermarks', 'upkeep_runs']
const OF_NO_TENANT = new Set([...EVIDENCE, ...PROGRESS])

export async function migrationContract(t: Test, { db }: Store): Promise<void> {
  await t.test('every table of the data model is there, with a tenant in every key', async (t) => {
    const { rows } = await sql<{ table: string; columns: string[] | null }>`
      select c.relname as table, (
        select array_agg(a.attname::text) from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
        where i.indrelid = c.oid and i.indisprimary) as columns
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and c.relname not like 'kysely%'`.execute(
      db,
    )
    const tables = new Set(rows.map(({ table }) => table))
    for (const table of MODEL) t.ok(tables.has(table), table)
    for (const { table, columns } of rows)
      if (!OF_NO_TENANT.has(table)) t.ok(columns?.includes('tenant'), `the key of ${table}`)
    const unique = await sql<{ name: string; columns: string }>`
      select indexname as name, indexdef as columns from pg_indexes
      where schemaname = 'public' and indexdef like 'CREATE UNIQUE%' and tablename not like 'kysely%'
        and tablename <> all(${[...OF_NO_TENANT]})`.execute(db)
    for (const { name, columns } of unique.rows) t.match(columns, /\(tenant,|\(tenant\)/, name)
  })

  if (await hasTimescale(db)) {
    await t.test('the time series are hypertables', async (t) => {
      const { rows } = await sql<{ name: string }>`
        select hypertable_name as name from timescaledb_information.hypertables order by 1`.execute(
        db,
      )
      t.same(
        rows.map(({ name }) => name),
        ['audit_events', 'decisions', 'outcomes', 'violation_facts'],
      )
      t.equal(await makePartitions(db, new Date()), 0, 'they make their chunks themselves')
    })
    return
  }

  await t.test('the months around today are there', async (t) => {
    const months = await partitions(db, 'decisions')
    t.equal(months.length, 6, 'the last one, this one, three to come, and the default')
    t.equal(await makePartitions(db, new Date()), 0, 'nothing is left to make')
  })

  await t.test('a month that comes takes its rows out of the default partition', async (t) => {
    const time = '2031-05-10T00:00:00Z'
    await insertOutcome(db, time)
    t.equal(await place(db, time), 'outcomes_default')
    t.equal(await makePartitions(db, new Date('2031-03-01T00:00:00Z')), 5 * 4)
    t.equal(await place(db, time), 'outcomes_2031_05')
    await insertOutcome(db, '2031-05-31T23:59:59.999Z')
    t.equal(await place(db, '2031-05-31T23:59:59.999Z'), 'outcomes_2031_05')
    const { rows } = await sql<{ n: string }>`
      select count(*) as n from outcomes where time >= '2031-01-01'`.execute(db)
    t.equal(rows[0]?.n, '2')
    const indexes = await sql<{ n: string }>`
      select count(*) as n from pg_indexes where tablename = 'outcomes_2031_05'`.execute(db)
    t.equal(indexes.rows[0]?.n, '3', 'its key and its indexes')
  })

  await t.test('several that make the same months do not get in each other’s way', async (t) => {
    const now = new Date('2033-03-01T00:00:00Z')
    const made = await Promise.all([1, 2, 3].map(() => makePartitions(db, now)))
    t.equal(
      made.reduce((sum, count) => sum + count, 0),
      5 * 4,
    )
  })
}

async function hasTimescale(db: Kysely<Tables>): Promise<boolean> {
  const { rows } = await sql`select from pg_extension where extname = 'timescaledb'`.execute(db)
  return rows.length > 0
}

async function partitions(db: Kysely<Tables>, table: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select inhrelid::regclass::text as name from pg_inherits where inhparent = ${table}::regclass order by 1`.execute(
    db,
  )
  return rows.map(({ name }) => name)
}

async function insertOutcome(db: Kysely<Tables>, time: string): Promise<void> {
  await sql`
    insert into outcomes (tenant, time, request_id, decision_id, status, bytes_in, bytes_out, duration_ms, writer, seq, leaf, record)
    values ('t', ${time}, gen_random_uuid(), gen_random_uuid(), 200, 0, 0, 0, gen_random_uuid(), 1, '', '')`.execute(
    db,
  )
}

async function place(db: Kysely<Tables>, time: string): Promise<string | undefined> {
  const { rows } = await sql<{ place: string }>`
    select tableoid::regclass::text as place from outcomes where time = ${time}::timestamptz`.execute(
    db,
  )
  return rows[0]?.place
}
