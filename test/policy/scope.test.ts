import * as fc from 'fast-check'
import t from 'tap'
import type { Scope } from '../../src/model/policy.ts'
import { ScopeIndex } from '../../src/policy/scope.ts'
import { document, scope } from '../support/policy-arbitraries.ts'

/** INTERFACES section 4, "Scope", written down once more and slowly. */
function inScope(wanted: Scope, input: unknown): boolean {
  const at = (...path: string[]): unknown =>
    path.reduce<unknown>(
      (value, key) =>
        typeof value === 'object' && value !== null && !Array.isArray(value)
          ? (value as Record<string, unknown>)[key]
          : undefined,
      input,
    )
  const one = (value: unknown): unknown[] => (typeof value === 'string' ? [value] : [])
  const many = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  const values: Record<keyof Scope, unknown[]> = {
    departments: [
      ...one(at('user', 'department', 'name')),
      ...many(at('user', 'department', 'path')),
    ],
    groups: many(at('user', 'groups')),
    users: [orUnknown(at('user', 'id')), ...one(at('user', 'name')), ...one(at('user', 'email'))],
    roles: many(at('user', 'roles')),
    services: [orUnknown(at('resource', 'id'))],
    categories: one(at('resource', 'category')),
    vendors: one(at('resource', 'vendor')),
    actions: one(at('action')),
    sources: one(at('context', 'source')),
    labels: many(at('content', 'data_classification')),
  }
  return Object.entries(wanted).every(
    ([key, list]) =>
      list.length === 0 || list.some((item) => values[key as keyof Scope].includes(item)),
  )
}

function orUnknown(id: unknown): unknown {
  return typeof id === 'string' ? id : 'unknown'
}

t.test('the index finds what going through all policies finds', async () => {
  fc.assert(
    fc.property(fc.array(scope, { maxLength: 70 }), document, (scopes, input) => {
      const index = new ScopeIndex(scopes.map((each) => ({ scope: each })))
      const slowly = scopes.flatMap((each, at) => (inScope(each, input) ? [at] : []))
      return index.candidates(input).join() === slowly.join()
    }),
    { numRuns: 300 },
  )
})

const MAYA = {
  user: {
    id: 'u-1',
    name: 'Maya',
    email: 'maya@acme.example',
    department: { name: 'Hamburg', path: ['Acme', 'DE', 'Hamburg'] },
  },
  action: 'send_prompt',
  resource: { category: 'llm_chat' },
}

const CASES: readonly (readonly [what: string, scope: Scope, input: unknown, holds: boolean])[] = [
  ['an empty scope means all', {}, {}, true],
  ['an empty list means all', { groups: [] }, {}, true],
  ['a list does not hold where the field is absent', { groups: ['sales'] }, MAYA, false],
  ['an absent user id counts as unknown', { users: ['unknown'] }, {}, true],
  ['an absent service id counts as unknown', { services: ['unknown'] }, MAYA, true],
  ['users may be named by id', { users: ['u-1'] }, MAYA, true],
  ['users may be named by name', { users: ['Maya'] }, MAYA, true],
  ['users may be named by email', { users: ['maya@acme.example'] }, MAYA, true],
  ['comparison is exact', { users: ['maya'] }, MAYA, false],
  ['a department holds for those below it', { departments: ['DE'] }, MAYA, true],
  ['lists are AND between', { departments: ['DE'], actions: ['paste'] }, MAYA, false],
  ['lists are OR inside', { actions: ['paste', 'send_prompt'] }, MAYA, true],
  [
    'labels are any of the data classification',
    { labels: ['phi'] },
    { content: { data_classification: ['pii', 'phi'] } },
    true,
  ],
  ['a document that is no object is in no named scope', { actions: ['paste'] }, 'text', false],
]

for (const [what, wanted, input, holds] of CASES) {
  t.test(what, async (t) => {
    t.equal(new ScopeIndex([{ scope: wanted }]).candidates(input).length === 1, holds)
  })
}
