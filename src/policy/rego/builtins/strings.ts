// Strings, versions, numbers and objects that the wasm has no function for.

import { compare, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import { fit, integer, list, listOrSet, object, text, WrongArgument } from './arguments.ts'
import { type Builtin, BuiltinLimit } from './registry.ts'

const MAX_ITEMS = 100_000

export const STRINGS: Readonly<Record<string, Builtin>> = {
  'strings.any_prefix_match': (search, base) =>
    textsOf(search).some((value) => textsOf(base).some((prefix) => value.startsWith(prefix))),
  'strings.any_suffix_match': (search, base) =>
    textsOf(search).some((value) => textsOf(base).some((suffix) => value.endsWith(suffix))),
  'strings.count': (search, part) => {
    const [whole, piece] = [text(search), text(part)]
    return piece === '' ? [...whole].length + 1 : whole.split(piece).length - 1
  },
  'strings.split_n': (value, separator, count) => {
    const limit = Number(integer(count))
    const [whole, mark] = [text(value), text(separator)]
    const parts = mark === '' ? [...whole] : whole.split(mark)
    if (limit === 0) return []
    if (limit < 0 || parts.length <= limit) return parts
    return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(mark)]
  },
  indexof_n: (search, part) => {
    const [whole, piece] = [[...text(search)], [...text(part)]]
    if (piece.length === 0) throw new WrongArgument('empty')
    const found: number[] = []
    for (let at = 0; at + piece.length <= whole.length; at++)
      if (piece.every((character, index) => whole[at + index] === character)) found.push(at)
    return found
  },
  'numbers.range_step': (from, to, step) => {
    const [first, last, by] = [integer(from), integer(to), integer(step)]
    if (by <= 0n) throw new WrongArgument('step')
    const size = (last > first ? last - first : first - last) / by + 1n
    if (size > BigInt(MAX_ITEMS)) throw new BuiltinLimit('numbers.range_step: too many numbers')
    return Array.from({ length: Number(size) }, (_, index) =>
      fit(last >= first ? first + by * BigInt(index) : first - by * BigInt(index)),
    )
  },
  'semver.is_valid': (value) => typeof value === 'string' && parseVersion(value) !== undefined,
  'semver.compare': (a, b) => {
    const [left, right] = [parseVersion(text(a)), parseVersion(text(b))]
    if (left === undefined || right === undefined) throw new WrongArgument('version')
    return compareVersions(left, right)
  },
  'object.subset': (whole, part) => isSubset(whole ?? null, part ?? null),
  'glob.quote_meta': (value) => text(value).replaceAll(/[*?\\[\]{}]/g, String.raw`\$&`),
  'graph.reachable_paths': (graph, start) => reachablePaths(object(graph), listOrSet(start)),
}

function textsOf(value: RegoValue | undefined): readonly string[] {
  return typeof value === 'string' ? [value] : listOrSet(value).map((item) => text(item))
}

interface Version {
  readonly core: readonly bigint[]
  readonly pre: readonly string[]
}

/** Semantic Versioning 2.0.0; `v` in front is no part of it. */
function parseVersion(value: string): Version | undefined {
  const [, major, minor, patch, pre] =
    /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$/.exec(value) ?? []
  if (major === undefined || minor === undefined || patch === undefined) return undefined
  return { core: [major, minor, patch].map(BigInt), pre: pre === undefined ? [] : pre.split('.') }
}

function compareVersions(a: Version, b: Version): number {
  for (const [index, part] of a.core.entries()) {
    const other = b.core[index] ?? 0n
    if (part !== other) return part < other ? -1 : 1
  }
  if (a.pre.length === 0 || b.pre.length === 0) return Math.sign(b.pre.length - a.pre.length)
  for (let index = 0; index < Math.max(a.pre.length, b.pre.length); index++) {
    const [left, right] = [a.pre[index], b.pre[index]]
    if (left === undefined) return -1
    if (right === undefined) return 1
    const [leftNumber, rightNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)]
    if (leftNumber && rightNumber && BigInt(left) !== BigInt(right))
      return BigInt(left) < BigInt(right) ? -1 : 1
    if (leftNumber !== rightNumber) return leftNumber ? -1 : 1
    if (left !== right) return left < right ? -1 : 1
  }
  return 0
}

function isSubset(whole: RegoValue, part: RegoValue): boolean {
  if (whole instanceof RegoObject && part instanceof RegoObject) {
    return part.entries.every(([key, value]) => {
      const found = whole.entries.find(([name]) => compare(name, key) === 0)
      if (found === undefined) return false
      const nested = value instanceof RegoObject || value instanceof RegoSet || Array.isArray(value)
      return nested && found[1] !== null && typeof found[1] === 'object'
        ? isSubset(found[1], value)
        : compare(found[1], value) === 0
    })
  }
  if (whole instanceof RegoSet && part instanceof RegoSet)
    return part.items.every((item) => whole.items.some((other) => compare(other, item) === 0))
  if (Array.isArray(whole) && part instanceof RegoSet)
    return part.items.every((item) => list(whole).some((other) => compare(other, item) === 0))
  if (Array.isArray(whole) && Array.isArray(part)) {
    const [items, wanted] = [list(whole), list(part)]
    for (let at = 0; at + wanted.length <= items.length; at++)
      if (wanted.every((item, index) => compare(items[at + index] ?? null, item) === 0)) return true
    return false
  }
  throw new WrongArgument('object, set or array')
}

function reachablePaths(graph: RegoObject, starts: readonly RegoValue[]): RegoSet {
  const edges = (node: RegoValue): readonly RegoValue[] | undefined => {
    const found = graph.entries.find(([key]) => compare(key, node) === 0)?.[1]
    return found === undefined ? undefined : found === null ? [] : listOrSet(found)
  }
  const paths: RegoValue[][] = []
  const walk = (node: RegoValue, path: RegoValue[]): void => {
    if (paths.length > MAX_ITEMS) throw new BuiltinLimit('graph.reachable_paths: too many paths')
    const next = edges(node)
    if (next === undefined || path.some((seen) => compare(seen, node) === 0)) {
      if (path.length > 0) paths.push(path)
      return
    }
    const longer = [...path, node]
    if (next.length === 0) paths.push(longer)
    for (const other of next) walk(other, longer)
  }
  for (const start of starts) if (edges(start) !== undefined) walk(start, [])
  return new RegoSet(paths)
}
