// How fast is a history of 100,000 decisions replayed, and does every one come out as it was recorded?
//
// The history is made by the real corridor over Rego and Cedar (test/support/recorded-history.ts). It is replayed from
// memory, with what equal documents say remembered and with every document run by itself; and from a PostgreSQL with
// TimescaleDB, and the embedded database, page by page, as `cordon policy replay` and the API do.
//
// `--decisions N`; `--only memory` or `store`; `--json`: one line a scenario, otherwise a table. Ends with 1 where a decision is another one than recorded.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readPersonal } from '../src/ledger/encode.ts'
import type { ShippedRecord } from '../src/model/record.ts'
import type { PolicySet } from '../src/policy/policy-set.ts'
import { type Recorded, readRecorded, type RecordedRow } from '../src/policy/recorded-input.ts'
import { type Draft, Replay, replayPages, type ReplayReport } from '../src/policy/replay.ts'
import { leafHash } from '../src/proof/tree.ts'
import { openStore } from '../src/store/open.ts'
import { recordedPages } from '../src/store/recorded.ts'
import { RecordSink } from '../src/store/records.ts'
import { loadDirs } from '../test/support/policy-folder.ts'
import { RULES } from '../test/support/policy-rules.ts'
import { noTimescale, startPostgres } from '../test/support/postgres.ts'
import { recordedHistory, REPLAYED_POLICIES } from '../test/support/recorded-history.ts'
import { ids, silent } from '../test/support/records.ts'
import { table } from './support/tables.ts'

const NOBODYS = new Set(['no policy has this id'])
const { values } = parseArgs({
  options: {
    decisions: { type: 'string', default: '100000' },
    json: { type: 'boolean' },
    only: { type: 'string' },
  },
})
const DECISIONS = Number(values.decisions)
const PAGE = 500
const BATCH = 1000
const STARTER = join(import.meta.dirname, '../policies')

/** What it reads is the same in many decisions. */
const BY_DEPARTMENT = `@id("no-secrets-from-research") @priority("900")
forbid (principal in Cordon::Department::"Research", action, resource)
when { context has content && context.content has finding_categories && context.content.finding_categories.contains("pii") };`

interface Row {
  readonly bench: 'replay'
  readonly scenario: string
  readonly decisions: number
  readonly evaluations: number
  readonly identical: number
  readonly changed: number
  readonly seconds: number
  readonly per_second: number
  /** Of all that this process does: reading, parsing, running, comparing. */
  readonly cpu_us: number
  readonly rss_mb: number
}

const rows: Row[] = []
let differing = 0
const dir = mkdtempSync(join(tmpdir(), 'cordon-replay-'))
try {
  const policies = await loadDirs([REPLAYED_POLICIES])
  const history: RecordedRow[] = []
  for await (const row of recordedHistory({ policies, decisions: DECISIONS })) history.push(row)
  process.stderr.write(`${history.length} decisions were made\n`)

  if (values.only !== 'store') await fromMemory(history)
  if (values.only !== 'memory') {
    if (noTimescale() === false) await fromServer(history)
    await fromStore('the embedded database', '', history)
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}
if (values.json !== true) {
  const columns = [
    'scenario',
    'decisions',
    'evaluations',
    'identical',
    'changed',
    'seconds',
    'per_second',
    'cpu_us',
    'rss_mb',
  ] as const
  process.stdout.write(
    `${table(
      [...columns],
      rows.map((row) => columns.map((column) => String(row[column]))),
    )}\n`,
  )
}
process.exitCode = differing === 0 ? 0 : 1

async function fromMemory(history: readonly RecordedRow[]): Promise<void> {
  const replayed = async (name: string, draft: Draft, isSame: boolean): Promise<void> =>
    measure(name, draft, pagesOf(history), isSame)
  const draft = await loadDirs([REPLAYED_POLICIES])
  await replayed('the policies of then', draft, true)
  writeFileSync(join(dir, 'draft.cedar'), BY_DEPARTMENT)
  await replayed('one policy by department and finding', await loadDirs([dir]), false)
  await replayed('the starter pack', await loadDirs([STARTER]), false)
  await replayed('each document by itself', oneByOne(draft), true)
}

async function fromServer(history: readonly RecordedRow[]): Promise<void> {
  const server = await startPostgres({ timescale: true, license: 'timescale' })
  try {
    await fromStore('TimescaleDB', await server.database(), history)
  } finally {
    await server.stop()
  }
}

async function fromStore(
  name: string,
  databaseUrl: string,
  history: readonly RecordedRow[],
): Promise<void> {
  const store = await openStore({
    databaseUrl,
    dataDir: join(dir, 'data'),
    migrationsDir: join(import.meta.dirname, '../migrations'),
    log: silent,
  })
  try {
    const sink = new RecordSink({
      db: store.db,
      nextId: () => ids.next(),
      onViolation: () => undefined,
    })
    for (let at = 0; at < history.length; at += BATCH) {
      const shipped = history.slice(at, at + BATCH).map(shippedOf)
      await sink.write(shipped[0]?.writer ?? '', shipped)
    }
    const draft = await loadDirs([REPLAYED_POLICIES])
    const period = { from: 0, to: Date.parse('2100-01-01T00:00:00Z') }
    await measure(`from ${name}`, draft, readAll(recordedPages(store.db, 'default', period)), true)
  } finally {
    await store.close()
  }
}

function shippedOf({ record: text, personal }: RecordedRow): ShippedRecord {
  const record = JSON.parse(text) as ShippedRecord['record']
  const personalBytes = Buffer.from(personal ?? [])
  return {
    writer: record.writer,
    seq: record.seq,
    leaf: leafHash(Buffer.from(text)),
    text,
    record,
    personal: readPersonal(personalBytes),
    personalBytes,
  }
}

/** Equal or not: everything is run. */
function oneByOne(set: PolicySet): Draft {
  return {
    revision: set.revision,
    policies: set.policies,
    get evaluations() {
      return set.evaluations
    },
    // With an exception nothing is remembered.
    decide: (document) => set.decide(document, undefined, NOBODYS),
  }
}

async function* pagesOf(
  history: readonly RecordedRow[],
): AsyncGenerator<readonly (Recorded | undefined)[]> {
  for (let at = 0; at < history.length; at += PAGE)
    yield await Promise.resolve(history.slice(at, at + PAGE).map((row) => readRecorded(row)))
}

async function* readAll(
  pages: AsyncIterable<readonly RecordedRow[]>,
): AsyncGenerator<readonly (Recorded | undefined)[]> {
  for await (const page of pages) yield page.map((row) => readRecorded(row))
}

async function measure(
  scenario: string,
  draft: Draft,
  pages: AsyncIterable<readonly (Recorded | undefined)[]>,
  isSame: boolean,
): Promise<void> {
  const replay = new Replay({ draft, combining: RULES, pseudonymous: false })
  const began = performance.now()
  const cpu = process.cpuUsage()
  await replayPages(replay, pages, { isCancelled: () => false, onPage: () => undefined })
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const report = replay.report()
  if (isSame) differing += report.decisions + report.unreadable - report.identical
  tell(scenario, report, seconds, (user + system) / report.decisions)
}

function tell(
  scenario: string,
  { decisions, evaluations, identical, changed }: ReplayReport,
  seconds: number,
  cpuUs: number,
): void {
  const row: Row = {
    bench: 'replay',
    scenario,
    decisions,
    evaluations,
    identical,
    changed,
    seconds: Math.round(seconds * 100) / 100,
    per_second: Math.round(decisions / seconds),
    cpu_us: Math.round(cpuUs),
    rss_mb: Math.round(process.memoryUsage.rss() / 2 ** 20),
  }
  rows.push(row)
  if (values.json === true) process.stdout.write(`${JSON.stringify(row)}\n`)
}
