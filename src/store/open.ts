// The store: kysely over PostgreSQL or TimescaleDB by URL, else over the embedded PostgreSQL. One SQL path for all.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { type ClientBase, Pool } from 'pg'
import { CordonError } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import { takeLock } from './lock.ts'
import { makePartitions } from './partitions.ts'
import { openEmbedded } from './pglite-pool.ts'
import type { Tables } from './tables.ts'

export interface StoreOptions {
  /** postgres://..., or empty for the embedded database. */
  readonly databaseUrl: string
  readonly dataDir: string
  readonly migrationsDir: string
  readonly log: Log
}

export interface Store {
  readonly db: Kysely<Tables>
  readonly kind: 'embedded' | 'postgres'
  close(): Promise<void>
}

/** Major version of PostgreSQL inside PGlite 0.5; it cannot open another's folder. */
const EMBEDDED_MAJOR = '18'
const POOL_SIZE = 10
const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 10_000
const STATEMENT_TIMEOUT_MS = 60_000
const PARTITIONS_EVERY_MS = 24 * 3_600_000
/** Of the operating system and its resolver; SQLSTATEs of connections, of servers that start or end, and of too many clients. */
const AWAY_CODES = /^(?:E(?!RR_)[A-Z_]+|08[0-9A-Z]{3}|57P0[1-3]|53300)$/
/** The driver has no codes for its own. */
const AWAY_WORDS = /^(?:timeout exceeded|Connection terminated)/
/** SQLSTATE undefined_table. */
const NO_SUCH_TABLE = '42P01'
/** Any number, the same for every Cordon. */
const MIGRATION_LOCK = 7_303_601

/** A store that nobody has asked anything yet. */
export interface AwaitedStore extends Store {
  /** Migrates it, as a start does. Throws STORE_UNAVAILABLE with the reason; `isAway` tells whether it is worth another try. */
  prepare(): Promise<void>
}

/** Opens and migrates. Throws STORE_LOCKED, or STORE_UNAVAILABLE with the reason. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const store =
    options.databaseUrl === '' ? await openEmbeddedStore(options) : openServerStore(options)
  try {
    const end = await prepare(store, options)
    return {
      ...store,
      close: async () => {
        end()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw unusable(error)
  }
}

/** Opens the database of a server that is away. */
export function openAwaited(options: StoreOptions): AwaitedStore {
  const store = openServerStore(options)
  let end = (): void => undefined
  return {
    ...store,
    prepare: async () => {
      try {
        end()
        end = await prepare(store, options)
      } catch (error) {
        throw unusable(error)
      }
    },
    close: async () => {
      end()
      await store.close()
    },
  }
}

/** Whether a database cannot be reached, or takes nobody yet or any more: not one that refuses us. */
export function isAway(error: unknown): boolean {
  if (error instanceof CordonError) return error.code === 'STORE_UNAVAILABLE' && isAway(error.cause)
  if (!(error instanceof Error)) return false
  return 'code' in error && typeof error.code === 'string'
    ? AWAY_CODES.test(error.code)
    : AWAY_WORDS.test(error.message)
}

/** Opens and changes nothing; undefined where the database is not of this release. */
export async function openAsItIs(options: StoreOptions): Promise<Store | undefined> {
  const store =
    options.databaseUrl === '' ? await openEmbeddedStore(options) : openServerStore(options)
  try {
    if (await isCurrent(store.db, options.migrationsDir)) return store
    await store.close()
    return undefined
  } catch (error) {
    await store.close()
    throw unusable(error)
  }
}

async function openEmbeddedStore({ dataDir }: StoreOptions): Promise<Store> {
  const folder = join(dataDir, 'pg')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = takeLock(join(dataDir, 'pg.lock'), 'the embedded database')
  try {
    const note = join(dataDir, 'pg.version')
    const version = existsSync(note) ? readFileSync(note, 'utf8').trim() : EMBEDDED_MAJOR
    if (version !== EMBEDDED_MAJOR) {
      throw new CordonError(
        'STORE_UNAVAILABLE',
        `${folder} was written by embedded PostgreSQL ${version}, this release holds ${EMBEDDED_MAJOR}: export with the older release first`,
      )
    }
    const embedded = await openEmbedded(folder)
    writeFileSync(note, `${EMBEDDED_MAJOR}\n`)
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: embedded.pool }) })
    return {
      db,
      kind: 'embedded',
      close: async () => {
        await db.destroy().catch(() => undefined)
        await embedded.close()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

function openServerStore({ databaseUrl, log }: StoreOptions): Store {
  const pool = new Pool({
    connectionString: databaseUrl,
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'cordon',
    // Node asks ten times, a second apart, once nothing has come for that long: a server that vanished is noticed.
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it, which its types do not say
    onConnect: takeLateRows,
  })
  // Without a listener a dropped connection would end the process: the pool listens to those that are idle, nobody
  // to those that are in use. There the query that was cut off fails, which is told where it was asked.
  pool.on('error', (error) => log.warn({ err: error.message }, 'a database connection was lost'))
  pool.on('connect', (client) => client.on('error', () => undefined))
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return { db, kind: 'postgres', close: () => db.destroy() }
}

/** Records that are replayed after a week fall into compressed chunks: TimescaleDB would refuse a batch of them. */
async function takeLateRows(client: ClientBase): Promise<void> {
  await client.query('set timescaledb.max_tuples_decompressed_per_dml_transaction = 0')
}

/** Brings it to this release; what ends what it began. */
async function prepare({ db }: Store, { migrationsDir, log }: StoreOptions): Promise<() => void> {
  if (!(await isCurrent(db, migrationsDir))) await migrate(db, migrationsDir).catch(notMigrated)
  return keepPartitions(db, log)
}

/** Coming months exist before their first record does, however long the process runs. */
async function keepPartitions(db: Kysely<Tables>, log: Log): Promise<() => void> {
  const make = async (): Promise<void> => {
    try {
      await makePartitions(db, new Date())
    } catch (error) {
      // The default partition takes what comes meanwhile.
      log.warn({ err: reason(error) }, 'the partitions of coming months could not be made')
    }
  }
  await make()
  const timer = setInterval(() => void make(), PARTITIONS_EVERY_MS).unref()
  return () => clearInterval(timer)
}

/** Whether every migration was made. The migrator would look through the whole schema to tell. */
async function isCurrent(db: Kysely<Tables>, folder: string): Promise<boolean> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db)
    const made = new Set(rows.map(({ name }) => name))
    return migrationNames(folder).every((name) => made.has(name))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === NO_SUCH_TABLE) return false
    throw error
  }
}

async function migrate(db: Kysely<Tables>, folder: string): Promise<void> {
  await db.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`.execute(connection)
    try {
      const migrator = new Migrator({
        db: connection,
        provider: { getMigrations: () => readMigrations(folder) },
      })
      const { error } = await migrator.migrateToLatest()
      if (error instanceof Error) throw error
      if (error !== undefined) throw new Error('the migrations failed', { cause: error })
    } finally {
      await sql`select pg_advisory_unlock(${MIGRATION_LOCK})`.execute(connection)
    }
  })
}

function notMigrated(error: unknown): never {
  throw new CordonError(
    'STORE_UNAVAILABLE',
    `the store is empty or of an older release, and cannot be brought to this one (${reason(error)}): start once with a database user that may create tables, on a server that can be written to`,
    { cause: error },
  )
}

async function readMigrations(folder: string): Promise<Record<string, Migration>> {
  const migrations: Record<string, Migration> = {}
  for (const name of migrationNames(folder))
    migrations[name] = (await import(join(folder, `${name}.ts`))) as Migration
  return migrations
}

function migrationNames(folder: string): string[] {
  return readdirSync(folder)
    .filter((file) => /^\d{4}-.*\.ts$/.test(file))
    .map((file) => file.slice(0, -3))
    .toSorted()
}

function unusable(error: unknown): CordonError {
  if (error instanceof CordonError) return error
  const message = `the store cannot be used: ${reason(error)}`
  return new CordonError('STORE_UNAVAILABLE', message, { cause: error })
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}
