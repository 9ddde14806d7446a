// What does a gateway pay for a record that is kept, by `ledger.fsync` and by how many ask at once?
//
// CPU of the main thread, which makes the text, and of the thread that writes, syncs and proves it, each for
// itself; and how long whoever asked had to wait. Beside it SQLite (node:sqlite, WAL): the same records as rows of
// one column, each answered once its transaction is committed; those that ask at once share one, as ours share a
// write. `synchronous=NORMAL` promises what `batch` does, `FULL` what `record` does.
//
// `--json`: one line a round, otherwise a table of medians. `--quick`: a look while the machine is busy.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { IdSource } from '../src/base/ids.ts'
import { Spool } from '../src/ledger/spool.ts'
import type { DecisionRecord } from '../src/model/record.ts'
import { spoolTables } from './support/page-spool.ts'
import { machineCpuUs } from './support/processes.ts'
import { FOREIGN_CORES } from './support/rounds.ts'
import type { Measured } from './support/tables.ts'

const isQuick = process.argv.includes('--quick')
const asJson = process.argv.includes('--json')
const ROUNDS = isQuick ? 1 : 5
const ROUND_MS = isQuick ? 400 : 2000
const ATTEMPTS = isQuick ? 1 : 3
const AT_ONCE = [1, 16, 64] as const
const ids = new IdSource()
/** Made beforehand: what making one costs is no cost of keeping it. */
const RECORDS = Array.from({ length: 1024 }, recordOf)

/** Something that keeps records. */
interface Keeper {
  readonly name: string
  readonly promise: 'batch' | 'record' | 'off'
  /** Resolves when the promise holds; undefined where nobody is told. */
  keep(record: DecisionRecord): Promise<void> | undefined
  close(): Promise<void>
}

const dir = mkdtempSync(join(tmpdir(), 'cordon-spool-'))
const rows: Measured[] = []
try {
  for (const atOnce of AT_ONCE) {
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [index, open] of contenders().entries()) {
        const keeper = await open(join(dir, `${atOnce}-${round}-${index}`))
        for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
          const measured = await measure(keeper, atOnce, round)
          if (measured.foreign > FOREIGN_CORES && attempt < ATTEMPTS) continue
          // The first round warms up.
          if (round > 0) print(measured.row)
          break
        }
        await keeper.close()
      }
    }
  }
  if (!asJson) process.stdout.write(`${spoolTables(rows).join('\n')}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

function contenders(): ((path: string) => Promise<Keeper>)[] {
  return [
    (path) => cordon(path, 'batch'),
    (path) => sqlite(path, 'batch'),
    (path) => cordon(path, 'record'),
    (path) => sqlite(path, 'record'),
    (path) => cordon(path, 'off'),
  ]
}

async function cordon(path: string, fsync: 'batch' | 'record' | 'off'): Promise<Keeper> {
  const spool = new Spool({
    dir: join(path, 'ledger'),
    tenant: 'default',
    fsync,
    whenFull: 'refuse',
    limitBytes: Infinity,
    now: Date.now,
  })
  await spool.ready
  return {
    name: 'cordon',
    promise: fsync,
    keep: (record) => spool.append(record),
    close: () => spool.close(),
  }
}

/** The text alone, without CRC, tree or signature. */
function sqlite(path: string, promise: 'batch' | 'record'): Promise<Keeper> {
  const database = new DatabaseSync(`${path}.sqlite`)
  database.exec(
    `pragma journal_mode = wal; pragma synchronous = ${promise === 'record' ? 'full' : 'normal'};
     create table records (seq integer primary key, record text not null)`,
  )
  const insert = database.prepare('insert into records (record) values (?)')
  let waiting: { readonly text: string; readonly resolve: () => void }[] = []
  const flush = (): void => {
    const group = waiting
    waiting = []
    database.exec('begin')
    for (const { text } of group) insert.run(text)
    database.exec('commit')
    for (const { resolve } of group) resolve()
  }
  return Promise.resolve({
    name: 'sqlite',
    promise,
    keep: (record) =>
      new Promise<void>((resolve) => {
        if (waiting.length === 0) setImmediate(flush)
        waiting.push({ text: JSON.stringify(record), resolve })
      }),
    close: () => Promise.resolve(database.close()),
  })
}

async function measure(
  keeper: Keeper,
  atOnce: number,
  round: number,
): Promise<{ readonly row: Measured; readonly foreign: number }> {
  const waits: number[] = []
  let next = 0
  const threads = threadNs()
  const before = { main: mainUs(), all: processUs(), machine: machineCpuUs() }
  const began = performance.now()
  const until = began + ROUND_MS
  const lane = async (): Promise<void> => {
    while (performance.now() < until) {
      const record = RECORDS[next++ % RECORDS.length] ?? recordOf()
      const start = performance.now()
      await (keeper.keep(record) ?? new Promise(setImmediate))
      waits.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  const seconds = (performance.now() - began) / 1000
  const main = mainUs() - before.main
  const all = processUs() - before.all
  const foreign = (machineCpuUs() - before.machine - all) / 1e6 / seconds
  const sorted = waits.toSorted((a, b) => a - b)
  const at = (share: number): number => rounded(sorted[Math.floor(sorted.length * share)] ?? 0)
  const count = waits.length
  return {
    foreign,
    row: {
      bench: 'spool',
      keeper: keeper.name,
      promise: keeper.promise,
      at_once: atOnce,
      round,
      records_s: Math.round(count / seconds),
      main_us: rounded(main / count),
      thread_us: rounded(busiest(threads) / 1000 / count),
      all_us: rounded(all / count),
      p50_ms: at(0.5),
      p99_ms: at(0.99),
      foreign_cores: rounded(Math.max(0, foreign)),
    },
  }
}

function print(row: Measured): void {
  rows.push(row)
  if (asJson) process.stdout.write(`${JSON.stringify(row)}\n`)
}

/** CPU of this thread. */
function mainUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

function processUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Nanoseconds that each thread of this process has run: proc(5), schedstat. */
function threadNs(): ReadonlyMap<string, number> {
  return new Map(
    readdirSync('/proc/self/task').flatMap((task) => {
      try {
        const text = readFileSync(`/proc/self/task/${task}/schedstat`, 'latin1')
        return [[task, Number(text.split(' ')[0])] as const]
      } catch {
        return []
      }
    }),
  )
}

/** What the busiest thread but the main one has run since. */
function busiest(before: ReadonlyMap<string, number>): number {
  return [...threadNs()]
    .filter(([task]) => Number(task) !== process.pid)
    .reduce((most, [task, ns]) => Math.max(most, ns - (before.get(task) ?? 0)), 0)
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}

/** About 1.1 KB: an ordinary decision of a proxy about a known person. */
function recordOf(): DecisionRecord {
  const time = Date.now()
  return {
    kind: 'decision',
    tenant: 'default',
    time,
    request_id: ids.next(),
    mode: 'enforce',
    person_key: 'p1.3f0c1f4e5a6b7c8d9e0f1a2b3c4d5e6f',
    decision: {
      decision_id: ids.next(),
      decision: 'ALLOW',
      reason: 'the service is approved',
      confidence: 1,
      risk_score: 20,
      primary_policy_id: null,
      policies_evaluated: [],
      obligations: [],
      service: { id: 'openai-api', name: 'OpenAI API' },
      findings: [],
      review_id: null,
      exception_id: null,
      would_be: null,
      ttl: 30,
      revision: 'sha256:0123456789abcdef',
      evaluation_us: 41,
    },
    input: {
      user: {
        id: '0198c1f2-7a63-7b1c-9d53-0d1f6a4c2b10',
        known: true,
        status: 'active',
        groups: ['staff', 'research'],
        roles: ['engineer'],
        department: { name: 'Research', path: ['Company', 'Engineering', 'Research'] },
      },
      action: 'send_prompt',
      resource: {
        type: 'ai_service',
        id: 'openai-api',
        name: 'OpenAI API',
        known: true,
        ai: true,
        host: 'api.openai.com',
        path: '/v1/chat/completions',
        category: 'llm_api',
        approval_status: 'approved',
      },
      context: { source: 'proxy', tenant: 'default', network: 'office' },
    },
    personal: {
      user: { name: 'maya', email: 'maya@acme.example' },
      ip_address: '10.1.2.3',
      user_agent: 'bench/1.0',
    },
  }
}
