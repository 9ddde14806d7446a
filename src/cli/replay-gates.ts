// When a replay fails a build: `newly_denied>0`, `changed>2%`.

import { CordonError } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import type { ReplayReport } from '../policy/replay.ts'

export const GATED = [
  'changed',
  'newly_denied',
  'newly_reviewed',
  'newly_allowed',
  'obligations_changed',
  'would_be_changed',
  'newly_failing',
  'cannot_tell',
  'unreadable',
] as const
type Gated = (typeof GATED)[number]

export interface Gate {
  readonly text: string
  readonly of: Gated
  readonly most: number
  /** The limit itself is too many. */
  readonly isIncluded: boolean
  /** Of a hundred decisions. */
  readonly isShare: boolean
}

const FORM = /^([a-z_]+)\s*(?:(>=?)\s*(\d+(?:\.\d+)?)(%?))?$/

/** Throws INPUT_INVALID. A name alone: more than none. */
export function gateOf(text: string): Gate {
  const [, name = '', sign = '>', limit = '0', percent = ''] = FORM.exec(text.trim()) ?? []
  const of = GATED.find((each) => each === name)
  if (of === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      name === ''
        ? `--fail-on takes conditions such as newly_denied>0 or changed>2%, not "${text}"`
        : `--fail-on knows no "${name}"${didYouMean(name, GATED)}; it knows ${GATED.join(', ')}`,
    )
  return {
    text,
    of,
    most: Number(limit),
    isIncluded: sign === '>=',
    isShare: percent === '%',
  }
}

export function isOver({ of, most, isIncluded, isShare }: Gate, report: ReplayReport): boolean {
  const all = report.decisions + report.unreadable
  const value = isShare ? (100 * report[of]) / Math.max(1, all) : report[of]
  return isIncluded ? value >= most : value > most
}
