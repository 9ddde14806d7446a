// Settings of `risk` that no other setting is like: weights, hours and days.

import { type Day, DAYS, type Hours } from '../model/risk.ts'
import { leaf, type Leaf, listOf, Wrong } from './leaf.ts'

/** From 0 to 1. */
export function weight(fallback: number): Leaf<number> {
  const expects = 'a number from 0 to 1'
  return leaf(fallback, expects, (value, origin) => {
    const digits = typeof value === 'string' && /^\d(?:\.\d{1,6})?$/.test(value)
    const number = origin.from === 'env' && digits ? Number(value) : value
    if (typeof number !== 'number' || !(number >= 0 && number <= 1)) throw new Wrong(expects)
    return number
  })
}

/** Hours of the day: `7-19`, `22-6` over midnight, `0-24` always. */
export function hours(fallback: Hours): Leaf<Hours> {
  const expects = `hours of the day such as ${fallback.from}-${fallback.to}, 22-6 (over midnight) or 0-24 (always)`
  return leaf(fallback, expects, (value) => {
    const [, first = '', last = ''] =
      typeof value === 'string' ? (/^(\d{1,2})-(\d{1,2})$/.exec(value) ?? []) : []
    const given = { from: Number(first), to: Number(last) }
    if (first === '' || given.from > 23 || given.to > 24 || given.from === given.to)
      throw new Wrong(expects)
    return given
  })
}

export function days(fallback: readonly Day[]): Leaf<readonly Day[]> {
  const expects = `a list of days: ${DAYS.join(', ')}`
  return leaf(fallback, expects, (value, origin) => {
    const given = new Set(listOf(value, origin, expects))
    const read = DAYS.filter((day) => given.delete(day))
    if (given.size > 0) throw new Wrong(expects)
    return read
  })
}
