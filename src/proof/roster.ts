// The signed list of writers: entries that each name the one before them, so that a missing writer shows. Pure.
//
//   cordon ledger writers
//   <installation>
//   <number of the entry, from 1>
//   <SHA-256 of the whole note of the entry before it, base64; 32 zero bytes for the first>
//   time <RFC 3339>
//   begun <writer>
// or
//   ended <writer> <size> <root, base64>

import { createHash } from 'node:crypto'
import type { RosterHead } from './checkpoint.ts'
import { HASH_BYTES } from './tree.ts'

export type RosterEntry = {
  /** UUID of the data directory that the writers belong to. */
  readonly installation: string
  readonly number: number
  readonly previous: Buffer
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly writer: string
} & (
  | { readonly event: 'begun' }
  /** Nothing of it is kept any more: this is what its tree was. */
  | { readonly event: 'ended'; readonly size: number; readonly root: Buffer }
)

export const NO_ENTRY: RosterHead = { count: 0, hash: Buffer.alloc(HASH_BYTES) }

const FORM =
  /^cordon ledger writers\n([0-9a-f-]{36})\n([1-9]\d{0,9})\n([A-Za-z0-9+/]{43}=)\ntime (\S{1,40})\n(?:begun ([0-9a-f-]{36})|ended ([0-9a-f-]{36}) (0|[1-9]\d{0,15}) ([A-Za-z0-9+/]{43}=))\n$/

/** The text of the note. */
export function rosterText(entry: RosterEntry): string {
  const { installation, number, previous, time, writer } = entry
  const what =
    entry.event === 'begun'
      ? `begun ${writer}`
      : `ended ${writer} ${entry.size} ${entry.root.toString('base64')}`
  return `cordon ledger writers\n${installation}\n${number}\n${previous.toString('base64')}\ntime ${new Date(time).toISOString()}\n${what}\n`
}

/** What the text of a note says; undefined where it is no entry. */
export function readRosterEntry(text: string): RosterEntry | undefined {
  const [, installation, number, previous = '', at = '', begun, ended, size, root = ''] =
    FORM.exec(text) ?? []
  const time = Date.parse(at)
  if (installation === undefined || Number.isNaN(time)) return undefined
  const head = {
    installation,
    number: Number(number),
    previous: Buffer.from(previous, 'base64'),
    time,
  }
  if (begun !== undefined) return { ...head, event: 'begun', writer: begun }
  if (ended === undefined) return undefined
  return {
    ...head,
    event: 'ended',
    writer: ended,
    size: Number(size),
    root: Buffer.from(root, 'base64'),
  }
}

/** What the next entry and every checkpoint name. */
export function rosterHead(number: number, note: string): RosterHead {
  return { count: number, hash: createHash('sha256').update(note).digest() }
}
