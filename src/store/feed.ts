// Decisions in the order in which they became visible in the store: exactly once each, whoever wrote them and in
// whatever order their transactions ended. docs/decisions/0008-ledger.md, "Following".

import { type Kysely, sql } from 'kysely'
import { shownDecisions } from './decision-view.ts'
import {
  before,
  boundsOf,
  type FeedPlace,
  type FeedPosition,
  positionText,
  raised,
} from './feed-position.ts'
import { type Condition, decisionConditions, type Filter } from './filters.ts'
import type { Tables } from './tables.ts'

/** One decision, and the position behind it. */
export interface FeedItem {
  readonly id: string
  readonly decision: Readonly<Record<string, unknown>>
}

export interface FeedGap {
  /** `expired`: what came between is no longer kept here. `unknown`: the position is of another database. */
  readonly reason: 'expired' | 'unknown'
  readonly asked: string
}

export interface Arrived {
  readonly items: readonly FeedItem[]
  /** Where to go on. */
  readonly position: FeedPosition
  /** There is more already. */
  readonly more: boolean
  /** What cannot be told; then there are no items. */
  readonly gap?: FeedGap
}

/** Of a page: decisions shown, and records looked through for them. */
const PAGE_ITEMS = 200
const PAGE_RECORDS = 5000
const PAGE_BATCHES = 500
const TRIM_ROWS = 10_000
/** Clocks of gateways and store may differ by so much where a time is asked for. */
const CLOCKS_MS = 5 * 60_000

export class DecisionFeed {
  readonly #db: Kysely<Tables>
  readonly #tenant: string
  /** Whether people are shown by pseudonyms. */
  readonly #pseudonymous: () => boolean

  constructor(db: Kysely<Tables>, tenant: string, pseudonymous: () => boolean = () => false) {
    this.#db = db
    this.#tenant = tenant
    this.#pseudonymous = pseudonymous
  }

  /** Throws INPUT_INVALID for a filter that would tell a name where people are shown by pseudonyms. */
  accepts(filter: Filter): void {
    decisionConditions(filter, this.#pseudonymous())
  }

  /** Changes whenever something may have arrived. */
  async sign(): Promise<string> {
    const { rows } = await sql<{ now: string }>`select pg_current_snapshot()::text as now`.execute(
      this.#db,
    )
    return rows[0]?.now ?? ''
  }

  /** Behind all that is there now. */
  async newest(): Promise<FeedPosition> {
    return { seen: await this.sign() }
  }

  /** Before the first decision of that time or later; before all, where what came then is no longer kept. */
  async since(time: Date): Promise<FeedPosition> {
    const from = new Date(time.getTime() - CLOCKS_MS)
    // A transaction takes its number moments after it began: of those around the first one, the least is the first.
    const { rows } = await sql<{ first: string | null; is_kept: boolean }>`
      with began as (select min(at) as at from ledger_batches where tenant = ${this.#tenant} and at >= ${from})
      select (select min(position)::text from ledger_batches, began where tenant = ${this.#tenant}
          and ledger_batches.at >= began.at and ledger_batches.at < began.at + interval '5 minutes') as first,
        exists (select from ledger_batches where tenant = ${this.#tenant} and at < ${from}) as is_kept`.execute(
      this.#db,
    )
    const { first = null, is_kept: isKept = false } = rows[0] ?? {}
    if (!isKept) return { seen: before('1') }
    return first === null ? this.newest() : { seen: before(first) }
  }

  /** The newest decisions, oldest first, and the position behind them: nothing comes twice, and nothing is left out. */
  async last(
    count: number,
    filter: Filter,
  ): Promise<{ readonly decisions: Arrived['items']; readonly position: FeedPosition }> {
    return this.#db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        const { rows: now } = await sql<{
          now: string
        }>`select pg_current_snapshot()::text as now`.execute(transaction)
        const position = { seen: now[0]?.now ?? '' }
        const where = [sql`tenant = ${this.#tenant}`, ...this.#conditions(filter)]
        const { rows } = await sql<Record<string, unknown>>`
          select * from decisions where ${sql.join(where, sql` and `)}
          order by time desc, writer desc, seq desc limit ${count}`.execute(transaction)
        const shown = await this.#shown(transaction, rows.toReversed())
        const id = positionText(position)
        return { decisions: shown.map((decision) => ({ id, decision })), position }
      })
  }

  /** What has arrived behind a position, as much as makes a page. */
  async read(from: FeedPosition, filter: Filter): Promise<Arrived> {
    const now = await this.sign()
    if (boundsOf(from.until ?? from.seen).xmax > boundsOf(now).xmax)
      return { items: [], position: { seen: now }, more: false, gap: gapAt(from, 'unknown') }
    const until = from.until ?? now
    const batches = await this.#batches(from, until)
    // After the batches were read: what is thrown away meanwhile is told.
    const horizon = await this.#horizon()
    if (boundsOf(from.seen).xmin <= horizon) {
      const position = { seen: raised(from.seen, horizon) }
      return { items: [], position, more: true, gap: gapAt(from, 'expired') }
    }
    const wanted = upTo(PAGE_RECORDS, batches)
    const rows = await this.#rows(from.last, wanted, filter)
    const isFull = rows.length === PAGE_ITEMS
    const end = isFull ? placeOf(rows.at(-1), wanted) : endOf(wanted.at(-1))
    const isAtEnd = !isFull && wanted.length === batches.length && batches.length < PAGE_BATCHES
    const shown = await this.#shown(this.#db, rows)
    return {
      items: rows.map((row, index) => ({
        id: positionText({ seen: from.seen, until, ...lastOf(placeOf(row, wanted)) }),
        decision: shown[index] ?? {},
      })),
      position: isAtEnd ? { seen: until } : { seen: from.seen, until, ...lastOf(end) },
      // A position inside of what lay between two snapshots knows nothing of what came after both.
      more: !isAtEnd || until !== now,
    }
  }

  #conditions(filter: Filter): Condition[] {
    const { since } = filter
    return [
      ...decisionConditions(filter, this.#pseudonymous()),
      ...(since === undefined ? [] : [sql`time >= ${since}::timestamptz`]),
    ]
  }

  #shown(db: Kysely<Tables>, rows: readonly Readonly<Record<string, unknown>>[]) {
    return shownDecisions(db, this.#tenant, rows, this.#pseudonymous())
  }

  async #batches(from: FeedPosition, until: string): Promise<BatchRow[]> {
    const { seen, last } = from
    const beyond =
      last === undefined
        ? sql``
        : sql`and (position, writer, last_seq) > (${last.transaction}::xid8, ${last.writer}::uuid, ${last.seq}::bigint)`
    const { rows } = await sql<BatchRow>`
      select position::text as transaction, writer, first_seq, last_seq, time_from, time_to from ledger_batches
      where tenant = ${this.#tenant} and time_from is not null
        and position >= pg_snapshot_xmin(${seen}::pg_snapshot) and position < pg_snapshot_xmax(${until}::pg_snapshot)
        and not pg_visible_in_snapshot(position, ${seen}::pg_snapshot)
        and pg_visible_in_snapshot(position, ${until}::pg_snapshot) ${beyond}
      order by position, writer, first_seq limit ${PAGE_BATCHES}`.execute(this.#db)
    return rows
  }

  async #horizon(): Promise<bigint> {
    const { rows } = await sql<{
      position: string
    }>`select position::text as position from feed_horizons where tenant = ${this.#tenant}`.execute(
      this.#db,
    )
    return BigInt(rows[0]?.position ?? 0)
  }

  /** The decisions of the batches, in their order. */
  async #rows(
    last: FeedPlace | undefined,
    batches: readonly BatchRow[],
    filter: Filter,
  ): Promise<DecisionRow[]> {
    if (batches.length === 0) return []
    const times = batches.flatMap(({ time_from: from, time_to: to }) => [
      from.getTime(),
      to.getTime(),
    ])
    const { rows } = await sql<DecisionRow>`
      select d.*, b.batch from unnest(
        ${batches.map(({ writer }) => writer)}::uuid[],
        ${batches.map((batch) => firstOf(batch, last))}::bigint[],
        ${batches.map(({ last_seq: seq }) => seq)}::bigint[],
        ${batches.map(({ time_from: from }) => from)}::timestamptz[],
        ${batches.map(({ time_to: to }) => to)}::timestamptz[]
      ) with ordinality as b(writer, first_seq, last_seq, time_from, time_to, batch)
      cross join lateral (
        select * from decisions
        where ${sql.join(
          [
            // Known when the query is planned: parts of the series outside are not looked at.
            sql`tenant = ${this.#tenant} and time >= ${new Date(Math.min(...times))} and time <= ${new Date(Math.max(...times))}`,
            sql`time >= b.time_from and time <= b.time_to and decisions.writer = b.writer and seq >= b.first_seq and seq <= b.last_seq`,
            ...this.#conditions(filter),
          ],
          sql` and `,
        )}
      ) d
      order by b.batch, d.seq limit ${PAGE_ITEMS}`.execute(this.#db)
    return rows
  }
}

/**
 * Forgets which transaction brought what before a time, and remembers that it did; how many batches went. Those of
 * transactions that are still to come are of the database that this one was restored from.
 */
export async function trimFeed(db: Kysely<Tables>, olderThan: Date): Promise<number> {
  let trimmed = 0
  for (;;) {
    const { rows } = await sql<{ gone: string }>`
      with gone as (
        delete from ledger_batches where (tenant, position, writer, first_seq) in (
          select tenant, position, writer, first_seq from ledger_batches
          where at < ${olderThan} or position >= pg_snapshot_xmax(pg_current_snapshot()) order by at limit ${TRIM_ROWS})
        returning tenant, position),
      told as (
        insert into feed_horizons (tenant, position)
        select tenant, max(position) from gone where position < pg_snapshot_xmax(pg_current_snapshot()) group by tenant
        on conflict (tenant) do update set position = greatest(feed_horizons.position, excluded.position))
      select count(*) as gone from gone`.execute(db)
    const gone = Number(rows[0]?.gone ?? 0)
    trimmed += gone
    if (gone < TRIM_ROWS) return trimmed
  }
}

interface BatchRow {
  readonly transaction: string
  readonly writer: string
  readonly first_seq: string
  readonly last_seq: string
  readonly time_from: Date
  readonly time_to: Date
}

type DecisionRow = Readonly<Record<string, unknown>> & {
  readonly seq: string
  /** Its place among the batches, from 1. */
  readonly batch: string
}

/** The first batches that hold so many records, at least one. */
function upTo(records: number, batches: readonly BatchRow[]): readonly BatchRow[] {
  let held = 0
  const end = batches.findIndex(({ first_seq: first, last_seq: last }) => {
    held += Number(last) - Number(first) + 1
    return held >= records
  })
  return end === -1 ? batches : batches.slice(0, end + 1)
}

/** Of a batch that was shown in part, the rest. */
function firstOf({ transaction, writer, first_seq: first }: BatchRow, last?: FeedPlace): string {
  return last?.transaction === transaction &&
    last.writer === writer &&
    Number(last.seq) >= Number(first)
    ? String(Number(last.seq) + 1)
    : first
}

function placeOf(
  row: DecisionRow | undefined,
  batches: readonly BatchRow[],
): FeedPlace | undefined {
  const batch = batches[Number(row?.batch) - 1]
  if (row === undefined || batch === undefined) return undefined
  return { transaction: batch.transaction, writer: batch.writer, seq: row.seq }
}

function endOf(batch: BatchRow | undefined): FeedPlace | undefined {
  return batch && { transaction: batch.transaction, writer: batch.writer, seq: batch.last_seq }
}

function lastOf(last: FeedPlace | undefined): { readonly last?: FeedPlace } {
  return last === undefined ? {} : { last }
}

function gapAt(position: FeedPosition, reason: FeedGap['reason']): FeedGap {
  return { reason, asked: positionText(position) }
}
