// A service that the catalogue knows for social scoring is denied by the sample policy of the EU AI Act,
// from the destination of a request to the record in the ledger.

import { join } from 'node:path'
import t from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import { Corridor, type Outcome } from '../../src/decision/decide.ts'
import type { DecisionRecord, OutcomeRecord } from '../../src/model/record.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { loadServices } from '../../src/signatures/load.ts'
import { NO_BUDGETS, RISK } from '../support/no-budgets.ts'
import { NO_EXCEPTIONS } from '../support/no-exceptions.ts'
import { loadDirs } from '../support/policy-folder.ts'

const SHIPPED = join(import.meta.dirname, '../../signatures')
const SAMPLE = join(import.meta.dirname, 'eu_ai_act')

t.test('a social scoring service of the catalogue is denied by the sample policy', async (t) => {
  const { decide, records } = await sampleCorridor()
  const { decision, refused, service } = await decide('score-chat.example')

  t.match(decision, {
    decision: 'DENY',
    primary_policy_id: 'eu_ai_act.prohibited',
    service: { id: 'score-chat', name: 'Score Chat' },
    would_be: null,
  })
  t.equal(refused, true)
  t.equal(service?.protocol, 'openai')
  t.match(records, [
    {
      kind: 'decision',
      decision: { decision_id: decision.decision_id, decision: 'DENY' },
      violation: { type: 'policy_violation', severity: 'medium' },
    },
  ])
})

t.test('a chat service of the shipped catalogue is not its business', async (t) => {
  const { decide, records } = await sampleCorridor()
  const { decision, refused } = await decide('chatgpt.com')

  t.match(decision, { decision: 'ALLOW', primary_policy_id: null, service: { id: 'chatgpt' } })
  t.equal(refused, false)
  t.equal(records.length, 1)
})

interface Sample {
  readonly records: readonly (DecisionRecord | OutcomeRecord)[]
  readonly decide: (host: string) => Promise<Outcome>
}

async function sampleCorridor(): Promise<Sample> {
  const { services } = loadServices([SHIPPED, join(SAMPLE, 'signatures')])
  const policies = await loadDirs([SAMPLE])
  const rules = { revision: policies.revision, catalogue: new Catalogue(services), policies }
  const ids = new IdSource()
  const records: (DecisionRecord | OutcomeRecord)[] = []
  const nothing = new Set<string>()
  const corridor = new Corridor(
    {
      ids,
      people: {
        find: () => ({
          user: { id: 'u-1', name: 'maya', known: true },
          person: 'u-1',
          allowed_services: nothing,
          prohibited_services: nothing,
          units: nothing,
        }),
        asset: () => undefined,
        ownRisk: () => undefined,
      },
      classify: () => {
        throw new Error('the door offers no content')
      },
      ledger: {
        append: (record) => void records.push(record),
        note: (record) => void records.push(record),
      },
      reviews: {
        open: () => Promise.reject(new Error('nothing asks for a review')),
        answer: () => Promise.reject(new Error('nothing is held')),
      },
      exceptions: NO_EXCEPTIONS,
      budgets: NO_BUDGETS,
      metrics: new Metrics({ processMetrics: false }),
      now: Date.now,
      rules: () => rules,
      mode: () => 'enforce',
    },
    {
      tenant: 'default',
      review: 'refuse',
      holdTimeoutMs: 1000,
      record: 'ai',
      urlPaths: true,
      personSecret: Buffer.alloc(32, 1),
      risk: RISK,
    },
  )
  return { records, decide: (host) => corridor.decide(requestFor(host, ids)) }
}

function requestFor(host: string, ids: IdSource): AccessRequest {
  return {
    request_id: ids.next(),
    principal: { login: 'maya' },
    action: 'access_ai_service',
    destination: { host, port: 443, scheme: 'https' },
    context: { source: 'proxy', ip_address: '10.1.2.3' },
  }
}
