// Exceptions in the corridor: real Cedar policies, a real index; the counting of the store is played.

import t, { type Test } from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import { detect } from '../../src/content/detect.ts'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import { Budgets } from '../../src/decision/budgets.ts'
import { Corridor, type Outcome, type ReviewState } from '../../src/decision/decide.ts'
import { LiveExceptions } from '../../src/decision/exceptions.ts'
import type { Budget } from '../../src/model/budget.ts'
import type { Mode } from '../../src/model/decision.ts'
import type { LiveException } from '../../src/model/exception.ts'
import type { DecisionRecord } from '../../src/model/record.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { corridorOptions } from '../support/corridor.ts'
import { folderOf, loadDirs } from '../support/policy-folder.ts'
import { aService } from '../support/services.ts'

const SERVICES = [
  aService({
    id: 'chat',
    domains: ['chat.example'],
    service_type: 'assistant',
    approval_status: 'approved',
  }),
  aService({
    id: 'asked',
    domains: ['asked.example'],
    service_type: 'assistant',
    approval_status: 'review_required',
  }),
  aService({
    id: 'gone',
    domains: ['gone.example'],
    service_type: 'assistant',
    approval_status: 'prohibited',
  }),
]

const POLICIES = `
@id("no-chat") @priority("900") @reason("no chat")
forbid (principal, action == Cordon::Action::"send_prompt", resource == Cordon::Service::"chat");
@id("no-uploads") @priority("800") @reason("no uploads")
forbid (principal, action in [Cordon::Action::"send_prompt", Cordon::Action::"upload_file"], resource == Cordon::Service::"chat");
@id("ask-downloads") @priority("700") @decision("review") @reason("ask first")
forbid (principal, action == Cordon::Action::"download_file", resource);
@id("coached") @priority("600") @decision("none") @obligations("[{\\"type\\":\\"coach\\",\\"parameters\\":{\\"message\\":\\"mind\\"}}]")
permit (principal, action == Cordon::Action::"paste", resource);
@id("no-paste") @priority("900") @reason("no paste")
forbid (principal, action == Cordon::Action::"paste", resource);
`

const MAYA = 'b3a4f6de-0000-4000-8000-000000000001'

interface Rig {
  readonly exceptions: LiveExceptions
  readonly records: DecisionRecord[]
  /** Ids in the order in which their uses were counted. */
  readonly claimed: string[]
  /** Uses that are left; of those that are not named, as many as one wants. */
  readonly left: Map<string, number>
  storeIsAway: boolean
  mode: Mode
  readonly ask: (host: string, action: string, more?: Partial<AccessRequest>) => Promise<Outcome>
}

async function rig(
  t: Test,
  options: {
    readonly now?: number
    readonly policies?: string
    readonly review?: 'refuse' | 'allow' | 'hold'
    readonly state?: ReviewState['state']
    readonly budget?: Budget
  } = {},
): Promise<Rig> {
  const policies = await loadDirs([folderOf(t, { 'p.cedar': options.policies ?? POLICIES })])
  const rules = { revision: 'sha256:0', catalogue: new Catalogue(SERVICES), policies }
  const exceptions = new LiveExceptions()
  const ids = new IdSource()
  const made: Rig = {
    exceptions,
    records: [],
    claimed: [],
    left: new Map(),
    storeIsAway: false,
    mode: 'enforce',
    ask: (host, action, more = {}) =>
      corridor.decide({
        request_id: ids.next(),
        principal: { name: 'maya' },
        action,
        destination: { host, port: 443, scheme: 'https', path: '/', query: '', method: 'POST' },
        context: { source: 'proxy' },
        ...more,
      }),
  }
  const [parts, settings] = corridorOptions(
    {
      ids,
      people: {
        find: () => ({
          user: {
            id: MAYA,
            name: 'maya',
            known: true,
            department: { name: 'Platform', path: ['Acme', 'Engineering', 'Platform'] },
            groups: ['staff', 'pilots'],
          },
          person: MAYA,
          allowed_services: new Set(),
          prohibited_services: new Set(),
          units: new Set(),
        }),
        asset: () => undefined,
        ownRisk: () => undefined,
      },
      classify: (content) => detect(content, 1 << 20),
      ledger: {
        append: (record) => void made.records.push(record),
        note: () => undefined,
      },
      reviews: {
        open: () => Promise.resolve({ review_id: ids.next(), state: options.state ?? 'pending' }),
        answer: () => Promise.resolve('pending'),
      },
      metrics: new Metrics({ processMetrics: false }),
      now: () => options.now ?? Date.now(),
      rules: () => rules,
      mode: () => made.mode,
    },
    { review: options.review ?? 'refuse' },
  )
  const corridor = new Corridor(
    {
      ...parts,
      ...(options.budget === undefined ? {} : { budgets: budgetsOf(options.budget) }),
      exceptions: {
        of: (input, service) => exceptions.of(input, service),
        claim: (wanted) => {
          if (made.storeIsAway) return Promise.reject(new Error('away'))
          const spent = wanted.find(({ exception_id: id }) => made.left.get(id) === 0)
          if (spent !== undefined) return Promise.resolve(spent)
          for (const { exception_id: id } of wanted) {
            made.left.set(id, (made.left.get(id) ?? Infinity) - 1)
            made.claimed.push(id)
          }
          return Promise.resolve(undefined)
        },
      },
    },
    settings,
  )
  return made
}

function budgetsOf(budget: Budget): Budgets {
  return new Budgets({
    counter: new MemoryBudgets(() => Date.now()),
    settings: () => ({ budgets: [budget], onError: 'deny' }),
    metrics: new Metrics({ processMetrics: false }),
  })
}

/** Its id is its place in the order. */
function exception(place: number, more: Partial<LiveException>): LiveException {
  return {
    exception_id: `0199eeee-0000-7000-8000-${String(place).padStart(12, '0')}`,
    lifts: 'policy',
    user_id: MAYA,
    conditions: {},
    ...more,
  }
}

t.test('the policy that is named does not vote, and the record tells it', async (t) => {
  const { exceptions, records, ask } = await rig(t)
  const lifted = exception(1, { policy_id: 'no-uploads' })
  exceptions.change([lifted], [])
  t.match(await ask('chat.example', 'upload_file'), {
    refused: false,
    decision: {
      decision: 'ALLOW',
      reason: 'let through by an exception: no uploads',
      exception_id: lifted.exception_id,
      primary_policy_id: null,
      would_be: null,
      ttl: 0,
    },
  })
  t.match(records.at(-1), {
    excepted: { exceptions: [lifted.exception_id], policies: ['no-uploads'] },
    decision: { exception_id: lifted.exception_id },
  })
  t.notOk(records.at(-1)?.violation, 'what is let through is no violation')

  const prompt = await ask('chat.example', 'send_prompt')
  t.match(prompt, { refused: true, decision: { exception_id: null, primary_policy_id: 'no-chat' } })
  t.notOk(records.at(-1)?.excepted, 'another policy refuses: the exception has no part')
  exceptions.change([exception(2, { policy_id: 'no-chat' })], [])
  t.match(await ask('chat.example', 'send_prompt'), { refused: false })
  t.match(records.at(-1)?.excepted, {
    exceptions: { length: 2 },
    policies: ['no-chat', 'no-uploads'],
  })
  exceptions.change([], [lifted.exception_id])
  t.match(await ask('chat.example', 'upload_file'), { refused: true }, 'revoked')
})

t.test('defaults and everything, for a service', async (t) => {
  const { exceptions, records, ask } = await rig(t)
  exceptions.change([exception(1, { lifts: 'defaults', service_id: 'gone' })], [])
  t.match(await ask('gone.example', 'access_ai_service'), { refused: false })
  t.same(records.at(-1)?.excepted?.policies, [''])
  t.match(await ask('gone.example', 'paste'), { refused: true }, 'a policy refuses')
  t.match(await ask('asked.example', 'access_ai_service'), { decision: { decision: 'REVIEW' } })

  exceptions.replace([exception(1, { lifts: 'everything', service_id: 'chat' })])
  t.match(await ask('chat.example', 'send_prompt'), { refused: false })
  t.same(records.at(-1)?.excepted?.policies, ['no-chat', 'no-uploads'])
  t.match(await ask('gone.example', 'access_ai_service'), { refused: true }, 'not there')
})

t.test('obligations of what still votes hold; one that cannot be performed refuses', async (t) => {
  const { exceptions, ask } = await rig(t)
  exceptions.change([exception(1, { lifts: 'everything', service_id: 'chat' })], [])
  t.match(await ask('chat.example', 'paste'), { refused: true, decision: { exception_id: null } })
  const coaching = { context: { source: 'browser_plugin' as const, capabilities: ['coach'] } }
  t.match(await ask('chat.example', 'paste', coaching), {
    refused: false,
    decision: { obligations: [{ type: 'coach' }] },
  })
  exceptions.change([exception(2, { policy_id: 'coached' })], [])
  exceptions.change([exception(3, { policy_id: 'no-paste' })], [])
  t.match(await ask('chat.example', 'paste'), { refused: false }, 'that one was lifted too')
})

t.test('what was never refused uses nothing, and neither does what is only recorded', async (t) => {
  const { exceptions, claimed, ask } = await rig(t)
  const counted = { conditions: { max_uses: 5 } }
  exceptions.change([exception(1, { policy_id: 'no-uploads', ...counted })], [])
  t.match(await ask('chat.example', 'access_ai_service'), { decision: { exception_id: null } })
  t.same(claimed, [])
  await ask('chat.example', 'upload_file')
  t.equal(claimed.length, 1)
})

t.test('a use is counted before anything passes, and only one that is needed', async (t) => {
  const made = await rig(t)
  const { exceptions, claimed, left, ask } = made
  const counted = { conditions: { max_uses: 2 } }
  exceptions.change(
    [
      exception(1, { policy_id: 'no-uploads', ...counted }),
      exception(2, { policy_id: 'no-chat', ...counted }),
      exception(3, { lifts: 'everything', service_id: 'chat', group: 'pilots' }),
    ],
    [],
  )
  await ask('chat.example', 'upload_file')
  t.same(claimed, [exception(1, {}).exception_id])
  left.set(exception(1, {}).exception_id, 0)
  t.match(
    await ask('chat.example', 'upload_file'),
    { refused: false, decision: { exception_id: exception(3, {}).exception_id } },
    'another one is there',
  )
  exceptions.change([], [exception(3, {}).exception_id])
  t.match(await ask('chat.example', 'upload_file'), { refused: true })
  t.match(await ask('chat.example', 'send_prompt'), { refused: true })
  t.equal(claimed.length, 1, 'of two that are needed together none is used where one is missing')

  left.clear()
  made.storeIsAway = true
  t.match(await ask('chat.example', 'upload_file'), {
    refused: true,
    decision: { decision: 'DENY', primary_policy_id: 'no-uploads', exception_id: null },
  })
  exceptions.change([exception(4, { policy_id: 'no-uploads' })], [])
  t.match(await ask('chat.example', 'upload_file'), { refused: false }, 'without a limit it holds')
})

t.test('of a denial that becomes a review the use counts once it passes', async (t) => {
  const policies = `
    @id("first") @priority("900") forbid (principal, action, resource == Cordon::Service::"asked");`
  const counted = exception(1, { policy_id: 'first', conditions: { max_uses: 1 } })
  const waiting = await rig(t, { policies })
  waiting.exceptions.change([counted], [])
  t.match(await waiting.ask('asked.example', 'access_ai_service'), {
    refused: true,
    decision: { decision: 'REVIEW', exception_id: counted.exception_id, review_id: String },
  })
  t.same(waiting.claimed, [])

  const approved = await rig(t, { policies, state: 'approved' })
  approved.left.set(counted.exception_id, 1)
  approved.exceptions.change([counted], [])
  t.match(await approved.ask('asked.example', 'access_ai_service'), { refused: false })
  t.equal(approved.claimed.length, 1)
  t.match(await approved.ask('asked.example', 'access_ai_service'), {
    refused: true,
    decision: { decision: 'DENY', exception_id: null, primary_policy_id: 'first' },
  })

  const queued = await rig(t, { policies, review: 'allow' })
  queued.exceptions.change([counted], [])
  t.match(await queued.ask('asked.example', 'access_ai_service'), { refused: false })
  t.equal(queued.claimed.length, 1)
})

t.test('of what a budget asks for the use counts once it passes', async (t) => {
  const budget: Budget = {
    id: 'none-left',
    per: [],
    match: {},
    limit: 0,
    unit: 'requests',
    window: 60_000,
    kind: 'fixed',
    answer: 'review',
    cut: false,
  }
  const counted = exception(1, { policy_id: 'no-uploads', conditions: { max_uses: 5 } })
  const waiting = await rig(t, { budget })
  waiting.exceptions.change([counted], [])
  t.match(await waiting.ask('chat.example', 'upload_file'), {
    refused: true,
    decision: {
      decision: 'REVIEW',
      primary_policy_id: 'budget:none-left',
      exception_id: counted.exception_id,
    },
  })
  t.same(waiting.claimed, [], 'refused all the same')

  const approved = await rig(t, { budget, state: 'approved' })
  approved.exceptions.change([counted], [])
  t.match(await approved.ask('chat.example', 'upload_file'), { refused: false })
  t.equal(approved.claimed.length, 1)
  approved.left.set(counted.exception_id, 0)
  t.match(await approved.ask('chat.example', 'upload_file'), {
    refused: true,
    decision: { decision: 'DENY', exception_id: null, primary_policy_id: 'no-uploads' },
  })
})

t.test('whom it is for, and where', async (t) => {
  const { exceptions, ask } = await rig(t)
  const passes = async (more: Partial<LiveException>): Promise<boolean> => {
    exceptions.replace([exception(1, { policy_id: 'no-uploads', ...more })])
    return !(await ask('chat.example', 'upload_file')).refused
  }
  const nobody = { user_id: undefined } as unknown as Partial<LiveException>
  t.equal(await passes({ ...nobody, department: 'Platform' }), true)
  t.equal(await passes({ ...nobody, department: 'Acme' }), true, 'any above it')
  t.equal(await passes({ ...nobody, department: 'Sales' }), false)
  t.equal(await passes({ ...nobody, group: 'pilots' }), true)
  t.equal(await passes({ ...nobody, group: 'Pilots' }), false, 'exact, as in scopes')
  t.equal(await passes({ group: 'pilots' }), true)
  t.equal(await passes({ group: 'interns' }), false, 'AND')
  t.equal(await passes({ department: 'Sales' }), false, 'AND')
  t.equal(await passes({ user_id: 'another' }), false)
  t.equal(await passes({ service_id: 'chat' }), true)
  t.equal(await passes({ service_id: 'asked' }), false)
})

t.test('when, through which door, and with which data', async (t) => {
  // A Wednesday, 22:30 in this process's time zone.
  const now = new Date(2026, 10, 25, 22, 30).getTime()
  const { exceptions, ask } = await rig(t, { now })
  const passes = async (
    more: Partial<LiveException>,
    request: Partial<AccessRequest> = {},
  ): Promise<boolean> => {
    exceptions.replace([exception(1, { policy_id: 'no-uploads', ...more })])
    return !(await ask('chat.example', 'upload_file', request)).refused
  }
  t.equal(await passes({ from: now, until: now + 1 }), true)
  t.equal(await passes({ from: now + 1 }), false)
  t.equal(await passes({ until: now }), false, 'exclusive')
  t.equal(await passes({ conditions: { hours: { from: 8, to: 18 } } }), false)
  t.equal(await passes({ conditions: { hours: { from: 22, to: 6 } } }), true, 'over midnight')
  t.equal(await passes({ conditions: { hours: { from: 22, to: 24 } } }), true)
  t.equal(await passes({ conditions: { hours: { from: 20, to: 22 } } }), false)
  t.equal(await passes({ conditions: { weekdays: [3] } }), true)
  t.equal(await passes({ conditions: { weekdays: [1, 7] } }), false)
  t.equal(await passes({ conditions: { sources: ['proxy'] } }), true)
  t.equal(await passes({ conditions: { sources: ['icap'] } }), false)
  t.equal(await passes({ conditions: { actions: ['send_prompt'] } }), false)
  t.equal(await passes({ conditions: { actions: ['upload_file'] } }), true)

  const mail = { content: { text: 'write to maya.lindt@acme-corp.com' } }
  t.equal(await passes({ conditions: { data_types: ['email'] } }, mail), true)
  t.equal(await passes({ conditions: { data_types: ['pii'] } }, mail), true, 'a category')
  t.equal(await passes({ conditions: { data_types: [] } }, mail), false)
  t.equal(await passes({ conditions: { data_types: ['iban'] } }, mail), false)
  t.equal(await passes({ conditions: { data_types: [] } }, { content: { text: 'hello' } }), true)
  t.equal(await passes({ conditions: { data_types: ['pii'] } }), false, 'nothing was seen')
})

t.test('where nothing is refused, exceptions have no part', async (t) => {
  const made = await rig(t)
  made.exceptions.change([exception(1, { policy_id: 'no-uploads' })], [])
  for (const mode of ['warn', 'audit'] as const) {
    made.mode = mode
    t.match((await made.ask('chat.example', 'upload_file')).decision, {
      decision: 'ALLOW',
      would_be: 'DENY',
      exception_id: null,
    })
  }
})

t.test('a hundred thousand of others cost whoever has none nothing', async (t) => {
  const { exceptions, ask } = await rig(t)
  exceptions.replace(
    Array.from({ length: 100_000 }, (_, place) =>
      exception(place, { user_id: `user-${place}`, policy_id: 'no-uploads' }),
    ),
  )
  t.equal(exceptions.size, 100_000)
  t.equal((await ask('chat.example', 'upload_file')).refused, true)
  exceptions.change([exception(100_000, { policy_id: 'no-uploads' })], [])
  t.equal((await ask('chat.example', 'upload_file')).refused, false)
})
