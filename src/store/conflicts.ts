// Conflicts between policies as rows: each once for the texts that it was found in, resolved until one of them changes.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import {
  type Conflict,
  type ConflictReport,
  type ConflictType,
  type Evidence,
} from '../model/conflict.ts'
import { SEVERITIES, type Severity } from '../model/decision.ts'
import type { Tables } from './tables.ts'

/** Ones that are gone are shown when they are asked for. */
export const CONFLICT_STATUSES = ['open', 'resolved', 'gone'] as const
export type ConflictStatus = (typeof CONFLICT_STATUSES)[number]

export interface ConflictRow extends Conflict {
  readonly conflict_id: string
  readonly status: ConflictStatus
  readonly resolved: boolean
  readonly resolution_notes: string | null
  readonly resolved_by: string | null
  readonly resolved_at: Date | null
  readonly detected_at: Date
  readonly last_seen: Date
}

export interface ConflictFilter {
  readonly status?: ConflictStatus
  readonly type?: ConflictType
  readonly severity?: Severity
  readonly evidence?: Evidence
  /** Either of the two. */
  readonly policy?: string
  readonly limit?: number
  readonly cursor?: string
}

/** What the last look over everything in force was like. */
export type LastScan = Omit<ConflictReport, 'conflicts'> & { readonly scanned_at: Date }

const DEFAULT_LIMIT = 100
/** Rows of one statement. */
const BATCH = 200
/** How long one that is gone is kept. */
const GONE_FOR = '90 days'
const RANK = sql.raw(
  `array_position(array[${SEVERITIES.map((each) => `'${each}'`).join()}], severity)`,
)
const COLUMNS = sql.raw(
  `conflict_id, conflict_type, policy_a_id, policy_b_id, severity, evidence, conflict_details->>'says' as says,
   conflict_details->>'together_with' as together_with, witness,
   fingerprint, present, resolved, resolution_notes, resolved_by, resolved_at, detected_at, last_seen`,
)

export class StoredConflicts {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  /**
   * Keeps what was found. `whole`: of all policies in force, so that what it does not hold is gone; else of what may be in
   * force soon, which takes nothing away.
   */
  async keep(report: ConflictReport, whole: boolean): Promise<void> {
    const { conflicts, ...scan } = report
    const began = await sql<{ now: string }>`select clock_timestamp()::text as now`.execute(
      this.#db,
    )
    const since = began.rows[0]?.now ?? ''
    // Each batch by itself: they may be many, and others want the store meanwhile.
    for (let from = 0; from < conflicts.length; from += BATCH) {
      const rows = conflicts.slice(from, from + BATCH).map((conflict) => this.#values(conflict))
      await sql`
        insert into policy_conflicts (tenant, conflict_type, policy_a_id, policy_b_id, severity, evidence, conflict_details,
          witness, fingerprint)
        values ${sql.join(rows)}
        on conflict (tenant, conflict_type, policy_a_id, policy_b_id, fingerprint) do update set
          severity = excluded.severity, evidence = excluded.evidence, conflict_details = excluded.conflict_details,
          witness = excluded.witness, present = true, last_seen = clock_timestamp()`.execute(
        this.#db,
      )
    }
    if (whole) await this.#endScan(scan, since)
  }

  /** What this look did not find is gone. */
  async #endScan(scan: Omit<ConflictReport, 'conflicts'>, since: string): Promise<void> {
    await this.#db.transaction().execute(async (transaction) => {
      await sql`
        update policy_conflicts set present = false
        where tenant = ${this.#tenant} and present and last_seen < ${since}::timestamptz`.execute(
        transaction,
      )
      await sql`
        delete from policy_conflicts where tenant = ${this.#tenant} and not present
          and (not resolved or last_seen < now() - ${GONE_FOR}::interval)`.execute(transaction)
      await sql`
        insert into policy_conflict_scans (tenant, report) values (${this.#tenant}, ${JSON.stringify(scan)})
        on conflict (tenant) do update set report = excluded.report, scanned_at = now()`.execute(
        transaction,
      )
    })
  }

  /** Undefined: nobody has looked yet. */
  async lastScan(): Promise<LastScan | undefined> {
    const { rows } = await sql<{ scanned_at: Date; report: string }>`
      select scanned_at, report from policy_conflict_scans where tenant = ${this.#tenant}`.execute(
      this.#db,
    )
    const [row] = rows
    return row === undefined ? undefined : { ...scanOf(row.report), scanned_at: row.scanned_at }
  }

  /** The gravest first. Throws INPUT_INVALID for a cursor of another list. */
  async list(
    filter: ConflictFilter,
  ): Promise<{ readonly items: readonly ConflictRow[]; readonly next_cursor: string | null }> {
    const { limit = DEFAULT_LIMIT, cursor } = filter
    const after = cursor === undefined ? sql`` : sql`and ${afterCursor(cursor)}`
    const { rows } = await sql<Row>`
      select ${COLUMNS}, ${RANK} as rank from policy_conflicts
      where tenant = ${this.#tenant} and ${sql.join(conditionsOf(filter), sql` and `)} ${after}
      order by ${RANK} desc, conflict_id limit ${limit + 1}`.execute(this.#db)
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return {
      items: items.map(rowOf),
      next_cursor: rows.length > limit && last !== undefined ? cursorOf(last) : null,
    }
  }

  async find(id: string): Promise<ConflictRow | undefined> {
    const { rows } = await sql<Row>`
      select ${COLUMNS} from policy_conflicts where tenant = ${this.#tenant} and conflict_id = ${id}`.execute(
      this.#db,
    )
    return rows[0] === undefined ? undefined : rowOf(rows[0])
  }

  /**
   * Undefined where there is none; CONFLICT where somebody has resolved it before. `keep` keeps the record of it: where that
   * fails nothing is resolved.
   */
  async resolve(
    id: string,
    notes: string,
    by: string,
    keep: (row: ConflictRow) => Promise<void>,
  ): Promise<ConflictRow | undefined> {
    const resolved = await this.#db.transaction().execute(async (transaction) => {
      const { rows } = await sql<Row>`
        update policy_conflicts set resolved = true, resolution_notes = ${notes}, resolved_by = ${by}, resolved_at = now()
        where tenant = ${this.#tenant} and conflict_id = ${id} and not resolved returning ${COLUMNS}`.execute(
        transaction,
      )
      const row = rows[0] === undefined ? undefined : rowOf(rows[0])
      if (row !== undefined) await keep(row)
      return row
    })
    if (resolved !== undefined) return resolved
    const known = await this.find(id)
    if (known === undefined) return undefined
    throw new CordonError(
      'CONFLICT',
      `the conflict is resolved already, by ${known.resolved_by ?? 'somebody'}`,
    )
  }

  /** Which of these fingerprints somebody has resolved. */
  async resolved(fingerprints: readonly string[]): Promise<ReadonlySet<string>> {
    const { rows } = await sql<{ fingerprint: string }>`
      select fingerprint from policy_conflicts
      where tenant = ${this.#tenant} and resolved and fingerprint = any(${fingerprints}::text[])`.execute(
      this.#db,
    )
    return new Set(rows.map(({ fingerprint }) => fingerprint))
  }

  #values(conflict: Conflict): RawBuilder<unknown> {
    const { type, policy_a_id: a, policy_b_id: b, severity, evidence, witness } = conflict
    const { says, together_with } = conflict
    const details = JSON.stringify({ says, together_with })
    return sql`(${this.#tenant}, ${type}, ${a}, ${b ?? ''}, ${severity}, ${evidence}, ${details}::jsonb,
      ${witness === null ? null : JSON.stringify(witness)}, ${conflict.fingerprint})`
  }
}

/** Looks of a former release do not tell what they left out. */
function scanOf(report: string): Omit<LastScan, 'scanned_at'> {
  const scan = JSON.parse(report) as Omit<LastScan, 'scanned_at' | 'left_out'> & {
    readonly left_out?: number
  }
  return { ...scan, left_out: scan.left_out ?? 0 }
}

interface Row {
  readonly conflict_id: string
  readonly conflict_type: ConflictType
  readonly policy_a_id: string
  readonly policy_b_id: string
  readonly severity: Severity
  readonly evidence: Evidence
  readonly says: string
  /** JSON; rows of former releases have none. */
  readonly together_with: string | null
  readonly witness: string | null
  readonly fingerprint: string
  readonly present: boolean
  readonly resolved: boolean
  readonly resolution_notes: string | null
  readonly resolved_by: string | null
  readonly resolved_at: Date | null
  readonly detected_at: Date
  readonly last_seen: Date
  readonly rank?: number
}

function rowOf(row: Row): ConflictRow {
  const { conflict_type: type, policy_b_id: b, witness, present, rank: _rank, ...rest } = row
  return {
    ...rest,
    type,
    policy_b_id: b === '' ? null : b,
    together_with: JSON.parse(row.together_with ?? '[]') as readonly string[],
    witness: witness === null ? null : (JSON.parse(witness) as Readonly<Record<string, unknown>>),
    status: present ? (row.resolved ? 'resolved' : 'open') : 'gone',
  }
}

function conditionsOf(filter: ConflictFilter): RawBuilder<unknown>[] {
  const { status, type, severity, evidence, policy } = filter
  return [
    status === 'gone' ? sql`not present` : sql`present`,
    ...(status === 'open' ? [sql`not resolved`] : []),
    ...(status === 'resolved' ? [sql`resolved`] : []),
    ...(type === undefined ? [] : [sql`conflict_type = ${type}`]),
    ...(severity === undefined ? [] : [sql`severity = ${severity}`]),
    ...(evidence === undefined ? [] : [sql`evidence = ${evidence}`]),
    ...(policy === undefined
      ? []
      : [
          sql`(policy_a_id = ${policy} or policy_b_id = ${policy} or conflict_details->'together_with' @> to_jsonb(${policy}::text))`,
        ]),
  ]
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function cursorOf({ rank = 0, conflict_id: id }: Row): string {
  return Buffer.from(`${rank} ${id}`).toString('base64url')
}

function afterCursor(cursor: string): RawBuilder<unknown> {
  const [rank = '', id = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ')
  if (!/^[1-4]$/.test(rank) || !UUID.test(id))
    throw new CordonError('INPUT_INVALID', 'the cursor is not one of this list')
  return sql`(${RANK} < ${Number(rank)} or (${RANK} = ${Number(rank)} and conflict_id > ${id}::uuid))`
}
