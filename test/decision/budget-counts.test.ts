// Which counts of budgets are told: of whom, in which order, a page at a time.

import { createHash } from 'node:crypto'
import t from 'tap'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import { budgetCounts, type CountQuery } from '../../src/decision/budget-counts.ts'
import { Budgets } from '../../src/decision/budgets.ts'
import { countKey, countName } from '../../src/decision/count-name.ts'
import type { Budget } from '../../src/model/budget.ts'
import type { InputDocument } from '../../src/model/input.ts'

const NOW = Date.UTC(2026, 10, 28, 12)
const MAYA = 'a'.repeat(64)
const BEN = 'b'.repeat(64)

function aBudget(id: string, more: Partial<Budget>): Budget {
  return {
    id,
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

const SETTINGS = [
  aBudget('all', {}),
  aBudget('department', { per: ['department'] }),
  aBudget('person', { per: ['user', 'model'] }),
  aBudget('sales', { match: { departments: ['Sales'] } }),
  aBudget('unused', { per: ['user'], match: { services: ['other'] } }),
]

/** The counts of a company in which maya asked twice and ben once. */
async function company(): Promise<{
  readonly counter: MemoryBudgets
  readonly counts: (query?: Partial<CountQuery>, settings?: readonly Budget[]) => Promise<string[]>
}> {
  const counter = new MemoryBudgets(() => NOW)
  const budgets = new Budgets({
    counter,
    settings: () => ({ budgets: SETTINGS, onError: 'allow' }),
    metrics: { budgetErrors: { inc: () => t.fail('it can be counted') } },
  })
  const ask = async (key: string, department: string, model: string): Promise<void> => {
    const input: InputDocument = {
      user: { known: true, department: { name: department, path: [department] } },
      action: 'send_prompt',
      resource: { type: 'ai_service', id: 'chatgpt', known: true, ai: true, model },
      context: { source: 'proxy' },
    }
    const cost = { tokens: 1, answerTokens: 0, bytes: 1 }
    await budgets.take(input, { person: () => key, cost, enforced: true })
  }
  await ask(MAYA, 'Research', 'gpt-5')
  await ask(MAYA, 'Research', 'o9')
  await ask(BEN, 'Sales', 'gpt-5')
  return {
    counter,
    counts: async (query = {}, settings = SETTINGS) => {
      const { counts } = await budgetCounts(counter, settings, { limit: 100, ...query })
      return counts.map(({ budget, subject, used }) => {
        const whose = subject === undefined ? '-' : Object.values(subject).join(' ')
        return `${budget.id}: ${whose.replaceAll(MAYA, 'maya').replaceAll(BEN, 'ben')} ${used}`
      })
    },
  }
}

function somebody(name: string, department: string): NonNullable<CountQuery['person']>['user'] {
  return { name, known: true, department: { name: department, path: [department] } }
}

t.test('every budget, and whom it is counted for', async (t) => {
  const { counts } = await company()
  t.same((await counts()).toSorted(), [
    'all:  3',
    'department: Research 2',
    'department: Sales 1',
    'person: ben gpt-5 1',
    'person: maya gpt-5 1',
    'person: maya o9 1',
    'sales:  1',
    'unused: - 0',
  ])
})

t.test(
  'what concerns somebody, their department and all, and what they have not used',
  async (t) => {
    const { counts } = await company()
    const person = { key: MAYA, user: somebody('maya', 'Research') }
    t.same((await counts({ person })).toSorted(), [
      'all:  3',
      'department: Research 2',
      'person: maya gpt-5 1',
      'person: maya o9 1',
      'unused: maya 0',
    ])
    t.same(await counts({ person, budget: 'unused', model: 'x' }), ['unused: maya 0'])
    t.same(
      (await counts({ person: { key: MAYA.slice(0, 15), user: undefined } })).toSorted(),
      [
        'all:  3',
        'department: Research 2',
        'department: Sales 1',
        'person: maya gpt-5 1',
        'person: maya o9 1',
        'unused: - 0',
      ],
      'behind a pseudonym nobody knows the department',
    )
  },
)

t.test('of a department, a service, a model', async (t) => {
  const { counts } = await company()
  t.same(await counts({ department: 'sales', budget: 'department' }), ['department: Sales 1'])
  t.same(await counts({ model: 'o9', budget: 'person' }), ['person: maya o9 1'])
  t.same(await counts({ service: 'chatgpt', budget: 'unused' }), [], 'it is of another service')
})

t.test('page by page, each count once', async (t) => {
  const { counter, counts } = await company()
  const all = await counts()
  const seen: string[] = []
  let after: string | undefined
  for (;;) {
    const query = { limit: 3, ...(after === undefined ? {} : { after }) }
    const page = await budgetCounts(counter, SETTINGS, query)
    t.ok(page.counts.length <= 3)
    t.equal(page.isComplete, true)
    seen.push(...(await counts(query)))
    if (page.next === null) break
    after = page.next
  }
  t.same(seen, all)
})

t.test('many are told in the same order, each once, and nobody waits for that', async (t) => {
  const counter = new MemoryBudgets(() => NOW)
  const budget = aBudget('models', { per: ['model'] })
  for (let number = 0; number < 5000; number++) {
    const values = [`model-${number}`]
    const { limit, window, kind } = budget
    const name = countName(budget, values)
    counter.take([
      { key: countKey(budget, values), name, limit, cost: 1, window, kind, holds: true },
    ])
  }
  const told: (string | undefined)[] = []
  let after: string | null = null
  let turns = 0
  const timer = setInterval(() => (turns += 1), 1)
  do {
    const page = await budgetCounts(counter, [budget], {
      limit: 1000,
      ...(after === null ? {} : { after }),
    })
    told.push(...page.counts.map(({ subject }) => subject?.model))
    after = page.next
  } while (after !== null)
  clearInterval(timer)
  t.equal(told.length, 5000)
  t.equal(new Set(told).size, 5000)
  t.ok(turns > 0, 'something else had a turn')
})

t.test('what was counted before a budget was changed is not counted for it', async (t) => {
  const { counts } = await company()
  const changed = SETTINGS.map((budget) => ({ ...budget, window: 120_000 }))
  t.same((await counts({}, changed)).toSorted(), [
    'all:  0',
    'department: - 0',
    'person: - 0',
    'sales:  0',
    'unused: - 0',
  ])
  const higher = SETTINGS.map((budget) => ({ ...budget, limit: 1000 }))
  t.same(await counts({}, higher), await counts(), 'another limit goes on with what is there')
})

t.test('gateways of all releases count in one place; names are bounded', async (t) => {
  const budget = aBudget('b', { per: ['user', 'model'] })
  const parts = ['b', 'requests', 60_000, 'fixed', 'p', 'm'.repeat(5000)]
  const values = ['p', 'm'.repeat(5000)]
  t.equal(
    countKey(budget, values),
    createHash('sha256').update(JSON.stringify(parts)).digest('base64url'),
  )
  t.ok(countName(budget, values).length < 300)
  t.equal(countName(aBudget('all', {}), []), '')
})
