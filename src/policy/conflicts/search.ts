// Requests that are tried where reasoning finds none: what both policies read, filled with the words that stand in them.
//
// The draws follow from the ids of the policies alone, so that the same folder gives the same conflicts every time.

import { createHash } from 'node:crypto'
import { type Scalar, type Test } from './condition.ts'
import { fieldOf, findingWith, removeAt, setAt, withTypesOfFindings } from './fields.ts'
import type { PolicySource } from './sources.ts'

const MAX_PATHS = 24
const FINDING_TYPES: readonly (readonly [type: string, category: string])[] = [
  ['email', 'pii'],
  ['api_key', 'secret'],
  ['credit_card', 'financial'],
]

/** Documents that differ from `start` in what the policies read. */
export function* tries(
  start: Readonly<Record<string, unknown>>,
  sources: readonly PolicySource[],
  count: number,
): Generator<Record<string, unknown>> {
  const draw = drawer(sources.map(({ policy }) => policy.id).join('\0'))
  const constants = [...new Set(sources.flatMap((source) => source.constants))]
  const tested = new Map<string, Scalar[]>()
  for (const { answers, obliges } of sources)
    for (const { atoms } of [...answers.values(), obliges].flat())
      for (const { path, test } of atoms) {
        const plain = path.replace(/\.#\w+.*$/, '')
        tested.set(plain, [...(tested.get(plain) ?? []), ...valuesOf(test)])
      }
  const paths = [
    ...new Set([
      ...sources.flatMap(({ policy }) => policy.reads.flatMap(fieldsBelow)),
      ...tested.keys(),
    ]),
  ].slice(0, MAX_PATHS)
  if (paths.length === 0) return
  for (let turn = 0; turn < count; turn++) {
    const document = structuredClone(start) as Record<string, unknown>
    for (const path of paths) {
      // Some are left as they are, so that what fits already is not lost each time.
      if (draw(3) === 0) continue
      const values = [...(tested.get(path) ?? []), ...constants]
      const value = valueFor(path, values, draw)
      if (value === undefined) removeAt(document, path)
      else setAt(document, path, value)
    }
    withTypesOfFindings(document)
    yield document
  }
}

/** A section as a whole stands for its fields that matter most. */
function fieldsBelow(path: string): readonly string[] {
  switch (path) {
    case 'user':
      return ['user.groups', 'user.roles', 'user.risk_score', 'user.department.name']
    case 'resource':
      return ['resource.id', 'resource.approval_status', 'resource.risk_tier', 'resource.model']
    case 'content':
      return ['content.findings', 'content.data_classification', 'content.bytes']
    case 'context':
      return ['context.source', 'context.time.hour', 'context.location_type']
    case '':
      return ['action', 'user.groups', 'resource.id', 'content.findings', 'context.source']
    default:
      return [path]
  }
}

function valuesOf(test: Test): readonly Scalar[] {
  if (test.is === 'one_of' || test.is === 'any_member') return test.values
  if (test.is === 'like') return [test.pattern.map((part) => part ?? 'x').join('')]
  return 'value' in test ? [test.value] : []
}

type Draw = (below: number) => number

/** Undefined: absent. */
function valueFor(path: string, values: readonly Scalar[], draw: Draw): unknown {
  const words = values.filter((value) => typeof value === 'string')
  const numbers = values.filter((value) => typeof value === 'number')
  const word = (): string => words[draw(words.length)] ?? 'x'
  const number = (): number => (numbers[draw(numbers.length)] ?? 50) + draw(3) - 1
  if (draw(6) === 0) return undefined
  const field = fieldOf(path)
  switch (field?.kind) {
    case 'flag':
      return draw(2) === 0
    case 'whole':
      return Math.min(
        field.most ?? Infinity,
        Math.max(field.least ?? -Infinity, Math.round(number())),
      )
    case 'texts':
      return Array.from({ length: draw(3) }, word)
    case 'findings':
      return Array.from({ length: 1 + draw(2) }, () => findingFor(words, number, draw))
    case 'text':
      return word()
    case undefined:
      return [word(), number(), draw(2) === 0, [word()]][draw(4)]
  }
}

function findingFor(words: readonly string[], number: () => number, draw: Draw): unknown {
  const [type, category] = FINDING_TYPES[draw(FINDING_TYPES.length)] ?? ['email', 'pii']
  const own = words[draw(words.length)]
  const another = words[draw(words.length)]
  return findingWith({
    type: own !== undefined && draw(2) === 0 ? own : type,
    category: another !== undefined && draw(2) === 0 ? another : category,
    count: Math.max(1, Math.round(number())),
  })
}

/** Numbers below a bound, always the same ones for the same word (xorshift32). */
function drawer(seed: string): Draw {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0) | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return below <= 0 ? 0 : (state >>> 0) % below
  }
}
