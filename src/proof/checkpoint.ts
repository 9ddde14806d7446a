// What a writer signs about its tree. C2SP tlog-checkpoint: origin, size, root, and lines of ours. Pure.
//
//   cordon/<writer>
//   <size: the number of records, which is the sequence number of the last one>
//   <root, base64>
//   time <RFC 3339>
//   writers <number of roster entries known at that time> <SHA-256 of the last one's note, base64>

import { HASH_BYTES } from './tree.ts'

export interface Checkpoint {
  readonly writer: string
  readonly size: number
  readonly root: Buffer
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly roster: RosterHead
}

/** How far the list of writers reached. */
export interface RosterHead {
  readonly count: number
  /** SHA-256 of the whole note of the last entry. */
  readonly hash: Buffer
}

const FORM =
  /^cordon\/([0-9a-f-]{36})\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\ntime (\S{1,40})\nwriters (0|[1-9]\d{0,9}) ([A-Za-z0-9+/]{43}=)\n$/

/** The text of the note. */
export function checkpointText({ writer, size, root, time, roster }: Checkpoint): string {
  const at = new Date(time).toISOString()
  return `cordon/${writer}\n${size}\n${root.toString('base64')}\ntime ${at}\nwriters ${roster.count} ${roster.hash.toString('base64')}\n`
}

/** What the text of a note says; undefined where it is no checkpoint. */
export function readCheckpoint(text: string): Checkpoint | undefined {
  const [, writer, size, root = '', time = '', count, hash = ''] = FORM.exec(text) ?? []
  if (writer === undefined) return undefined
  const checkpoint = {
    writer,
    size: Number(size),
    root: Buffer.from(root, 'base64'),
    time: Date.parse(time),
    roster: { count: Number(count), hash: Buffer.from(hash, 'base64') },
  }
  return checkpoint.root.length === HASH_BYTES && !Number.isNaN(checkpoint.time)
    ? checkpoint
    : undefined
}
