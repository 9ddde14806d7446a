// Can all tests of a conjunction hold at once, and for which input? By intervals and sets, field by field.
//
// "never" is a proof: no input that Cordon makes fulfils it. An input that is found is a proposal only; whether it does
// what it should is found out by asking the policies.

import type { Atom, Scalar, Test } from './condition.ts'
import {
  type Field,
  fieldOf,
  findingWith,
  listOf,
  plainDocument,
  removeAt,
  setAt,
  valueAt,
  withTypesOfFindings,
} from './fields.ts'

export type Solved =
  | { readonly verdict: 'never' }
  | { readonly verdict: 'unknown' }
  | { readonly verdict: 'found'; readonly document: Record<string, unknown> }

/** What is asked of one field. */
export interface Tests {
  readonly positive: readonly Test[]
  readonly negative: readonly Test[]
}

const NEVER: Solved = { verdict: 'never' }
const UNKNOWN: Solved = { verdict: 'unknown' }
/** Values that are tried where a number must avoid others. */
const STEPS = 64

export function solve(atoms: readonly Atom[]): Solved {
  const fields = testsOf(atoms)
  const absent = [...fields].flatMap(([path, tests]) => (isAbsent(tests) ? [path] : []))
  const set = [...fields].filter(([, { positive }]) => positive.length > 0)
  for (const [path] of set) if (absent.some((gone) => liesIn(path, gone))) return NEVER

  const chosen: [path: string, value: unknown][] = []
  let isKnown = true
  for (const [path, tests] of set) {
    const choice = choose(path, tests)
    if (choice === 'never') return NEVER
    if (choice === 'unknown') isKnown = false
    else chosen.push([path, choice.value])
  }
  if (!isKnown) return UNKNOWN
  return { verdict: 'found', document: documentWith(chosen, absent, fields) }
}

/** By field. */
export function testsOf(atoms: readonly Atom[]): ReadonlyMap<string, Tests> {
  const fields = new Map<string, { positive: Test[]; negative: Test[] }>()
  for (const { path, test, holds } of atoms) {
    const tests = fields.get(path) ?? { positive: [], negative: [] }
    fields.set(path, tests)
    ;(holds ? tests.positive : tests.negative).push(test)
  }
  return fields
}

/** It must not be there. */
export function isAbsent({ negative }: Tests): boolean {
  return negative.some(({ is }) => is === 'present')
}

/** Whether a field is the other one or a part of it. */
export function liesIn(path: string, other: string): boolean {
  return path === other || path.startsWith(`${other}.`)
}

/** Whether no value of the field passes: a proof, as `solve` gives it, for one field alone. */
export function isNeverAt(path: string, tests: Tests): boolean {
  return tests.positive.length > 0 && (isAbsent(tests) || choose(path, tests) === 'never')
}

/** Whether a document passes all tests; false too where nobody can tell. */
export function fulfils(document: unknown, atoms: readonly Atom[]): boolean {
  const items = Map.groupBy(
    atoms.filter(({ path }) => path.includes('#')),
    ({ path }) => /^[^#]*#\w+/.exec(path)?.[0] ?? path,
  )
  return (
    atoms.every(
      (atom) => atom.path.includes('#') || holdsFor(valueAt(document, atom.path), atom),
    ) &&
    [...items].every(([name, own]) => {
      const list = listOf(valueAt(document, name.replace(/\.#\w+$/, '')))
      // `#1.count` is read below an item, and `#1` is the item itself.
      return list.some((item) =>
        own.every((atom) => {
          const below = atom.path.slice(name.length + 1)
          return !below.includes('#') && holdsFor(below === '' ? item : valueAt(item, below), atom)
        }),
      )
    })
  )
}

function holdsFor(value: unknown, { test, holds }: Atom): boolean {
  return value === undefined ? !holds : passes(test, value) === holds
}

type Choice = 'never' | 'unknown' | { readonly value: unknown }

function choose(path: string, tests: Tests): Choice {
  const field = fieldOf(path)
  const { positive, negative } = tests
  const sets = positive.flatMap((test) => (test.is === 'one_of' ? [test.values] : []))
  if (sets.length > 0) return pick(sets.reduce(common), tests, true)
  const lists = positive.flatMap((test) => (test.is === 'any_member' ? [test.values] : []))
  if (lists.length > 0) return pickMembers(lists, tests)
  if (positive.some(({ is }) => isComparison(is))) return pickNumber(field, tests)
  const patterns = positive.flatMap((test) => (test.is === 'like' ? [test.pattern] : []))
  if (patterns.length > 0)
    return areApart(patterns) ? 'never' : pick(textsLike(patterns), tests, false)
  // A bound that must not hold is one, where the field is a number.
  if (field?.kind === 'whole' && negative.some(({ is }) => isComparison(is)))
    return pickNumber(field, tests)
  return pick(usual(path, field), tests, field?.kind === 'flag')
}

/** The first that passes every test. `all`: there are no other values, so where each fails one it is never. */
function pick(values: readonly unknown[], { positive, negative }: Tests, all: boolean): Choice {
  let isTold = true
  for (const value of values) {
    const results = [
      ...positive.map((test) => passes(test, value)),
      ...negative.map((test) => not(passes(test, value))),
    ]
    if (results.every((result) => result === true)) return { value }
    if (!results.includes(false)) isTold = false
  }
  return all && isTold ? 'never' : 'unknown'
}

function not(result: boolean | undefined): boolean | undefined {
  return result === undefined ? undefined : !result
}

function pickMembers(lists: readonly (readonly Scalar[])[], { positive, negative }: Tests): Choice {
  const banned = new Set(
    negative.flatMap((test) => (test.is === 'any_member' ? test.values.map(keyOf) : [])),
  )
  const members: Scalar[] = []
  for (const list of lists) {
    const member = list.find((each) => !banned.has(keyOf(each)))
    if (member === undefined) return 'never'
    members.push(member)
  }
  if (negative.some(({ is }) => is === 'truthy')) return 'never'
  const isList = positive.every(({ is }) => ['any_member', 'present', 'truthy'].includes(is))
  return isList ? { value: [...new Set(members)] } : 'unknown'
}

/** Whole numbers where the field is one; where nobody knows, whole ones first. */
function pickNumber(field: Field | undefined, tests: Tests): Choice {
  let low: Bound | undefined =
    field?.least === undefined ? undefined : { at: field.least, open: false }
  let high: Bound | undefined =
    field?.most === undefined ? undefined : { at: field.most, open: false }
  const bounds = [
    ...tests.positive.flatMap(boundOf),
    ...tests.negative.flatMap(boundOf).map(opposite),
  ]
  for (const { is, value } of bounds) {
    const bound = { at: Number(value), open: is === '<' || is === '>' }
    if (is === '<' || is === '<=') high = tighter(high, bound, (a, b) => a < b)
    else low = tighter(low, bound, (a, b) => a > b)
  }
  if (low !== undefined && high !== undefined) {
    const isEmpty = low.at > high.at || (low.at === high.at && (low.open || high.open))
    if (isEmpty) return 'never'
  }
  const first = firstWhole(low, high)
  const last =
    high === undefined ? Infinity : high.open ? Math.ceil(high.at) - 1 : Math.floor(high.at)
  const whole = Array.from({ length: STEPS }, (_, at) => first + at).filter(
    (value) => value <= last,
  )
  const between =
    low !== undefined && high !== undefined && field?.kind !== 'whole'
      ? [(low.at + high.at) / 2]
      : []
  const isAll = field?.kind === 'whole' && last - first < STEPS
  return pick([...whole, ...between], tests, isAll)
}

interface Bound {
  readonly at: number
  readonly open: boolean
}

type Comparison = Extract<Test, { value: unknown }>

function boundOf(test: Test): readonly Comparison[] {
  return 'value' in test ? [test] : []
}

const OPPOSITE = { '<': '>=', '<=': '>', '>': '<=', '>=': '<' } as const

function opposite({ is, value }: Comparison): Comparison {
  return { is: OPPOSITE[is], value }
}

function isComparison(is: Test['is']): is is Comparison['is'] {
  return Object.hasOwn(OPPOSITE, is)
}

function tighter(
  known: Bound | undefined,
  other: Bound,
  isTighter: (a: number, b: number) => boolean,
): Bound {
  if (known === undefined || isTighter(other.at, known.at)) return other
  return known.at === other.at ? { at: known.at, open: known.open || other.open } : known
}

function firstWhole(low: Bound | undefined, high: Bound | undefined): number {
  if (low !== undefined) return low.open ? Math.floor(low.at) + 1 : Math.ceil(low.at)
  if (high === undefined || high.at > 1) return 1
  return (high.open ? Math.ceil(high.at) - 1 : Math.floor(high.at)) - STEPS + 1
}

/** Undefined: nobody can tell here. */
function passes(test: Test, value: unknown): boolean | undefined {
  switch (test.is) {
    case 'present':
      return true
    case 'truthy':
      return value !== false
    case 'one_of':
      return isScalarValue(value) ? test.values.some((each) => keyOf(each) === keyOf(value)) : false
    case 'any_member':
      return (
        Array.isArray(value) &&
        (value as unknown[]).some(
          (item) => isScalarValue(item) && test.values.some((each) => keyOf(each) === keyOf(item)),
        )
      )
    case 'like':
      return typeof value === 'string' && matches(test.pattern, value)
    default:
      return typeof value === 'number' || typeof value === 'bigint'
        ? compares(test.is, value, test.value)
        : undefined
  }
}

function compares(is: Comparison['is'], value: number | bigint, bound: number | bigint): boolean {
  switch (is) {
    case '<':
      return value < bound
    case '<=':
      return value <= bound
    case '>':
      return value > bound
    case '>=':
      return value >= bound
  }
}

function isScalarValue(value: unknown): value is Scalar {
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}

/** `1` is `1.0`, and no text. */
function keyOf(value: Scalar): string {
  return typeof value === 'string' ? `"${value}` : String(value)
}

function common(one: readonly Scalar[], other: readonly Scalar[]): readonly Scalar[] {
  const keys = new Set(other.map(keyOf))
  return one.filter((value) => keys.has(keyOf(value)))
}

function matches(pattern: readonly (string | null)[], text: string): boolean {
  const source = pattern.map((part) =>
    part === null ? '[^]*' : part.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`),
  )
  return new RegExp(`^${source.join('')}$`, 'u').test(text)
}

/** No text begins, or ends, in two ways. */
function areApart(patterns: readonly (readonly (string | null)[])[]): boolean {
  const heads = patterns.map(([first]) => first ?? '')
  const tails = patterns.map((pattern) => pattern.at(-1) ?? '')
  const [head, tail] = [longest(heads), longest(tails)]
  return heads.some((each) => !head.startsWith(each)) || tails.some((each) => !tail.endsWith(each))
}

function longest(texts: readonly string[]): string {
  return texts.reduce((one, other) => (other.length > one.length ? other : one), '')
}

/** Texts that may fit all patterns: each filled with nothing or something, and one after the other. */
function textsLike(patterns: readonly (readonly (string | null)[])[]): readonly string[] {
  const filled = (fill: string): readonly string[] =>
    patterns.map((pattern) => pattern.map((part) => part ?? fill).join(''))
  return [
    ...filled(''),
    ...filled('x'),
    filled('').join(''),
    filled('').toReversed().join(''),
    filled('').join('x'),
    filled('').toReversed().join('x'),
  ]
}

/** What a field is like where no more is asked than that it is there. */
function usual(path: string, field: Field | undefined): readonly unknown[] {
  const plain: unknown = valueAt(plainDocument(), path)
  const own = plain === undefined ? [] : [plain]
  switch (field?.kind) {
    case 'flag':
      return [true, false]
    case 'whole':
      return [...own, ...[0, 1, 2, 10, 50].map((each) => each + (field.least ?? 0))]
    case 'texts':
      return [...own, ['x'], []]
    case 'findings':
      return [[findingWith({})]]
    case 'text':
      return [...own, 'x', 'y', 'z', '']
    case undefined:
      return [...own, 'x', 1, true, ['x'], {}]
  }
}

function documentWith(
  chosen: readonly (readonly [path: string, value: unknown])[],
  absent: readonly string[],
  fields: ReadonlyMap<string, Tests>,
): Record<string, unknown> {
  const document = plainDocument()
  // What lies in something after that something.
  for (const [path, value] of chosen.toSorted(([a], [b]) => a.length - b.length))
    if (!path.includes('#')) setAt(document, path, value)
  for (const [list, items] of itemsOf(chosen)) {
    const findings = fieldOf(list)?.kind === 'findings'
    const made = items.map((item) =>
      findings && typeof item === 'object' && item !== null ? findingWith({ ...item }) : item,
    )
    setAt(document, list, [...listOf(valueAt(document, list)), ...made])
  }
  withTypesOfFindings(document)
  fitDepartment(document, fields)
  for (const path of absent) if (!path.includes('#')) removeAt(document, path)
  for (const [path, tests] of fields)
    if (tests.positive.length === 0 && !path.includes('#')) avoid(document, path, tests)
  return document
}

/** The last of the path is the department itself, unless somebody asked for something else. */
function fitDepartment(
  document: Record<string, unknown>,
  fields: ReadonlyMap<string, Tests>,
): void {
  const [name, path] = ['user.department.name', 'user.department.path']
  if (fields.has(name) === fields.has(path)) return
  if (fields.has(name)) setAt(document, path, [valueAt(document, name)])
  else setAt(document, name, listOf(valueAt(document, path)).at(-1) ?? 'Somewhere')
}

/** What was only asked not to be so: as it is in the plain document, else otherwise, else absent. */
function avoid(document: Record<string, unknown>, path: string, tests: Tests): void {
  const value = valueAt(document, path)
  if (value === undefined) return
  const isFine = (candidate: unknown): boolean =>
    tests.negative.every((test) => passes(test, candidate) === false)
  if (isFine(value)) return
  const other = usual(path, fieldOf(path)).find(isFine)
  if (other === undefined) removeAt(document, path)
  else setAt(document, path, other)
}

/** `content.findings.#1.type` and `.count` make one item of `content.findings`. */
function itemsOf(
  chosen: readonly (readonly [path: string, value: unknown])[],
): ReadonlyMap<string, readonly unknown[]> {
  const lists = new Map<string, Map<string, unknown>>()
  for (const [path, value] of chosen) {
    const [, list, name, key] = /^([^#]*)\.(#\w+)(?:\.(.*))?$/.exec(path) ?? []
    if (list === undefined || name === undefined) continue
    const items = lists.get(list) ?? new Map<string, unknown>()
    lists.set(list, items)
    if (key === undefined) {
      if (!items.has(name)) items.set(name, value)
      continue
    }
    const known = items.get(name)
    const item: Record<string, unknown> =
      typeof known === 'object' && known !== null ? { ...known } : {}
    setAt(item, key, value)
    items.set(name, item)
  }
  return new Map([...lists].map(([list, items]) => [list, [...items.values()]]))
}
