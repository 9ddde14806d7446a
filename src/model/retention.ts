// What the ledger says before rows leave the store because of their age.

/** The audit event; it stays as long as the ledger, because it explains what is missing. */
export const RETENTION_APPLIED = 'retention_applied'

/** Its data: rows of a table from before a time (RFC 3339). */
export interface RetentionApplied {
  readonly table: string
  readonly before: string
  readonly rows: number
  /** Of rows that are or come from records: how many of each writer go, none of them beyond that number. */
  readonly writers: readonly {
    readonly writer: string
    readonly up_to_seq: number
    readonly rows: number
    /** SHA-256, hex, of which numbers these are (src/store/gone-numbers.ts). Absent where a former release told it. */
    readonly numbers?: string
  }[]
}
