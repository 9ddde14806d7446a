// What a check has found, in the form that people and programs read.

/** Something that is not as it was written: where, and what is wrong with it. */
export interface Damage {
  readonly what: string
  readonly writer?: string
  /** Sequence number of the first bad record. */
  readonly seq?: number
  /** Set where the bad record is one of several, `seq` to `last_seq`, and no more can be told. */
  readonly last_seq?: number
  readonly file?: string
  /** Bytes from the beginning of the file, of a compressed one from the beginning of what is in it. */
  readonly offset?: number
  readonly table?: string
  readonly column?: string
  /** Id of the row, where that is made of several records. */
  readonly row?: string
  /** RFC 3339; that of the record, or of the last good one before it. */
  readonly time?: string
}

/** Records that Cordon itself has told to be missing. */
export interface GapReport {
  readonly reason: string
  readonly records: number
  readonly from: string
  readonly to: string
}

export interface WriterReport {
  readonly writer: string
  /** `ended`: nothing of it is kept any more, the list of writers tells what it was. */
  readonly state: 'intact' | 'damaged' | 'ended'
  readonly records: number
  readonly first_seq: number | null
  readonly last_seq: number | null
  readonly first_time: string | null
  readonly last_time: string | null
  /** The newest signed checkpoint. */
  readonly checkpoint: { readonly size: number; readonly time: string } | null
  /** Records that no checkpoint covers yet. */
  readonly beyond_checkpoint: number
  /** Bytes of a frame that was not written to its end. */
  readonly torn_bytes: number
  /** Records whose personal part was erased. */
  readonly erased: number
  readonly gaps: readonly GapReport[]
}

export type Verdict = 'intact' | 'damaged' | 'unknown'

export interface Report {
  /** `unknown`: nothing is damaged as far as can be seen, but something that was asked for cannot be judged. */
  readonly verdict: Verdict
  /** What was checked. */
  readonly of: string
  readonly installations: readonly {
    readonly installation: string
    readonly keys: readonly string[]
    /** Entries of the list of writers. */
    readonly writers: number
  }[]
  readonly records: number
  readonly writers: readonly WriterReport[]
  /** The first one of each writer, the first of all first. */
  readonly damage: readonly Damage[]
  /** What could not be judged. */
  readonly unjudged: readonly string[]
  /** What has to be known, and is no damage. */
  readonly notes: readonly string[]
}

/** Where something stands, with its time in milliseconds since the epoch: made for each record, told of few. */
export type Place = Omit<Damage, 'what' | 'time'> & { readonly time?: number | undefined }

/** Thrown where something is not as it was written. */
export class Damaged extends Error {
  override readonly name = 'Damaged'
  readonly damage: Damage

  constructor({ time, ...damage }: Place & { readonly what: string }) {
    const text = timeText(time ?? Number.NaN)
    const told = text === undefined ? damage : { ...damage, time: text }
    super(describe(told))
    this.damage = told
  }
}

/** One line for people. */
export function describe({
  what,
  writer,
  seq,
  last_seq: lastSeq,
  file,
  offset,
  table,
  row,
  column,
  time,
}: Damage): string {
  const where = [
    writer === undefined ? undefined : `writer ${writer}`,
    seq === undefined
      ? undefined
      : lastSeq === undefined
        ? `record ${seq}`
        : `one of records ${seq} to ${lastSeq}`,
    table === undefined ? undefined : `table ${table}`,
    row === undefined ? undefined : `row ${row}`,
    column === undefined ? undefined : `column ${column}`,
    file === undefined ? undefined : offset === undefined ? file : `${file} at byte ${offset}`,
    time,
  ].filter((part) => part !== undefined)
  return printable(where.length === 0 ? what : `${where.join(', ')}: ${what}`)
}

/** A text with everything escaped that a terminal would follow instead of showing it. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  )
}

/** RFC 3339 for a time in milliseconds; `undefined` where it is none. */
export function timeText(time: number): string | undefined {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}
