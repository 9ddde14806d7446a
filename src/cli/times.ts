// Times as options of commands.

import { CordonError } from '../base/errors.ts'
import { readTime } from '../base/rfc3339.ts'

/** Milliseconds since the epoch; undefined where the option is absent. Throws INPUT_INVALID that names it. */
export function timeOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const time = readTime(text)
  if (time === undefined)
    throw new CordonError('INPUT_INVALID', `${option} must be a time such as 2026-11-24T00:00:00Z`)
  return time
}
