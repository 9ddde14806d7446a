// Budgets of a request: which concern it, what is taken, given back and settled, and when a running answer ends.

import t from 'tap'
import type { BudgetCounter } from '../../src/context/budget-counter.ts'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import {
  type Budgeted,
  Budgets,
  type Cost,
  costOf,
  limited,
  spentOf,
} from '../../src/decision/budgets.ts'
import { BudgetedAnswer } from '../../src/decision/running-answer.ts'
import type { Budget } from '../../src/model/budget.ts'
import type { Decision, Verdict } from '../../src/model/decision.ts'
import type { InputDocument } from '../../src/model/input.ts'
import { aService } from '../support/services.ts'

const NOW = Date.UTC(2026, 10, 28, 12)

function aBudget(more: Partial<Budget> = {}): Budget {
  return {
    id: 'b',
    per: [],
    match: {},
    limit: 10,
    unit: 'requests',
    window: 60_000,
    kind: 'fixed',
    answer: 'deny',
    cut: false,
    ...more,
  }
}

interface Rig {
  readonly budgets: Budgets
  errors: number
  /** What policies would see of a budget now. */
  readonly used: (id?: string, input?: InputDocument) => Promise<number | undefined>
  readonly take: (cost?: Partial<Cost>, input?: InputDocument, person?: string) => Promise<Budgeted>
}

function rig(
  settings: readonly Budget[],
  counter: BudgetCounter = new MemoryBudgets(() => NOW),
  onError: 'allow' | 'deny' = 'allow',
): Rig {
  const budgets = new Budgets({
    counter,
    settings: () => ({ budgets: settings, onError }),
    metrics: { budgetErrors: { inc: () => (made.errors += 1) } },
  })
  const made: Rig = {
    budgets,
    errors: 0,
    take: async (cost = {}, input = anInput(), person = 'p1') => {
      const asking = {
        person: () => person,
        cost: { tokens: 0, answerTokens: 0, bytes: 0, ...cost },
        enforced: true,
      }
      const budgeted = await budgets.take(input, asking)
      if (budgeted === undefined) throw new Error('no budget concerns it')
      return budgeted
    },
    used: async (id = 'b', input = anInput()) => {
      const asking = { person: () => 'p1', cost: undefined, enforced: true }
      return (await budgets.take(input, asking))?.input?.[id]?.used
    },
  }
  return made
}

interface Parts {
  readonly user?: Partial<InputDocument['user']>
  readonly action?: string
  readonly resource?: Partial<InputDocument['resource']>
}

function anInput({ user, action = 'send_prompt', resource }: Parts = {}): InputDocument {
  return {
    user: {
      id: 'u-1',
      name: 'maya',
      email: 'maya@acme.example',
      known: true,
      groups: ['ml'],
      roles: ['analyst'],
      department: { name: 'Lab', path: ['Acme', 'Research', 'Lab'] },
      ...user,
    },
    action,
    resource: {
      type: 'ai_service',
      id: 'chatgpt',
      vendor: 'OpenAI',
      category: 'llm_chat',
      known: true,
      ai: true,
      model: 'gpt-5-mini',
      ...resource,
    },
    context: { source: 'proxy' },
  }
}

/** After what nobody waits for. */
async function settled(): Promise<void> {
  for (let n = 0; n < 50; n++) await Promise.resolve()
}

t.test('what a budget concerns', async (t) => {
  const matches: readonly (readonly [Budget['match'], boolean])[] = [
    [{}, true],
    [{ users: ['u-1'] }, true],
    [{ users: ['maya'] }, true],
    [{ users: ['maya@acme.example'] }, true],
    [{ users: ['Maya'] }, false],
    [{ groups: ['other', 'ml'] }, true],
    [{ roles: ['admin'] }, false],
    [{ departments: ['Research'] }, true],
    [{ departments: ['Sales'] }, false],
    [{ services: ['chatgpt'], vendors: ['OpenAI'], categories: ['llm_chat'] }, true],
    [{ services: ['chatgpt'], vendors: ['Other'] }, false],
    [{ models: ['gpt-5*'] }, true],
    [{ models: ['gpt-5'] }, false],
    [{ models: ['*'] }, true],
    [{ actions: ['send_prompt'], sources: ['proxy'] }, true],
    [{ sources: ['cli'] }, false],
  ]
  for (const [match, concerns] of matches) {
    const { budgets } = rig([aBudget({ match })])
    const asking = { person: () => 'p', cost: undefined, enforced: true }
    t.equal(budgets.take(anInput(), asking) !== undefined, concerns, JSON.stringify(match))
  }
  const of = (budget: Budget, parts: Parts): boolean => {
    const asking = { person: () => 'p', cost: undefined, enforced: true }
    return rig([budget]).budgets.take(anInput(parts), asking) !== undefined
  }
  t.notOk(of(aBudget(), { resource: { ai: false, known: false } }), 'other sites')
  t.notOk(of(aBudget({ unit: 'tokens' }), { action: 'upload_file' }), 'no prompt')
  t.notOk(of(aBudget(), { action: 'receive_response' }), 'the answer of what was counted')
  t.ok(of(aBudget({ match: { actions: ['receive_response'] } }), { action: 'receive_response' }))
})

t.test('each value of what it is per has a count of its own', async (t) => {
  const { take } = rig([aBudget({ per: ['user', 'model'], limit: 1 })])
  t.equal((await take()).beyond, undefined)
  t.match((await take()).beyond, { effect: 'DENY' })
  t.equal((await take({}, anInput(), 'p2')).beyond, undefined)
  t.equal((await take({}, anInput({ resource: { model: 'o9' } }))).beyond, undefined)
})

t.test('policies see what there was before', async (t) => {
  const { take } = rig([aBudget({ limit: 2 }), aBudget({ id: 'seen', answer: 'none', limit: 1 })])
  const end = NOW + 60_000
  const entry = { unit: 'requests', resets_at_epoch_ms: end }
  t.same((await take()).input, {
    b: { limit: 2, used: 0, remaining: 2, ...entry },
    seen: { limit: 1, used: 0, remaining: 1, ...entry },
  })
  await take()
  const third = await take()
  t.same(third.input, {
    b: { limit: 2, used: 2, remaining: 0, ...entry },
    seen: { limit: 1, used: 2, remaining: 0, ...entry },
  })
  t.match(third.beyond, {
    policyId: 'budget:b',
    effect: 'DENY',
    reason: 'the budget "b" of 2 requests in 1m is used up; more at 2026-11-28T12:01:00.000Z',
    waitMs: 60_000,
  })
})

t.test('what does not pass is given back, and what passes after all is counted', async (t) => {
  const { take, used } = rig([aBudget({ limit: 2 })])
  const { charge } = await take()
  charge?.refund()
  await settled()
  t.equal(await used(), 0)
  charge?.pass()
  await settled()
  t.equal(await used(), 1, 'a reviewer has allowed it')
  charge?.pass()
  await settled()
  t.equal(await used(), 1, 'once')
  await take()
  const over = await take()
  t.ok(over.beyond)
  over.charge?.refund()
  await settled()
  t.equal(await used(), 2)
  over.charge?.pass()
  await settled()
  t.equal(await used(), 3, 'beyond the limit')
})

t.test('tokens are reserved, and settled by what was used', async (t) => {
  const { take, used } = rig([aBudget({ unit: 'tokens', limit: 1000 })])
  const cost = { tokens: 100, answerTokens: 400 }
  const { charge } = await take(cost)
  t.equal(await used(), 500)
  t.match(
    (await take({ tokens: 100, answerTokens: 500 })).beyond?.reason,
    'has less left than the 600 asked for',
  )
  charge?.settle({ tokens: 130, bytes: 0 })
  await settled()
  t.equal(await used(), 130)
  charge?.settle({ tokens: 1200, bytes: 0 })
  await settled()
  t.equal(await used(), 1200, 'beyond the limit, for it was used')
  const whole = await take({ tokens: 5000 })
  t.match(whole.beyond, {
    waitMs: undefined,
    reason: /^this asks for 5000 tokens, more than the/,
  })
})

t.test('what a request costs, and has cost', async (t) => {
  const request = {
    request_id: 'r',
    principal: {},
    action: 'send_prompt',
    destination: { host: 'h', port: 443, scheme: 'https' },
    context: { source: 'proxy' },
  } as const
  const message = { parsed: true, truncated: false, bytes: 900, tools: [], attachments: [] }
  t.same(costOf(request), { tokens: 0, answerTokens: 0, bytes: 0 })
  t.same(
    costOf({
      ...request,
      content: { text: 'x'.repeat(401), message: { ...message, max_tokens: 50 } },
    }),
    {
      tokens: 101,
      answerTokens: 50,
      bytes: 900,
    },
  )
  const cost = { tokens: 100, answerTokens: 50, bytes: 900 }
  const ended = { status: 200, bytes_in: 900, bytes_out: 5000 }
  t.same(spentOf(cost, { ...ended, input_tokens: 90, output_tokens: 20 }, 25), {
    tokens: 110,
    bytes: 5900,
  })
  t.same(spentOf(cost, { ...ended, input_tokens: 90 }, 25), { tokens: 115, bytes: 5900 })
  t.same(spentOf(cost, ended, undefined), { tokens: 100, bytes: 5900 })
  t.same(spentOf(cost, { ...ended, status: 502 }, undefined), { tokens: 0, bytes: 5900 })
})

t.test(
  'a budget that asks gives way to one that denies, and neither to a policy that denies',
  async (t) => {
    const review = aBudget({ id: 'asks', answer: 'review', limit: 1 })
    const { take } = rig([review, aBudget({ limit: 2 })])
    await take()
    const asks = (await take()).beyond
    t.match(asks, { effect: 'REVIEW', policyId: 'budget:asks' })
    const verdict: Verdict = {
      decision: 'ALLOW',
      reason: 'fine',
      primary_policy_id: 'p',
      policies_evaluated: [],
      obligations: [{ type: 'coach', parameters: {} }],
      would_be: 'DENY',
      severity: 'high',
      warnings: [],
      read_content: false,
      errors: 0,
    }
    t.match(limited(verdict, asks), {
      decision: 'REVIEW',
      primary_policy_id: 'budget:asks',
      obligations: [{ type: 'coach' }],
      would_be: 'DENY',
      severity: 'low',
    })
    const denies = { ...(asks ?? ({} as never)), effect: 'DENY', policyId: 'budget:b' } as const
    t.match(limited(verdict, denies), { decision: 'DENY', obligations: [], would_be: null })
    const refused = { ...verdict, decision: 'DENY' } as const
    t.equal(limited(refused, denies), refused)
    t.equal(limited(verdict, undefined), verdict)
  },
)

t.test('while nobody can count', async (t) => {
  const away: BudgetCounter = {
    take: () => Promise.reject(new Error('away')),
    adjust: () => Promise.reject(new Error('away')),
  }
  const open = rig([aBudget()], away)
  t.match(await open.take(), { input: undefined, beyond: undefined, charge: undefined })
  t.equal(open.errors, 1)
  const shut = rig([aBudget({ answer: 'none', id: 'seen' }), aBudget()], away, 'deny')
  t.match((await shut.take()).beyond, {
    effect: 'DENY',
    policyId: 'budget:b',
    reason: 'the budget "b" cannot be counted at the moment',
  })
  const only = rig([aBudget({ answer: 'none' })], away, 'deny')
  t.equal((await only.take()).beyond, undefined)
})

t.test('bodies are read where a budget needs them', async (t) => {
  const service = aService({ id: 'chatgpt', vendor: 'OpenAI' })
  const reads = (budget: Budget): boolean => rig([budget]).budgets.readBody(service)
  t.notOk(reads(aBudget()))
  t.ok(reads(aBudget({ unit: 'tokens' })))
  t.ok(reads(aBudget({ per: ['model'] })))
  t.ok(reads(aBudget({ match: { models: ['x'] } })))
  t.notOk(reads(aBudget({ unit: 'tokens', match: { services: ['other'] } })))
  t.notOk(rig([aBudget({ unit: 'tokens' })]).budgets.readBody(undefined))
})

t.test('a running answer takes more, and ends when nothing is left', async (t) => {
  const { take, used } = rig([aBudget({ unit: 'tokens', limit: 1000, cut: true })])
  const { charge } = await take({ tokens: 100 })
  if (charge === undefined) throw new Error('nothing was taken')
  const ending = { decision_id: 'the end' } as unknown as Decision
  const denied: string[] = []
  const ends: Decision[] = []
  const answer = new BudgetedAnswer({
    charge,
    asked: { tokens: 100, bytes: 0 },
    cuts: ({ cut }) => cut,
    deny: ({ id }) => {
      denied.push(id)
      return Promise.resolve(ending)
    },
    onError: () => t.fail('it can be counted'),
  })
  answer.whenOver((end) => ends.push(end))
  const passed = async (tokens: number, asked?: number): Promise<number | undefined> => {
    answer.passed({ tokens, bytes: 10, ...(asked === undefined ? {} : { asked }) })
    await settled()
    return used()
  }
  t.equal(await passed(1), 100 + 1 + 256, 'in advance')
  t.equal(await passed(250), 357, 'which was enough')
  t.equal(await passed(250, 120), 370 + 256, 'the service counts the question otherwise')
  t.equal(await passed(870), 970, 'near the end no more than is needed')
  t.same(ends, [])
  await passed(901)
  t.same(ends, [ending])
  await passed(902)
  t.same(denied, ['b'])
  t.same(ends, [ending], 'once')
  charge.settle({ tokens: 1003, bytes: 0 })
  await settled()
  t.equal(await used(), 1003)
})

t.test(
  'what passes while it is asked is asked for next, and an answer that is over is not ended',
  async (t) => {
    const { take } = rig([aBudget({ unit: 'tokens', limit: 1000, cut: true })])
    const { charge } = await take({ tokens: 100 })
    if (charge === undefined) throw new Error('nothing was taken')
    const ends: Decision[] = []
    const answerTo = (): BudgetedAnswer => {
      const answer = new BudgetedAnswer({
        charge,
        asked: { tokens: 100, bytes: 0 },
        cuts: () => true,
        deny: () => Promise.resolve({} as Decision),
        onError: () => t.fail('it can be counted'),
      })
      answer.whenOver((end) => ends.push(end))
      return answer
    }
    const first = answerTo()
    first.passed({ tokens: 10, bytes: 0 })
    first.passed({ tokens: 2000, bytes: 0 })
    first.ended()
    await settled()
    t.equal(ends.length, 0)
    const second = answerTo()
    second.passed({ tokens: 300, bytes: 0 })
    second.passed({ tokens: 2000, bytes: 0 })
    await settled()
    t.equal(ends.length, 1, 'though nothing passes any more')
  },
)

t.test('only budgets that cut do, and the others are counted in steps', async (t) => {
  const { take, used } = rig([aBudget({ unit: 'tokens', limit: 10 })])
  const { charge } = await take({ tokens: 10 })
  const none = (): boolean => false
  const all = (): boolean => true
  t.notOk(charge?.isShort({ tokens: 11, bytes: 0 }, none))
  t.ok(charge?.isShort({ tokens: 11, bytes: 0 }, all))
  t.match(await charge?.extend({ tokens: 11, bytes: 0 }, all), { id: 'b' })
  t.ok(charge?.isShort({ tokens: 266, bytes: 0 }, none))
  t.equal(await charge?.extend({ tokens: 266, bytes: 0 }, none), undefined)
  t.equal(await used(), 266, 'beyond the limit')
})

t.test('a running answer is charged to the window in which it runs', async (t) => {
  let now = NOW
  const { take, used } = rig(
    [aBudget({ unit: 'tokens', limit: 10_000 })],
    new MemoryBudgets(() => now),
  )
  const { charge } = await take({ tokens: 100 })
  let spent = 100
  for (let n = 0; n < 100; n++) {
    now += 60_000
    spent += 300
    await charge?.extend({ tokens: spent, bytes: 0 }, () => false)
    t.equal(await used(), 300)
  }
  charge?.settle({ tokens: spent - 100, bytes: 0 })
  await settled()
  t.equal(await used(), 200, 'what is given back is of the last one')
})

t.test(
  'a conversation takes nothing before it says something, and does not begin where nothing is left',
  async (t) => {
    const { budgets, take } = rig([aBudget({ unit: 'tokens', limit: 100 })])
    const opening = {
      person: () => 'p1',
      cost: { tokens: 0, answerTokens: 0, bytes: 0 },
      enforced: true,
      isConversation: true,
    }
    const input = anInput({ action: 'access_ai_service' })
    const opens = async (): Promise<Budgeted | undefined> => budgets.take(input, opening)
    t.equal(await budgets.take(input, { ...opening, isConversation: false }), undefined)
    await take({ tokens: 99 })
    const begun = await opens()
    t.match(begun, { beyond: undefined, input: { b: { limit: 100, used: 99 } } })
    begun?.charge?.pass()
    await settled()
    t.match(await opens(), { beyond: undefined, input: { b: { used: 99 } } })
    t.equal(await begun?.charge?.extend({ tokens: 1, bytes: 0 }, () => true), undefined)
    t.match((await opens())?.beyond, { reason: /is used up/ })
  },
)

t.test('a conversation that ends before a step is full is counted', async (t) => {
  for (const unit of ['tokens', 'bytes'] as const) {
    const { budgets } = rig([aBudget({ unit, limit: 1000 })])
    const asking = {
      person: () => 'p1',
      cost: { tokens: 0, answerTokens: 0, bytes: 0 },
      enforced: true,
      isConversation: true,
    }
    const input = anInput({ action: 'access_ai_service' })
    const begun = await budgets.take(input, asking)
    begun?.charge?.pass()
    begun?.charge?.settle({ tokens: 7, bytes: 7 })
    await settled()
    t.match(await budgets.take(input, asking), { input: { b: { used: 7 } } })
    begun?.charge?.settle({ tokens: 5, bytes: 5 })
    await settled()
    t.match(await budgets.take(input, asking), { input: { b: { used: 5 } } })
  }
})
