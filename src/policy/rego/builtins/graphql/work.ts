// How much may one call of a GraphQL built-in read and compare?
//
// Beyond a bound the policy errs: `false` from `is_valid` could allow what was never looked at.

import { BuiltinLimit, MAX_TEXT } from '../operands.ts'

/** Selections, values and types within each other. */
const MAX_DEPTH = 200
/** Enough for the largest public schemas. */
const MAX_TOKENS = 400_000
/** Steps of validation; comparing fields grows with the square of a hostile document. */
const MAX_STEPS = 500_000

export class Work {
  #depth = 0
  #steps = 0
  #tokens = 0
  readonly #sets = new Map<readonly unknown[], ReadonlySet<string>>()

  text(text: string): void {
    if (text.length > MAX_TEXT)
      throw new BuiltinLimit('memory limit: a GraphQL document is too long')
  }

  token(): void {
    if (++this.#tokens > MAX_TOKENS)
      throw new BuiltinLimit('memory limit: a GraphQL document has too many tokens')
  }

  step(): void {
    if (++this.#steps > MAX_STEPS)
      throw new BuiltinLimit('time limit: a GraphQL document takes too long to validate')
  }

  within<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH)
      throw new BuiltinLimit('memory limit: a GraphQL document is nested too deeply')
    const result = read()
    this.#depth--
    return result
  }

  /** The names in a list, which is asked about often and gathered once. */
  setOf(list: readonly (string | { readonly Name: string })[]): ReadonlySet<string> {
    const known = this.#sets.get(list)
    if (known !== undefined) return known
    const set = new Set(list.map((item) => (typeof item === 'string' ? item : item.Name)))
    this.#sets.set(list, set)
    return set
  }
}
