// When does a Rego policy answer, and what? From its syntax tree as OPA gives it (`rego.parse_module`), as far as simple
// tests of single fields tell it: comparisons with constants, membership, items of a list, helper rules of the package.

import type { Effect } from '../../model/decision.ts'
import { isObject } from '../metadata.ts'
import {
  ALWAYS,
  anyMember,
  atMost,
  both,
  type Condition,
  either,
  negated,
  NEVER,
  oneOf,
  OPAQUE,
  type Scalar,
  test,
} from './condition.ts'
import { fieldOf } from './fields.ts'

type Node = Readonly<Record<string, unknown>>

export interface RegoConditions {
  /** Where it gives this answer, at most. */
  readonly answers: ReadonlyMap<Effect, Condition>
  /** Where it may oblige without an answer. */
  readonly obliges: Condition
  /** Texts and numbers that stand in it. */
  readonly constants: readonly Scalar[]
}

const MAX_DEPTH = 8
const MAX_CONSTANTS = 64
/** Longer texts are reasons. */
const MAX_CONSTANT_CHARS = 64
const EFFECT_RULES: readonly (readonly [string, Effect])[] = [
  ['deny', 'DENY'],
  ['review', 'REVIEW'],
  ['allow', 'ALLOW'],
]

/** `modules`: the trees of the files of its package; `data`: the base documents of its folder. */
export function regoConditions(
  modules: readonly unknown[],
  data: Readonly<Record<string, unknown>>,
): RegoConditions {
  return new Package(modules, data).conditions()
}

/** What a term is, as far as can be told. */
type Meaning =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'unknown' }

const UNKNOWN: Meaning = { kind: 'unknown' }

type Scope = Map<string, Meaning>

class Package {
  readonly #rules = new Map<string, Node[]>()
  readonly #package: readonly string[]
  readonly #data: Readonly<Record<string, unknown>>
  readonly #imports: Scope = new Map()
  readonly #constants = new Set<Scalar>()
  #items = 0

  constructor(modules: readonly unknown[], data: Readonly<Record<string, unknown>>) {
    this.#data = data
    const trees = modules.filter(isObject)
    const path = isObject(trees[0]?.['package']) ? trees[0]['package']['path'] : []
    this.#package = stringsOf(path).slice(1)
    for (const each of trees.flatMap((tree) => listOf(tree['imports']))) this.#import(each)
    for (const rule of trees.flatMap((tree) => listOf(tree['rules']))) {
      if (!isObject(rule) || !isObject(rule['head'])) continue
      const [name] = stringsOf(rule['head']['ref'])
      if (name === undefined) continue
      const known = this.#rules.get(name)
      if (known === undefined) this.#rules.set(name, [rule])
      else known.push(rule)
    }
    for (const tree of trees) this.#collect(tree['rules'], 0)
  }

  conditions(): RegoConditions {
    const answers = new Map<Effect, Condition>()
    let before: Condition = NEVER
    if (this.#rules.has('decision')) {
      for (const [effect, condition] of this.#decided()) answers.set(effect, condition)
      before = OPAQUE
    }
    for (const [name, effect] of EFFECT_RULES) {
      if (!this.#rules.has(name)) continue
      const own = this.#holds(name, 0)
      const known = answers.get(effect) ?? NEVER
      answers.set(effect, either(known, both(own, negated(before))))
      before = either(before, own)
    }
    return {
      answers,
      obliges: this.#rules.has('obligations') ? atMost(this.#holds('obligations', 0)) : NEVER,
      constants: [...this.#constants],
    }
  }

  /** Of `decision`, by the effect that it names. */
  #decided(): ReadonlyMap<Effect, Condition> {
    const found = new Map<Effect, Condition>()
    for (const rule of this.#rules.get('decision') ?? []) {
      const head = isObject(rule['head']) ? rule['head'] : {}
      const named = this.#effectIn(head['value'])
      const condition = rule['else'] === undefined ? this.#body(rule['body'], new Map(), 0) : OPAQUE
      for (const effect of named === undefined ? (['DENY', 'REVIEW', 'ALLOW'] as const) : [named])
        found.set(
          effect,
          either(found.get(effect) ?? NEVER, named === undefined ? atMost(condition) : condition),
        )
    }
    return found
  }

  /** `"DENY"`, or what `{"decision": "DENY", ...}` names. */
  #effectIn(term: unknown): Effect | undefined {
    const pairs = isObject(term) && term['type'] === 'object' ? listOf(term['value']) : undefined
    const named =
      pairs === undefined
        ? term
        : pairs.map(listOf).find(([key]) => isObject(key) && key['value'] === 'decision')?.[1]
    const value = isObject(named) ? named['value'] : undefined
    return (['DENY', 'REVIEW', 'ALLOW'] as const).find((effect) => effect === value)
  }

  /** Where a rule is true, or has a member. */
  #holds(name: string, depth: number): Condition {
    const rules = this.#rules.get(name)
    if (rules === undefined || depth > MAX_DEPTH) return OPAQUE
    return either(...rules.map((rule) => this.#rule(rule, depth)))
  }

  #rule(rule: Node, depth: number): Condition {
    const head = isObject(rule['head']) ? rule['head'] : {}
    if (rule['else'] !== undefined || head['args'] !== undefined) return OPAQUE
    if (listOf(head['ref']).length > 1 && head['key'] === undefined) return OPAQUE
    const given = this.#meaning(head['value'], new Map())
    if (head['key'] === undefined && given.kind === 'constant' && isNothing(given.value))
      return NEVER
    // It holds only where no other definition has a value.
    if (rule['default'] === true) return OPAQUE
    const scope: Scope = new Map()
    const condition = this.#body(rule['body'], scope, depth)
    const told = this.#meaning(head['key'] ?? head['value'], scope)
    // What the head makes may be undefined, and nothing then.
    return told.kind === 'constant' || (head['key'] === undefined && head['value'] === undefined)
      ? condition
      : atMost(condition)
  }

  #body(body: unknown, scope: Scope, depth: number): Condition {
    return both(...listOf(body).map((expression) => this.#expression(expression, scope, depth)))
  }

  #expression(node: unknown, scope: Scope, depth: number): Condition {
    if (!isObject(node) || node['with'] !== undefined) return OPAQUE
    const { terms } = node
    const condition = Array.isArray(terms)
      ? this.#call(terms as unknown[], scope)
      : this.#term(terms, scope, depth)
    return node['negated'] === true ? negated(condition) : condition
  }

  #term(term: unknown, scope: Scope, depth: number): Condition {
    if (!isObject(term)) return OPAQUE
    if (Array.isArray(term['symbols'])) return this.#some(term['symbols'] as unknown[], scope)
    if (term['domain'] !== undefined) return OPAQUE
    const name = scope.has(String(term['value'])) ? undefined : this.#ruleNamed(term)
    // A set is true even where it is empty, and another value where it is defined.
    if (name !== undefined)
      return isPlain(this.#rules.get(name)) ? this.#holds(name, depth + 1) : OPAQUE
    if (term['type'] === 'call') return this.#call(listOf(term['value']), scope)
    const meaning = this.#meaning(term, scope)
    if (meaning.kind === 'constant') return meaning.value === false ? NEVER : ALWAYS
    return meaning.kind === 'path' ? test(meaning.path, { is: 'truthy' }) : OPAQUE
  }

  /** `some x in xs` binds x to an item. */
  #some(symbols: readonly unknown[], scope: Scope): Condition {
    return both(
      ...symbols.map((symbol): Condition => {
        if (!isObject(symbol) || symbol['type'] !== 'call') return ALWAYS
        const [operator, ...operands] = listOf(symbol['value'])
        if (operatorOf(operator) !== 'internal.member_2') return OPAQUE
        const [item, list] = operands
        const name = isObject(item) && item['type'] === 'var' ? String(item['value']) : undefined
        const within = this.#meaning(list, scope)
        if (name === undefined || scope.has(name)) return this.#member(item, list, scope)
        if (within.kind !== 'path') return OPAQUE
        this.#items += 1
        const path = `${within.path}.#${this.#items}`
        scope.set(name, { kind: 'path', path })
        return test(path, { is: 'present' })
      }),
    )
  }

  #call(terms: readonly unknown[], scope: Scope): Condition {
    const [operator, left, right] = terms
    const name = operatorOf(operator)
    switch (name) {
      case 'equal':
        return this.#equal(left, right, scope)
      case 'eq':
      case 'assign':
        return this.#unify(left, right, scope)
      case 'neq':
        return this.#unequal(left, right, scope)
      case 'lt':
        return this.#compare('<', left, right, scope)
      case 'lte':
        return this.#compare('<=', left, right, scope)
      case 'gt':
        return this.#compare('>', left, right, scope)
      case 'gte':
        return this.#compare('>=', left, right, scope)
      case 'internal.member_2':
        return this.#member(left, right, scope)
      case 'startswith':
        return this.#like(left, right, scope, (part) => [part, null])
      case 'endswith':
        return this.#like(left, right, scope, (part) => [null, part])
      case 'contains':
        return this.#like(left, right, scope, (part) => [null, part, null])
      default:
        return OPAQUE
    }
  }

  #equal(left: unknown, right: unknown, scope: Scope): Condition {
    const [one, other] = [this.#meaning(left, scope), this.#meaning(right, scope)]
    if (one.kind === 'constant' && other.kind === 'constant')
      return isScalar(one.value) && isScalar(other.value)
        ? one.value === other.value
          ? ALWAYS
          : NEVER
        : OPAQUE
    const [path, constant] = one.kind === 'path' ? [one, other] : [other, one]
    return path.kind === 'path' && constant.kind === 'constant' && isScalar(constant.value)
      ? oneOf(path.path, constant.value)
      : OPAQUE
  }

  /** `x := input.user.name` names a field, and is undefined where it is absent. */
  #unify(left: unknown, right: unknown, scope: Scope): Condition {
    const name = isObject(left) && left['type'] === 'var' ? String(left['value']) : undefined
    if (name === undefined || scope.has(name) || this.#imports.has(name))
      return this.#equal(left, right, scope)
    const meaning = this.#meaning(right, scope)
    scope.set(name, meaning)
    if (meaning.kind === 'path') return test(meaning.path, { is: 'present' })
    return meaning.kind === 'constant' ? ALWAYS : OPAQUE
  }

  #unequal(left: unknown, right: unknown, scope: Scope): Condition {
    const equal = this.#equal(left, right, scope)
    const paths = [this.#meaning(left, scope), this.#meaning(right, scope)].flatMap((meaning) =>
      meaning.kind === 'path' ? [meaning.path] : [],
    )
    const isItem = paths.some((path) => path.includes('#'))
    return both(
      ...paths.map((path) => test(path, { is: 'present' })),
      isItem ? itemNot(equal) : negated(equal),
    )
  }

  #compare(is: '<' | '<=' | '>' | '>=', left: unknown, right: unknown, scope: Scope): Condition {
    const [one, other] = [this.#meaning(left, scope), this.#meaning(right, scope)]
    if (one.kind === 'path' && other.kind === 'constant' && isNumber(other.value))
      return test(one.path, { is, value: other.value })
    if (other.kind === 'path' && one.kind === 'constant' && isNumber(one.value))
      return test(other.path, { is: MIRRORED[is], value: one.value })
    return OPAQUE
  }

  #member(item: unknown, list: unknown, scope: Scope): Condition {
    const [one, within] = [this.#meaning(item, scope), this.#meaning(list, scope)]
    if (within.kind === 'path' && one.kind === 'constant' && isScalar(one.value))
      // A member of an object is one too, which a list of texts never is.
      return fieldOf(within.path)?.kind === 'texts'
        ? anyMember(within.path, one.value)
        : atMost(anyMember(within.path, one.value))
    if (one.kind === 'path' && within.kind === 'constant' && Array.isArray(within.value)) {
      const members = within.value as unknown[]
      return members.every(isScalar) ? oneOf(one.path, ...members) : OPAQUE
    }
    return OPAQUE
  }

  #like(
    text: unknown,
    part: unknown,
    scope: Scope,
    pattern: (part: string) => readonly (string | null)[],
  ): Condition {
    const [read, written] = [this.#meaning(text, scope), this.#meaning(part, scope)]
    return read.kind === 'path' && written.kind === 'constant' && typeof written.value === 'string'
      ? test(read.path, { is: 'like', pattern: pattern(written.value) })
      : OPAQUE
  }

  #meaning(term: unknown, scope: Scope): Meaning {
    if (!isObject(term)) return UNKNOWN
    const { type, value } = term
    switch (type) {
      case 'string':
      case 'boolean':
      case 'number':
        return { kind: 'constant', value }
      case 'null':
        return { kind: 'constant', value: null }
      case 'array':
      case 'set':
        return this.#list(value, scope)
      case 'object':
        return this.#object(value, scope)
      case 'var':
        return this.#named(String(value), scope)
      case 'ref':
        return this.#reference(listOf(value), scope)
      default:
        return UNKNOWN
    }
  }

  #list(items: unknown, scope: Scope): Meaning {
    const meanings = listOf(items).map((item) => this.#meaning(item, scope))
    return meanings.every((meaning) => meaning.kind === 'constant')
      ? { kind: 'constant', value: meanings.map(({ value }) => value) }
      : UNKNOWN
  }

  #object(entries: unknown, scope: Scope): Meaning {
    const pairs = listOf(entries).map((entry) =>
      listOf(entry).map((term) => this.#meaning(term, scope)),
    )
    const known = pairs.flatMap(([key, value]) =>
      key?.kind === 'constant' && typeof key.value === 'string' && value?.kind === 'constant'
        ? [[key.value, value.value] as const]
        : [],
    )
    return known.length === pairs.length
      ? { kind: 'constant', value: Object.fromEntries(known) }
      : UNKNOWN
  }

  #named(name: string, scope: Scope): Meaning {
    if (name === 'input') return UNKNOWN
    return scope.get(name) ?? this.#imports.get(name) ?? this.#constant(name)
  }

  /** A rule that is one constant. */
  #constant(name: string): Meaning {
    const rules = this.#rules.get(name)
    const [rule] = rules ?? []
    const head = isObject(rule?.['head']) ? rule['head'] : undefined
    if (rules?.length !== 1 || rule === undefined || head === undefined) return UNKNOWN
    if (head['key'] !== undefined || head['args'] !== undefined || rule['else'] !== undefined)
      return UNKNOWN
    if (listOf(head['ref']).length > 1 || !isTrueBody(rule['body'])) return UNKNOWN
    const { value } = head
    return isObject(value) && value['type'] === 'var' ? UNKNOWN : this.#meaning(value, new Map())
  }

  #reference(parts: readonly unknown[], scope: Scope): Meaning {
    const [head, ...rest] = parts
    const name = isObject(head) && head['type'] === 'var' ? String(head['value']) : undefined
    if (name === undefined) return UNKNOWN
    if (name === 'input') return this.#along('', rest, scope)
    if (name === 'data') return this.#inData(rest)
    const start = this.#named(name, scope)
    if (start.kind === 'path') return this.#along(start.path, rest, scope)
    if (start.kind === 'constant') return lookUp(start.value, keysOf(rest), rest.length)
    return UNKNOWN
  }

  /** A field below another one; `[_]` is some item. */
  #along(start: string, rest: readonly unknown[], scope: Scope): Meaning {
    let path = start
    for (const part of rest) {
      if (!isObject(part)) return UNKNOWN
      const { type, value } = part
      if (type === 'string' && typeof value === 'string' && /^[^.#]+$/.test(value))
        path = path === '' ? value : `${path}.${value}`
      else if (type === 'var' && !scope.has(String(value)) && this.#isList(path)) {
        this.#items += 1
        path = `${path}.#${this.#items}`
        // The index itself says nothing; where it stands again, the items would have to be the same.
        if (!String(value).startsWith('$')) scope.set(String(value), UNKNOWN)
      } else return UNKNOWN
    }
    return path === '' ? UNKNOWN : { kind: 'path', path }
  }

  #isList(path: string): boolean {
    const kind = fieldOf(path)?.kind
    return kind === 'texts' || kind === 'findings'
  }

  #inData(rest: readonly unknown[]): Meaning {
    const path = keysOf(rest)
    if (path.length < rest.length) return UNKNOWN
    const own = this.#package.every((part, at) => path[at] === part)
    const name = path[this.#package.length]
    if (own && name !== undefined && this.#rules.has(name)) {
      const start = this.#constant(name)
      const below = path.slice(this.#package.length + 1)
      return start.kind === 'constant' ? lookUp(start.value, below, below.length) : UNKNOWN
    }
    return lookUp(this.#data, path, path.length)
  }

  #import(node: unknown): void {
    if (!isObject(node) || !isObject(node['path'])) return
    const path = listOf(node['path']['value'])
    const names = stringsOf(path)
    const alias = typeof node['alias'] === 'string' ? node['alias'] : names.at(-1)
    if (alias === undefined || names[0] !== 'input' || names.length < path.length) return
    const meaning: Meaning =
      names.length < 2 ? UNKNOWN : { kind: 'path', path: names.slice(1).join('.') }
    // Files of one package may each call something else so.
    const known = this.#imports.get(alias)
    const isSame = known === undefined || JSON.stringify(known) === JSON.stringify(meaning)
    this.#imports.set(alias, isSame ? meaning : UNKNOWN)
  }

  /** The helper rule of this package that a term names. */
  #ruleNamed(term: Node): string | undefined {
    const parts = term['type'] === 'ref' ? listOf(term['value']) : [term]
    const names = stringsOf(parts)
    if (names.length !== parts.length) return undefined
    const own =
      names[0] === 'data' && this.#package.every((part, at) => names[at + 1] === part)
        ? names.slice(this.#package.length + 1)
        : names
    const [name] = own
    return own.length === 1 && name !== undefined && this.#rules.has(name) ? name : undefined
  }

  /** Every text and number, for requests that are tried. */
  #collect(node: unknown, depth: number): void {
    if (this.#constants.size >= MAX_CONSTANTS || depth > 64) return
    if (Array.isArray(node)) {
      // The first part of a reference is a name, and so are those of operators.
      for (const item of node) this.#collect(item, depth + 1)
      return
    }
    if (!isObject(node)) return
    const { type, value } = node
    if (type === 'ref') {
      for (const part of listOf(value).slice(1))
        if (isObject(part) && part['type'] !== 'string') this.#collect(part, depth + 1)
      return
    }
    if ((type === 'string' || type === 'number') && isScalar(value)) {
      if (String(value).length <= MAX_CONSTANT_CHARS) this.#constants.add(value)
    } else for (const inner of Object.values(node)) this.#collect(inner, depth + 1)
  }
}

const MIRRORED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' } as const

/** Of one item: it is there, and it is something else. */
function itemNot(equal: Condition): Condition {
  const [only] = equal
  const [atom] = only?.atoms ?? []
  return equal.length === 1 && only?.exact === true && only.atoms.length === 1 && atom !== undefined
    ? test(atom.path, atom.test, !atom.holds)
    : OPAQUE
}

/** Rules that are true or false, nothing else. */
function isPlain(rules: readonly Node[] | undefined): boolean {
  return (
    rules?.every(({ head }) => {
      const value = isObject(head) ? head['value'] : undefined
      return (
        isObject(head) &&
        head['key'] === undefined &&
        (value === undefined || (isObject(value) && value['type'] === 'boolean'))
      )
    }) === true
  )
}

/** As a rule that answers: it does not hold. */
function isNothing(value: unknown): boolean {
  if (value === false || value === null || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isObject(value) && Object.keys(value).length === 0
}

function isTrueBody(body: unknown): boolean {
  return listOf(body).every((expression) => {
    const terms = isObject(expression) ? expression['terms'] : undefined
    return isObject(terms) && terms['type'] === 'boolean' && terms['value'] === true
  })
}

function lookUp(value: unknown, path: readonly string[], wanted: number): Meaning {
  if (path.length !== wanted) return UNKNOWN
  let found = value
  for (const part of path) {
    if (!isObject(found) || !Object.hasOwn(found, part)) return UNKNOWN
    found = found[part]
  }
  return { kind: 'constant', value: found }
}

/** `internal.member_2`, `equal`, ... */
function operatorOf(term: unknown): string {
  return isObject(term) && term['type'] === 'ref' ? stringsOf(term['value']).join('.') : ''
}

/** The leading parts of a reference that are names. */
function stringsOf(ref: unknown): string[] {
  const names: string[] = []
  for (const [index, term] of listOf(ref).entries()) {
    const { type, value } = isObject(term) ? term : {}
    if (typeof value !== 'string' || (type !== 'string' && !(type === 'var' && index === 0))) break
    names.push(value)
  }
  return names
}

/** The leading parts that are texts. */
function keysOf(parts: readonly unknown[]): string[] {
  const keys: string[] = []
  for (const part of parts) {
    if (!isObject(part) || part['type'] !== 'string' || typeof part['value'] !== 'string') break
    keys.push(part['value'])
  }
  return keys
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || isNumber(value)
}
