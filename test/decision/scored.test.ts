// Risk and budgets in a decision: what policies see, what is refused, charged and recorded.

import t, { type Test } from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import { detect } from '../../src/content/detect.ts'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import { Budgets } from '../../src/decision/budgets.ts'
import { Corridor, type Outcome } from '../../src/decision/decide.ts'
import type { Budget } from '../../src/model/budget.ts'
import type { Decision, Mode } from '../../src/model/decision.ts'
import type { InputDocument } from '../../src/model/input.ts'
import type { DecisionRecord } from '../../src/model/record.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import type { OwnRisk } from '../../src/model/risk.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { corridorOptions } from '../support/corridor.ts'
import { folderOf, loadDirs } from '../support/policy-folder.ts'
import { aService } from '../support/services.ts'

const NOW = Date.UTC(2026, 10, 26, 10)
const POLICIES = `
@id("no-uploads")
@severity("high")
forbid (principal, action == Cordon::Action::"upload_file", resource);

@id("by-risk")
@severity("critical")
forbid (principal, action == Cordon::Action::"call_tool", resource)
when { context has risk && context.risk has score && context.risk.score > 20 };
`

interface Rig {
  mode: Mode
  own: OwnRisk | undefined
  state: 'pending' | 'approved'
  full: boolean
  readonly records: DecisionRecord[]
  readonly metrics: Metrics
  readonly ask: (action?: string, more?: Partial<AccessRequest>) => Promise<Outcome>
  readonly used: (id?: string) => number
}

async function rig(t: Test, settings: readonly Partial<Budget>[] = []): Promise<Rig> {
  const policies = await loadDirs([folderOf(t, { 'p.cedar': POLICIES })])
  const catalogue = new Catalogue([
    aService({
      id: 'good',
      domains: ['good.example'],
      approval_status: 'approved',
      risk_tier: 'high',
    }),
    aService({
      id: 'seen',
      domains: ['seen.example'],
      approval_status: 'approved',
      mode: 'monitor',
    }),
  ])
  const budgets = settings.map((more): Budget => ({
    id: 'b',
    per: [],
    match: {},
    limit: 2,
    unit: 'requests',
    window: 60_000,
    kind: 'fixed',
    answer: 'deny',
    cut: false,
    ...more,
  }))
  const counter = new MemoryBudgets(() => NOW)
  const ids = new IdSource()
  const metrics = new Metrics({ processMetrics: false })
  const [parts, options] = corridorOptions(
    {
      ids,
      people: {
        find: () => ({
          user: { id: 'u-1', name: 'maya', known: true, employee_type: 'contractor' },
          person: 'u-1',
          allowed_services: new Set(),
          prohibited_services: new Set(),
          units: new Set(),
        }),
        asset: () => undefined,
        ownRisk: () => made.own,
      },
      classify: (content) => detect(content, 1 << 20),
      ledger: {
        append: (record) => {
          if (made.full) return Promise.reject(new Error('the spool is full'))
          made.records.push(record)
          return undefined
        },
        note: () => undefined,
      },
      reviews: {
        open: () => Promise.resolve({ review_id: ids.next(), state: made.state }),
        answer: () => Promise.resolve('pending'),
      },
      metrics,
      now: () => NOW,
      rules: () => ({ revision: 'sha256:0', catalogue, policies }),
      mode: () => made.mode,
    },
    {},
  )
  const corridor = new Corridor(
    {
      ...parts,
      budgets: new Budgets({ counter, settings: () => ({ budgets, onError: 'allow' }), metrics }),
    },
    options,
  )
  const made: Rig = {
    mode: 'enforce',
    own: undefined,
    state: 'pending',
    full: false,
    records: [],
    metrics,
    ask: (action = 'access_ai_service', more = {}) =>
      corridor.decide({
        request_id: ids.next(),
        principal: { name: 'maya' },
        action,
        destination: { host: 'good.example', port: 443, scheme: 'https', path: '/' },
        context: { source: 'proxy' },
        ...more,
      }),
    // As the next request would see it.
    used: (id = 'b') => inputOf(made.records.at(-1)).context.budget?.[id]?.used ?? NaN,
  }
  return made
}

function inputOf(record: DecisionRecord | undefined): InputDocument {
  return record?.input as InputDocument
}

async function settled(): Promise<void> {
  for (let n = 0; n < 50; n++) await Promise.resolve()
}

const ENDED = { status: 200, bytes_in: 10, bytes_out: 10, duration_ms: 1 }

t.test('every decision has a score, and its record what the score is made of', async (t) => {
  const { ask, records } = await rig(t)
  const { decision } = await ask('access_ai_service', {
    context: { source: 'proxy', device: { hostname: 'lap-7' } },
  })
  t.equal(decision.risk_score, inputOf(records[0]).context.risk?.score)
  t.ok((decision.risk_score ?? 0) > 30)
  t.same(records[0]?.risk_signals?.['service.risk_tier'], 0.6)
  t.match(records[0]?.personal?.risk_signals, { 'user.employee_type': 0.3, 'device.unknown': 0.3 })
  for (const name of Object.keys(records[0]?.risk_signals ?? {}))
    t.notMatch(name, /^(?:user|device|history)\./, 'nothing personal in what stays')
})

t.test('policies read the score, and what they refuse because of it raises none', async (t) => {
  const made = await rig(t)
  t.match(await made.ask('call_tool'), {
    refused: true,
    decision: { primary_policy_id: 'by-risk' },
  })
  t.match(made.records[0]?.violation, { severity: 'critical', raises_risk: false })
  await made.ask('upload_file')
  t.same(made.records[1]?.violation, { severity: 'high', type: 'policy_violation' })
})

t.test('the own score weighs in', async (t) => {
  const made = await rig(t)
  const before = (await made.ask()).decision.risk_score ?? 0
  made.own = { points: 100, as_of: NOW }
  const after = (await made.ask()).decision.risk_score ?? 0
  t.ok(after > before)
  t.match(inputOf(made.records[1]).context.risk, { own_score: 63, factors: { history: 32 } })
})

t.test('beyond its budget a request is refused, told when, and recorded', async (t) => {
  const made = await rig(t, [{}])
  for (let n = 0; n < 2; n++) t.equal((await made.ask()).refused, false)
  const over = await made.ask()
  t.match(over, {
    refused: true,
    retryAfterSeconds: 60,
    decision: { decision: 'DENY', primary_policy_id: 'budget:b', ttl: 0 },
  })
  t.match(made.records[2], {
    violation: { severity: 'low', type: 'budget_exceeded', raises_risk: false },
    verdict: { decision: 'ALLOW', primary_policy_id: null },
  })
  t.match(inputOf(made.records[2]).context.budget, { b: { used: 2, remaining: 0 } })
})

t.test('what is refused, or cannot be recorded, has used nothing', async (t) => {
  const made = await rig(t, [{}])
  t.match(await made.ask('upload_file'), {
    refused: true,
    decision: { primary_policy_id: 'no-uploads' },
  })
  await settled()
  made.full = true
  await t.rejects(made.ask())
  await settled()
  made.full = false
  await made.ask()
  t.equal(made.used(), 0)
  await made.ask()
  t.equal(made.used(), 1)
  t.match(
    await made.ask('upload_file'),
    { decision: { primary_policy_id: 'no-uploads' } },
    'its policy says more',
  )
})

t.test('a review may let pass beyond the budget, and that is counted', async (t) => {
  const made = await rig(t, [{ limit: 1, answer: 'review' }])
  await made.ask()
  t.match(await made.ask(), {
    refused: true,
    decision: { decision: 'REVIEW', primary_policy_id: 'budget:b' },
  })
  made.state = 'approved'
  t.match(await made.ask(), { refused: false, decision: { decision: 'ALLOW' } })
  await settled()
  await made.ask()
  t.equal(made.used(), 2)
})

t.test(
  'where nothing is enforced everything is counted, and it is told what would have been',
  async (t) => {
    const made = await rig(t, [{ limit: 1 }])
    made.mode = 'audit'
    await made.ask()
    t.match(await made.ask(), { refused: false, decision: { decision: 'ALLOW', would_be: 'DENY' } })
    await made.ask()
    t.equal(made.used(), 2)
    made.mode = 'enforce'
    const seen = { destination: { host: 'seen.example', port: 443, scheme: 'https' } } as const
    t.match(await made.ask('access_ai_service', seen), {
      refused: false,
      decision: { would_be: 'DENY' },
    })
  },
)

t.test('tokens: what is asked for first, what was used then', async (t) => {
  const made = await rig(t, [{ unit: 'tokens', limit: 1000 }])
  const message = {
    parsed: true,
    truncated: false,
    bytes: 400,
    tools: [],
    attachments: [],
    max_tokens: 500,
  }
  const content = { text: 'x'.repeat(400), message }
  const outcome = await made.ask('send_prompt', { content })
  t.ok(outcome.running)
  t.match(await made.ask('send_prompt', { content }), {
    refused: true,
    decision: { reason: /has less left than the 600 asked for/ },
  })
  outcome.finish({ ...ENDED, input_tokens: 80, output_tokens: 20 })
  await settled()
  const next = await made.ask('send_prompt', { content })
  t.equal(next.refused, false)
  t.equal(made.used(), 100)
  next.finish({ ...ENDED, measured_tokens: 40 })
  await settled()
  await made.ask('send_prompt', { content })
  t.equal(made.used(), 240)
})

t.test('a running answer is ended by a decision of its own', async (t) => {
  const made = await rig(t, [{ unit: 'tokens', limit: 100, cut: true }])
  const content = { text: 'x'.repeat(40) }
  const outcome = await made.ask('send_prompt', { content })
  const { running, decision } = outcome
  let end: Decision | undefined
  running?.whenOver((decided) => (end = decided))
  running?.passed({ tokens: 10, bytes: 0 })
  await settled()
  t.equal(end, undefined)
  running?.passed({ tokens: 95, bytes: 0 })
  await settled()
  t.match(end, {
    decision: 'DENY',
    primary_policy_id: 'budget:b',
    reason: /ran out during the answer/,
  })
  t.not(end?.decision_id, decision.decision_id)
  t.match(made.records[1], {
    request_id: made.records[0]?.request_id,
    verdict: { decision: 'ALLOW' },
  })
  t.same(inputOf(made.records[1]), inputOf(made.records[0]))
  outcome.finish({ ...ENDED, measured_tokens: 96 })
  await settled()
  t.match(await made.ask('send_prompt', { content }), {
    refused: true,
    decision: { reason: /is used up/ },
  })
  const counted = (await made.metrics.values()) as { name: string; values: { value: number }[] }[]
  const count = (name: string): unknown =>
    counted.find((metric) => metric.name === name)?.values.map(({ value }) => value)
  t.same(count('cordon_budget_cuts_total'), [1])
  t.same(count('cordon_budget_denied_total'), [1])
})
