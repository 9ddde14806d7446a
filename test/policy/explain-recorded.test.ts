// Explanations of records: under their own revision, from the record alone, with what was done afterwards.

import t from 'tap'
import type { Decision } from '../../src/model/decision.ts'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { readCedar } from '../../src/policy/cedar/read.ts'
import { explainRecorded } from '../../src/policy/explain-recorded.ts'
import { inWords } from '../../src/policy/explain-words.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { readRecorded } from '../../src/policy/recorded-input.ts'
import { RULES } from '../support/policy-rules.ts'

const TEXT = `
@id("named") @priority("900") @reason("not for you")
forbid(principal, action, resource) when { principal has email && principal.email like "*@acme.example" };
@id("pasting") @priority("500") forbid(principal, action == Cordon::Action::"paste", resource);
@id("all") @priority("100") permit(principal, action, resource);
`
const { policies } = readCedar({ path: 'x.cedar', name: 'x.cedar', text: TEXT })
const set = new PolicySet([new CedarEngine(policies)], 'digest', RULES)
const INPUT = {
  user: { id: 'u-1', known: true },
  action: 'send_prompt',
  resource: { id: 'chat', name: 'Chat', ai: true, known: true },
  context: { source: 'proxy' },
}

function recorded(more: Readonly<Record<string, unknown>> = {}, email = 'maya@acme.example') {
  const { resource, ...rest } = INPUT
  const verdict = set.decide({ ...rest, resource, user: { ...INPUT.user, email } })
  const decision: Partial<Decision> = {
    decision_id: '01990000-0000-7000-8000-000000000001',
    decision: verdict.decision,
    reason: verdict.reason,
    primary_policy_id: verdict.primary_policy_id,
    policies_evaluated: verdict.policies_evaluated,
    obligations: verdict.obligations,
    would_be: verdict.would_be,
  }
  const { decision: other, ...kept } = more
  const record = {
    kind: 'decision',
    time: 1_772_445_600_000,
    person_key: 'key',
    mode: 'enforce',
    input: INPUT,
    masked: [],
    personal_hash: 'hash',
    decision: { ...decision, ...(other as object | undefined) },
    ...kept,
  }
  const personal = Buffer.concat([
    Buffer.alloc(16),
    Buffer.from(JSON.stringify({ user: { email } })),
  ])
  const read = (isErased = false) => {
    const row = readRecorded({
      record: JSON.stringify(record),
      personal: isErased ? null : personal,
    })
    if (row === undefined) throw new Error('the fixture is no record')
    return row
  }
  return read
}

const REVISION = { id: 'sha256:r', inForce: false, policies: set }

t.test('under its own revision', async (t) => {
  const told = await explainRecorded(recorded()(), REVISION, RULES, {})
  t.match(told, {
    basis: 'revision',
    revision: { id: 'sha256:r', in_force: false },
    decision: 'DENY',
    primary_policy_id: 'named',
    limits: [],
    candidates: [
      { policy_id: 'named', part: 'decides', clauses: [{ outcome: 'holds' }, {}] },
      { policy_id: 'all', part: 'overruled' },
    ],
    not_asked: [{ policy_id: 'pasting' }],
    for_the_person: 'Your request to send a prompt to Chat was not let through: not for you.',
  })
  t.match(inWords(told), 'judged again under revision sha256:r, which is no longer in force')
})

t.test('of somebody who was erased nothing is guessed', async (t) => {
  const told = await explainRecorded(recorded()(true), REVISION, RULES, {})
  t.match(told, {
    decision: 'DENY',
    candidates: [
      {
        policy_id: 'named',
        effect: 'DENY',
        part: 'decides',
        cannot_tell: ['user.email'],
        clauses: undefined,
      },
      { policy_id: 'all', part: 'overruled', clauses: [] },
    ],
  })
  t.match(told.limits[0], /the record does not have .*user\.email/)
  t.notMatch(JSON.stringify(told), 'maya')
})

t.test('without the revision the record alone is told', async (t) => {
  const told = await explainRecorded(recorded()(), { ...REVISION, policies: undefined }, RULES, {})
  t.match(told, {
    basis: 'record',
    steps: [
      { priority: 900, decides: true },
      { priority: 100, decides: false },
    ],
    candidates: [
      { policy_id: 'named', part: 'decides', why: 'as recorded: it said DENY' },
      { policy_id: 'all' },
    ],
    not_asked: [],
    limits: [/not at hand/],
  })
})

const AFTERWARDS: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
  [
    'the point only watched',
    { mode: 'audit', decision: { decision: 'ALLOW', would_be: 'DENY' } },
    /in audit, so that nothing was refused/,
  ],
  [
    'a reviewer had approved',
    { decision: { decision: 'ALLOW', reason: 'approved by a reviewer: not for you' } },
    /a reviewer had approved it/,
  ],
  [
    'the service is only watched',
    { decision: { decision: 'ALLOW', would_be: 'DENY' } },
    /only watched/,
  ],
  [
    'a budget was used up',
    { decision: { primary_policy_id: 'budget:day', reason: 'too much' } },
    /budget day was used up/,
  ],
]
for (const [what, more, expected] of AFTERWARDS) {
  t.test(what, async (t) => {
    const verdict = {
      decision: 'DENY',
      reason: 'not for you',
      would_be: null,
      obligations: [],
      primary_policy_id: 'named',
    }
    const told = await explainRecorded(recorded({ verdict, ...more })(), REVISION, RULES, {})
    t.match(told.afterwards.join(), expected)
    t.match(told.steps[0], { decides: true, answer: 'DENY' }, 'the policies said it all the same')
    t.notMatch(told.for_the_person, /polic|audit|monitor/)
  })
}

t.test('an exception', async (t) => {
  const excepted = { exceptions: ['e'], policies: ['named'] }
  const read = recorded({
    excepted,
    decision: { decision: 'ALLOW', primary_policy_id: 'all', reason: 'all' },
  })
  const told = await explainRecorded(read(), REVISION, RULES, {})
  t.match(told, {
    decision: 'ALLOW',
    afterwards: ['an exception lifted named'],
    candidates: [
      { policy_id: 'all', part: 'decides' },
      { policy_id: 'named', part: 'lifted' },
    ],
  })
})

t.test('what comes out otherwise is said', async (t) => {
  const told = await explainRecorded(
    recorded({ decision: { decision: 'ALLOW', primary_policy_id: null, reason: 'x' } })(),
    REVISION,
    RULES,
    {},
  )
  t.match(
    told.limits.join(),
    /judged again the policies say DENY, and the record tells that they said ALLOW/,
  )
})
