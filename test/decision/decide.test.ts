// The corridor as doors use it, over real parts: Cedar policies from disk, catalogue, detectors, spool.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import { detect } from '../../src/content/detect.ts'
import { Directory } from '../../src/context/directory.ts'
import {
  Corridor,
  type CorridorOptions,
  type Outcome,
  type ReviewRequest,
  type Reviews,
  type ReviewState,
} from '../../src/decision/decide.ts'
import { realDisk } from '../../src/ledger/disk.ts'
import { Spool } from '../../src/ledger/spool.ts'
import type { Mode } from '../../src/model/decision.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import type { AiService } from '../../src/model/service.ts'
import type { Subject } from '../../src/model/subject.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { NO_BUDGETS, RISK } from '../support/no-budgets.ts'
import { NO_EXCEPTIONS } from '../support/no-exceptions.ts'
import { folderOf, loadDirs } from '../support/policy-folder.ts'
import { aService } from '../support/services.ts'

const SERVICES: readonly AiService[] = [
  aService({
    id: 'chat',
    name: 'Chat',
    domains: ['chat.example'],
    service_type: 'assistant',
    approval_status: 'review_required',
  }),
  aService({
    id: 'gone',
    name: 'Gone',
    domains: ['gone.example'],
    service_type: 'assistant',
    approval_status: 'prohibited',
  }),
  aService({
    id: 'good',
    name: 'Good',
    domains: ['good.example'],
    service_type: 'assistant',
    approval_status: 'approved',
  }),
  aService({
    id: 'model',
    name: 'Model',
    domains: ['model.example'],
    service_type: 'llm_api',
    approval_status: 'approved',
  }),
  aService({
    id: 'seen',
    name: 'Seen',
    domains: ['seen.example'],
    approval_status: 'prohibited',
    mode: 'monitor',
  }),
]

const MAYA: Subject = {
  user: {
    id: 'u-1',
    name: 'maya',
    known: true,
    department: { name: 'Sales', path: ['Acme', 'Sales'] },
  },
  person: 'u-1',
  allowed_services: new Set(),
  prohibited_services: new Set(['good']),
  units: new Set(['Acme', 'Sales']),
}

interface Rig {
  readonly corridor: Corridor
  readonly asked: ReviewRequest[]
  readonly metrics: Metrics
  mode: Mode
  /** Everything that lies in the spool, as text. */
  readonly spooled: () => Promise<string>
}

async function rig(
  t: Test,
  policies: string,
  options: Partial<CorridorOptions> = {},
  answer?: Partial<Reviews>,
): Promise<Rig> {
  const set = await loadDirs([folderOf(t, { 'p.cedar': policies })])
  const dir = join(mkdtempSync(join(tmpdir(), 'cordon-decide-')), 'ledger')
  const spool = new Spool({
    dir,
    disk: realDisk,
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1 << 30,
    now: Date.now,
  })
  const metrics = new Metrics({ processMetrics: false })
  const asked: ReviewRequest[] = []
  const pending: ReviewState = {
    review_id: '0199aaaa-0000-7000-8000-000000000001',
    state: 'pending',
  }
  const rules = { revision: 'sha256:0', catalogue: new Catalogue(SERVICES), policies: set }
  const made: Rig = {
    asked,
    metrics,
    mode: 'enforce',
    corridor: new Corridor(
      {
        ids: new IdSource(),
        people: new Directory({
          tenant: 'default',
          metrics,
          source: {
            find: ({ name }) => Promise.resolve(name === 'maya' ? MAYA : undefined),
            asset: (hostname) =>
              Promise.resolve({
                id: 'a',
                hostname,
                data_classification: ['secret'],
                document: { crown_jewel: true },
              }),
          },
        }),
        classify: (content) => detect(content, 1 << 20),
        ledger: spool,
        reviews: {
          open: (request) => {
            asked.push(request)
            return Promise.resolve(pending)
          },
          answer: () => Promise.resolve('pending'),
          ...answer,
        },
        exceptions: NO_EXCEPTIONS,
        budgets: NO_BUDGETS,
        metrics,
        now: Date.now,
        rules: () => rules,
        mode: () => made.mode,
      },
      {
        tenant: 'default',
        review: 'refuse',
        holdTimeoutMs: 1000,
        record: 'ai',
        urlPaths: true,
        personSecret: Buffer.alloc(32, 1),
        risk: RISK,
        ...options,
      },
    ),
    spooled: async () => {
      await spool.close()
      return readdirSync(dir, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.seg'))
        .map((name) => readFileSync(join(dir, name), 'latin1'))
        .join('')
    },
  }
  t.teardown(async () => {
    await spool.close()
    rmSync(join(dir, '..'), { recursive: true, force: true })
  })
  return made
}

let counter = 0
function asking(host: string, more: Partial<AccessRequest> = {}): AccessRequest {
  counter += 1
  return {
    request_id: `0199bbbb-0000-7000-8000-${String(counter).padStart(12, '0')}`,
    principal: { name: 'maya' },
    action: 'access_ai_service',
    destination: {
      host,
      port: 443,
      scheme: 'https',
      path: '/a',
      query: 'q=sesame',
      method: 'POST',
    },
    context: { source: 'proxy', ip_address: '10.0.0.1' },
    ...more,
  }
}

interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

async function series(metrics: Metrics, name: string): Promise<readonly Series[]> {
  const all = (await metrics.values()) as { name: string; values: Series[] }[]
  return all.find((metric) => metric.name === name)?.values ?? []
}

const NOTHING = '@id("nothing") forbid (principal, action == Cordon::Action::"paste", resource);'

t.test('the status of a service for this person decides by default', async (t) => {
  const { corridor } = await rig(t, NOTHING)
  const decide = async (host: string): Promise<Outcome> => corridor.decide(asking(host))
  t.match((await decide('gone.example')).decision, {
    decision: 'DENY',
    primary_policy_id: null,
    would_be: null,
  })
  t.equal((await decide('gone.example')).refused, true)
  t.equal(
    (await decide('good.example')).decision.decision,
    'DENY',
    'prohibited for their department',
  )
  t.equal((await decide('example.com')).decision.decision, 'ALLOW')
  const monitored = await decide('seen.example')
  t.match(monitored, { refused: false, decision: { decision: 'ALLOW', would_be: 'DENY' } })
})

t.test('who is refused hears of an approved service of the same kind', async (t) => {
  const { corridor } = await rig(t, NOTHING)
  const stranger = await corridor.decide(asking('gone.example', { principal: { name: 'nobody' } }))
  t.equal(stranger.alternative, 'Good')
  const maya = await corridor.decide(asking('gone.example'))
  t.equal(maya.alternative, undefined, 'nothing is approved for her')
})

t.test('a review is asked for once the answer is REVIEW, and refuses with its id', async (t) => {
  const { corridor, asked } = await rig(t, NOTHING)
  const outcome = await corridor.decide(asking('chat.example'))
  t.match(outcome, { refused: true, decision: { decision: 'REVIEW', ttl: 0, review_id: String } })
  t.match(asked, [
    {
      person: 'u-1',
      service_id: 'chat',
      policy_id: null,
      action: 'access_ai_service',
      decision_id: outcome.decision.decision_id,
    },
  ])
})

t.test('what is only recorded asks nobody', async (t) => {
  const { corridor, asked } = await rig(t, NOTHING)
  const outcome = await corridor.decide(asking('chat.example'), false)
  t.match(outcome, { decision: { decision: 'REVIEW', review_id: null } })
  t.same(asked, [])
})

t.test('under review: allow it passes and is queued', async (t) => {
  const { corridor, asked } = await rig(t, NOTHING, { review: 'allow' })
  const outcome = await corridor.decide(asking('chat.example'))
  t.match(outcome, { refused: false, decision: { decision: 'REVIEW' } })
  t.equal(asked.length, 1)
})

t.test(
  'a review that the store cannot take refuses without an id, whatever the setting',
  async (t) => {
    const { corridor, metrics } = await rig(
      t,
      NOTHING,
      { review: 'allow' },
      { open: () => Promise.reject(new Error('away')) },
    )
    const outcome = await corridor.decide(asking('chat.example'))
    t.match(outcome, { refused: true, decision: { decision: 'REVIEW', review_id: null } })
    t.match(JSON.stringify(await metrics.values()), /"cordon_review_errors_total"/)
  },
)

t.test('what a reviewer approved passes, but still owes its obligations', async (t) => {
  const approved = {
    open: () =>
      Promise.resolve({
        review_id: '0199aaaa-0000-7000-8000-000000000002',
        state: 'approved' as const,
      }),
  }
  const plain = await rig(t, NOTHING, {}, approved)
  t.match(await plain.corridor.decide(asking('chat.example')), {
    refused: false,
    decision: { decision: 'ALLOW', would_be: null, reason: /^approved by a reviewer/ },
  })
  const owing = await rig(
    t,
    `@id("r") @decision("review") @obligations("[{\\"type\\":\\"coach\\",\\"parameters\\":{\\"message\\":\\"mind\\"}}]") forbid (principal, action, resource);`,
    {},
    approved,
  )
  t.match(await owing.corridor.decide(asking('chat.example')), {
    refused: true,
    decision: { decision: 'DENY' },
  })
  const coached = await owing.corridor.decide(
    asking('chat.example', { context: { source: 'browser_plugin', capabilities: ['coach'] } }),
  )
  t.match(coached.decision, { decision: 'ALLOW', obligations: [{ type: 'coach' }] })
})

t.test('a held request goes on with the answer, or refuses after the time limit', async (t) => {
  let say: (state: ReviewState['state']) => void = () => undefined
  const answer = (): Promise<ReviewState['state']> =>
    new Promise((resolve) => {
      say = resolve
    })
  const { corridor } = await rig(t, NOTHING, { review: 'hold' }, { answer })
  const held = await corridor.decide(asking('chat.example'))
  say('approved')
  const passed = await held.held?.answer
  t.match(passed, {
    refused: false,
    decision: { decision: 'ALLOW', review_id: held.decision.review_id },
  })
  t.not(passed?.decision.decision_id, held.decision.decision_id)
  const again = await corridor.decide(asking('chat.example'))
  say('denied')
  t.match(await again.held?.answer, { refused: true, decision: { decision: 'REVIEW' } })
  const plugin = await corridor.decide(
    asking('chat.example', { context: { source: 'ide_plugin' } }),
  )
  t.equal(plugin.held, undefined, 'a plugin is told, not held')
})

t.test('content is searched and forgotten, and its answer is not to be reused', async (t) => {
  const { corridor, spooled } = await rig(
    t,
    `@id("mail") forbid (principal, action, resource) when { context has content && context.content has finding_types && context.content.finding_types.contains("email") };`,
  )
  const secret = 'quokka.sesame@corp-mail.com'
  const outcome = await corridor.decide(
    asking('example.com', {
      action: 'send_prompt',
      content: { text: `please write to ${secret} at once` },
      context: { source: 'browser_plugin', capabilities: ['spans'] },
    }),
  )
  t.match(outcome.decision, { decision: 'DENY', primary_policy_id: 'mail', ttl: 0 })
  t.match(outcome.decision.findings, [{ type: 'email', category: 'pii', count: 1 }])
  t.same(outcome.decision.spans, [{ type: 'email', start: 16, end: 16 + secret.length }])
  outcome.finish({ status: 200, bytes_in: 1, bytes_out: 2, duration_ms: 3 })
  const bytes = await spooled()
  t.match(bytes, outcome.decision.decision_id)
  t.notMatch(bytes, 'quokka')
  t.notMatch(bytes, 'sesame', 'neither text nor query is kept')
  t.notMatch(bytes, '"spans"')
})

t.test('a record keeps what kind of files went along, and not what they are called', async (t) => {
  const { corridor, spooled } = await rig(t, NOTHING)
  await corridor.decide(
    asking('chat.example', {
      action: 'upload_file',
      content: {
        text: 'please read this',
        message: {
          parsed: true,
          truncated: false,
          bytes: 4000,
          tools: [],
          attachments: [
            { kind: 'document', media_type: 'application/pdf', filename: 'notice to jane.pdf' },
          ],
        },
      },
    }),
  )
  const written = await spooled()
  t.match(written, '"media_type":"application/pdf"')
  t.notMatch(written, 'jane')
})

t.test('an unknown host that speaks an AI wire format is suspected AI', async (t) => {
  const { corridor, spooled, metrics } = await rig(
    t,
    `@id("shadow") forbid (principal, action, resource in Cordon::Category::"unknown_ai");`,
  )
  const destination = {
    host: 'llm.example',
    port: 443,
    scheme: 'https',
    format: 'openai-chat',
  } as const
  const ja4 = 't13d1516h2_8daaf6152771_b186095e22b6'
  const outcome = await corridor.decide(
    asking('llm.example', { destination, context: { source: 'proxy', ja4 } }),
  )
  t.match(outcome, {
    refused: true,
    decision: { decision: 'DENY', primary_policy_id: 'shadow', service: null },
  })
  const site = await corridor.decide(asking('llm.example'))
  t.equal(site.decision.decision, 'ALLOW', 'without the format it is a site')
  outcome.finish({ status: 403, bytes_in: 7, bytes_out: 0, duration_ms: 1 })
  const records = await spooled()
  t.match(records, `"ja4":"${ja4}"`, 'the fingerprint of the client is kept')
  const kept = records.match(/\{"v":1,"kind":"decision".*?"resource":(\{[^}]*\})/)
  t.match(JSON.parse(kept?.[1] ?? ''), {
    type: 'ai_service',
    name: 'llm.example',
    host: 'llm.example',
    category: 'unknown_ai',
    ai: true,
    known: false,
  })
  t.match(await series(metrics, 'cordon_ai_decisions_total'), [
    { labels: { service: 'unknown_ai', decision: 'DENY' }, value: 1 },
  ])
})

t.test('a refused person is told what may be used instead of a suspected AI', async (t) => {
  const { corridor } = await rig(t, `@id("no") forbid (principal, action, resource);`)
  const destination = { host: 'llm.example', port: 443, scheme: 'https', format: 'ollama' } as const
  const outcome = await corridor.decide(asking('llm.example', { destination }))
  t.equal(outcome.alternative, 'Model')
})

t.test('bytes of AI services are counted by what was seen of them', async (t) => {
  const { corridor, metrics, spooled } = await rig(t, NOTHING)
  const end = { status: 200, bytes_in: 100, bytes_out: 900, duration_ms: 3 }
  const ask = (host: string) => corridor.decide(asking(host, { principal: {} }))
  const all = await ask('good.example')
  all.finish({ ...end, visibility: 'content', format: 'openai-chat', input_tokens: 5 })
  const part = await ask('good.example')
  part.finish({ ...end, visibility: 'sni', visibility_reason: 'pinned' })
  ;(await ask('good.example')).finish(end)
  ;(await ask('good.example')).finish({ ...end, bytes_in: 0, bytes_out: 0 })
  ;(await ask('example.com')).finish(end)
  t.same(
    (await series(metrics, 'cordon_ai_bytes_total')).map(({ labels, value }) => [
      labels['visibility'],
      labels['reason'],
      labels['department'],
      value,
    ]),
    [
      ['content', 'none', 'none', 1000],
      ['sni', 'pinned', 'none', 1000],
      ['none', 'unstated', 'none', 1000],
    ],
    'what a door does not tell was not seen',
  )
  const kept = await spooled()
  t.match(kept, '"visibility":"content","format":"openai-chat","input_tokens":5')
  t.match(kept, '"visibility":"sni","visibility_reason":"pinned"')
})

t.test('a device of the inventory lends its labels to what leaves it', async (t) => {
  const { corridor } = await rig(
    t,
    `@id("label") forbid (principal, action, resource) when { context has content && context.content has data_classification && context.content.data_classification.contains("secret") };`,
  )
  const outcome = await corridor.decide(
    asking('example.com', {
      content: { text: 'hello' },
      context: { source: 'ide_plugin', device: { hostname: 'LAP-7' } },
    }),
  )
  t.equal(outcome.decision.primary_policy_id, 'label')
})

t.test('ordinary traffic leaves no record unless all of it is to be kept', async (t) => {
  const ai = await rig(t, NOTHING)
  const site = await ai.corridor.decide(asking('example.com'))
  await ai.corridor.decide(asking('good.example', { principal: {} }))
  const kept = await ai.spooled()
  t.notMatch(kept, site.decision.decision_id)
  t.match(kept, '"good.example"')
  const all = await rig(t, NOTHING, { record: 'all', urlPaths: false })
  const other = await all.corridor.decide(asking('example.com'))
  const bytes = await all.spooled()
  t.match(bytes, other.decision.decision_id)
  t.notMatch(bytes, '"path":"/a"')
})

t.test('the mode of the moment counts', async (t) => {
  const made = await rig(t, NOTHING)
  made.mode = 'audit'
  t.match(await made.corridor.decide(asking('gone.example')), {
    refused: false,
    decision: { decision: 'ALLOW', would_be: 'DENY' },
  })
  made.mode = 'enforce'
  t.equal((await made.corridor.decide(asking('gone.example'))).refused, true)
})
