// One version apart: a ledger folder and a store of the former release under this program, and a store of this
// release under the former program.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { openStore, type StoreOptions } from '../../src/store/open.ts'
import { company } from '../support/company.ts'
import { cordon, Place } from '../support/cordon.ts'
import { caughtUp } from '../support/ledger-census.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { silent } from '../support/records.ts'

const ROOT = join(import.meta.dirname, '../..')
const MIGRATIONS = join(ROOT, 'migrations')
/** The newest migration of release 0.1. */
const FORMER = '0003'
const FORMER_FOLDER = join(import.meta.dirname, '../fixtures/ledger-0.1')
const FORMER_DECISIONS = 9
const PATIENT = { skip: noPostgres(), timeout: 400_000 }

t.setTimeout(900_000)

t.test('a ledger folder of the former release is shipped, kept and judged', PATIENT, async (t) => {
  const postgres = await startPostgres()
  const database = await postgres.database()
  await migrateAsFormer(database)
  const place = new Place()
  t.teardown(async () => {
    await postgres.stop()
    place.remove()
  })
  const ledger = join(place.dataDir, 'ledger')
  mkdirSync(place.dataDir, { mode: 0o700 })
  cpSync(FORMER_FOLDER, ledger, { recursive: true })
  place.configure(company(place, 9, { database_url: database }))
  const running = await place.start()
  const found = await caughtUp(database, { owed: new Set(), passed: new Set() })
  t.equal(found.decisions, FORMER_DECISIONS, 'all its decisions are in the store')
  t.same(found.doubled.concat(found.holes), [], 'once')
  t.equal(await running.stop(), 0)

  for (const args of [[], ['--database']]) {
    const { code, out, err } = await place.cordon(['ledger', 'verify', ...args])
    t.equal(code, 3, `nothing is damaged, and not all can be judged: ${out}${err}`)
    for (const writer of readdirSync(FORMER_FOLDER))
      t.match(out, new RegExp(`cannot judge: writer ${writer}`), 'which is named')
  }
})

t.test('the former program finds in the store what it wrote to', PATIENT, async (t) => {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const former = await postgres.database()
  const current = await postgres.database()
  await migrateAsFormer(former)
  await (await openStore(storeOptions(current))).close()
  const [before, after] = [await columnsOf(former), await columnsOf(current)]
  for (const [name, { type }] of before) {
    // Tables that no former program wrote to or read: who acts may be a user of the operating system now.
    const isWider = /^(?:policies|policy_versions|exceptions)\..*_by$/.test(name) && type === 'uuid'
    t.equal(after.get(name)?.type, isWider ? 'text' : type, `${name} is there`)
  }
  const tables = new Set([...before.keys()].map(tableOf))
  const demanded = [...after]
    .filter(
      ([name, { isDemanded }]) => isDemanded && !before.has(name) && tables.has(tableOf(name)),
    )
    .map(([name]) => name)
  t.same(demanded, [], 'and no column that it does not know wants a value')
  const [keys, keysNow] = [await keysOf(former), new Set(await keysOf(current))]
  t.same(
    keys.filter((key) => !keysNow.has(key)),
    [],
    'and what it writes twice collides by the same keys',
  )
})

t.test('a store that cannot be brought to this release is told so', PATIENT, async (t) => {
  const postgres = await startPostgres()
  const place = new Place()
  t.teardown(async () => {
    await postgres.stop()
    place.remove()
  })
  const database = await postgres.database()
  await migrateAsFormer(database)
  await query(
    database,
    'create role reader login; grant select on all tables in schema public to reader',
  )
  for (const [url, why] of [
    [database.replace('postgres@', 'reader@'), 'permission denied'],
    [`${database}?options=-c%20default_transaction_read_only%3Don`, 'read-only transaction'],
  ] as const) {
    place.configure({ database_url: url })
    const { code, err } = await cordon(['start', '--config', place.file])
    t.equal(code, 3)
    t.match(err, new RegExp(`cannot be brought to this one \\(.*${why}.*\\): start once with`))
  }
})

/** Migrates a database as far as the former release did. */
async function migrateAsFormer(database: string): Promise<void> {
  const folder = mkdtempSync(join(ROOT, '.cache/migrations-'))
  try {
    for (const name of readdirSync(MIGRATIONS).filter((each) => each.slice(0, 4) <= FORMER))
      cpSync(join(MIGRATIONS, name), join(folder, name))
    await (await openStore({ ...storeOptions(database), migrationsDir: folder })).close()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface Column {
  readonly type: string
  /** Neither null nor a default will do. */
  readonly isDemanded: boolean
}

/** By `table.column`. */
async function columnsOf(database: string): Promise<ReadonlyMap<string, Column>> {
  const rows = await query(
    database,
    `select table_name || '.' || column_name as name, udt_name as type,
       (is_nullable = 'NO' and column_default is null)::text as demanded
     from information_schema.columns join information_schema.tables using (table_schema, table_name)
     where table_schema = 'public' and table_type = 'BASE TABLE'`,
  )
  return new Map(
    rows.map(({ name = '', type = '', demanded }) => [
      name,
      { type, isDemanded: demanded === 'true' },
    ]),
  )
}

/** Unique indexes that statements may name in "on conflict". */
async function keysOf(database: string): Promise<string[]> {
  const rows = await query(
    database,
    `select tablename || ' ' || regexp_replace(indexdef, '^.* USING ', '') as key from pg_indexes
     where schemaname = 'public' and indexdef like 'CREATE UNIQUE%'`,
  )
  return rows.map(({ key = '' }) => key)
}

function tableOf(column: string): string {
  return column.slice(0, column.indexOf('.'))
}

function storeOptions(databaseUrl: string): StoreOptions {
  return { databaseUrl, dataDir: tmpdir(), migrationsDir: MIGRATIONS, log: silent }
}

async function query(
  database: string,
  text: string,
): Promise<readonly Readonly<Record<string, string>>[]> {
  const client = new Client({ connectionString: database })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, string>>(text)
    return rows
  } finally {
    await client.end()
  }
}
