import t from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import { evaluateLine } from '../../src/policy/eval-lines.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { RULES } from '../support/policy-rules.ts'

const policies = new PolicySet([], 'digest', RULES)

function answer(line: string): Record<string, unknown> {
  return JSON.parse(evaluateLine(line, { policies, ids: new IdSource() })) as Record<
    string,
    unknown
  >
}

t.test('a Decision has every key', async (t) => {
  t.match(answer('{"resource":{"id":"chatgpt","name":"ChatGPT","approval_status":"prohibited"}}'), {
    decision_id: /^[0-9a-f-]{36}$/,
    decision: 'DENY',
    reason: String,
    confidence: 1,
    risk_score: null,
    primary_policy_id: null,
    policies_evaluated: [],
    obligations: [],
    service: { id: 'chatgpt', name: 'ChatGPT' },
    findings: [],
    review_id: null,
    exception_id: null,
    would_be: null,
    ttl: Number,
    revision: policies.revision,
    evaluation_us: Number,
  })
})

t.test('findings are told, the least sure of them is the confidence', async (t) => {
  const email = { type: 'email', category: 'pii', count: 2, confidence: 0.7 }
  const line = JSON.stringify({ content: { findings: [email, { type: 'odd' }, null] } })
  t.match(answer(line), { findings: [email], confidence: 0.7, service: null })
  t.equal((answer(line)['findings'] as unknown[]).length, 1)
})

for (const line of ['', '{', 'null', '[]', '"text"', '7', '{"a":1}}', '['.repeat(500)]) {
  t.test(`a malformed line is answered with an error: ${line.slice(0, 20)}`, async (t) => {
    t.same(Object.keys(answer(line)), ['error'])
    t.type(answer(line)['error'], 'string')
  })
}

const ODD = ['{}', '{"user":5,"action":[],"resource":null,"content":"x","context":true}']
for (const line of ODD) {
  t.test(`an odd document is decided by default: ${line}`, async (t) => {
    t.match(answer(line), { decision: 'ALLOW', primary_policy_id: null })
  })
}
