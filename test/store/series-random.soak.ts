// Random batches, runs of upkeep, ages and holds against a list in memory, and every database against the others.

import { randomInt, randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { AuditRecord } from '../../src/model/record.ts'
import { type Ages, horizonOf, tellAges } from '../../src/store/ages.ts'
import { liftHold, placeHold } from '../../src/store/holds.ts'
import type { Store } from '../../src/store/open.ts'
import { makePartitions } from '../../src/store/partitions.ts'
import { RecordSink } from '../../src/store/records.ts'
import { Upkeep } from '../../src/store/upkeep.ts'
import { ids, shippedOf } from '../support/records.ts'
import {
  AGGREGATES,
  type Aggregate,
  answersFrom,
  answersOf,
  type Asked,
  recordOf,
} from '../support/series-model.ts'
import { onEachStore } from '../support/stores.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const TENANTS = ['a', 'b', 'c']
const ACTIONS = 50
/** A year ends meanwhile. */
const START = Date.UTC(2025, 11, 20, 7, 30)
const seed = randomInt(2 ** 31)
t.setTimeout(600_000)
t.comment(`seed ${seed}`)

/** What the first database answered after each action; the others must answer the same. */
let expected: readonly string[] | undefined

onEachStore(async (t, store, name) => {
  const seen = await randomLife(t, store)
  if (expected === undefined) expected = seen
  else t.same(seen, expected, `${name} answers as the first one did, at every moment`)
})

interface Kept extends Asked {
  /** Rows that are still there. */
  decision: boolean
  fact: boolean
  /** Sums that it is still part of. */
  readonly counted: Record<Aggregate, boolean>
}

interface Standing {
  readonly tenant: string
  readonly name: string
  readonly person: string | undefined
}

async function randomLife(t: Test, store: Store): Promise<string[]> {
  const { db } = store
  const random = generator(seed)
  const int = (below: number): number => Math.floor(random() * below)
  const pick = <T>(list: readonly T[]): T => list[int(list.length)] as T
  const all: Kept[] = []
  const holds: Standing[] = []
  const told: AuditRecord[] = []
  const writers = Array.from({ length: 4 }, () => ({ writer: randomUUID(), seq: 0 }))
  const ages = new Map<string, Ages>()
  const seen: string[] = []
  let now = START
  const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
  const upkeep = new Upkeep({
    db,
    kind: store.kind,
    tenant: 'a',
    ages: () => ages.get('a') ?? age(90, 90, 700),
    by: 'test',
    nextId: () => ids.next(),
    now: () => now,
    audit: async (record) => {
      told.push(record)
      const shipped = shippedOf([record])
      await sink.write(shipped[0]?.writer ?? '', shipped)
    },
    ship: () => undefined,
  })
  for (const tenant of TENANTS) {
    // The third never tells its ages.
    if (tenant === 'c') continue
    ages.set(tenant, age(10, 20, 60))
    await tellAges(db, tenant, age(10, 20, 60))
  }
  const isHeld = (asked: Asked, personal = true): boolean =>
    holds.some(
      ({ tenant, person }) =>
        tenant === asked.tenant && (person === undefined || (personal && person === asked.person)),
    )

  const batch = async (): Promise<void> => {
    const mixed = random() < 0.2
    const tenant = pick(TENANTS)
    const asked = Array.from({ length: 1 + int(30) }, (): Asked => {
      const back = random() < 0.6 ? 2 * HOUR_MS : random() < 0.6 ? 3 * DAY_MS : 45 * DAY_MS
      const violation = random() < 0.3
      return {
        tenant: mixed ? pick(TENANTS) : tenant,
        time: now - int(back),
        person: pick(['p1', 'p2', 'p3']),
        department: pick(['Sales', 'Engineering']),
        service: pick(['chatgpt', 'claude', null]),
        effect: violation ? 'DENY' : pick(['ALLOW', 'DENY']),
        policy: pick(['no-secrets', null]),
        warned: random() < 0.2 ? pick(['warned', 'other']) : null,
        violation,
      }
    })
    const at = pick(writers)
    const records = shippedOf(asked.map(recordOf)).map((record) => {
      at.seq += 1
      return {
        ...record,
        writer: at.writer,
        seq: at.seq,
        record: { ...record.record, writer: at.writer, seq: at.seq },
      }
    })
    await sink.write(at.writer, records)
    for (const each of asked) {
      const counted = { decisions_hourly: true, people_daily: true, violations_daily: true }
      all.push({ ...each, decision: true, fact: each.violation, counted })
    }
  }
  const work = async (): Promise<void> => {
    const run = await upkeep.run()
    t.equal(run?.error ?? null, null, 'upkeep succeeds')
    for (const asked of all) {
      const own = ages.get(asked.tenant)
      if (own === undefined) continue
      if (asked.time < horizonOf(new Date(now), own.decisions).getTime() && !isHeld(asked))
        asked.decision = false
      if (asked.time < horizonOf(new Date(now), own.violations).getTime() && !isHeld(asked))
        asked.fact = false
      const horizon = horizonOf(new Date(now), own.aggregates).getTime()
      for (const name of AGGREGATES)
        if (asked.time < horizon && !isHeld(asked, name !== 'decisions_hourly'))
          asked.counted[name] = false
    }
    await compare('after a run')
  }
  const compare = async (when: string): Promise<void> => {
    const answers = await answersOf(db)
    const model = answersFrom(all, (asked, name) => asked.counted[name])
    for (const name of AGGREGATES)
      t.same(answers[name], model[name], `${name} ${when} at ${new Date(now).toISOString()}`)
    t.same(await rowsOf(store), [
      all.filter(({ decision }) => decision).length,
      all.filter(({ fact }) => fact).length,
    ])
  }
  const hold = async (): Promise<void> => {
    const known = holds[0]
    if (known !== undefined && random() < 0.6) {
      holds.shift()
      await liftHold(db, known.tenant, known.name, { by: 'test', reason: 'over' })
      return
    }
    const person = random() < 0.7 ? pick(['p1', 'p2']) : undefined
    const placed = { tenant: pick(TENANTS), name: `hold ${holds.length} ${int(1e9)}`, person }
    holds.push(placed)
    await placeHold(db, placed.tenant, {
      hold_id: randomUUID(),
      name: placed.name,
      person_keys: person === undefined ? null : [person],
      time_from: null,
      time_to: null,
      reason: 'because',
      created_by: 'test',
    })
  }
  const change = async (): Promise<void> => {
    const tenant = pick(['a', 'b'])
    const next = age(1 + int(15), 1 + int(25), 20 + int(40))
    ages.set(tenant, next)
    await tellAges(db, tenant, next)
  }
  for (let action = 0; action < ACTIONS; action++) {
    const dice = random()
    if (dice < 0.45) await batch()
    else if (dice < 0.7) await work()
    else if (dice < 0.85) {
      now += random() < 0.6 ? int(3 * HOUR_MS) : int(6 * DAY_MS)
      // As a process does at its start and every day.
      await makePartitions(db, new Date(now))
    } else if (dice < 0.93) await hold()
    else await change()
    seen.push(JSON.stringify([action, await answersOf(db), await rowsOf(store)]))
  }
  await work()
  await checkTold(t, store, told)
  return seen
}

/** Every row that has gone was told before, and no more. */
async function checkTold(t: Test, { db }: Store, told: readonly AuditRecord[]): Promise<void> {
  const { rows } = await sql<{ event_id: string; series: string; rows: string; gone: string }>`
    select event_id, series, rows, gone from retention_runs`.execute(db)
  t.equal(rows.length, told.length)
  for (const row of rows) {
    const record = told.find(({ event_id: id }) => id === row.event_id)
    t.match(record?.data, { table: row.series, rows: Number(row.rows) })
    t.equal(row.gone, row.rows, `what was told of ${row.series} has gone`)
  }
}

async function rowsOf({ db }: Store): Promise<number[]> {
  const { rows } = await sql<{ decisions: string; facts: string }>`
    select (select count(*) from decisions) as decisions, (select count(*) from violation_facts) as facts`.execute(
    db,
  )
  return [Number(rows[0]?.decisions), Number(rows[0]?.facts)]
}

function age(decisions: number, violations: number, aggregates: number): Ages {
  const days = { decisions, outcomes: decisions, violations, audit: 2555, aggregates }
  return Object.fromEntries(
    Object.entries(days).map(([name, count]) => [name, count * DAY_MS]),
  ) as unknown as Ages
}

/** Mulberry32: the same numbers for the same seed. */
function generator(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
