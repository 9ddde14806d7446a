// The questions of those who watch, over every database: sums against the rows themselves, page by page.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { personKey, pseudonymOf } from '../../src/model/person.ts'
import type { DecisionRecord, LedgerRecord } from '../../src/model/record.ts'
import { Lists } from '../../src/store/lists.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import {
  type Answer,
  type Question,
  QUESTION_BY,
  Questions,
  type TrendQuestion,
} from '../../src/store/questions.ts'
import { RecordSink } from '../../src/store/records.ts'
import { noPostgres, noTimescale, startPostgres } from '../support/postgres.ts'
import { auditRecord, decisionRecord, ids, shippedOf, silent } from '../support/records.ts'
import { embeddedStore } from '../support/stores.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 10, 24, 12, 30)
const FROM = NOW - 6 * DAY
const secret = randomBytes(32)
const keyOf = (person: string): string => personKey(secret, 'default', person)

for (const { name, skip, timescale } of [
  { name: 'PostgreSQL', skip: noPostgres(), timescale: false },
  { name: 'TimescaleDB', skip: noTimescale(), timescale: true },
]) {
  t.test(name, { skip }, async (t) => {
    const server = await startPostgres({ timescale })
    t.teardown(() => server.stop())
    const databaseUrl = await server.database()
    const store = await openStore({ databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent })
    t.teardown(() => store.close())
    await contract(t, store)
  })
}

t.test('the embedded database', async (t) => {
  await contract(t, await embeddedStore(t))
})

/** What happened, of six days: two people, three services, some of it refused, some that would be. */
function happened(): DecisionRecord[] {
  return Array.from({ length: 240 }, (_, index) => {
    const person = index % 3 === 0 ? 'maya' : 'omar'
    const effect = index % 5 === 0 ? ('DENY' as const) : ('ALLOW' as const)
    const service =
      index === 200 ? 'newcomer' : index % 4 === 0 ? 'claude' : index % 7 === 0 ? null : 'chatgpt'
    const record = decisionRecord({
      time: FROM + index * 36 * 60_000 - (index % 2) * 1000,
      person: keyOf(person),
      user: person,
      department: person === 'maya' ? 'Engineering' : "O'Brien & Sons",
      service,
      host: service === null ? 'llm.example' : `${service}.example`,
      policy: effect === 'DENY' ? 'no-secrets' : null,
      effect,
      violation: effect === 'DENY',
      source: index % 10 === 3 ? 'browser_plugin' : 'proxy',
    })
    if (index % 11 === 1)
      Object.assign(record.decision, {
        would_be: 'DENY',
        policies_evaluated: [
          {
            policy_id: 'soon',
            policy_name: 'Soon',
            matched: true,
            priority: 1,
            effect: 'DENY',
            mode: 'audit',
            error: null,
          },
        ],
      })
    return record
  })
}

async function contract(t: Test, store: Store): Promise<void> {
  const { db } = store
  const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
  const records = happened()
  const write = async (some: readonly LedgerRecord[]): Promise<void> => {
    const shipped = shippedOf(some)
    await sink.write(shipped[0]?.writer ?? '', shipped)
  }
  await write(records)
  let pseudonymous = false
  const questions = new Questions({
    db,
    tenant: 'default',
    now: () => NOW,
    personKey: keyOf,
    pseudonymous: () => pseudonymous,
  })
  /** All pages of an answer. */
  const all = async (
    ask: (question: TrendQuestion) => Promise<Answer>,
    question: TrendQuestion,
  ): Promise<Answer['items']> => {
    const items: Answer['items'][number][] = []
    let cursor: string | undefined
    do {
      const page = await ask({ ...question, ...(cursor === undefined ? {} : { cursor }) })
      t.ok(page.items.length <= (question.limit ?? 100))
      items.push(...page.items)
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
    return items
  }
  const range = { from: new Date(FROM - DAY).toISOString(), to: new Date(NOW).toISOString() }
  const whole = {
    from: new Date(Math.floor((FROM - DAY) / DAY) * DAY).toISOString(),
    to: new Date(Math.ceil(NOW / DAY) * DAY).toISOString(),
  }

  await t.test('sums tell what the rows tell, by everything and filtered', async (t) => {
    const filters: Question[] = [
      {},
      { decision: 'DENY' },
      { service: 'chatgpt' },
      { department: "O'Brien & Sons" },
      { user: 'maya' },
      { user: pseudonymOf(keyOf('omar')) ?? '' },
      { ai: true, source: 'browser_plugin' },
    ]
    let asked = 0
    for (const counted of ['decisions', 'violations'] as const)
      for (const by of QUESTION_BY)
        for (const filter of filters) {
          const question = { of: counted, by, ...filter, ...whole }
          const sums = await questions.top(question).catch(() => undefined)
          if (sums === undefined) continue
          const rows = await questions.top({ ...question, exact: true }).catch(() => undefined)
          if (rows === undefined) continue
          asked += 1
          t.same(sums.items, rows.items, JSON.stringify(question))
          t.not(sums.read, rows.read)
        }
    t.ok(asked > 40, `${asked} questions`)
  })

  await t.test('ranges widen to whole buckets, and the answer says so', async (t) => {
    const hours = await questions.trend(range)
    t.match(hours, {
      from: '2026-11-17T12:00:00.000Z',
      to: '2026-11-24T13:00:00.000Z',
      read: 'decisions_hourly',
      by: null,
    })
    const days = await questions.trend({ ...range, bucket: 'day' })
    t.match(days, { from: '2026-11-17T00:00:00.000Z', to: '2026-11-25T00:00:00.000Z' })
    const exact = await questions.top({ ...range, exact: true })
    t.match(exact, { ...range, read: 'decisions' })
    const sum = (items: Answer['items']): number =>
      items.reduce((total, { count }) => total + count, 0)
    t.equal(sum(await all((question) => questions.trend(question), { ...range, limit: 7 })), 240)
    t.equal(sum(days.items), 240)
    const narrow = {
      from: records[10] && new Date(records[10].time).toISOString(),
      to: records[20] && new Date(records[20].time).toISOString(),
    } as Question
    t.equal(sum((await questions.top({ ...narrow, exact: true })).items), 10, 'to the millisecond')
  })

  await t.test('pages put together are the whole', async (t) => {
    for (const [ask, question] of [
      [(each: TrendQuestion) => questions.trend(each), { by: 'service' }],
      [(each: TrendQuestion) => questions.trend(each), { by: 'person', bucket: 'day' }],
      [(each: TrendQuestion) => questions.top(each), { by: 'service' }],
      [(each: TrendQuestion) => questions.top(each), { by: 'department', exact: true }],
      [(each: TrendQuestion) => questions.firstSeen(each), { by: 'service' }],
    ] as const)
      t.same(
        await all(ask, { ...range, ...question, limit: 1 }),
        await all(ask, { ...range, ...question, limit: 1000 }),
        JSON.stringify(question),
      )
  })

  await t.test('who, what, which policy, and what would have been', async (t) => {
    const people = await questions.top({ ...range, by: 'person' })
    t.match(people.items, [
      { name: 'omar', person: pseudonymOf(keyOf('omar')), count: 160 },
      { name: 'maya', person: pseudonymOf(keyOf('maya')), count: 80 },
    ])
    const policies = await questions.top({ ...range, of: 'violations', by: 'policy' })
    t.match(policies.items, [{ name: 'no-secrets', count: 48 }])
    t.equal(policies.items[0]?.decisions, undefined)
    const soon = await questions.top({ ...range, by: 'would_be_policy', would_be: 'DENY' })
    t.match(soon.items, [{ name: 'soon', count: 22 }])
    t.equal((await questions.top({ ...range, user: 'nobody' })).items.length, 0)
  })

  await t.test('what is new', async (t) => {
    const since = new Date(FROM + 3 * DAY).toISOString()
    const fresh = await questions.firstSeen({ by: 'service', from: since, to: range.to })
    t.match(fresh.items, [{ name: 'newcomer', count: 1 }])
    t.equal(fresh.items.length, 1)
    t.equal(
      (await questions.firstSeen({ by: 'person', from: since, to: range.to })).items.length,
      0,
    )
    const withIt = await questions.firstSeen({
      by: 'person',
      service: 'newcomer',
      from: since,
      to: range.to,
    })
    t.match(withIt.items, [{ name: 'omar' }], 'a person with a service')
    t.equal(withIt.items.length, 1)
  })

  await t.test('what cannot be answered is said, with what could', async (t) => {
    const refused = (question: TrendQuestion, message: RegExp): Promise<unknown> =>
      t.rejects(questions.trend(question), { code: 'INPUT_INVALID', message })
    await refused({ by: 'policy', user: 'maya' }, /exact must be true/)
    await refused({ by: 'person', bucket: 'hour' }, /bucket=day/)
    await refused({ by: 'severity' }, /not known/)
    await refused({ exact: true, from: new Date(NOW - 40 * DAY).toISOString() }, /31 days/)
    await refused({ from: range.to, to: range.from }, /before/)
    await refused({ from: '2020-01-01T00:00:00Z' }, /two years/)
    for (const cursor of [
      'x',
      'e30',
      Buffer.from('["x","y"]').toString('base64url'),
      Buffer.from('[1,"y"]').toString('base64url'),
    ])
      await refused({ cursor }, /cursor/)
    await t.rejects(questions.firstSeen({ exact: true }), { message: /everything/ })
    pseudonymous = true
    await refused({ user: 'maya', bucket: 'day' }, /pseudonym/)
    t.match((await questions.top({ ...range, by: 'person' })).items, [
      { name: pseudonymOf(keyOf('omar')) },
      {},
    ])
    pseudonymous = false
  })

  await t.test('lists: words, filters that no index serves, and pages of them', async (t) => {
    const lists = new Lists(db, 'default', () => pseudonymous)
    const found = async (filter: Record<string, string | number>): Promise<number> => {
      let count = 0
      let cursor: string | undefined
      do {
        const page = await lists.decisions({
          ...filter,
          ...(cursor === undefined ? {} : { cursor }),
        })
        count += page.items.length
        cursor = page.next_cursor ?? undefined
      } while (cursor !== undefined)
      return count
    }
    t.equal(await found({}), 240)
    t.equal(await found({ q: 'newcomer' }), 1)
    t.equal(await found({ q: 'newcomer.example' }), 1, 'a host as it stands')
    t.equal(
      await found({ q: 'example conversation maya', limit: 7 }),
      80,
      'its parts, a path, a person',
    )
    t.equal(
      await found({ q: 'maya -claude -chatgpt', limit: 3 }),
      await found({ user: 'maya', host: 'llm.example' }),
    )
    t.equal(await found({ q: '"backend api"' }), 240)
    t.equal(await found({ q: `'"; drop table decisions; -- (((` }), 0)
    t.equal(await found({ q: '!!! &' }), 0)
    t.equal(await found({ would_be: 'DENY' }), 22)
    t.equal(await found({ severity: 'high', limit: 10 }), 48)
    t.equal(await found({ source: 'browser_plugin', limit: 5 }), 24)
    t.equal(await found({ request_id: records[5]?.request_id ?? '' }), 1)
    t.equal(await found({ finding: 'email' }), 0)
    const [since, until] = [FROM + DAY, FROM + 2 * DAY]
    t.equal(
      await found({
        user: 'maya',
        since: new Date(since).toISOString(),
        until: new Date(until).toISOString(),
      }),
      records.filter(
        ({ time, person_key: key }) => key === keyOf('maya') && time >= since && time < until,
      ).length,
    )
    t.equal((await lists.violations({ q: 'no-secrets maya' })).items.length > 0, true)
    t.equal((await lists.violations({ q: 'nothing-like-it' })).items.length, 0)
    await write([{ ...auditRecord('Ada Lovelace'), data: { reason: 'quarterly clean-up' } }])
    t.match((await lists.auditEvents({ q: 'quarterly lovelace' })).items, [
      { event_type: 'test_event' },
    ])
    t.equal(
      (await lists.auditEvents({ actor: 'ada lovelace', severity: 'critical' })).items.length,
      0,
    )
    pseudonymous = true
    t.equal(await found({ q: 'maya' }), 0, 'a search would tell names')
    t.equal((await lists.violations({ q: 'maya' })).items.length, 0)
    t.equal((await lists.auditEvents({ q: 'lovelace' })).items.length, 0)
    await t.rejects(lists.decisions({ user: 'maya' }), { code: 'INPUT_INVALID' })
    pseudonymous = false
  })
}
