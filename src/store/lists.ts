// What was decided and what waits for somebody: filtered lists with keyset pagination, newest first.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { type End, endsOf, NO_END } from './ends.ts'
import { reviewView } from './reviews.ts'
import type { Tables } from './tables.ts'

export interface Page {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
}

export type Filter = Readonly<Record<string, string | number | undefined>>

const DEFAULT_LIMIT = 100
const EXPORT_ROWS = 1000

export class Lists {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  async decisions(filter: Filter): Promise<Page> {
    return this.#page('decisions', filter, [
      equal('decision', filter['decision']),
      equal('source', filter['source']),
      equal('primary_policy_id', filter['policy']),
      equal('user_department', filter['department']),
      either(['resource_id', 'resource_host'], filter['service']),
      either(['user_id', 'user_name', 'user_email'], filter['user']),
    ])
  }

  async decision(id: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { rows } = await sql<
      Record<string, unknown>
    >`select * from decisions where tenant = ${this.#tenant} and decision_id = ${id} limit 1`.execute(
      this.#db,
    )
    if (rows[0] === undefined) return undefined
    const end = (await endsOf(this.#db, this.#tenant, rows)).get(id)
    const { status, bytes_in, bytes_out, duration_ms } = end ?? NO_END
    return {
      ...decisionView(rows[0], end),
      outcome: end === undefined ? null : { status, bytes_in, bytes_out, duration_ms },
    }
  }

  /** Rows as lists show them; decisions with how their requests ended. */
  async #shown(table: Shown, rows: readonly Row[]): Promise<Row[]> {
    if (table !== 'decisions') return rows.map((row) => SHOWN[table].view(row))
    const ends = await endsOf(this.#db, this.#tenant, rows)
    return rows.map((row) => decisionView(row, ends.get(row['decision_id'])))
  }

  async violations(filter: Filter): Promise<Page> {
    return this.#page('violations', filter, [
      equal('severity', filter['severity']),
      equal('status', filter['status']),
      equal('policy_id', filter['policy']),
      equal('service_id', filter['service']),
      equal('user_department', filter['department']),
      either(['user_id', 'user_name'], filter['user']),
    ])
  }

  async reviews(filter: Filter): Promise<Page> {
    return this.#page('reviews', filter, [
      reviewStatus(filter['status']),
      equal('policy_id', filter['policy']),
      equal('service_id', filter['service']),
      equal('person', filter['user']),
    ])
  }

  /** Rows in the order of time, oldest first, without an end: for exports. */
  async *all(
    table: 'decisions' | 'violations' | 'audit_events',
    from: Date | undefined,
    to: Date | undefined,
  ): AsyncGenerator<Readonly<Record<string, unknown>>> {
    const { time, last, id } = SHOWN[table]
    let after: Cursor | undefined
    for (;;) {
      const where = [
        sql`tenant = ${this.#tenant}`,
        ...between(last, time, from, to),
        ...(after === undefined ? [] : [beyond(time, id, '>', after)]),
      ]
      const { rows } = await sql<Record<string, unknown>>`
        select *, ${exact(time)} as cursor_time from ${sql.table(table)} where ${sql.join(where, sql` and `)}
        order by ${sql.ref(time)}, ${sql.ref(id)} limit ${EXPORT_ROWS}`.execute(this.#db)
      yield* await this.#shown(table, rows.map(withoutCursor))
      const end = rows.at(-1)
      if (end === undefined || rows.length < EXPORT_ROWS) return
      after = [String(end['cursor_time']), String(end[id])]
    }
  }

  async #page(
    table: 'decisions' | 'violations' | 'reviews',
    filter: Filter,
    conditions: readonly (RawBuilder<unknown> | undefined)[],
  ): Promise<Page> {
    const { time, last, id } = SHOWN[table]
    const limit = Number(filter['limit'] ?? DEFAULT_LIMIT)
    const cursor = readCursor(filter['cursor'])
    const where = [
      sql`tenant = ${this.#tenant}`,
      ...conditions.filter((condition) => condition !== undefined),
      ...between(last, time, filter['since'], filter['until']),
      ...(cursor === undefined ? [] : [beyond(time, id, '<', cursor)]),
    ]
    const { rows } = await sql<Record<string, unknown>>`
      select *, ${exact(time)} as cursor_time from ${sql.table(table)} where ${sql.join(where, sql` and `)}
      order by ${sql.ref(time)} desc, ${sql.ref(id)} desc limit ${limit + 1}`.execute(this.#db)
    const shown = rows.slice(0, limit)
    const end = shown.at(-1)
    const next =
      rows.length > limit && end !== undefined
        ? Buffer.from(JSON.stringify([end['cursor_time'], end[id]])).toString('base64url')
        : null
    return { items: await this.#shown(table, shown.map(withoutCursor)), next_cursor: next }
  }
}

type Row = Readonly<Record<string, unknown>>
type Shown = keyof typeof SHOWN

/** Time and id of the row that a page ended with. */
type Cursor = readonly [string, string]

/** To the microsecond, whatever the time zone and date style of the session. */
function exact(time: string): RawBuilder<unknown> {
  return sql`to_char(${sql.ref(time)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

function beyond(time: string, id: string, sign: '<' | '>', [at, row]: Cursor): RawBuilder<unknown> {
  return sql`(${sql.ref(time)}, ${sql.ref(id)}) ${sql.raw(sign)} (${at}::timestamptz, ${row}::uuid)`
}

/** What lasts for a while is in a range that it overlaps. */
function between(
  last: string,
  first: string,
  since: unknown,
  until: unknown,
): RawBuilder<unknown>[] {
  return [
    ...(since === undefined ? [] : [sql`${sql.ref(last)} >= ${since}::timestamptz`]),
    ...(until === undefined ? [] : [sql`${sql.ref(first)} < ${until}::timestamptz`]),
  ]
}

function equal(
  column: string,
  value: string | number | undefined,
): RawBuilder<unknown> | undefined {
  return value === undefined ? undefined : sql`${sql.ref(column)} = ${value}`
}

function either(
  columns: readonly string[],
  value: string | number | undefined,
): RawBuilder<unknown> | undefined {
  if (value === undefined) return undefined
  return sql`(${sql.join(
    columns.map((column) => sql`lower(${sql.ref(column)}) = lower(${value})`),
    sql` or `,
  )})`
}

/** An approval that has run out is neither approved nor anything else any more. */
function reviewStatus(status: string | number | undefined): RawBuilder<unknown> | undefined {
  if (status === 'expired') return sql`status = 'approved' and valid_until <= now()`
  if (status === 'approved') return sql`status = 'approved' and valid_until > now()`
  return equal('status', status)
}

function readCursor(cursor: string | number | undefined): Cursor | undefined {
  if (cursor === undefined) return undefined
  try {
    const [time, id] = JSON.parse(
      Buffer.from(String(cursor), 'base64url').toString('utf8'),
    ) as unknown[]
    if (
      typeof time === 'string' &&
      typeof id === 'string' &&
      /^[0-9a-f-]{36}$/.test(id) &&
      !Number.isNaN(Date.parse(time))
    )
      return [time, id]
  } catch {
    // Told below, as any cursor that is not ours.
  }
  throw new CordonError('INPUT_INVALID', 'the cursor is not one of ours', {
    problems: [{ file: '/querystring/cursor', message: 'is not valid' }],
  })
}

/** A decision as lists and exports show it. */
function decisionView(row: Row, end: End = NO_END): Row {
  return {
    decision_id: row['decision_id'],
    request_id: row['request_id'],
    time: row['time'],
    decision: row['decision'],
    reason: row['reason'],
    source: row['source'],
    action: row['action'],
    user: {
      id: row['user_id'],
      name: row['user_name'],
      email: row['user_email'],
      department: row['user_department'],
      known: row['user_known'],
    },
    resource: {
      id: row['resource_id'],
      name: row['resource_name'],
      host: row['resource_host'],
      path: row['resource_path'],
      known: row['resource_known'],
      ai: row['resource_ai'],
      category: row['resource_category'],
      model: row['resource_model'],
      approval_status: row['approval_status'],
    },
    primary_policy_id: row['primary_policy_id'],
    mode: row['mode'],
    findings: row['findings'],
    would_be: row['would_be'],
    obligations: row['obligations'],
    policies_evaluated: row['policies_evaluated'],
    review_id: row['review_id'],
    confidence: row['confidence'],
    risk_score: row['risk_score'],
    ip_address: row['ip_address'],
    revision: row['revision'],
    evaluation_us: row['evaluation_us'],
    ...end,
  }
}

function violationView(row: Row): Row {
  return {
    violation_id: row['violation_id'],
    status: row['status'],
    severity: row['severity'],
    violation_type: row['violation_type'],
    policy_id: row['policy_id'] === '' ? null : row['policy_id'],
    policy_name: row['policy_name'],
    service_id: row['service_id'],
    resource_name: row['resource_name'],
    user: { id: row['user_id'], name: row['user_name'], department: row['user_department'] },
    count: Number(row['count']),
    first_seen: row['first_seen'],
    last_seen: row['last_seen'],
    last_decision_id: row['last_decision_id'],
  }
}

function auditView(row: Row): Row {
  const {
    tenant: _tenant,
    record: _record,
    leaf: _leaf,
    personal: _personal,
    seq: _seq,
    writer: _writer,
    ...rest
  } = row
  return rest
}

function withoutCursor({ cursor_time: _time, ...row }: Row): Row {
  return row
}

/**
 * The times of a row and its id. Lists are in the order of a time that does not change while somebody turns
 * pages: a violation that is seen again stays where it is.
 */
const SHOWN = {
  decisions: { time: 'time', last: 'time', id: 'decision_id' },
  violations: { time: 'first_seen', last: 'last_seen', id: 'violation_id', view: violationView },
  audit_events: { time: 'time', last: 'time', id: 'event_id', view: auditView },
  reviews: { time: 'first_seen', last: 'last_seen', id: 'review_id', view: reviewView },
} as const
