// What does json.patch answer? RFC 6902 over Rego values; a set's member is its own key.

import { compare, isArray, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import { arrayAt, boundedCount, fail, type Operands, valueAt } from './operands.ts'

type Path = readonly RegoValue[]
type Change = (child: RegoValue | undefined) => RegoValue | undefined

export function patch(operands: Operands): RegoValue {
  const operations = arrayAt(operands, 1)
  boundedCount(operations.length)
  let document: RegoValue = valueAt(operands, 0)
  for (const operation of operations) {
    if (!(operation instanceof RegoObject)) return fail('an operation must be an object')
    document = apply(document, operation)
  }
  return document
}

function apply(document: RegoValue, operation: RegoObject): RegoValue {
  const path = pathOf(operation.get('path'))
  const value = (): RegoValue => operation.get('value') ?? given(operation, 'value')
  switch (operation.get('op')) {
    case 'add':
      return insert(document, path, value())
    case 'remove':
      return remove(document, path)
    case 'replace':
      return insert(remove(document, path), path, value())
    case 'move': {
      const from = pathOf(operation.get('from'))
      const moved = read(document, from)
      return insert(remove(document, from), path, moved)
    }
    case 'copy':
      return insert(document, path, read(document, pathOf(operation.get('from'))))
    case 'test':
      return compare(read(document, path), value()) === 0 ? document : fail('a test failed')
    default:
      return fail('an unknown operation')
  }
}

function given(operation: RegoObject, name: string): RegoValue {
  return operation.entries.some(([key]) => key === name) ? null : fail(`${name} is missing`)
}

function pathOf(path: RegoValue | undefined): Path {
  if (path === undefined || path === null) return fail('a path is missing')
  if (isArray(path)) return path
  if (typeof path !== 'string') return fail('a path is a string or a list')
  if (path === '') return []
  return path
    .replace(/^\/+/, '')
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function read(document: RegoValue, path: Path): RegoValue {
  let at: RegoValue = document
  for (const key of path) {
    const child = childOf(at, key)
    if (child === undefined) return fail('there is nothing at the path')
    at = child
  }
  return at
}

function insert(document: RegoValue, path: Path, value: RegoValue): RegoValue {
  return change(document, path, true, () => value)
}

function remove(document: RegoValue, path: Path): RegoValue {
  if (path.length === 0) return null
  return change(document, path, false, () => undefined)
}

/** The document with the value at a path exchanged; arrays make room where `inserting`. */
function change(document: RegoValue, path: Path, inserting: boolean, make: Change): RegoValue {
  const [key, ...rest] = path
  if (key === undefined) return make(document) ?? null
  const child = childOf(document, key)
  const last = rest.length === 0
  if (!last && child === undefined) return fail('there is nothing at the path')
  if (last && !inserting && child === undefined) return fail('there is nothing at the path')
  const next = last ? make(child) : change(child ?? null, rest, inserting, make)
  return withChild(document, key, next, last && inserting)
}

function childOf(value: RegoValue, key: RegoValue): RegoValue | undefined {
  if (value instanceof RegoObject)
    return value.entries.find(([name]) => compare(name, key) === 0)?.[1]
  if (value instanceof RegoSet) return value.items.find((item) => compare(item, key) === 0)
  if (value !== null && isArray(value)) {
    const index = indexOf(key, value.length)
    return index === undefined ? undefined : value[index]
  }
  return undefined
}

function withChild(
  value: RegoValue,
  key: RegoValue,
  child: RegoValue | undefined,
  inserting: boolean,
): RegoValue {
  if (value instanceof RegoObject) {
    const others = value.entries.filter(([name]) => compare(name, key) !== 0)
    return new RegoObject(child === undefined ? others : [...others, [key, child]])
  }
  if (value instanceof RegoSet) {
    if (inserting && child !== undefined && compare(key, child) !== 0)
      return fail('a member of a set is its own key')
    const others = value.items.filter((item) => compare(item, key) !== 0)
    return new RegoSet(child === undefined ? others : [...others, child])
  }
  if (value === null || !isArray(value)) return fail('there is nothing at the path')
  const index = indexOf(key, value.length)
  if (index === undefined || index > value.length) return fail('an index out of range')
  const items = [...value]
  if (inserting && child !== undefined) items.splice(index, 0, child)
  else if (child === undefined) items.splice(index, 1)
  else items[index] = child
  return items
}

/** A number, its digits, or `-` for behind the last. */
function indexOf(key: RegoValue, length: number): number | undefined {
  if (key === '-') return length
  if (typeof key === 'number') return Number.isInteger(key) && key >= 0 ? key : undefined
  return typeof key === 'string' && /^(?:0|[1-9]\d{0,8})$/.test(key) ? Number(key) : undefined
}
