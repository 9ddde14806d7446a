// Documents: JSON validity and patches (RFC 6902), YAML, URIs.

import { parse as parseYaml, stringify as stringifyYaml } from 'yaml'
import { parseExact } from '../../../base/exact-json.ts'
import {
  compare,
  fromJson,
  isArray,
  RegoObject,
  type RegoValue,
  RegoSet,
  toJson,
} from '../value.ts'
import { list, object, text, WrongArgument } from './arguments.ts'
import type { Builtin } from './registry.ts'

export const DOCUMENTS: Readonly<Record<string, Builtin>> = {
  'json.is_valid': (value) => {
    if (typeof value !== 'string') return false
    try {
      parseExact(value)
      return true
    } catch {
      return false
    }
  },
  'json.patch': (target, patches) => {
    let document: RegoValue = target ?? null
    for (const patch of list(patches)) document = applyPatch(document, object(patch))
    return document
  },
  'yaml.is_valid': (value) => {
    if (typeof value !== 'string') return false
    try {
      readYaml(value)
      return true
    } catch {
      return false
    }
  },
  'yaml.unmarshal': (value) => fromJson(readYaml(text(value))),
  'yaml.marshal': (value) =>
    stringifyYaml(toJson(value ?? null), { sortMapEntries: true, lineWidth: 0, indentSeq: false }),
  'uri.is_valid': (value) => typeof value === 'string' && URL.canParse(value),
}

function readYaml(value: string): unknown {
  return parseYaml(value, {
    version: '1.1',
    maxAliasCount: 100,
    uniqueKeys: true,
    intAsBigInt: false,
  })
}

function applyPatch(document: RegoValue, patch: RegoObject): RegoValue {
  const operation = text(patch.get('op'))
  const path = pointer(patch.get('path'))
  const value = patch.get('value')
  switch (operation) {
    case 'add':
      return change(document, path, 'add', value ?? missing())
    case 'replace':
      lookUp(document, path)
      return change(document, path, 'replace', value ?? missing())
    case 'remove':
      return change(document, path, 'remove', null)
    case 'copy':
      return change(document, path, 'add', lookUp(document, pointer(patch.get('from'))))
    case 'move': {
      const from = pointer(patch.get('from'))
      const moved = lookUp(document, from)
      return change(change(document, from, 'remove', null), path, 'add', moved)
    }
    case 'test':
      if (compare(lookUp(document, path), value ?? missing()) !== 0) throw new WrongArgument('test')
      return document
    default:
      throw new WrongArgument('op')
  }
}

function missing(): never {
  throw new WrongArgument('value')
}

/** A JSON pointer as text (with or without the first slash), or an array of keys. */
function pointer(value: RegoValue | undefined): readonly RegoValue[] {
  if (typeof value === 'string') {
    if (value === '' || value === '/') return value === '' ? [] : ['']
    return value
      .replace(/^\//, '')
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  }
  return list(value)
}

function lookUp(document: RegoValue, path: readonly RegoValue[]): RegoValue {
  let found = document
  for (const key of path) {
    const next = isArray(found)
      ? found[indexOf(key, found.length - 1)]
      : found instanceof RegoObject
        ? entryOf(found, key)
        : found instanceof RegoSet
          ? found.items.find((item) => compare(item, key) === 0)
          : undefined
    if (next === undefined) throw new WrongArgument('path')
    found = next
  }
  return found
}

function change(
  document: RegoValue,
  path: readonly RegoValue[],
  how: 'add' | 'replace' | 'remove',
  value: RegoValue,
): RegoValue {
  const [key, ...rest] = path
  if (key === undefined) return how === 'remove' ? missing() : value
  if (isArray(document)) {
    const last = rest.length === 0 && how === 'add'
    const index =
      key === '-' && last ? document.length : indexOf(key, document.length - (last ? 0 : 1))
    if (rest.length > 0)
      return document.with(index, change(document[index] ?? missing(), rest, how, value))
    return how === 'add'
      ? document.toSpliced(index, 0, value)
      : how === 'remove'
        ? document.toSpliced(index, 1)
        : document.with(index, value)
  }
  if (document instanceof RegoSet) {
    const items = document.items.filter((item) => compare(item, key) !== 0)
    if (rest.length > 0) return new RegoSet([...items, change(key, rest, how, value)])
    return new RegoSet(how === 'remove' ? items : [...items, value])
  }
  const target = object(document)
  const others = target.entries.filter(([name]) => compare(name, key) !== 0)
  const known = entryOf(target, key)
  if (rest.length > 0)
    return new RegoObject([...others, [key, change(known ?? missing(), rest, how, value)]])
  if (how === 'remove') return known === undefined ? missing() : new RegoObject(others)
  return new RegoObject([...others, [key, value]])
}

function entryOf(target: RegoObject, key: RegoValue): RegoValue | undefined {
  return target.entries.find(([name]) => compare(name, key) === 0)?.[1]
}

function indexOf(key: RegoValue, most: number): number {
  const index = typeof key === 'string' && /^(?:0|[1-9]\d{0,9})$/.test(key) ? Number(key) : key
  if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index > most)
    throw new WrongArgument('index')
  return index
}
