// What becomes of a verdict: the point's mode, monitor-only services, obligations that a door can or cannot perform.

import t from 'tap'
import { type Circumstances, enforce } from '../../src/decision/enforce.ts'
import type { Effect, Obligation, Verdict } from '../../src/model/decision.ts'
import type { ContentInput } from '../../src/model/input.ts'

const SEEN: ContentInput = {
  classified: true,
  parsed: true,
  truncated: false,
  bytes: 10,
  findings: [{ type: 'email', category: 'pii', count: 1, confidence: 0.9 }],
  finding_types: ['email'],
  finding_categories: ['pii'],
  data_classification: [],
}

function verdict(decision: Effect, obligations: readonly string[] = [], wouldBe?: Effect): Verdict {
  return {
    decision,
    reason: 'because',
    primary_policy_id: 'p',
    policies_evaluated: [],
    obligations: obligations.map((type) => ({ type, parameters: {} })),
    would_be: wouldBe ?? null,
    severity: 'medium',
    warnings: [],
    read_content: false,
    errors: 0,
  }
}

const CALM: Circumstances = {
  pointMode: 'enforce',
  monitor: false,
  review: 'refuse',
  capabilities: [],
  content: undefined,
}

const cases: readonly (readonly [
  string,
  Verdict,
  Partial<Circumstances>,
  Effect,
  Effect | null,
])[] = [
  ['an answer is enforced as it is', verdict('DENY'), {}, 'DENY', null],
  ['under warn a DENY passes and is told', verdict('DENY'), { pointMode: 'warn' }, 'ALLOW', 'DENY'],
  ['under audit a REVIEW passes', verdict('REVIEW'), { pointMode: 'audit' }, 'ALLOW', 'REVIEW'],
  [
    'under audit what warn policies would say stays',
    verdict('ALLOW', [], 'DENY'),
    { pointMode: 'audit' },
    'ALLOW',
    'DENY',
  ],
  ['a monitored service is never refused', verdict('DENY'), { monitor: true }, 'ALLOW', 'DENY'],
  ['an obligation nobody can perform denies', verdict('ALLOW', ['coach']), {}, 'DENY', null],
  [
    'one that the door performs',
    verdict('ALLOW', ['coach']),
    { capabilities: ['coach'] },
    'ALLOW',
    null,
  ],
  ['notify is performed by recording', verdict('ALLOW', ['notify']), {}, 'ALLOW', null],
  [
    'unseen content cannot be redacted',
    verdict('ALLOW', ['redact']),
    { capabilities: ['redact'] },
    'DENY',
    null,
  ],
  [
    'truncated content neither',
    verdict('ALLOW', ['redact']),
    { capabilities: ['redact'], content: { ...SEEN, truncated: true } },
    'DENY',
    null,
  ],
  [
    'nothing to redact counts as performed',
    verdict('ALLOW', ['redact']),
    { content: { ...SEEN, findings: [] } },
    'ALLOW',
    null,
  ],
  [
    'something to redact needs a door that can',
    verdict('ALLOW', ['redact']),
    { content: SEEN },
    'DENY',
    null,
  ],
  ['a REVIEW that refuses owes nothing', verdict('REVIEW', ['coach']), {}, 'REVIEW', null],
  [
    'a REVIEW that lets through owes its obligations',
    verdict('REVIEW', ['coach']),
    { review: 'allow' },
    'DENY',
    null,
  ],
  [
    'what becomes DENY is not told as would_be again',
    verdict('ALLOW', ['coach'], 'DENY'),
    {},
    'DENY',
    null,
  ],
]

for (const [name, given, circumstances, decision, wouldBe] of cases) {
  t.test(name, async (t) => {
    const enforced = enforce(given, { ...CALM, ...circumstances })
    t.equal(enforced.decision, decision)
    t.equal(enforced.would_be, wouldBe)
    if (decision === 'DENY' && given.decision !== 'DENY')
      t.match(enforced.reason, /is required and cannot be done here: because/)
  })
}

t.test('redact by type or category looks at these only', async (t) => {
  const only = (parameters: Obligation['parameters']): Effect =>
    enforce(
      { ...verdict('ALLOW'), obligations: [{ type: 'redact', parameters }] },
      { ...CALM, content: SEEN },
    ).decision
  t.equal(only({ types: ['email'] }), 'DENY')
  t.equal(only({ types: ['iban'] }), 'ALLOW')
  t.equal(only({ categories: ['pii'] }), 'DENY')
  t.equal(only({ categories: ['secret'], types: ['iban'] }), 'ALLOW')
})
