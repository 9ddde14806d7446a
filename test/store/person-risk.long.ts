// A person's points follow from their violations, in whatever order and however often records come, on every database.

import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { personRisk } from '../../src/governance/person-risk.ts'
import { pseudonymOf } from '../../src/model/person.ts'
import type { ShippedRecord } from '../../src/model/record.ts'
import { ownScore, RISK_HISTORY } from '../../src/model/risk.ts'
import { StoredDirectory } from '../../src/store/directory.ts'
import { eraseRows } from '../../src/store/erase-rows.ts'
import type { Store } from '../../src/store/open.ts'
import { type ChangedRisk, riskOf } from '../../src/store/person-risk.ts'
import { RecordSink } from '../../src/store/records.ts'
import { decisionRecord, ids, shippedOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const DAY_MS = 86_400_000
const NOON = Date.UTC(2026, 10, 20, 12)
const SETTINGS = loadConfig({ env: {}, cwd: t.testdir() }).config.risk

function sinkOf(store: Store, moved: ChangedRisk[] = []): RecordSink {
  return new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
    onRisk: (changed) => moved.push(...changed),
  })
}

interface Violation {
  readonly day: number
  readonly policy?: string
  readonly severity?: 'low' | 'medium' | 'high' | 'critical'
  readonly raises?: false
}

let people = 0
/** Records of one person, each of a violation. */
function recordsOf(person: string, violations: readonly Violation[]): ShippedRecord[] {
  return shippedOf(
    violations.map(({ day, policy = 'p', severity = 'high', raises }) => ({
      ...decisionRecord({ time: NOON + day * DAY_MS, person, policy, user: person.slice(0, 8) }),
      violation: {
        severity,
        type: 'policy_violation',
        ...(raises === false ? { raises_risk: false } : {}),
      },
    })),
  )
}

function aPerson(): string {
  people += 1
  return people.toString(16).padStart(2, '0').repeat(32)
}

onEachStore(async (t, store, name) => {
  const points = async (person: string): Promise<{ points: number; as_of: number } | undefined> =>
    (await riskOf(store.db, 'default', { key: person }))?.own

  await t.test(
    'each violation counts once a day, and half as much after the half-life',
    async (t) => {
      const person = aPerson()
      const moved: ChangedRisk[] = []
      const records = recordsOf(person, [
        { day: 0 },
        { day: 0 },
        { day: 0, policy: 'q', severity: 'low' },
        { day: 14, severity: 'critical' },
      ])
      await sinkOf(store, moved).write(records[0]?.writer ?? '', records)
      const own = await points(person)
      t.equal(own?.as_of, Date.UTC(2026, 11, 4))
      t.equal(own?.points, 20 / 2 + 3 / 2 + 40)
      t.match(moved, [{ tenant: 'default', own }])
      await sinkOf(store, moved).write(records[0]?.writer ?? '', records)
      t.same(await points(person), own, 'again')
      t.equal(moved.length, 1)
    },
  )

  await t.test('in any order, one by one or together', async (t) => {
    const violations: Violation[] = [
      { day: 3, policy: 'a', severity: 'low' },
      { day: -40, policy: 'b', severity: 'critical' },
      { day: 0, policy: 'c', severity: 'medium' },
      { day: 3, policy: 'd' },
      { day: -400, policy: 'e' },
    ]
    const found: unknown[] = []
    for (const order of [violations, violations.toReversed()]) {
      const person = aPerson()
      for (const each of order) {
        const records = recordsOf(person, [each])
        await sinkOf(store).write(records[0]?.writer ?? '', records)
      }
      const own = await points(person)
      found.push([own?.as_of, own?.points.toFixed(9)])
    }
    const person = aPerson()
    const records = recordsOf(person, violations)
    await sinkOf(store).write(records[0]?.writer ?? '', records)
    const own = await points(person)
    found.push([own?.as_of, own?.points.toFixed(9)])
    t.same(found[1], found[0])
    t.same(found[2], found[0])
  })

  await t.test('a refusal that follows from the risk adds nothing', async (t) => {
    const person = aPerson()
    const records = recordsOf(person, [
      { day: 0 },
      { day: 1, policy: 'by-risk', raises: false },
      { day: 2, policy: 'by-risk', raises: false },
    ])
    await sinkOf(store).write(records[0]?.writer ?? '', records)
    t.same(await points(person), { points: 20, as_of: Date.UTC(2026, 10, 20) })
  })

  await t.test('what is no violation after all stops counting', async (t) => {
    const person = aPerson()
    const records = recordsOf(person, [{ day: 0 }, { day: 0, policy: 'q', severity: 'low' }])
    const sink = sinkOf(store)
    await sink.write(records[0]?.writer ?? '', records)
    await sql`update violations set status = 'false_positive' where person_key = ${person} and policy_id = 'p'`.execute(
      store.db,
    )
    const later = recordsOf(person, [{ day: 0, policy: 'r', severity: 'low' }])
    await sink.write(later[0]?.writer ?? '', later)
    t.equal((await points(person))?.points, 6)
  })

  await t.test('the directory and the API tell it; an erasure takes it away', async (t) => {
    const { rows } = await sql<{ user_id: string }>`
      insert into users (tenant, name) values ('default', ${`maya-${name}`}) returning user_id`.execute(
      store.db,
    )
    const id = rows[0]?.user_id ?? ''
    const person = aPerson()
    const records = shippedOf([
      {
        ...decisionRecord({ time: NOON, person }),
        violation: { severity: 'high', type: 'policy_violation' },
      },
    ]).map((shipped) => {
      const record = structuredClone(shipped.record) as { input?: { user?: { id?: string } } }
      if (record.input?.user !== undefined) record.input.user.id = id
      return { ...shipped, record: record as ShippedRecord['record'] }
    })
    await sinkOf(store).write(records[0]?.writer ?? '', records)
    const subject = await new StoredDirectory(store.db, 'default').find({ user_id: id })
    t.same(subject?.own_risk, { points: 20, as_of: Date.UTC(2026, 10, 20) })
    const parts = {
      db: store.db,
      tenant: 'default',
      now: () => NOON,
      personKey: (of: string) => (of === id ? person : 'f'.repeat(64)),
      riskSettings: () => SETTINGS,
      pseudonymous: false,
    }
    const told = await personRisk(parts, `MAYA-${name}`)
    t.match(told, {
      person: pseudonymOf(person),
      user: { id, name: `maya-${name}` },
      own_score: ownScore(subject?.own_risk, NOON, RISK_HISTORY.half_life),
      violations: [{ policy_id: 'no-secrets', day: '2026-11-20', severity: 'high' }],
    })
    t.match(await personRisk(parts, pseudonymOf(person) ?? ''), { own_score: told.own_score })
    await t.rejects(personRisk(parts, 'nobody'), { code: 'NOT_FOUND' })
    const hidden = { ...parts, pseudonymous: true }
    await t.rejects(personRisk(hidden, `maya-${name}`), { code: 'INPUT_INVALID' })
    t.match(await personRisk(hidden, pseudonymOf(person) ?? ''), { user: null })

    const erasure = {
      tenant: 'default',
      erasure_id: ids.next(),
      person_keys: [person],
      before: NOON + DAY_MS,
    }
    await sql`insert into erasures (tenant, erasure_id, person_keys, before)
      values ('default', ${erasure.erasure_id}, ${[person]}::text[], ${new Date(erasure.before)})`.execute(
      store.db,
    )
    const { rows: orders } = await sql<{ position: string }>`
      select position::text as position from erasures where erasure_id = ${erasure.erasure_id}`.execute(
      store.db,
    )
    await eraseRows(
      store.db,
      { ...erasure, position: orders[0]?.position ?? '' },
      store.kind === 'embedded',
    )
    t.equal(await points(person), undefined)
    const late = recordsOf(person, [{ day: -1, policy: 'late' }])
    await sinkOf(store).write(late[0]?.writer ?? '', late)
    t.equal(await points(person), undefined, 'nor does what comes late bring it back')
    const after = recordsOf(person, [{ day: 5 }])
    await sinkOf(store).write(after[0]?.writer ?? '', after)
    t.equal((await points(person))?.points, 20)
  })
})
