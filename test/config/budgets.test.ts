// What the settings of budgets and of the risk score may be, and how a wrong one is told.

import t, { type Test } from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

function load(t: Test, yaml: string, env: Record<string, string> = {}): Config {
  return loadConfig({ env, cwd: t.testdir({ 'cordon.yaml': yaml }) }).config
}

function wrong(t: Test, yaml: string, env: Record<string, string> = {}): string {
  try {
    load(t, yaml, env)
  } catch (error) {
    if (error instanceof CordonError) return error.problems.map(formatProblem).join('\n')
  }
  return 'nothing'
}

const WHOLE = { id: 'b', limit: 5, unit: 'requests', window: '1m' }

function budget(more: Record<string, unknown>): string {
  return `budgets: [${JSON.stringify({ ...WHOLE, ...more })}]`
}

t.test('a budget, with what is left out', async (t) => {
  t.same(load(t, budget({})).budgets, [
    {
      id: 'b',
      per: [],
      match: {},
      limit: 5,
      unit: 'requests',
      window: 60_000,
      kind: 'fixed',
      answer: 'deny',
      cut: false,
    },
  ])
  t.match(load(t, budget({ unit: 'bytes', limit: '2KiB', cut: true, per: 'user' })).budgets, [
    { limit: 2048, cut: true, per: ['user'] },
  ])
  t.match(load(t, '', { CORDON_BUDGETS: `[${JSON.stringify(WHOLE)}]` }).budgets, [{ id: 'b' }])
  t.same(load(t, 'budgets: []').budgets, [])
})

const WRONG: readonly (readonly [Record<string, unknown>, RegExp])[] = [
  [{ id: 'No Name' }, /where id is a name of small letters/],
  [{ limit: 0 }, /budget "b": limit must be a whole number of at least 1/],
  [{ limit: 1.5 }, /limit must be/],
  [{ limit: '10MiB' }, /limit must be a whole number/],
  [{ unit: 'bytes', limit: '10 megs' }, /limit must be a size with a unit/],
  [{ unit: 'words' }, /unit must be one of requests, tokens, bytes/],
  [{ unit: undefined }, /unit must be one of/],
  [{ window: '1h30m' }, /window must be a duration from 1s to 366d/],
  [{ window: '100ms' }, /window must be/],
  [{ window: 60 }, /window must be/],
  [{ per: ['users'] }, /per must be a list of user, department, service, model/],
  [{ match: { department: ['x'] } }, /match has no "department" \(did you mean "departments"\?\)/],
  [{ match: { models: ['a*b'] } }, /has a \* that is not its end/],
  [{ match: [] }, /match must be a map of lists/],
  // oxlint-disable-next-line no-thenable -- as the setting is called
  [{ then: 'block' }, /then must be one of deny, review, none/],
  [{ kind: 'rolling' }, /kind must be one of fixed, sliding/],
  [{ cut: true }, /cut has no effect on requests/],
  [{ cut: 'yes', unit: 'tokens' }, /cut must be true or false/],
  [{ limits: 5 }, /there is no "limits" \(did you mean "limit"\?\)/],
  [{ reason: '' }, /reason must be a text/],
]

for (const [more, message] of WRONG)
  t.test(`refused: ${JSON.stringify(more)}`, async (t) => {
    const said = wrong(t, budget(more))
    t.match(said, message)
    t.match(said, /cordon\.yaml:1:\d+: budgets must be/)
  })

t.test('wrong together', async (t) => {
  t.match(
    wrong(t, `budgets: [${JSON.stringify(WHOLE)}, ${JSON.stringify(WHOLE)}]`),
    /two of them have the id "b"/,
  )
  t.match(wrong(t, 'budgets_on_error: deny'), /has no effect without budgets/)
  t.match(wrong(t, 'risk: {levels: {medium: 60}}'), /risk\.levels\.high: must be greater/)
  t.match(wrong(t, 'risk: {history: {half_life: 1m}}'), /half_life: must be from 1h to 1y/)
})

t.test('weights, hours and days', async (t) => {
  t.match(
    load(t, 'risk: {weights: {user: 0.25, time: 1}, working_hours: 22-6, working_days: [sun, mon]}')
      .risk,
    {
      weights: { user: 0.25, time: 1, service: 0.5 },
      working_hours: { from: 22, to: 6 },
      working_days: ['mon', 'sun'],
    },
  )
  t.match(
    load(t, '', { CORDON_RISK__WEIGHTS__DATA: '0.9', CORDON_RISK__WORKING_DAYS: 'mon,tue' }).risk,
    { weights: { data: 0.9 }, working_days: ['mon', 'tue'] },
  )
  t.match(
    wrong(t, 'risk: {weights: {user: 1.5}}'),
    /risk\.weights\.user must be a number from 0 to 1/,
  )
  t.match(wrong(t, 'risk: {weights: {user: -0.1}}'), /from 0 to 1/)
  t.match(
    wrong(t, 'risk: {weights: {usr: 0.1}}'),
    /unknown setting risk\.weights\.usr \(did you mean "user"\?\)/,
  )
  t.match(wrong(t, 'risk: {working_hours: 9-25}'), /hours of the day/)
  t.match(wrong(t, 'risk: {working_hours: 9-9}'), /hours of the day/)
  t.match(wrong(t, 'risk: {working_days: [monday]}'), /a list of days/)
})
