// The decisions of a period, read page by page, and what warn and audit would have changed: on every database.

import { type Test } from 'tap'
import { shadowLines, shadowReport } from '../../src/governance/shadow.ts'
import type { DecisionRecord } from '../../src/model/record.ts'
import type { Store } from '../../src/store/open.ts'
import { type Period, recordedCount, recordedPages } from '../../src/store/recorded.ts'
import { RecordSink } from '../../src/store/records.ts'
import { Dice } from '../support/dice.ts'
import { decisionRecord, ids, shippedOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const HOUR_MS = 3_600_000
const END = Date.parse('2026-11-20T12:00:00Z')
const ALL: Period = { from: 0, to: END + HOUR_MS }

onEachStore(async (t: Test, store: Store) => {
  const dice = new Dice()
  t.comment(`CORDON_SEED=${dice.seed}`)
  const records = history(dice)
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
  })
  const shipped = shippedOf(records)
  for (let at = 0; at < shipped.length; at += 500) {
    const batch = shipped.slice(at, at + 500)
    await sink.write(batch[0]?.writer ?? '', batch)
  }

  await t.test('every decision once, newest first, whatever the period', async (t) => {
    for (const period of [
      ALL,
      { from: END - HOUR_MS, to: END },
      { from: END - 30 * HOUR_MS, to: END - 2 * HOUR_MS },
      { from: END + HOUR_MS, to: END + 2 * HOUR_MS },
    ]) {
      const wanted = records
        .filter(({ time }) => time >= period.from && time < period.to)
        .map(({ decision }) => decision.decision_id)
      const found = await read(store, period)
      t.equal(found.length, wanted.length)
      t.same(new Set(found.map(({ id }) => id)), new Set(wanted))
      t.ok(found.every(({ time }, index) => time <= (found[index - 1]?.time ?? Infinity)))
    }
    t.equal(await recordedCount(store.db, 'default', ALL), records.length)
    t.equal(await recordedCount(store.db, 'other', ALL), 0)
  })

  await t.test('one that is cancelled reads no further', async (t) => {
    const cancelled = new AbortController()
    let pages = 0
    const reading = (async () => {
      for await (const page of recordedPages(store.db, 'default', ALL, cancelled.signal)) {
        pages += page.length > 0 ? 1 : 0
        cancelled.abort()
      }
    })()
    await t.rejects(reading)
    t.equal(pages, 1)
  })

  await t.test('what a policy would have changed is what the records tell', async (t) => {
    const parts = { db: store.db, tenant: 'default', pseudonymous: false }
    const wanted = records.filter(({ decision }) => decisive(decision) === 'watching')
    const report = await shadowReport(parts, 'watching', ALL, 1000)
    t.equal(report.changed, wanted.length)
    t.equal(report.all_decisions, records.length)
    t.equal(
      report.newly_denied,
      wanted.filter(({ decision }) => decision.would_be === 'DENY').length,
    )
    for (const by of ['department', 'user'] as const) {
      const sums = new Map<string | null, number>()
      for (const record of wanted) {
        const name = by === 'user' ? nameOf(record) : departmentOf(record)
        sums.set(name, (sums.get(name) ?? 0) + 1)
      }
      t.same(new Map(report.by[by].items.map(({ name, changed }) => [name, changed])), sums, by)
    }
    t.equal(report.newest.length, Math.min(1000, wanted.length))
    const lines = await shadowLines(parts, ALL)
    t.same(new Set(lines.map(({ policy_id: id }) => id)), new Set(['watching', 'warning']))
    const hidden = await shadowReport({ ...parts, pseudonymous: true }, 'watching', ALL, 10)
    t.ok(hidden.by.user.items.every(({ name }) => /^person-[a-z2-7]{12}$/.test(name ?? '')))
  })
})

/** Some quiet, some within one millisecond, most of them watched by two policies. */
function history(dice: Dice): DecisionRecord[] {
  return Array.from({ length: 2500 }, (_, index): DecisionRecord => {
    const person = dice.between(0, 9)
    const base = decisionRecord({
      time: index < 900 ? END - HOUR_MS / 2 : END - dice.between(0, 40 * HOUR_MS),
      user: `user${person}`,
      person: String(person).repeat(64),
      department: dice.of(['Sales', 'Legal']),
      effect: 'ALLOW',
      policy: null,
    })
    const matched = (['watching', 'warning'] as const).filter(() => dice.next() < 0.3)
    const effects = matched.map(() => dice.of(['DENY', 'REVIEW'] as const))
    const wouldBe = effects.includes('DENY') ? 'DENY' : (effects[0] ?? null)
    return {
      ...base,
      decision: {
        ...base.decision,
        would_be: wouldBe,
        policies_evaluated: matched.map((id, at) => ({
          policy_id: id,
          policy_name: id,
          matched: true,
          priority: 100,
          effect: effects[at] ?? null,
          mode: id === 'watching' ? 'audit' : 'warn',
          error: null,
        })),
      },
    }
  })
}

/** The first policy that gave the answer which was not enforced. */
function decisive({
  would_be: wouldBe,
  policies_evaluated: all,
}: DecisionRecord['decision']): string {
  return wouldBe === null ? '' : (all.find(({ effect }) => effect === wouldBe)?.policy_id ?? '')
}

function departmentOf({ input }: DecisionRecord): string {
  return (input as { user: { department: { name: string } } }).user.department.name
}

function nameOf({ personal }: DecisionRecord): string {
  return personal?.user?.name ?? ''
}

async function read(
  store: Store,
  period: Period,
): Promise<{ readonly id: string; readonly time: number }[]> {
  const found: { readonly id: string; readonly time: number }[] = []
  for await (const page of recordedPages(store.db, 'default', period))
    for (const { record } of page) {
      const { time, decision } = JSON.parse(record) as DecisionRecord
      found.push({ id: decision.decision_id, time })
    }
  return found
}
