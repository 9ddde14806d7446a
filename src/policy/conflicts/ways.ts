// In which ways does a policy answer, scope included, and which ways of two policies can be taken by one request?
//
// What is asked of a field gets a number, and two numbers are compared once, however many policies ask it: so a pair
// costs a few look-ups. That is as much a proof as `solve` is, which looks at each field alone too.

import type { Atom, Condition } from './condition.ts'
import { isAbsent, isNeverAt, liesIn, type Tests, testsOf } from './solve.ts'

export interface Way {
  readonly atoms: readonly Atom[]
  /** Whether the atoms are all there is to it. */
  readonly exact: boolean
  /** What is asked of each field, by number; ascending by field. */
  readonly fields: readonly Asked[]
  /** Fields that must not be there, and those that must. */
  readonly absent: readonly string[]
  readonly set: readonly string[]
}

interface Asked {
  /** Of the field. */
  readonly field: number
  /** Of what is asked of it. */
  readonly number: number
  readonly path: string
  readonly tests: Tests
}

/** More numbers than there ever are of what is asked. */
const MANY = 2 ** 26
const MAX_REMEMBERED = 1_000_000

export class Ways {
  readonly #fields = new Map<string, number>()
  readonly #asked = new Map<string, Asked>()
  readonly #apart = new Map<number, boolean>()

  /** Those that some request can take. */
  of(condition: Condition): readonly Way[] {
    return condition.flatMap(({ atoms, exact }): readonly Way[] => {
      const tests = testsOf(atoms)
      const fields = [...tests].map(([path, each]) => this.#number(path, each))
      const way: Way = {
        atoms,
        exact,
        fields: fields.toSorted((a, b) => a.field - b.field),
        absent: [...tests].flatMap(([path, each]) => (isAbsent(each) ? [path] : [])),
        set: [...tests].flatMap(([path, { positive }]) => (positive.length > 0 ? [path] : [])),
      }
      const isNever =
        fields.some(({ path, tests: each }) => isNeverAt(path, each)) || isClash(way, way)
      return isNever ? [] : [way]
    })
  }

  /** False: proven that no request takes both. */
  meet(one: Way, other: Way): boolean {
    let [at, to] = [0, 0]
    while (at < one.fields.length && to < other.fields.length) {
      const [a, b] = [one.fields[at], other.fields[to]]
      if (a === undefined || b === undefined) break
      if (a.field === b.field && this.#isApart(a, b)) return false
      if (a.field <= b.field) at += 1
      if (b.field <= a.field) to += 1
    }
    return !isClash(one, other) && !isClash(other, one)
  }

  #isApart(a: Asked, b: Asked): boolean {
    if (a.number === b.number) return false
    const key = Math.min(a.number, b.number) * MANY + Math.max(a.number, b.number)
    let apart = this.#apart.get(key)
    if (apart === undefined) {
      apart = isNeverAt(a.path, {
        positive: [...a.tests.positive, ...b.tests.positive],
        negative: [...a.tests.negative, ...b.tests.negative],
      })
      if (this.#apart.size < MAX_REMEMBERED) this.#apart.set(key, apart)
    }
    return apart
  }

  #number(path: string, tests: Tests): Asked {
    const key = JSON.stringify([path, tests], (_, value: unknown) =>
      typeof value === 'bigint' ? { whole: String(value) } : value,
    )
    const known = this.#asked.get(key)
    if (known !== undefined) return known
    const field = this.#fields.get(path) ?? this.#fields.size
    this.#fields.set(path, field)
    const asked = { field, number: this.#asked.size, path, tests }
    this.#asked.set(key, asked)
    return asked
  }
}

/** What must be there for one lies in what must not for the other. */
function isClash({ absent }: Way, { set }: Way): boolean {
  return absent.length > 0 && set.some((path) => absent.some((gone) => liesIn(path, gone)))
}
