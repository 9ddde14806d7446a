// What was decided and what waits for somebody: filtered lists with keyset pagination, newest first.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { reviewView } from './reviews.ts'
import type { Tables } from './tables.ts'

export interface Page {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
}

export type Filter = Readonly<Record<string, string | number | undefined>>

const DEFAULT_LIMIT = 100

export class Lists {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  async decisions(filter: Filter): Promise<Page> {
    return this.#page('decisions', 'time', 'decision_id', filter, decisionView, [
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
    const outcome = await sql<Record<string, unknown>>`
      select status, bytes_in, bytes_out, duration_ms from outcomes where tenant = ${this.#tenant} and decision_id = ${id} limit 1`.execute(
      this.#db,
    )
    const end = outcome.rows[0]
    return { ...decisionView(rows[0]), outcome: end === undefined ? null : numbers(end) }
  }

  async violations(filter: Filter): Promise<Page> {
    return this.#page('violations', 'last_seen', 'violation_id', filter, violationView, [
      equal('severity', filter['severity']),
      equal('status', filter['status']),
      equal('policy_id', filter['policy']),
      equal('service_id', filter['service']),
      equal('user_department', filter['department']),
      either(['user_id', 'user_name'], filter['user']),
    ])
  }

  async reviews(filter: Filter): Promise<Page> {
    return this.#page('reviews', 'first_seen', 'review_id', filter, reviewView, [
      equal('status', filter['status']),
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
    const { time, id, view } = EXPORTS[table]
    let after: { time: unknown; id: unknown } | undefined
    for (;;) {
      const conditions = [
        sql`tenant = ${this.#tenant}`,
        ...(from === undefined ? [] : [sql`${sql.ref(time)} >= ${from}`]),
        ...(to === undefined ? [] : [sql`${sql.ref(time)} < ${to}`]),
        ...(after === undefined
          ? []
          : [
              sql`(${sql.ref(time)}, ${sql.ref(id)}) > (${after.time}::timestamptz, ${after.id}::uuid)`,
            ]),
      ]
      const { rows } = await sql<Record<string, unknown>>`
        select *, ${sql.ref(time)}::text as cursor_time from ${sql.table(table)} where ${sql.join(conditions, sql` and `)}
        order by ${sql.ref(time)}, ${sql.ref(id)} limit 1000`.execute(this.#db)
      for (const row of rows) yield view(row)
      const last = rows.at(-1)
      if (last === undefined || rows.length < 1000) return
      after = { time: last['cursor_time'], id: last[id] }
    }
  }

  async #page(
    table: 'decisions' | 'violations' | 'reviews',
    time: string,
    id: string,
    filter: Filter,
    view: (row: Record<string, unknown>) => Record<string, unknown>,
    conditions: readonly (RawBuilder<unknown> | undefined)[],
  ): Promise<Page> {
    const limit = Number(filter['limit'] ?? DEFAULT_LIMIT)
    const cursor = readCursor(filter['cursor'])
    const where = [
      sql`tenant = ${this.#tenant}`,
      ...conditions.filter((condition) => condition !== undefined),
      ...(filter['since'] === undefined
        ? []
        : [sql`${sql.ref(time)} >= ${filter['since']}::timestamptz`]),
      ...(filter['until'] === undefined
        ? []
        : [sql`${sql.ref(time)} < ${filter['until']}::timestamptz`]),
      ...(cursor === undefined
        ? []
        : [
            sql`(${sql.ref(time)}, ${sql.ref(id)}) < (${cursor[0]}::timestamptz, ${cursor[1]}::uuid)`,
          ]),
    ]
    const { rows } = await sql<Record<string, unknown>>`
      select *, ${sql.ref(time)}::text as cursor_time from ${sql.table(table)} where ${sql.join(where, sql` and `)}
      order by ${sql.ref(time)} desc, ${sql.ref(id)} desc limit ${limit + 1}`.execute(this.#db)
    const shown = rows.slice(0, limit)
    const last = shown.at(-1)
    const next =
      rows.length > limit && last !== undefined
        ? Buffer.from(JSON.stringify([last['cursor_time'], last[id]])).toString('base64url')
        : null
    return { items: shown.map(({ cursor_time: _time, ...row }) => view(row)), next_cursor: next }
  }
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

function readCursor(cursor: string | number | undefined): [string, string] | undefined {
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
function decisionView(row: Record<string, unknown>): Record<string, unknown> {
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
  }
}

function violationView(row: Record<string, unknown>): Record<string, unknown> {
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

function auditView(row: Record<string, unknown>): Record<string, unknown> {
  const {
    tenant: _tenant,
    record: _record,
    leaf: _leaf,
    personal: _personal,
    seq: _seq,
    writer: _writer,
    cursor_time: _time,
    ...rest
  } = row
  return rest
}

function numbers(row: Record<string, unknown>): Record<string, number> {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Number(value)]))
}

const EXPORTS = {
  decisions: { time: 'time', id: 'decision_id', view: decisionView },
  violations: { time: 'last_seen', id: 'violation_id', view: violationView },
  audit_events: { time: 'time', id: 'event_id', view: auditView },
} as const
