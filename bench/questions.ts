// The questions of those who watch, at ten million decisions: from sums and from the rows themselves.
//
// `--url URL` asks a database that is filled already, `--plain` PostgreSQL without TimescaleDB, `--rows N` so many decisions,
// `--only questions` or `indexes` a part.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { Pool } from 'pg'
import { pino } from 'pino'
import { Lists } from '../src/store/lists.ts'
import { openStore } from '../src/store/open.ts'
import { type Answer, Questions, type TrendQuestion } from '../src/store/questions.ts'
import type { Tables } from '../src/store/tables.ts'
import { Upkeep } from '../src/store/upkeep.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { fill } from './support/question-data.ts'

const DAY_MS = 86_400_000
const LONG_MS = 10_000
const SLOW_MS = 1000
const ROUNDS = 3
const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    plain: { type: 'boolean', default: false },
    rows: { type: 'string', default: '10000000' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
})

const server =
  values.url === undefined ? await startPostgres({ timescale: !values.plain }) : undefined
const databaseUrl = values.url ?? (await server?.database()) ?? ''
const log = pino({ level: 'silent' })
const store = await openStore({
  databaseUrl,
  dataDir: '',
  migrationsDir: join(import.meta.dirname, '../migrations'),
  log,
})
// What is asked of all rows may take longer than anybody waits for.
const db = new Kysely<Tables>({
  dialect: new PostgresDialect({ pool: new Pool({ connectionString: databaseUrl, max: 2 }) }),
})
try {
  if (values.url === undefined) await make(Number(values.rows))
  if (values.only !== 'indexes') await ask()
  if (values.only !== 'questions') await priceOfIndexes()
} finally {
  await db.destroy()
  await store.close()
  await server?.stop()
}

async function make(rows: number): Promise<void> {
  const began = performance.now()
  await fill(db, rows, new Date(), (index) => {
    if (index % 10 === 9) process.stderr.write(`day ${index + 1}, ${seconds(began)} s\n`)
    return Promise.resolve()
  })
  const upkeep = new Upkeep({
    db,
    kind: 'postgres',
    tenant: 'default',
    ages: () => ({
      decisions: 1e12,
      outcomes: 1e12,
      violations: 1e12,
      audit: 1e12,
      aggregates: 1e12,
    }),
    by: 'bench',
    nextId: () => crypto.randomUUID(),
    now: Date.now,
    audit: () => Promise.resolve(),
    ship: () => undefined,
  })
  await upkeep.run()
  process.stderr.write(`summed and compressed, ${seconds(began)} s\n`)
}

async function ask(): Promise<void> {
  const { rows: held } = await sql<{ rows: string; timescale: boolean }>`
    select (select count(*) from decisions) as rows, exists (select from pg_extension where extname = 'timescaledb') as timescale`.execute(
    db,
  )
  const kind = held[0]?.timescale === true ? 'TimescaleDB' : 'PostgreSQL'
  tell({
    bench: 'questions-data',
    store: kind,
    decisions: Number(held[0]?.rows),
    load: round1(loadavg()[0] ?? 0),
    ...(await sizes(kind)),
  })
  const { rows: newest } = await sql<{ at: Date }>`select max(time) as at from decisions`.execute(
    db,
  )
  const now = newest[0]?.at.getTime() ?? Date.now()
  const questions = new Questions({
    db,
    tenant: 'default',
    now: () => now,
    // As the data has it.
    personKey: (person) => createHash('sha256').update(`p${person}`).digest('hex'),
    pseudonymous: () => false,
    exactMs: Infinity,
  })
  const days = (count: number): { from: string } => ({
    from: new Date(now - count * DAY_MS).toISOString(),
  })
  const trend = (question: TrendQuestion) => questions.trend(question)
  const top = (question: TrendQuestion) => questions.top(question)
  const firstSeen = (question: TrendQuestion) => questions.firstSeen(question)
  const asked: readonly (readonly [
    string,
    (question: TrendQuestion) => Promise<Answer>,
    TrendQuestion,
  ])[] = [
    ['trend by the hour, a week', trend, { ...days(7) }],
    [
      'trend by the day and decision, 90 days',
      trend,
      { ...days(90), bucket: 'day', by: 'decision', limit: 1000 },
    ],
    ['top services, a week', top, { ...days(7) }],
    ['top services, 90 days', top, { ...days(90) }],
    [
      'departments with most refusals, 90 days',
      top,
      { ...days(90), by: 'department', decision: 'DENY' },
    ],
    [
      'people with most refusals, 90 days',
      top,
      { ...days(90), by: 'person', decision: 'DENY', limit: 20 },
    ],
    ['policies by violations, 90 days', top, { ...days(90), of: 'violations', by: 'policy' }],
    [
      'which policies would have refused, 90 days',
      top,
      { ...days(90), by: 'would_be_policy', would_be: 'DENY' },
    ],
    ["one person's services, 90 days", top, { ...days(90), user: '17', by: 'service' }],
    ['services first seen this week', firstSeen, { ...days(7) }],
    [
      'people first seen with a service this week',
      firstSeen,
      { ...days(7), by: 'person', service: 'service-7', limit: 20 },
    ],
  ]
  for (const [question, work, query] of asked) {
    const sums = await measure(20, () => work(query))
    const isSummed = query.by === 'would_be_policy'
    // What would have been is taken out of each row's policies only by the sums.
    const rows = isSummed ? undefined : await measure(3, () => work({ ...query, exact: true }))
    tell({
      bench: 'questions',
      store: kind,
      question,
      sums_ms: sums.median,
      sums_p95_ms: sums.p95,
      ...(rows === undefined ? {} : { rows_ms: rows.median }),
    })
  }
  const lists = new Lists(db, 'default')
  const { rows: one } = await sql<{
    id: string
  }>`select decision_id as id from decisions order by time desc limit 1 offset 500`.execute(db)
  for (const [question, work] of [
    ['the newest hundred decisions', () => lists.decisions({})],
    ['the newest hundred refusals', () => lists.decisions({ decision: 'DENY' })],
    ['the newest hundred of one person', () => lists.decisions({ user: 'person4711' })],
    ['the newest hundred of a service', () => lists.decisions({ service: 'service-7' })],
    ['a host that never was', () => lists.decisions({ host: 'nowhere.example' })],
    ['two words', () => lists.decisions({ q: 'person4711 policy' })],
    ['one decision', () => lists.decision(one[0]?.id ?? '')],
  ] as const) {
    const { median, p95 } = await measure(5, work)
    tell({ bench: 'questions-list', store: kind, question, ms: median, p95_ms: p95 })
  }
}

/** What an index costs when a row is added: CPU of the server's process, over the same rows. */
async function priceOfIndexes(): Promise<void> {
  const words = `gin (search_words(reason || ' ' || coalesce(resource_host, '') || ' ' || coalesce(resource_path, '') || ' ' || coalesce(user_name, '')))`
  const indexes: readonly (readonly [string, string])[] = [
    ['none', ''],
    ['key: tenant, time, writer, number', '(tenant, time, writer, seq)'],
    ['id', '(tenant, decision_id)'],
    ['newest: time, id', '(tenant, time desc, decision_id desc)'],
    ['person: user id, time', '(tenant, user_id, time desc)'],
    ['service, time', '(tenant, resource_id, time desc)'],
    ['outcome, time', '(tenant, decision, time desc)'],
    ['would be, where there is one', '(tenant, would_be, time desc) where would_be is not null'],
    ['review, where there is one', '(tenant, review_id) where review_id is not null'],
    ['words', words],
  ]
  await db.connection().execute(async (connection) => {
    const run = (statement: string) => sql.raw(statement).execute(connection)
    await run(
      `create temporary table sample as select * from decisions where time >= (select max(time) from decisions) - interval '1 day' order by time limit 20000`,
    )
    await run('create temporary table priced (like sample)')
    const { rows: pid } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(
      connection,
    )
    const { rows: count } = await sql<{
      rows: string
    }>`select count(*) as rows from sample`.execute(connection)
    let bare = 0
    for (const [index, columns] of indexes) {
      const spent: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        await run('truncate priced')
        if (columns !== '')
          await run(
            `create index priced_index on priced ${columns.startsWith('gin') ? `using ${columns}` : columns}`,
          )
        const before = cpuOf(pid[0]?.pid ?? 0)
        await run('insert into priced select * from sample')
        spent.push(((cpuOf(pid[0]?.pid ?? 0) - before) * 1e6) / Number(count[0]?.rows))
        await run('drop index if exists priced_index')
      }
      const median = spent.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0
      if (columns === '') bare = median
      tell({ bench: 'questions-index', index, us: round1(columns === '' ? median : median - bare) })
    }
  })
}

/** Seconds of CPU that a process has used. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function sizes(kind: string): Promise<Record<string, number>> {
  if (kind !== 'TimescaleDB') return {}
  const { rows } = await sql<{ chunks: string; compressed: string }>`
    select count(*) as chunks, count(*) filter (where is_compressed) as compressed from timescaledb_information.chunks where hypertable_name = 'decisions'`.execute(
    db,
  )
  return { chunks: Number(rows[0]?.chunks), compressed: Number(rows[0]?.compressed) }
}

/** Milliseconds: the median and the 95th percentile of warm runs; of what takes long three, of what takes very long one. */
async function measure(
  runs: number,
  work: () => Promise<unknown>,
): Promise<{ readonly median: number; readonly p95: number }> {
  const first = performance.now()
  await work()
  const once = performance.now() - first
  if (once > LONG_MS) return { median: Math.round(once), p95: Math.round(once) }
  const taken: number[] = []
  for (let run = 0; run < (once > SLOW_MS ? 3 : runs); run++) {
    const began = performance.now()
    await work()
    taken.push(performance.now() - began)
  }
  const sorted = taken.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    round1(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { median: at(0.5), p95: at(0.95) }
}

function tell(measured: object): void {
  process.stdout.write(`${JSON.stringify(measured)}\n`)
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000)
}

function round1(value: number): number {
  return Math.round(value * 10) / 10
}
