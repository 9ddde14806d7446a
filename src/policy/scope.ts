// Which policies may speak about an input: the scope index.
//
// Each policy has a bit. For every dimension a value maps to the policies that name it, and one set holds
// those that name nothing. A request ORs inside a dimension and ANDs between them, so its cost grows with
// the number of policies by one machine word in 32. A value that few policies name keeps a list of them
// instead of a set. The index is the definition: out of scope is not asked.

import { SCOPE_KEYS, type Scope, type ScopeKey } from '../model/policy.ts'
import { isObject } from './metadata.ts'
import type { Facts } from './remembered.ts'

export interface Scoped {
  readonly scope: Scope
}

/** The policies that name a value: one bit each, or their indexes where those take less room. */
interface Named {
  /** Of the value within its dimension. */
  readonly number: number
  readonly bits: Uint32Array | undefined
  readonly indexes: Uint32Array | undefined
}

interface Dimension {
  readonly key: ScopeKey
  /** Policies that do not name this dimension. */
  readonly open: Uint32Array
  readonly named: ReadonlyMap<string, Named>
}

export class ScopeIndex {
  readonly #words: number
  readonly #dimensions: readonly Dimension[]
  readonly #all: Uint32Array
  /** Used by every question again: it is asked for every request. */
  readonly #found: Uint32Array
  readonly #allowed: Uint32Array

  constructor(policies: readonly Scoped[]) {
    this.#words = Math.ceil(policies.length / 32)
    this.#all = this.#bits(policies.map((_, index) => index))
    this.#found = new Uint32Array(this.#words)
    this.#allowed = new Uint32Array(this.#words)
    this.#dimensions = SCOPE_KEYS.flatMap((key) => this.#dimension(key, policies))
  }

  /**
   * Adds what the scopes see of an input: inputs with equal facts have equal candidates. How many there are
   * grows with what policies name of the input, not with the number of policies.
   */
  addFacts(input: unknown, facts: Facts): void {
    for (const { key, named } of this.#dimensions) {
      for (const value of valuesOf(key, input)) {
        const found = named.get(value)
        if (found !== undefined) facts.add(found.number)
      }
      // No number of a value: here the next dimension begins.
      facts.add(-1)
    }
  }

  /** Indexes of the policies in scope, ascending. */
  candidates(input: unknown): number[] {
    const found = this.#found
    const allowed = this.#allowed
    found.set(this.#all)
    for (const { key, open, named } of this.#dimensions) {
      allowed.set(open)
      for (const value of valuesOf(key, input)) allow(allowed, named.get(value))
      for (let word = 0; word < found.length; word++)
        found[word] = (found[word] ?? 0) & (allowed[word] ?? 0)
    }
    const indexes: number[] = []
    for (let word = 0; word < found.length; word++) {
      for (let rest = found[word] ?? 0; rest !== 0; rest &= rest - 1)
        indexes.push(word * 32 + 31 - Math.clz32(rest & -rest))
    }
    return indexes
  }

  #dimension(key: ScopeKey, policies: readonly Scoped[]): Dimension[] {
    const open: number[] = []
    const named = new Map<string, number[]>()
    for (const [index, { scope }] of policies.entries()) {
      const list = scope[key] ?? []
      if (list.length === 0) open.push(index)
      for (const value of list) {
        const indexes = named.get(value)
        if (indexes === undefined) named.set(value, [index])
        else indexes.push(index)
      }
    }
    if (named.size === 0) return []
    let number = 0
    const members = (indexes: readonly number[]): Named =>
      indexes.length < this.#words
        ? { number: number++, bits: undefined, indexes: Uint32Array.from(indexes) }
        : { number: number++, bits: this.#bits(indexes), indexes: undefined }
    return [
      {
        key,
        open: this.#bits(open),
        named: new Map([...named].map(([value, indexes]) => [value, members(indexes)])),
      },
    ]
  }

  #bits(indexes: readonly number[]): Uint32Array {
    const bits = new Uint32Array(this.#words)
    for (const index of indexes) bits[index >> 5] = (bits[index >> 5] ?? 0) | (1 << (index & 31))
    return bits
  }
}

function allow(allowed: Uint32Array, named: Named | undefined): void {
  if (named === undefined) return
  const { bits, indexes } = named
  if (bits !== undefined) {
    for (let word = 0; word < allowed.length; word++)
      allowed[word] = (allowed[word] ?? 0) | (bits[word] ?? 0)
  }
  if (indexes !== undefined) {
    for (const index of indexes)
      allowed[index >> 5] = (allowed[index >> 5] ?? 0) | (1 << (index & 31))
  }
}

/** The paths of the input that a dimension looks at. */
export const READS: Readonly<Record<ScopeKey, readonly string[]>> = {
  departments: ['user.department.name', 'user.department.path'],
  groups: ['user.groups'],
  users: ['user.id', 'user.name', 'user.email'],
  roles: ['user.roles'],
  services: ['resource.id'],
  categories: ['resource.category'],
  vendors: ['resource.vendor'],
  actions: ['action'],
  sources: ['context.source'],
  labels: ['content.data_classification'],
}

/** What an input offers in a dimension; what has the wrong type is absent. An absent id counts as `unknown`. */
export function valuesOf(key: ScopeKey, input: unknown): readonly string[] {
  const user = part(input, 'user')
  const resource = part(input, 'resource')
  switch (key) {
    case 'departments': {
      const department = part(user, 'department')
      const path = texts(department['path'])
      return typeof department['name'] === 'string' ? [department['name'], ...path] : path
    }
    case 'groups':
      return texts(user['groups'])
    case 'users':
      return [id(user['id']), ...text(user['name']), ...text(user['email'])]
    case 'roles':
      return texts(user['roles'])
    case 'services':
      return [id(resource['id'])]
    case 'categories':
      return text(resource['category'])
    case 'vendors':
      return text(resource['vendor'])
    case 'actions':
      return text(isObject(input) ? input['action'] : undefined)
    case 'sources':
      return text(part(input, 'context')['source'])
    case 'labels':
      return texts(part(input, 'content')['data_classification'])
    default:
      return []
  }
}

function part(value: unknown, key: string): Record<string, unknown> {
  const found = isObject(value) ? value[key] : undefined
  return isObject(found) ? found : {}
}

function id(value: unknown): string {
  return typeof value === 'string' ? value : 'unknown'
}

function text(value: unknown): readonly string[] {
  return typeof value === 'string' ? [value] : []
}

function texts(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return []
  return value.every(isText) ? value : value.filter(isText)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}
