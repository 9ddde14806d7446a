// Which scopes meet, and for whom: sets of bits for all policies at once, conditions for a pair.
//
// A request has one service, category, vendor, action and source: two scopes that name others never meet. A person is in
// many groups, departments (the whole path) and roles and is called by id, name and e-mail, and content has many labels:
// there any two names may meet, so that only "both name it, or one names nothing" is sure.

import { type Scope, SCOPE_KEYS, type ScopeKey } from '../../model/policy.ts'
import { valuesOf } from '../scope.ts'
import { add, type Bits, intersect, subtract } from './bits.ts'
import { anyMember, both, type Condition, either, oneOf, test } from './condition.ts'

const SINGLE: ReadonlySet<ScopeKey> = new Set([
  'services',
  'categories',
  'vendors',
  'actions',
  'sources',
])
const UNKNOWN = 'unknown'

/** When a request is in scope. */
export function scopeCondition(scope: Scope): Condition {
  return both(...SCOPE_KEYS.map((key) => dimension(key, scope[key] ?? [])))
}

function dimension(key: ScopeKey, names: readonly string[]): Condition {
  if (names.length === 0) return both()
  switch (key) {
    case 'departments':
      return either(
        anyMember('user.department.path', ...names),
        oneOf('user.department.name', ...names),
      )
    case 'groups':
      return anyMember('user.groups', ...names)
    case 'users':
      return either(
        oneOf('user.id', ...names),
        oneOf('user.name', ...names),
        oneOf('user.email', ...names),
        ...orNone('user.id', names),
      )
    case 'roles':
      return anyMember('user.roles', ...names)
    case 'services':
      return either(oneOf('resource.id', ...names), ...orNone('resource.id', names))
    case 'categories':
      return oneOf('resource.category', ...names)
    case 'vendors':
      return oneOf('resource.vendor', ...names)
    case 'actions':
      return oneOf('action', ...names)
    case 'sources':
      return oneOf('context.source', ...names)
    case 'labels':
      return anyMember('content.data_classification', ...names)
  }
}

/** An id that is absent counts as `unknown`. */
function orNone(path: string, names: readonly string[]): readonly Condition[] {
  return names.includes(UNKNOWN) ? [test(path, { is: 'present' }, false)] : []
}

/** Whether a request is in scope. */
export function isInScope(scope: Scope, document: unknown): boolean {
  return SCOPE_KEYS.every((key) => {
    const names = scope[key] ?? []
    return names.length === 0 || valuesOf(key, document).some((value) => names.includes(value))
  })
}

/** For each policy, which others its scope meets. */
export class ScopeMeetings {
  readonly #scopes: readonly Scope[]
  readonly #words: number
  readonly #dimensions: readonly {
    readonly key: ScopeKey
    readonly open: Bits
    /** Those that name something. */
    readonly named: ReadonlyMap<string, readonly number[]>
  }[]

  constructor(scopes: readonly Scope[]) {
    this.#scopes = scopes
    this.#words = Math.ceil(scopes.length / 32)
    this.#dimensions = SCOPE_KEYS.map((key) => {
      const open = this.none()
      const named = new Map<string, number[]>()
      for (const [index, scope] of scopes.entries()) {
        const names = scope[key] ?? []
        if (names.length === 0) add(open, index)
        for (const name of names) {
          const known = named.get(name)
          if (known === undefined) named.set(name, [index])
          else known.push(index)
        }
      }
      return { key, open, named }
    })
  }

  none(): Bits {
    return new Uint32Array(this.#words)
  }

  /** `sure`: they share what they name. `maybe`: somebody may be in two groups, called by two names, and so on. */
  of(index: number): { readonly sure: Bits; readonly maybe: Bits } {
    const sure = this.none().fill(0xff_ff_ff_ff)
    const maybe = this.none().fill(0xff_ff_ff_ff)
    const allowed = this.none()
    for (const { key, open, named } of this.#dimensions) {
      const names = this.#scopes[index]?.[key] ?? []
      if (names.length === 0 || named.size === 0) continue
      allowed.set(open)
      for (const name of names) for (const other of named.get(name) ?? []) add(allowed, other)
      intersect(sure, allowed)
      if (SINGLE.has(key)) intersect(maybe, allowed)
    }
    subtract(maybe, sure)
    this.#trim(sure)
    this.#trim(maybe)
    return { sure, maybe }
  }

  /** Those whose scope may lie around a part of this one: they name something only where it does, and something of that. */
  mayCover(index: number): Bits {
    const found = this.none().fill(0xff_ff_ff_ff)
    const allowed = this.none()
    for (const { key, open, named } of this.#dimensions) {
      if (named.size === 0) continue
      allowed.set(open)
      for (const name of this.#scopes[index]?.[key] ?? [])
        for (const other of named.get(name) ?? []) add(allowed, other)
      intersect(found, allowed)
    }
    this.#trim(found)
    return found
  }

  /** Bits beyond the last policy are none. */
  #trim(bits: Bits): void {
    const rest = this.#scopes.length % 32
    if (rest !== 0 && this.#words > 0)
      bits[this.#words - 1] = (bits[this.#words - 1] ?? 0) & (2 ** rest - 1)
  }
}
