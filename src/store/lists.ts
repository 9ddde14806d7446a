// What was decided, violated, reviewed and administered: filtered lists with keyset pagination, newest first.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { shownDecisions } from './decision-view.ts'
import { exceptionView, peopleOf } from './exceptions.ts'
import {
  auditConditions,
  type Condition,
  decisionConditions,
  exceptionConditions,
  type Filter,
  looksThrough,
  reviewConditions,
  violationConditions,
} from './filters.ts'
import { reviewPeople, reviewView } from './reviews.ts'
import { shownActors, shownPerson } from './shown-people.ts'
import type { Tables } from './tables.ts'
import { userNames } from './user-names.ts'

export interface Page {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
}

const DEFAULT_LIMIT = 100
const EXPORT_ROWS = 1000
/** A page that rows have to be looked through for goes back in time by steps, and ends after so long with what it has. */
const PAGE_MS = 5000
const FIRST_STEP_MS = 24 * 3_600_000
const QUICK_MS = 500
const STEP_GROWS = 2

export class Lists {
  readonly #db: Kysely<Tables>
  readonly #tenant: string
  /** Whether people are shown by pseudonyms. */
  readonly #pseudonymous: () => boolean

  constructor(db: Kysely<Tables>, tenant: string, pseudonymous: () => boolean = () => false) {
    this.#db = db
    this.#tenant = tenant
    this.#pseudonymous = pseudonymous
  }

  /**
   * A page may hold fewer than its limit and still have a next one: rows that no index finds are looked through for
   * five seconds at most.
   */
  async decisions(filter: Filter): Promise<Page> {
    const conditions = decisionConditions(filter, this.#pseudonymous())
    if (!looksThrough(filter)) return this.#page('decisions', filter, conditions)
    return this.#stepwise('decisions', filter, conditions)
  }

  async decision(id: string): Promise<Row | undefined> {
    const { rows } = await sql<Row>`
      select * from decisions where tenant = ${this.#tenant} and decision_id = ${id} limit 1`.execute(
      this.#db,
    )
    const [shown] = await this.#shown('decisions', rows)
    if (shown === undefined) return undefined
    const { status, bytes_in, bytes_out, duration_ms } = shown
    return {
      ...shown,
      outcome: status === null ? null : { status, bytes_in, bytes_out, duration_ms },
    }
  }

  async violations(filter: Filter): Promise<Page> {
    return this.#page('violations', filter, violationConditions(filter, this.#pseudonymous()))
  }

  async reviews(filter: Filter): Promise<Page> {
    return this.#page('reviews', filter, reviewConditions(filter, this.#pseudonymous()))
  }

  async exceptions(filter: Filter): Promise<Page> {
    return this.#page('exceptions', filter, exceptionConditions(filter, this.#pseudonymous()))
  }

  async auditEvents(filter: Filter): Promise<Page> {
    return this.#page('audit_events', filter, auditConditions(filter, this.#pseudonymous()))
  }

  /** Rows in the order of time, oldest first, without an end: for exports. `more`: what goes with the view of a row. */
  async *all(
    table: 'decisions' | 'violations' | 'audit_events',
    from: Date | undefined,
    to: Date | undefined,
    more: (row: Row) => Row = () => NOTHING,
  ): AsyncGenerator<Row> {
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
      const shown = await this.#shown(table, rows.map(withoutCursor))
      for (const [index, view] of shown.entries())
        yield { ...view, ...more(rows[index] ?? NOTHING) }
      const end = rows.at(-1)
      if (end === undefined || rows.length < EXPORT_ROWS) return
      after = [String(end['cursor_time']), String(end[id])]
    }
  }

  /** Rows as they are shown, in their order. */
  async #shown(table: Shown, rows: readonly Row[]): Promise<Row[]> {
    const pseudonymous = this.#pseudonymous()
    switch (table) {
      case 'decisions':
        return shownDecisions(this.#db, this.#tenant, rows, pseudonymous)
      case 'violations':
        return rows.map((row) => violationView(shownPerson(row, pseudonymous)))
      case 'reviews': {
        const names = await this.#names(rows.flatMap(reviewPeople))
        return rows.map((row) => reviewView(row, names, pseudonymous))
      }
      case 'exceptions': {
        const names = await this.#names(rows.flatMap(peopleOf))
        return rows.map((row) => exceptionView(row, names, pseudonymous))
      }
      case 'audit_events':
        return rows.map((row) => auditView(shownActors(row, pseudonymous)))
    }
  }

  #names(ids: readonly unknown[]): Promise<ReadonlyMap<unknown, string>> {
    return userNames(this.#db, this.#tenant, ids)
  }

  async #page(table: Shown, filter: Filter, conditions: readonly Condition[]): Promise<Page> {
    const { time, last, id } = SHOWN[table]
    const limit = Number(filter['limit'] ?? DEFAULT_LIMIT)
    const cursor = readCursor(filter['cursor'])
    const isUp = filter['order'] === 'oldest'
    const rows = await this.#rows(
      table,
      limit + 1,
      [
        ...conditions,
        ...between(last, time, filter['since'], filter['until']),
        ...(cursor === undefined ? [] : [beyond(time, id, isUp ? '>' : '<', cursor)]),
      ],
      isUp,
    )
    return this.#pageOf(table, rows, limit)
  }

  /** Back in time by steps that grow while they are quick: what is found early is not waited for. */
  async #stepwise(
    table: 'decisions',
    filter: Filter,
    conditions: readonly Condition[],
  ): Promise<Page> {
    const limit = Number(filter['limit'] ?? DEFAULT_LIMIT)
    const cursor = readCursor(filter['cursor'])
    const { oldest, newest } = await this.#reach(filter['since'], filter['until'])
    const started = performance.now()
    const found: Row[] = []
    let before = cursor === undefined ? newest : Date.parse(cursor[0]) + 1
    let step = FIRST_STEP_MS
    while (before > oldest && found.length <= limit) {
      const asked = performance.now()
      if (asked - started > PAGE_MS) {
        const shown = await this.#shown(table, found.map(withoutCursor))
        return { items: shown, next_cursor: cursorText([new Date(before).toISOString(), LEAST_ID]) }
      }
      const from = Math.max(oldest, before - step)
      const rows = await this.#rows(table, limit + 1 - found.length, [
        ...conditions,
        ...between('time', 'time', new Date(from), new Date(before)),
        ...(cursor === undefined ? [] : [beyond('time', 'decision_id', '<', cursor)]),
      ])
      found.push(...rows)
      before = from
      if (performance.now() - asked < QUICK_MS) step *= STEP_GROWS
    }
    return this.#pageOf(table, found, limit)
  }

  /** The times that decisions can lie in, in milliseconds; `newest` is behind the last one. */
  async #reach(
    since: string | number | undefined,
    until: string | number | undefined,
  ): Promise<{ readonly oldest: number; readonly newest: number }> {
    const { rows } = await sql<{ oldest: Date | null; newest: Date | null }>`
      select (select min(time) from decisions where tenant = ${this.#tenant}) as oldest,
        (select max(time) from decisions where tenant = ${this.#tenant}) as newest`.execute(
      this.#db,
    )
    const [first] = rows
    if (!(first?.oldest instanceof Date && first.newest instanceof Date))
      return { oldest: 0, newest: 0 }
    const [oldest, newest] = [first.oldest.getTime(), first.newest.getTime() + 1]
    return {
      oldest: since === undefined ? oldest : Math.max(oldest, Date.parse(String(since))),
      newest: until === undefined ? newest : Math.min(newest, Date.parse(String(until))),
    }
  }

  /** `isUp`: the oldest first. */
  async #rows(
    table: Shown,
    limit: number,
    conditions: readonly Condition[],
    isUp = false,
  ): Promise<Row[]> {
    const { time, id } = SHOWN[table]
    const where = [sql`tenant = ${this.#tenant}`, ...conditions]
    const way = sql.raw(isUp ? 'asc' : 'desc')
    const { rows } = await sql<Row>`
      select *, ${exact(time)} as cursor_time from ${sql.table(table)} where ${sql.join(where, sql` and `)}
      order by ${sql.ref(time)} ${way}, ${sql.ref(id)} ${way} limit ${limit}`.execute(this.#db)
    return rows
  }

  /** One row more than the limit tells that there is a next page. */
  async #pageOf(table: Shown, rows: readonly Row[], limit: number): Promise<Page> {
    const { id } = SHOWN[table]
    const shown = rows.slice(0, limit)
    const end = shown.at(-1)
    const next =
      rows.length > limit && end !== undefined
        ? cursorText([String(end['cursor_time']), String(end[id])])
        : null
    return { items: await this.#shown(table, shown.map(withoutCursor)), next_cursor: next }
  }
}

type Row = Readonly<Record<string, unknown>>
type Shown = keyof typeof SHOWN
const NOTHING: Row = {}

/** Time and id of the row that a page ended with. */
type Cursor = readonly [string, string]
/** Before every row of its time. */
const LEAST_ID = '00000000-0000-0000-0000-000000000000'

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

function cursorText(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url')
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
  violations: { time: 'first_seen', last: 'last_seen', id: 'violation_id' },
  audit_events: { time: 'time', last: 'time', id: 'event_id' },
  reviews: { time: 'first_seen', last: 'last_seen', id: 'review_id' },
  exceptions: { time: 'requested_at', last: 'requested_at', id: 'exception_id' },
} as const
