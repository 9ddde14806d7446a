// The statement of a moment: how far every writer of a data directory had come, to keep elsewhere. Pure.
//
//   cordon ledger
//   <installation>
//   time <RFC 3339>
//   writers <number of entries in the list of writers> <SHA-256 of the last one's note, base64>
//   <writer> <size> <root, base64>
//   ... one line a writer of which something is kept, in the order of their ids

import type { RosterHead } from './checkpoint.ts'
import { HASH_BYTES } from './tree.ts'

export interface Statement {
  readonly installation: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly roster: RosterHead
  readonly writers: readonly {
    readonly writer: string
    readonly size: number
    readonly root: Buffer
  }[]
}

const FORM =
  /^cordon ledger\n([0-9a-f-]{36})\ntime (\S{1,40})\nwriters (0|[1-9]\d{0,9}) ([A-Za-z0-9+/]{43}=)\n((?:[0-9a-f-]{36} (?:0|[1-9]\d{0,15}) [A-Za-z0-9+/]{43}=\n)*)$/

/** The text of the note. */
export function statementText({ installation, time, roster, writers }: Statement): string {
  const lines = writers
    .toSorted((a, b) => (a.writer < b.writer ? -1 : 1))
    .map(({ writer, size, root }) => `${writer} ${size} ${root.toString('base64')}\n`)
  return `cordon ledger\n${installation}\ntime ${new Date(time).toISOString()}\nwriters ${roster.count} ${roster.hash.toString('base64')}\n${lines.join('')}`
}

/** What the text of a note says; undefined where it is no statement. */
export function readStatement(text: string): Statement | undefined {
  const [, installation, at = '', count, hash = '', lines = ''] = FORM.exec(text) ?? []
  const time = Date.parse(at)
  if (installation === undefined || Number.isNaN(time)) return undefined
  const writers = lines
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [writer = '', size, root = ''] = line.split(' ')
      return { writer, size: Number(size), root: Buffer.from(root, 'base64') }
    })
  if (writers.some(({ root }) => root.length !== HASH_BYTES)) return undefined
  return {
    installation,
    time,
    roster: { count: Number(count), hash: Buffer.from(hash, 'base64') },
    writers,
  }
}
