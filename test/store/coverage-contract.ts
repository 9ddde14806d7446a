// What outcomes add up to, in each of the databases.

import type { Test } from 'tap'
import type { DecisionRecord, LedgerRecord, OutcomeRecord } from '../../src/model/record.ts'
import { Coverage } from '../../src/store/coverage.ts'
import { Lists } from '../../src/store/lists.ts'
import type { Store } from '../../src/store/open.ts'
import { decisionRecord, type DecisionFields, outcomeRecord } from '../support/records.ts'

const HOUR = 3_600_000
const NOON = Date.UTC(2026, 10, 24, 12)
const SEEN = { visibility: 'content' } as const
const PINNED = { visibility: 'sni', visibility_reason: 'pinned' } as const
const UNREAD = { visibility: 'metadata', visibility_reason: 'not_read' } as const
const FAILED = { visibility: 'sni', visibility_reason: 'handshake_failed' } as const

export async function coverageContract(
  t: Test,
  { db }: Store,
  ship: (records: readonly LedgerRecord[]) => Promise<void>,
): Promise<void> {
  const coverage = (tenant: string): Coverage => new Coverage(db, tenant, () => NOON + HOUR)

  await t.test('coverage: bytes by what was seen, why not more, and whose they are', async (t) => {
    const pair = pairs('coverage')
    await ship([
      ...pair({}, { ...SEEN, bytes_in: 100, bytes_out: 500 }),
      ...pair({}, { ...SEEN, bytes_in: 0, bytes_out: 0 }),
      ...pair({ department: 'Sales' }, { ...PINNED, bytes_in: 0, bytes_out: 200 }),
      ...pair({ service: 'claude' }, { ...UNREAD, bytes_in: 50, bytes_out: 50 }),
      ...pair({ service: null, host: 'llm.example' }, { ...SEEN, bytes_in: 100, bytes_out: 0 }),
      ...pair({ ai: false, service: null }, { ...SEEN, bytes_in: 9000, bytes_out: 0 }),
      ...pair({}, { bytes_in: 7000 }),
      ...pair({ time: NOON - 8 * 24 * HOUR }, { ...PINNED, bytes_in: 5000 }),
    ])
    const report = await coverage('coverage').report({})
    t.match(report, {
      from: new Date(NOON + HOUR - 7 * 24 * HOUR).toISOString(),
      to: new Date(NOON + HOUR).toISOString(),
      requests: 5,
      bytes: 1000,
      seen: { content: 0.7, metadata: 0.1, sni: 0.2, none: 0 },
      by: 'reason',
      total: 3,
    })
    t.same(
      report.items.map(({ visibility, name, bytes, share, requests }) => [
        visibility,
        name,
        bytes,
        share,
        requests,
      ]),
      [
        ['content', null, 700, 0.7, 3],
        ['sni', 'pinned', 200, 0.2, 1],
        ['metadata', 'not_read', 100, 0.1, 1],
      ],
    )
    const departments = await coverage('coverage').report({ by: 'department' })
    t.match(departments.items, [
      { name: 'Engineering', bytes: 800, seen: { content: 0.875, metadata: 0.125, sni: 0 } },
      { name: 'Sales', bytes: 200, share: 0.2, seen: { content: 0, sni: 1 } },
    ])
    const services = await coverage('coverage').report({ by: 'service' })
    t.same(
      services.items.map(({ name, bytes }) => [name, bytes]),
      [
        ['chatgpt', 800],
        ['claude', 100],
        ['unknown_ai', 100],
      ],
    )
    const earlier = await coverage('coverage').report({
      from: new Date(NOON - 9 * 24 * HOUR).toISOString(),
      to: new Date(NOON - 7 * 24 * HOUR).toISOString(),
    })
    t.match(earlier, { bytes: 5020, seen: { sni: 1 } })
    t.match(await coverage('nobody').report({}), { bytes: 0, seen: { content: null }, items: [] })
    await t.rejects(coverage('coverage').report({ from: '2020-01-01T00:00:00Z' }), {
      code: 'INPUT_INVALID',
    })
    await t.rejects(coverage('coverage').report({ from: 'x' }), { code: 'INPUT_INVALID' })
  })

  await t.test('an outcome counts once, however its decision came into the store', async (t) => {
    const tenant = 'coverage-once'
    const decisions = ['a\0b', 'a\ufffdb', 'a\ud800b'].map((department) =>
      decisionOf(tenant, { person: 'p', department }),
    )
    const ends = decisions.map((decision) => outcomeRecord(decision, { ...SEEN, bytes_in: 1 }))
    // Together, and after days in a tunnel.
    const late: OutcomeRecord = { ...only(ends[2]), time: NOON + 48 * HOUR, duration_ms: 48 * HOUR }
    await ship([...decisions, only(ends[0]), only(ends[1])])
    await ship([late])
    await ship([{ ...only(ends[0]), decision_id: '0199aaaa-0000-7000-8000-000000000001' }])
    const { items } = await coverage(tenant).report({
      to: new Date(NOON + 72 * HOUR).toISOString(),
      by: 'department',
    })
    t.match(items, [{ name: 'a\ufffdb', requests: 3, bytes: 63 }])
    t.equal(items.length, 1)
    const listed = (await new Lists(db, tenant).decisions({})).items
    t.match(listed, [SEEN, SEEN, SEEN], 'the list finds the end wherever it stands')
  })

  await t.test('what is not yet ended shows no end', async (t) => {
    const tenant = 'coverage-open'
    await ship([decisionOf(tenant)])
    const [open] = (await new Lists(db, tenant).decisions({})).items
    t.match(open, { status: null, bytes_in: null, visibility: null, input_tokens: null })
  })

  await t.test('suspected AI: first and last seen, people, bytes, formats', async (t) => {
    const pair = pairs('shadow')
    const llm = { service: null, host: 'llm.example' }
    const openai = { ...SEEN, format: 'openai-chat', bytes_in: 10, bytes_out: 90 } as const
    await ship([
      ...pair({ ...llm, person: 'p1', time: NOON - 30 * 24 * HOUR }, openai),
      ...pair({ ...llm, person: 'p1' }, openai),
      ...pair({ ...llm, person: 'p2', department: 'Sales' }, { ...openai, format: 'ollama' }),
      ...pair({ service: null, host: 'old.example', time: NOON - 30 * 24 * HOUR }, openai),
      ...pair({ service: null, host: 'new.example', time: NOON + 60_000 }, openai),
      ...pair({ service: null, host: 'site.example', ai: false }, openai),
      ...pair({ person: 'p3' }, openai),
    ])
    const { items, total } = await coverage('shadow').shadowAi({})
    t.equal(
      total,
      2,
      'what was not seen for a week is not listed, nor are known services and sites',
    )
    t.match(items, [
      { host: 'new.example', people: 1 },
      {
        host: 'llm.example',
        first_seen: new Date(NOON - 30 * 24 * HOUR),
        last_seen: new Date(NOON + 5),
        people: 2,
        requests: 3,
        bytes: 300,
        bytes_in: 30,
        bytes_out: 270,
        formats: ['ollama', 'openai-chat'],
        departments: ['Engineering', 'Sales'],
      },
    ])
    const first = await coverage('shadow').shadowAi({ limit: 1 })
    t.same([first.items.length, first.total], [1, 2])
    const all = await coverage('shadow').shadowAi({
      from: new Date(NOON - 40 * 24 * HOUR).toISOString(),
    })
    t.equal(all.total, 3)
  })

  await t.test('handshakes that failed, by host and client, with what to do', async (t) => {
    const pair = pairs('handshakes')
    const three = (fields: DecisionFields): LedgerRecord[] =>
      [1, 2, 3].flatMap(() => pair(fields, FAILED))
    await ship([
      ...three({ service: null, ai: false, host: 'bank.example' }),
      ...pair({ service: null, ai: false, host: 'bank.example', user: 'bob' }, FAILED),
      ...three({ host: 'chatgpt.com' }),
      ...pair({ host: 'chatgpt.com', user: 'bob' }, UNREAD),
      ...pair({ service: null, ai: false, host: 'site.example', time: NOON - HOUR }, SEEN),
      ...three({ service: null, ai: false, host: 'site.example' }),
      ...pair({ host: 'claude.ai' }, FAILED),
      ...pair({ host: 'claude.ai', time: NOON - 30 * 24 * HOUR }, FAILED),
    ])
    const { items, total } = await coverage('handshakes').failures({})
    t.equal(total, 4)
    t.match(items[0], {
      host: 'bank.example',
      failures: 4,
      last_seen: new Date(NOON + 5),
      succeeded: 0,
      suggested: true,
      suggestion: 'add bank.example to proxy.intercept.never',
      clients: [
        { address: '10.1.2.3', user: 'maya', department: 'Engineering', failures: 3 },
        { user: 'bob', failures: 1 },
      ],
    })
    t.same(
      items.slice(1).map((item) => [item.host, item.failures, item.succeeded, item.suggestion]),
      [
        ['chatgpt.com', 3, 1, null],
        ['site.example', 3, 1, null],
        ['claude.ai', 1, 0, null],
      ],
      'a host that others are seen on is not for the list, nor is a single failure',
    )
  })

  await t.test('recorders that count the same violations in any order do not lock', async (t) => {
    const tenant = 'violations-order'
    const people = Array.from({ length: 300 }, (_, index) => `p${index}`)
    const batch = (order: readonly string[]): LedgerRecord[] =>
      order.map((person) => decisionOf(tenant, { person, violation: true }))
    await Promise.all(
      [1, 2].map(() => ship(batch(people))).concat(ship(batch(people.toReversed()))),
    )
    t.match((await new Lists(db, tenant).violations({})).items, [{ count: 3 }])
  })

  await t.test('two recorders that add to the same hour lose nothing', async (t) => {
    const tenant = 'together-hours'
    const pair = pairs(tenant)
    const hosts = Array.from({ length: 300 }, (_, index) => `h${index}.example`)
    const batch = (order: readonly string[]): LedgerRecord[] =>
      order.flatMap((host) =>
        pair({ service: null, host, person: host, violation: true, policy: host }, SEEN),
      )
    await Promise.all([
      ...[1, 2].map(() => ship(batch(hosts))),
      ...[1, 2].map(() => ship(batch(hosts.toReversed()))),
    ])
    t.match(await coverage(tenant).report({}), { requests: 1200, bytes: 36_000 })
    t.match((await coverage(tenant).shadowAi({})).items, [{ requests: 4 }])
    t.match((await new Lists(db, tenant).violations({})).items, [{ count: 4 }])
  })
}

type Pair = (
  fields: DecisionFields,
  end: Partial<OutcomeRecord>,
) => readonly [DecisionRecord, OutcomeRecord]

function pairs(tenant: string): Pair {
  return (fields, end) => {
    const decision = decisionOf(tenant, fields)
    return [decision, outcomeRecord(decision, end)]
  }
}

function decisionOf(tenant: string, fields: DecisionFields = {}): DecisionRecord {
  return { ...decisionRecord({ time: NOON, ...fields }), tenant }
}

function only<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is none')
  return value
}
