// What do json.filter, json.remove and object.union_n answer? A list of paths is a tree whose leaves are null.

import { compare, isArray, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import {
  arrayAt,
  type BuiltinTable,
  fail,
  membersOf,
  objectAt,
  type Operands,
  valueAt,
} from './operands.ts'

export const PATH_BUILTINS: BuiltinTable = {
  'json.filter': (operands) => filtered(objectAt(operands, 0), treeOf(operands)),
  'json.remove': (operands) => removed(objectAt(operands, 0), treeOf(operands)),
  'object.union_n': (operands) =>
    arrayAt(operands, 0)
      .map((item) => (item instanceof RegoObject ? item : fail('an object is expected')))
      .reduce(united, new RegoObject([])),
}

/** null: a path ends here. */
type Tree = Map<string, Branch> | null
interface Branch {
  readonly key: RegoValue
  tree: Tree
}

function treeOf(operands: Operands): Tree {
  const root = new Map<string, Branch>()
  for (const path of membersOf(valueAt(operands, 1))) grow(root, segmentsOf(path))
  return root
}

function grow(root: Map<string, Branch>, segments: readonly RegoValue[]): void {
  let node = root
  for (const [index, key] of segments.entries()) {
    const name = nameOf(key)
    if (index === segments.length - 1) {
      node.set(name, { key, tree: null })
      return
    }
    const known = node.get(name)
    // A shorter path holds all that is below it.
    if (known?.tree === null) return
    const tree = known?.tree ?? new Map<string, Branch>()
    if (known === undefined) node.set(name, { key, tree })
    node = tree
  }
}

function segmentsOf(path: RegoValue): readonly RegoValue[] {
  if (path === '') return []
  if (typeof path === 'string')
    return path
      .replace(/^\/+/, '')
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return path !== null && isArray(path) ? path : fail('a path is a text or a list')
}

/** Texts and other values in one map; numbers are compared by value. */
function nameOf(key: RegoValue): string {
  return typeof key === 'string' ? `s${key}` : `v${JSON.stringify(key, bigAsText)}`
}

function bigAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

function below(tree: Map<string, Branch>, key: RegoValue): Tree | undefined {
  return tree.get(nameOf(key))?.tree
}

function filtered(value: RegoValue, tree: Tree): RegoValue {
  if (tree === null) return value
  const kept = (item: RegoValue, key: RegoValue): readonly RegoValue[] => {
    const branch = below(tree, key)
    return branch === undefined ? [] : [filtered(item, branch)]
  }
  if (value instanceof RegoObject)
    return new RegoObject(
      value.entries.flatMap(([key, item]) =>
        kept(item, key).map((found): [RegoValue, RegoValue] => [key, found]),
      ),
    )
  if (value instanceof RegoSet) return new RegoSet(value.items.flatMap((item) => kept(item, item)))
  return value !== null && isArray(value)
    ? value.flatMap((item, index) => kept(item, String(index)))
    : value
}

function removed(value: RegoValue, tree: Tree): RegoValue {
  if (tree === null) return value
  const rest = (item: RegoValue, key: RegoValue): readonly RegoValue[] => {
    const branch = below(tree, key)
    if (branch === null) return []
    return [branch === undefined ? item : removed(item, branch)]
  }
  if (value instanceof RegoObject)
    return new RegoObject(
      value.entries.flatMap(([key, item]) =>
        rest(item, key).map((left): [RegoValue, RegoValue] => [key, left]),
      ),
    )
  if (value instanceof RegoSet) return new RegoSet(value.items.flatMap((item) => rest(item, item)))
  return value !== null && isArray(value)
    ? value.flatMap((item, index) => rest(item, String(index)))
    : value
}

function united(a: RegoObject, b: RegoObject): RegoObject {
  const entries: [RegoValue, RegoValue][] = []
  for (const [key, item] of a.entries) {
    const other = b.entries.find(([name]) => compare(name, key) === 0)?.[1]
    if (other === undefined) entries.push([key, item])
    else
      entries.push([
        key,
        item instanceof RegoObject && other instanceof RegoObject ? united(item, other) : other,
      ])
  }
  const added = b.entries.filter(([key]) => !a.entries.some(([name]) => compare(name, key) === 0))
  return new RegoObject([...entries, ...added])
}
