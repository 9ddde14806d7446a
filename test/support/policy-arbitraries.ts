// Random policies, outcomes and input documents out of small vocabularies, so that they meet.

import * as fc from 'fast-check'
import { EFFECTS, MODES, type Obligation } from '../../src/model/decision.ts'
import { type PolicyMetadata, SCOPE_KEYS, type Scope } from '../../src/model/policy.ts'
import type { Evaluated } from '../../src/policy/combine.ts'

const NAMES = ['a', 'b', 'c', 'unknown', 'é', '𝒳']
const name = fc.constantFrom(...NAMES)
const names = fc.array(name, { maxLength: 3 })

/** Few keys, so that many scopes hold. */
export const scope: fc.Arbitrary<Scope> = fc
  .array(fc.tuple(fc.constantFrom(...SCOPE_KEYS), names), { maxLength: 2 })
  .map((entries) => Object.fromEntries(entries) as Scope)

export function policies(max: number): fc.Arbitrary<PolicyMetadata[]> {
  const policy = fc.record({
    id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }),
    name: name,
    language: fc.constant('cedar' as const),
    file: fc.constant('x.cedar'),
    priority: fc.constantFrom(0, 100, 900, 1000),
    severity: fc.constantFrom('low' as const, 'high' as const),
    mode: fc.constantFrom(...MODES),
    scope: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, scope),
    reads: fc.constant([]),
  })
  return fc.uniqueArray(policy, { selector: ({ id }) => id, maxLength: max })
}

const obligation: fc.Arbitrary<Obligation> = fc.record({
  type: fc.constantFrom('redact', 'coach'),
  parameters: fc.constantFrom({}, { a: 1, b: [2] }, { b: [2], a: 1 }, { a: 2 }),
})

export function evaluated(max: number): fc.Arbitrary<Evaluated[]> {
  const outcome = fc.record({
    effect: fc.option(fc.constantFrom(...EFFECTS)),
    reasons: names,
    obligations: fc.array(obligation, { maxLength: 2 }),
    error: fc.option(fc.constant('broken'), { freq: 5 }),
  })
  return policies(max).chain((list) =>
    fc.array(outcome, { minLength: list.length, maxLength: list.length }).map((outcomes) =>
      list.flatMap((policy, index) => {
        const said = outcomes[index]
        return said === undefined ? [] : [{ policy, outcome: said }]
      }),
    ),
  )
}

const odd = fc.constantFrom<unknown>(null, 5, true, {}, [1, 'a'])
const text = fc.oneof({ weight: 9, arbitrary: name }, odd)
const list = fc.oneof({ weight: 9, arbitrary: names }, odd)

const PATHS = [
  ...['id', 'name', 'groups', 'roles', 'department'].map((key) => ['user', key] as const),
  ...['id', 'vendor', 'ai', 'approval_status'].map((key) => ['resource', key] as const),
  ['content', 'data_classification'],
  ['context', 'source'],
] as const

/** A policy input in which anything may be absent or oddly typed. */
export const document: fc.Arbitrary<unknown> = fc.record(
  {
    user: part({
      id: text,
      name: text,
      email: text,
      groups: list,
      roles: list,
      department: part({ name: text, path: list }),
    }),
    action: fc.oneof(text, fc.constant('paste')),
    resource: part({
      id: text,
      category: text,
      vendor: text,
      ai: fc.boolean(),
      approval_status: fc.constantFrom('approved', 'review_required', 'prohibited', 'unknown'),
    }),
    content: part({ data_classification: list }),
    context: part({ source: text }),
  },
  { requiredKeys: [] },
)

/** Two documents that differ in one field at most. */
export const neighbours: fc.Arbitrary<readonly [unknown, unknown]> = fc
  .tuple(document, document, fc.constantFrom(...PATHS))
  .map(([one, other, [section, key]]) => {
    const from = (other as Record<string, unknown>)[section]
    const own = (one as Record<string, unknown>)[section]
    if (!isRecord(from) || !isRecord(own)) return [one, { ...(one as object), [section]: from }]
    const changed = { ...own }
    delete changed[key]
    if (Object.hasOwn(from, key)) changed[key] = from[key]
    return [one, { ...(one as object), [section]: changed }]
  })

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function part(shape: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 9, arbitrary: fc.record(shape, { requiredKeys: [] }) }, odd)
}
