// When does a policy answer? As alternatives of conjunctions of simple tests of the input, as far as they can be told.
//
// What cannot be told is left out of a conjunction and makes it inexact: it then holds more often than the policy does.
// That is sound for saying "never": what is impossible with fewer tests is impossible with all.

export type Scalar = string | number | bigint | boolean

export type Test =
  /** The field is there. */
  | { readonly is: 'present' }
  /** Rego's own idea of true: there, and not false. */
  | { readonly is: 'truthy' }
  | { readonly is: 'one_of'; readonly values: readonly Scalar[] }
  | { readonly is: '<' | '<=' | '>' | '>='; readonly value: number | bigint }
  /** A list with one of these at least. */
  | { readonly is: 'any_member'; readonly values: readonly Scalar[] }
  /** A text; null stands for anything. */
  | { readonly is: 'like'; readonly pattern: readonly (string | null)[] }

export interface Atom {
  /** Dotted, below `input`; `#n` is some item of a list, the same one wherever it has the same name. */
  readonly path: string
  readonly test: Test
  /** False: the field is absent, or the test fails. */
  readonly holds: boolean
}

export interface Conjunction {
  readonly atoms: readonly Atom[]
  /** Whether the atoms are all there is to it. */
  readonly exact: boolean
}

/** One of them must hold; none: it never does. */
export type Condition = readonly Conjunction[]

const MAX_ALTERNATIVES = 64
const MAX_ATOMS = 64

export const ALWAYS: Condition = [{ atoms: [], exact: true }]
export const NEVER: Condition = []
/** Nobody can tell. */
export const OPAQUE: Condition = [{ atoms: [], exact: false }]

export function test(path: string, tested: Test, holds = true): Condition {
  return [{ atoms: [{ path, test: tested, holds }], exact: true }]
}

export function oneOf(path: string, ...values: readonly Scalar[]): Condition {
  return test(path, { is: 'one_of', values })
}

export function anyMember(path: string, ...values: readonly Scalar[]): Condition {
  return test(path, { is: 'any_member', values })
}

export function either(...conditions: readonly Condition[]): Condition {
  const all = conditions.flat()
  if (all.length > MAX_ALTERNATIVES) return OPAQUE
  return all
}

export function both(...conditions: readonly Condition[]): Condition {
  return conditions.reduce(join, ALWAYS)
}

function join(one: Condition, other: Condition): Condition {
  if (one.length * other.length > MAX_ALTERNATIVES)
    // The shorter one alone: more than both, so it is not exact.
    return (one.length <= other.length ? one : other).map(({ atoms }) => ({ atoms, exact: false }))
  return one.flatMap((left) =>
    other.map((right): Conjunction => {
      const atoms = [...left.atoms, ...right.atoms]
      return atoms.length > MAX_ATOMS
        ? { atoms: atoms.slice(0, MAX_ATOMS), exact: false }
        : { atoms, exact: left.exact && right.exact }
    }),
  )
}

/** Of what is not exact nothing is known; neither of "some item is so". */
export function negated(condition: Condition): Condition {
  return both(
    ...condition.map(({ atoms, exact }): Condition => {
      if (!exact || atoms.some(({ path }) => path.includes('#'))) return OPAQUE
      return either(...atoms.map(({ path, test: tested, holds }) => test(path, tested, !holds)))
    }),
  )
}

/** As inexact: it holds at most where this holds. */
export function atMost(condition: Condition): Condition {
  return condition.map(({ atoms }) => ({ atoms, exact: false }))
}
