// What a count of a budget is called: by a key where it is counted, by a name where it is told.
//
// Both follow from the budget and the values of what it is per, in its order. Gateways of all releases share the counts, so
// the key is made as ever.

import { hash } from 'node:crypto'
import type { Budget } from '../model/budget.ts'

/** Names of models come from clients. */
const MOST_VALUE = 200

export function countKey(budget: Budget, values: readonly string[]): string {
  return hash('sha256', JSON.stringify(partsOf(budget, values)), 'base64url')
}

/** Empty where the budget has one count for all, which needs no telling apart. */
export function countName(budget: Budget, values: readonly string[]): string {
  if (values.length === 0) return ''
  const shown = values.map((value) => value.slice(0, MOST_VALUE).toWellFormed())
  return JSON.stringify(partsOf(budget, shown))
}

/** The values of a count, if it is one of this budget as it is now; undefined for what is none. */
export function valuesOf(budget: Budget, parts: readonly string[]): readonly string[] | undefined {
  const values = parts.slice(OWN_PARTS)
  const isOne =
    values.length === budget.per.length && partsOf(budget, values).join() === parts.join()
  return isOne ? values : undefined
}

/** Undefined for what is no name; the first part is the id of the budget. */
export function partsOfName(name: string): readonly string[] | undefined {
  try {
    const parts: unknown = JSON.parse(name)
    return Array.isArray(parts) ? parts.map(String) : undefined
  } catch {
    return undefined
  }
}

const OWN_PARTS = 4

function partsOf(
  { id, unit, window, kind }: Budget,
  values: readonly string[],
): readonly (string | number)[] {
  return [id, unit, window, kind, ...values]
}
