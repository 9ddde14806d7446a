// How far somebody has followed the decisions as they arrive in the store.
//
// Transactions end in another order than they began in, so no number says what was seen: a snapshot of PostgreSQL
// does (`xmin:xmax:running,...`, its manual section 9.27.11). What a later snapshot sees and the former did not is
// what has arrived, whatever was running meanwhile. That may be much, so a position can lie inside of it.

import { CordonError } from '../base/errors.ts'

export interface FeedPosition {
  /** All that this snapshot sees was seen. */
  readonly seen: string
  /** And of what this one sees beyond it, everything up to `last` in the order of transaction, writer and number. */
  readonly until?: string
  readonly last?: FeedPlace
}

export interface FeedPlace {
  /** Id of the transaction, 64 bits in decimal. */
  readonly transaction: string
  readonly writer: string
  readonly seq: string
}

/** More transactions than any server lets run at once. */
const MAX_TEXT = 4096
const NUMBER = String.raw`[1-9]\d{0,17}`
const SNAPSHOT = String.raw`${NUMBER}:${NUMBER}:(?:${NUMBER}(?:,${NUMBER})*)?`
const TEXT = new RegExp(
  `^(${SNAPSHOT})(?:/(${SNAPSHOT})/(${NUMBER})\\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\\.(\\d{1,16}))?$`,
)

/** As clients get it and give it back; opaque to them. */
export function positionText({ seen, until, last }: FeedPosition): string {
  return until === undefined || last === undefined
    ? seen
    : `${seen}/${until}/${last.transaction}.${last.writer}.${last.seq}`
}

/** Throws INPUT_INVALID, with `place` as the place of the problem, where it is none of ours. */
export function readPosition(text: string, place: string): FeedPosition {
  const [, seen, until, transaction, writer, seq] =
    text.length > MAX_TEXT ? [] : (TEXT.exec(text) ?? [])
  if (seen !== undefined && isSnapshot(seen)) {
    if (until === undefined) return { seen }
    if (isSnapshot(until) && transaction !== undefined && writer !== undefined && seq !== undefined)
      return { seen, until, last: { transaction, writer, seq } }
  }
  throw new CordonError('INPUT_INVALID', 'the position is not one of ours: give back an event id', {
    problems: [{ file: place, message: 'is no id of an event of this stream' }],
  })
}

/** Everything before a transaction, and nothing from there on. */
export function before(transaction: string): string {
  return `${transaction}:${transaction}:`
}

export function boundsOf(snapshot: string): { readonly xmin: bigint; readonly xmax: bigint } {
  const [xmin = '0', xmax = '0'] = snapshot.split(':')
  return { xmin: BigInt(xmin), xmax: BigInt(xmax) }
}

/** The same snapshot for one who cannot know anything up to a transaction. */
export function raised(snapshot: string, to: bigint): string {
  const { xmax } = boundsOf(snapshot)
  const from = to + 1n
  if (xmax <= from) return before(String(from))
  const running = runningIn(snapshot).filter((id) => id >= from)
  return `${running[0] ?? from}:${xmax}:${running.join(',')}`
}

/** What PostgreSQL accepts: running ones in order, between the bounds. */
function isSnapshot(text: string): boolean {
  const { xmin, xmax } = boundsOf(text)
  const running = runningIn(text)
  return (
    xmin <= xmax &&
    running.every((id, index) => id >= xmin && id < xmax && id > (running[index - 1] ?? 0n))
  )
}

function runningIn(snapshot: string): bigint[] {
  return (snapshot.split(':')[2] ?? '')
    .split(',')
    .filter((id) => id !== '')
    .map(BigInt)
}
