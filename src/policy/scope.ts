// Which policies may speak about an input: the scope index.
//
// Each policy has a bit. For every dimension a value maps to the policies that name it, and one set holds
// those that name nothing. A request ORs inside a dimension and ANDs between them, so its cost grows with
// the number of policies by one machine word in 32. The index is the definition: out of scope is not asked.

import { SCOPE_KEYS, type Scope, type ScopeKey } from '../model/policy.ts'
import { isObject } from './metadata.ts'

export interface Scoped {
  readonly scope: Scope
}

interface Dimension {
  readonly key: ScopeKey
  /** Policies that do not name this dimension. */
  readonly open: Uint32Array
  readonly named: ReadonlyMap<string, Uint32Array>
}

export class ScopeIndex {
  readonly #words: number
  readonly #dimensions: readonly Dimension[]
  readonly #all: Uint32Array

  constructor(policies: readonly Scoped[]) {
    this.#words = Math.ceil(policies.length / 32)
    this.#all = this.#bits(policies.map((_, index) => index))
    this.#dimensions = SCOPE_KEYS.flatMap((key) => {
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
      return [
        {
          key,
          open: this.#bits(open),
          named: new Map([...named].map(([value, indexes]) => [value, this.#bits(indexes)])),
        },
      ]
    })
  }

  /** The paths of the input that scopes look at. */
  reads(): readonly string[] {
    return this.#dimensions.flatMap(({ key }) => READS[key])
  }

  /** Indexes of the policies in scope, ascending. */
  candidates(input: unknown): number[] {
    let found = this.#all
    for (const { key, open, named } of this.#dimensions) {
      const allowed = Uint32Array.from(open)
      for (const value of valuesOf(key, input)) {
        const bits = named.get(value)
        if (bits !== undefined)
          for (let word = 0; word < this.#words; word++)
            allowed[word] = (allowed[word] ?? 0) | (bits[word] ?? 0)
      }
      for (let word = 0; word < this.#words; word++)
        allowed[word] = (allowed[word] ?? 0) & (found[word] ?? 0)
      found = allowed
    }
    const indexes: number[] = []
    for (let word = 0; word < this.#words; word++) {
      for (let rest = found[word] ?? 0; rest !== 0; rest &= rest - 1)
        indexes.push(word * 32 + 31 - Math.clz32(rest & -rest))
    }
    return indexes
  }

  #bits(indexes: readonly number[]): Uint32Array {
    const bits = new Uint32Array(this.#words)
    for (const index of indexes) bits[index >> 5] = (bits[index >> 5] ?? 0) | (1 << (index & 31))
    return bits
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
      return [...text(department['name']), ...texts(department['path'])]
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
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
