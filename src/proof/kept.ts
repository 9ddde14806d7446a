// From where on a folder keeps a writer's records: who removes older segments, or moves them, says so first. Pure.
//
//   cordon ledger kept
//   <writer>
//   from <the first sequence number that is kept here>
//   older <removed, or archived: moved to the archive>
//   time <RFC 3339>
//
// A signed note: segments that are gone without one were taken away by somebody else.

export interface Kept {
  readonly writer: string
  /** The first sequence number that is kept. */
  readonly from: number
  readonly older: 'removed' | 'archived'
  /** Milliseconds since the epoch. */
  readonly time: number
}

/** The file of a writer's folder that holds the newest note. */
export const KEPT_FILE = 'kept'

const FORM =
  /^cordon ledger kept\n([0-9a-f-]{36})\nfrom ([1-9]\d{0,15})\nolder (removed|archived)\ntime (\S{1,40})\n$/

/** The text of the note. */
export function keptText({ writer, from, older, time }: Kept): string {
  return `cordon ledger kept\n${writer}\nfrom ${from}\nolder ${older}\ntime ${new Date(time).toISOString()}\n`
}

/** What the text of a note says; undefined where it is none. */
export function readKept(text: string): Kept | undefined {
  const [, writer, from, older, at = ''] = FORM.exec(text) ?? []
  const time = Date.parse(at)
  if (writer === undefined || Number.isNaN(time)) return undefined
  return { writer, from: Number(from), older: older === 'archived' ? older : 'removed', time }
}
