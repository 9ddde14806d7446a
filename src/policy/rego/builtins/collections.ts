// What do the built-ins over collections answer: ranges, subsets, paths of graphs, casts?

import { compare, isArray, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import {
  boundedCount,
  type Builtin,
  type BuiltinTable,
  fail,
  membersOf,
  numberAt,
  objectAt,
  type Operands,
  toNumber,
  valueAt,
} from './operands.ts'

const MAX_PATH = 1000

export const COLLECTION_BUILTINS: BuiltinTable = {
  'numbers.range_step': rangeStep,
  'object.subset': (operands) => subset(valueAt(operands, 0), valueAt(operands, 1)),
  'graph.reachable_paths': reachablePaths,
  cast_array: ([value = null]) => [...membersOf(value)],
  cast_set: ([value = null]) => new RegoSet(membersOf(value)),
  cast_string: cast((value) => typeof value === 'string'),
  cast_boolean: cast((value) => typeof value === 'boolean'),
  cast_null: cast((value) => value === null),
  cast_object: cast((value) => value instanceof RegoObject),
}

function cast(is: (value: RegoValue) => boolean): Builtin {
  return ([value = null]) => (is(value) ? value : undefined)
}

function rangeStep(operands: Operands): RegoValue {
  const [from, to, step] = [0, 1, 2].map((index) => {
    const number = numberAt(operands, index)
    return typeof number === 'bigint' || Number.isInteger(number)
      ? BigInt(number)
      : fail('an integer is expected')
  }) as [bigint, bigint, bigint]
  if (step <= 0n) fail('the step must be positive')
  const distance = to > from ? to - from : from - to
  boundedCount(distance / step + 1n)
  return Array.from({ length: Number(distance / step) + 1 }, (_, index) =>
    toNumber(from + BigInt(index) * step * (to < from ? -1n : 1n)),
  )
}

function subset(whole: RegoValue, part: RegoValue): boolean {
  if (whole instanceof RegoObject && part instanceof RegoObject) return objectSubset(whole, part)
  if (whole instanceof RegoSet && part instanceof RegoSet) return setSubset(whole, part)
  if (isList(whole) && isList(part)) return arraySubset(whole, part)
  if (isList(whole) && part instanceof RegoSet) return arrayHolds(whole, part)
  return fail('operands of different types')
}

function isList(value: RegoValue): value is readonly RegoValue[] {
  return value !== null && isArray(value)
}

function objectSubset(whole: RegoObject, part: RegoObject): boolean {
  return part.entries.every(([key, wanted]) => {
    const held = whole.entries.find(([other]) => compare(other, key) === 0)?.[1]
    if (held === undefined) return false
    if (compare(held, wanted) === 0) return true
    if (held instanceof RegoObject && wanted instanceof RegoObject)
      return objectSubset(held, wanted)
    if (held instanceof RegoSet && wanted instanceof RegoSet) return setSubset(held, wanted)
    return isList(held) && isList(wanted) && arraySubset(held, wanted)
  })
}

function setSubset(whole: RegoSet, part: RegoSet): boolean {
  return part.items.every((item) => whole.items.some((other) => compare(other, item) === 0))
}

/** OPA's own search: after a mismatch it goes on behind the start of the run. */
function arraySubset(whole: readonly RegoValue[], part: readonly RegoValue[]): boolean {
  if (part.length === 0) return true
  for (let start = 0; start + part.length <= whole.length; start++) {
    if (part.every((item, index) => compare(whole[start + index] ?? null, item) === 0)) return true
  }
  return false
}

/** OPA counts members of the array, repeated ones too, until as many as the set has are found. */
function arrayHolds(whole: readonly RegoValue[], part: RegoSet): boolean {
  let missing = part.items.length
  for (const item of whole) {
    if (part.items.some((other) => compare(other, item) === 0)) missing -= 1
    if (missing === 0) return true
  }
  return false
}

function reachablePaths(operands: Operands): RegoValue {
  const graph = objectAt(operands, 0)
  const paths: RegoValue[] = []
  const edgesOf = (node: RegoValue): readonly RegoValue[] | undefined => {
    const edges = graph.entries.find(([key]) => compare(key, node) === 0)?.[1]
    if (edges === undefined) return undefined
    return edges instanceof RegoSet ? edges.items : isList(edges) ? edges : []
  }
  const walk = (
    node: RegoValue,
    path: readonly RegoValue[],
    reached: readonly RegoValue[],
  ): void => {
    boundedCount(paths.length)
    if (path.length > MAX_PATH) fail('a path is too long')
    const edges = edgesOf(node)
    if (edges === undefined) {
      paths.push(path)
      return
    }
    const longer = [...path, node]
    if (edges.length === 0) paths.push(longer)
    const seen = [...reached, node]
    for (const next of edges) {
      if (seen.some((other) => compare(other, next) === 0)) paths.push(longer)
      else walk(next, longer, seen)
    }
  }
  for (const node of membersOf(valueAt(operands, 1))) {
    const edges = edgesOf(node)
    if (edges === undefined) continue
    if (edges.length === 0) paths.push([node])
    for (const next of edges) walk(next, [node], [node])
  }
  return new RegoSet(paths)
}
