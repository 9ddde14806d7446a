// Times as people give them: what they mean must not depend on where they are read.

const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/

/**
 * Milliseconds since the epoch of an RFC 3339 time with its zone, or of the beginning of a day in UTC; undefined for
 * anything else.
 */
export function readTime(text: string): number | undefined {
  const time = TIME.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(time) ? undefined : time
}
