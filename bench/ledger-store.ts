// How many decisions a second go from segments into the store, what that costs, and whether memory stays flat?
//
// Two writers' segments are written beforehand; then the recorder ships them with everything that it does: reading,
// checking, hashing, rows, leaves, violations, cursor. CPU of this process (the recorder with its driver) and of the
// server, each for itself. Beside it the same rows by COPY, the fastest way in that PostgreSQL has, and by kysely's
// values(): rows alone, without cursor, leaves and what tells repeats. fsync is on.
//
// `--json`: one line a round, otherwise tables of medians. `--quick`: a look while the machine is busy.
// `--minutes N [--rate R]`: two processes write R decisions a second, and their outcomes, while the recorder ships and archives;
// memory and lag every ten seconds.

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { sql } from 'kysely'
import { Client } from 'pg'
import { pino } from 'pino'
import { IdSource } from '../src/base/ids.ts'
import { Follower } from '../src/ledger/follower.ts'
import { Recorder } from '../src/ledger/recorder.ts'
import { writersIn } from '../src/ledger/writer-folder.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { DECISION_COLUMNS, decisionRow, decisionsOf } from '../src/store/record-rows.ts'
import { RecordSink } from '../src/store/records.ts'
import type { Row } from '../src/store/unnest.ts'
import {
  noPostgres,
  noTimescale,
  startPostgres,
  type TestPostgres,
} from '../test/support/postgres.ts'
import { copyIn, copyText } from './support/copy.ts'
import { ledgerStoreTables } from './support/page-ledger-store.ts'
import { endedChildrenCpuUs, machineCpuUs, treeCpuUs } from './support/processes.ts'
import { FOREIGN_CORES } from './support/rounds.ts'
import type { Measured } from './support/tables.ts'

const HERE = import.meta.dirname
const isQuick = process.argv.includes('--quick')
const asJson = process.argv.includes('--json')
const minutes = numberAfter('--minutes', 0)
const rate = numberAfter('--rate', 8000)
const ROUNDS = isQuick ? 1 : 3
const ATTEMPTS = isQuick ? 1 : 3
const DECISIONS = isQuick ? 10_000 : 200_000
/** kysely's parameters are bounded by the protocol. */
const VALUES_ROWS = 500
const LANES = 2
const SAMPLE_MS = 10_000
/** What a server for this is given: a quarter of a small machine's memory, checkpoints seldom. */
const SETTINGS = ['fsync=on', 'shared_buffers=1GB', 'max_wal_size=4GB', 'checkpoint_timeout=15min']

/** Something that takes the decisions of a folder into a store. */
interface Contender {
  readonly name: string
  fill(store: Store, url: string, ledger: string): Promise<void>
}

const CONTENDERS: readonly Contender[] = [
  { name: 'recorder', fill: recordAll },
  { name: 'COPY', fill: copyAll },
  { name: 'kysely values()', fill: valuesAll },
]

const dir = mkdtempSync(join(tmpdir(), 'cordon-ledger-store-'))
const rows: Measured[] = []
try {
  if (noPostgres() !== false) throw new Error(String(noPostgres()))
  if (minutes > 0) await sustained()
  else await compared()
} finally {
  rmSync(dir, { recursive: true, force: true })
}

async function compared(): Promise<void> {
  for (const timescale of noTimescale() === false ? [true, false] : [false]) {
    const server = await startPostgres({ timescale, settings: SETTINGS })
    try {
      for (const withOutcomes of [false, true]) {
        const ledger = join(dir, `${timescale}-${withOutcomes}`)
        mkdirSync(ledger)
        for (let writer = 0; writer < LANES; writer++)
          writeSegments(ledger, DECISIONS / LANES, withOutcomes)
        // The peers take decisions alone.
        const contenders = withOutcomes ? CONTENDERS.slice(0, 1) : CONTENDERS
        for (let round = 0; round <= ROUNDS; round++)
          for (const contender of contenders)
            await measured({ server, timescale, withOutcomes, ledger, contender, round })
        rmSync(ledger, { recursive: true })
      }
    } finally {
      await server.stop()
    }
  }
  if (!asJson) process.stdout.write(`${ledgerStoreTables(rows).join('\n')}\n`)
}

/** The first round warms up; one with too much else on the machine is repeated. */
async function measured(of: {
  readonly server: TestPostgres
  readonly timescale: boolean
  readonly withOutcomes: boolean
  readonly ledger: string
  readonly contender: Contender
  readonly round: number
}): Promise<void> {
  const { server, timescale, withOutcomes, ledger, contender, round } = of
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const url = await server.database()
    const store = await storeAt(url)
    const began = performance.now()
    const own = process.cpuUsage()
    const server0 = serverCpuUs(server)
    const machine0 = machineCpuUs()
    await contender.fill(store, url, ledger)
    const seconds = (performance.now() - began) / 1000
    const { user, system } = process.cpuUsage(own)
    const serverUs = serverCpuUs(server) - server0
    const foreign = (machineCpuUs() - machine0 - user - system - serverUs) / 1e6 / seconds
    await store.close()
    if (round === 0) return
    if (foreign > FOREIGN_CORES && attempt < ATTEMPTS) continue
    const row: Measured = {
      bench: 'ledger-store',
      database: timescale ? 'TimescaleDB' : 'PostgreSQL',
      scenario: withOutcomes ? 'decisions and outcomes' : 'decisions',
      contender: contender.name,
      round,
      decisions_s: Math.round(DECISIONS / seconds),
      driver_us: (user + system) / DECISIONS,
      server_us: serverUs / DECISIONS,
      foreign_cores: foreign,
    }
    rows.push(row)
    if (asJson) process.stdout.write(`${JSON.stringify(row)}\n`)
    else process.stderr.write(`${JSON.stringify(row)}\n`)
    return
  }
}

async function sustained(): Promise<void> {
  const server = await startPostgres({ timescale: noTimescale() === false, settings: SETTINGS })
  const ledger = join(dir, 'ledger')
  mkdirSync(ledger)
  const store = await storeAt(await server.database())
  // What is in the store is kept as far as half a gigabyte, so that archiving and pruning go on all the time.
  const recorder = recorderOf(store, ledger, 512 * 1024 ** 2)
  const seconds = minutes * 60
  const writers = Array.from({ length: LANES }, () =>
    spawn(process.execPath, writerArguments(ledger, (seconds * rate) / LANES, true, rate / LANES), {
      stdio: 'ignore',
    }),
  )
  try {
    recorder.start()
    for (let at = 0; at < seconds * 1000; at += SAMPLE_MS) {
      const own = process.cpuUsage()
      const server0 = serverCpuUs(server)
      const before = await countOf(store)
      await wait(SAMPLE_MS)
      const { user, system } = process.cpuUsage(own)
      const stored = (await countOf(store)) - before
      const row: Measured = {
        bench: 'ledger-store-minutes',
        second: (at + SAMPLE_MS) / 1000,
        decisions_s: Math.round(stored / (SAMPLE_MS / 1000)),
        rss_mib: Math.round(process.memoryUsage().rss / 1024 ** 2),
        lag_s: recorder.lagMs() / 1000,
        driver_us: (user + system) / Math.max(1, stored),
        server_us: (serverCpuUs(server) - server0) / Math.max(1, stored),
      }
      process.stdout.write(`${JSON.stringify(row)}\n`)
    }
  } finally {
    for (const writer of writers) writer.kill()
    await recorder.stop()
    await store.close()
    await server.stop()
  }
}

async function recordAll(store: Store, _url: string, ledger: string): Promise<void> {
  await recorderOf(store, ledger).flush()
}

function recorderOf(store: Store, ledger: string, archiveLimitBytes = Infinity): Recorder {
  const ids = new IdSource()
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
  })
  return new Recorder(
    {
      sink,
      metrics: new Metrics({ processMetrics: false }),
      log: pino({ level: 'warn' }, pino.destination(2)),
      onBacklog: () => undefined,
    },
    { dir: ledger, archiveDir: '', archiveLimitBytes, lanes: LANES, now: Date.now },
  )
}

async function copyAll(_store: Store, url: string, ledger: string): Promise<void> {
  const names = Object.keys(DECISION_COLUMNS)
  const statement = `copy decisions (${names.join(', ')}) from stdin`
  await Promise.all(
    writersIn(ledger).map(async (writer) => {
      const client = new Client({ connectionString: url })
      await client.connect()
      try {
        for (const batch of rowsIn(ledger, writer))
          await copyIn(
            client,
            statement,
            copyText(batch.map((row) => names.map((name) => plain(row[name])))),
          )
      } finally {
        await client.end()
      }
    }),
  )
}

async function valuesAll({ db }: Store, _url: string, ledger: string): Promise<void> {
  await Promise.all(
    writersIn(ledger).map(async (writer) => {
      for (const batch of rowsIn(ledger, writer))
        for (let at = 0; at < batch.length; at += VALUES_ROWS)
          await db
            .insertInto('decisions')
            .values(batch.slice(at, at + VALUES_ROWS) as never)
            .onConflict((conflict) => conflict.doNothing())
            .execute()
    }),
  )
}

function* rowsIn(ledger: string, writer: string): Generator<Row[]> {
  const follower = new Follower([join(ledger, writer)], writer, undefined)
  for (let batch = follower.next(); batch !== undefined; batch = follower.next()) {
    yield decisionsOf(batch.records).map(decisionRow)
    follower.take(batch)
  }
}

function plain(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`
  return typeof value === 'string' ? value : JSON.stringify(value)
}

async function storeAt(databaseUrl: string): Promise<Store> {
  return openStore({
    databaseUrl,
    dataDir: dir,
    migrationsDir: join(HERE, '../migrations'),
    log: pino({ level: 'silent' }),
  })
}

async function countOf({ db }: Store): Promise<number> {
  // Every other record is an outcome.
  const { rows: found } = await sql<{
    records: string
  }>`select sum(seq) as records from writers`.execute(db)
  return Number(found[0]?.records ?? 0) / 2
}

function writeSegments(ledger: string, decisions: number, withOutcomes: boolean): void {
  execFileSync(process.execPath, writerArguments(ledger, decisions, withOutcomes, 0), {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (readdirSync(ledger).length === 0) throw new Error('no segments were written')
}

function writerArguments(
  ledger: string,
  decisions: number,
  withOutcomes: boolean,
  aSecond: number,
): string[] {
  const writer = join(HERE, 'support/ledger-writer.ts')
  return [writer, ledger, String(decisions), withOutcomes ? '1' : '0', String(aSecond)]
}

/** Connections end with the contender that opened them. */
function serverCpuUs({ pid }: TestPostgres): number {
  return treeCpuUs(pid) + endedChildrenCpuUs(pid)
}

function numberAfter(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name)
  return at === -1 ? otherwise : Number(process.argv[at + 1])
}
