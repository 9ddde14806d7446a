// What stays in a record's text for years names nobody whom the record is about.

import t from 'tap'
import { Nameless } from '../../src/decision/nameless.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { InputDocument } from '../../src/model/input.ts'
import { formerPersonKey, keyPrefixOf, personKey, pseudonymOf } from '../../src/model/person.ts'
import { decisionRecord } from '../support/records.ts'

const input: InputDocument = {
  user: { id: 'u-1', name: 'Zoë.Lind', email: 'zoe.lind@acme.example', known: true },
  action: 'send_prompt',
  resource: {
    type: 'site',
    known: false,
    ai: false,
    path: '/u/zo%C3%AB.lind/zoe.lind%40acme.example',
    model: 'ft:zoe.lind@acme.example:1',
  },
  context: { ip_address: '10.1.2.3', device: { hostname: 'laptop(7)' } },
}
const nameless = new Nameless(input, { login: 'al', external_id: 'E-17' })

t.test('names are found in any case, escaped as in a path, and the longer one first', async (t) => {
  for (const [text, wanted] of [
    [
      'ZOË.LIND may not; write to Zoe.Lind@ACME.example',
      '[user.name] may not; write to [user.email]',
    ],
    [
      'from 10.1.2.3 by LAPTOP(7), number e-17',
      'from [ip_address] by [device], number [user.external_id]',
    ],
    ['nothing of hers', 'nothing of hers'],
    ['al is not allowed', '[login] is not allowed'],
    ['100% of it', '100% of it'],
  ] as const)
    t.equal(nameless.text(text), wanted)
  const { path, model } = nameless.input(input).resource
  t.equal(path, '/u/[user.name]/[user.email]')
  t.equal(model, 'ft:[user.email]:1')
})

t.test('what names nobody is handed on as it is, the list of policies too', async (t) => {
  const { decision } = decisionRecord()
  t.equal(nameless.decision(decision), decision)
  const named: Decision = {
    ...decision,
    reason: 'zoë.lind asked',
    obligations: [
      { type: 'notify', parameters: { to: ['zoe.lind@acme.example', 'soc@acme.example'] } },
    ],
  }
  const kept = nameless.decision(named)
  t.equal(kept.reason, '[user.name] asked')
  t.same(kept.obligations, [
    { type: 'notify', parameters: { to: ['[user.email]', 'soc@acme.example'] } },
  ])
  t.equal(kept.policies_evaluated, decision.policies_evaluated)
  const anonymous = new Nameless({ ...input, user: { known: false }, context: {} }, {})
  t.equal(anonymous.decision(named).reason, named.reason)
})

t.test('a pseudonym leads back to the key, and only with the secret to a person', async (t) => {
  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const key = personKey(one, 'default', '10.1.2.3')
  t.match(key, /^[0-9a-f]{64}$/)
  t.not(key, personKey(two, 'default', '10.1.2.3'))
  t.not(key, personKey(one, 'other', '10.1.2.3'))
  t.not(key, formerPersonKey('default', '10.1.2.3'))
  for (const each of [key, '0'.repeat(64), 'f'.repeat(64)]) {
    const pseudonym = pseudonymOf(each) ?? ''
    t.match(pseudonym, /^person-[a-z2-7]{12}$/)
    t.equal(keyPrefixOf(pseudonym.toUpperCase()), each.slice(0, 15))
  }
  t.equal(pseudonymOf('person-1'), undefined)
  for (const text of [
    'maya',
    'person-',
    'person-abc',
    'person-0123456789ab',
    `${pseudonymOf(key)}x`,
  ])
    t.equal(keyPrefixOf(text), undefined)
})
