// The risk score: the examples of its page, and what must hold whatever comes.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Arbitrary, assert, constantFrom, double, property, record } from 'fast-check'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { assess } from '../../src/decision/risk.ts'
import { FINDING_CATEGORIES } from '../../src/model/finding.ts'
import type { InputDocument } from '../../src/model/input.ts'
import { type OwnRisk, ownScore, RISK_FACTORS, type RiskSettings } from '../../src/model/risk.ts'

const SETTINGS: RiskSettings = loadConfig({ env: {}, cwd: t.testdir() }).config.risk
const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 10, 26, 10)

interface Example {
  readonly input: InputDocument
  readonly own: OwnRisk
  readonly risk: unknown
  readonly signals: unknown
}

t.test('the examples of the page', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/reference/risk.md'), 'utf8')
  const examples = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(
    ([, text = '']) => JSON.parse(text) as Example,
  )
  t.equal(examples.length, 2)
  for (const { input, own, risk, signals } of examples) {
    const found = assess(input, own, SETTINGS)
    t.same(found.input, risk)
    t.same(found.signals, signals)
  }
})

t.test('the own score as the page tells it', async (t) => {
  const { half_life } = SETTINGS.history
  t.equal(ownScore({ points: 20, as_of: NOW }, NOW, half_life), 18)
  t.equal(ownScore({ points: 100, as_of: NOW }, NOW, half_life), 63)
  t.equal(ownScore({ points: 100, as_of: NOW }, NOW + 14 * DAY_MS, half_life), 39)
  t.equal(ownScore(undefined, NOW, half_life), 0)
  t.equal(ownScore({ points: 1e9, as_of: NOW }, NOW, half_life), 100)
  t.equal(
    ownScore({ points: 20, as_of: NOW + DAY_MS }, NOW, half_life),
    18,
    'a day that has not begun does not grow',
  )
})

/** What a request may be, from harmless to worst, a number from 0 to 1 for each sign. */
const SIGNS = [
  'known',
  'status',
  'userScore',
  'type',
  'approval',
  'serviceScore',
  'label',
  'classified',
  'compliance',
  'edr',
  'sensitivity',
  'history',
  'hour',
  'weekday',
  ...FINDING_CATEGORIES,
] as const
type Badness = Readonly<Record<(typeof SIGNS)[number], number>>

const badness = record(
  Object.fromEntries(SIGNS.map((sign) => [sign, double({ min: 0, max: 1, noNaN: true })])),
) as Arbitrary<Badness>

function of<T>(words: readonly T[], bad: number): T {
  return words[Math.min(words.length - 1, Math.floor(bad * words.length))] as T
}

function requestOf(bad: Badness): [InputDocument, OwnRisk] {
  const findings = FINDING_CATEGORIES.flatMap((category) => {
    const count = Math.floor(bad[category] * 100)
    return count === 0 ? [] : [{ type: category, category, count, confidence: bad[category] }]
  })
  const input: InputDocument = {
    user: {
      known: bad.known < 0.5,
      status: of(['active', 'suspended'], bad.status),
      risk_score: Math.round(bad.userScore * 100),
      employee_type: of(['employee', 'intern', 'Contractor', 'partner', 'guest'], bad.type),
      clearance_level: 'internal',
    },
    action: 'send_prompt',
    resource: {
      type: 'ai_service',
      known: true,
      ai: true,
      approval_status: of(['approved', 'unknown', 'review_required', 'prohibited'], bad.approval),
      risk_score: Math.round(bad.serviceScore * 100),
    },
    content: {
      classified: bad.classified < 0.5,
      parsed: true,
      truncated: false,
      bytes: 1,
      findings,
      finding_types: [],
      finding_categories: [],
      data_classification: [
        of(['public', 'internal', 'confidential', 'secret', 'top secret'], bad.label),
      ],
    },
    context: {
      source: 'proxy',
      asset: {
        status: 'active',
        compliance_status: of(['compliant', 'unknown', 'Non-Compliant'], bad.compliance),
        edr_agent_installed: bad.edr < 0.5,
        sensitivity: of(['low', 'medium', 'high', 'critical'], bad.sensitivity),
      },
      time: {
        epoch_ms: NOW,
        hour: of([12, 3], bad.hour),
        weekday: of([1, 7], bad.weekday),
        date: '2026-11-26',
      },
    },
  }
  return [input, { points: bad.history * 1000, as_of: NOW }]
}

t.test('nothing that gets worse makes a score better', async (t) => {
  assert(
    property(
      badness,
      constantFrom(...SIGNS),
      double({ min: 0, max: 1, noNaN: true }),
      (bad, sign, more) => {
        const worse = { ...bad, [sign]: bad[sign] + (1 - bad[sign]) * more }
        const before = assess(...requestOf(bad), SETTINGS)
        const after = assess(...requestOf(worse), SETTINGS)
        for (const factor of RISK_FACTORS)
          if ((after.input.factors[factor] ?? 0) < (before.input.factors[factor] ?? 0)) return false
        return after.input.score >= before.input.score
      },
    ),
    { numRuns: 1000 },
  )
  t.pass()
})

t.test('nothing that weighs more makes a score better', async (t) => {
  assert(
    property(badness, constantFrom(...RISK_FACTORS), (bad, factor) => {
      const heavier = { ...SETTINGS, weights: { ...SETTINGS.weights, [factor]: 1 } }
      const request = requestOf(bad)
      return assess(...request, heavier).input.score >= assess(...request, SETTINGS).input.score
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('a score follows from its factors, which follow from its signs', async (t) => {
  assert(
    property(badness, (bad) => {
      const { input, signals } = assess(...requestOf(bad), SETTINGS)
      const safe = Object.values(input.factors).reduce(
        (left, points) => left * (1 - points / 100),
        1,
      )
      const again = Math.round(100 * (1 - safe))
      const factors = RISK_FACTORS.map((factor) => {
        const left = Object.entries(signals)
          .filter(([name]) => name.startsWith(`${factor}.`))
          .reduce((product, [, severity]) => product * (1 - severity), 1)
        return 100 * SETTINGS.weights[factor] * (1 - left)
      })
      return (
        again === input.score &&
        input.score >= 0 &&
        input.score <= 100 &&
        factors.every((points, at) => {
          const told = input.factors[RISK_FACTORS[at] ?? 'user'] ?? 0
          return Math.abs(points - told) <= 0.5 + 1e-9
        })
      )
    }),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('what is absent, or in words of others, is no risk', async (t) => {
  const plain: InputDocument = {
    user: { known: true, status: 'constructor', employee_type: '__proto__', clearance_level: 'x' },
    action: 'access_site',
    resource: { type: 'site', known: false, ai: false, host: 'a.example' },
    context: {},
  }
  t.same(assess(plain, undefined, SETTINGS), {
    input: { score: 0, level: 'low', factors: {} },
    signals: {},
  })
})

t.test('hours over midnight, and weights of nothing', async (t) => {
  const at = (hour: number, weekday: number): InputDocument => ({
    user: { known: true },
    action: 'access_site',
    resource: { type: 'site', known: false, ai: false },
    context: { time: { epoch_ms: NOW, hour, weekday, date: '2026-11-26' } },
  })
  const night = { ...SETTINGS, working_hours: { from: 22, to: 6 } }
  t.same(assess(at(23, 1), undefined, night).signals, {})
  t.same(assess(at(5, 1), undefined, night).signals, {})
  t.same(assess(at(6, 1), undefined, night).signals, { 'time.hour': 0.5 })
  t.same(assess(at(12, 6), undefined, SETTINGS).signals, { 'time.weekday': 0.5 })
  const none = { user: 0, service: 0, data: 0, device: 0, history: 0, time: 0 }
  t.equal(assess(at(3, 7), undefined, { ...SETTINGS, weights: none }).input.score, 0)
})
