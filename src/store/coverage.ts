// How much was seen of what goes to AI services, who uses those that nobody knows, and where interception fails.
//
// All three are bounded by a range of time first, and by rows.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { pseudonymOf } from '../model/person.ts'
import { VISIBILITIES, type Visibility } from '../model/record.ts'
import type { Tables } from './tables.ts'

export const COVERAGE_BY = ['reason', 'department', 'service'] as const
export type CoverageBy = (typeof COVERAGE_BY)[number]

export interface Range {
  /** RFC 3339; by default a week before `to`. */
  readonly from?: string
  /** RFC 3339, exclusive; by default now. */
  readonly to?: string
}

export type CoverageQuery = Range & { readonly by?: CoverageBy }
export type ListQuery = Range & { readonly limit?: number }

export type Shares = Readonly<Record<Visibility, number | null>>

export interface CoverageItem {
  /** A reason, department or service; null where there is none. */
  readonly name: string | null
  /** Of a reason: what was seen nevertheless. */
  readonly visibility: Visibility | null
  readonly requests: number
  readonly bytes: number
  /** Of all bytes; null where there are none. */
  readonly share: number | null
  /** Its own bytes by what was seen of them. */
  readonly seen: Shares
}

export interface CoverageReport {
  readonly from: string
  readonly to: string
  readonly requests: number
  readonly bytes: number
  readonly seen: Shares
  readonly by: CoverageBy
  /** Most bytes first. */
  readonly items: readonly CoverageItem[]
  /** How many there are; `items` holds the first of them. */
  readonly total: number
}

export interface ShadowHost {
  readonly host: string
  readonly first_seen: Date
  readonly last_seen: Date
  readonly people: number
  readonly requests: number
  readonly bytes: number
  readonly bytes_in: number
  readonly bytes_out: number
  readonly formats: readonly string[]
  readonly departments: readonly string[]
}

export interface FailingHost {
  readonly host: string
  readonly failures: number
  readonly first_seen: Date
  readonly last_seen: Date
  /** Requests that were seen inside in the same time, whoever sent them. */
  readonly succeeded: number
  readonly suggested: boolean
  readonly suggestion: string | null
  /** Most failures first. */
  readonly clients: readonly FailingClient[]
}

export interface FailingClient {
  readonly address: string | null
  readonly user: string | null
  readonly department: string | null
  readonly failures: number
  readonly last_seen: Date
}

export interface Found<T> {
  readonly items: readonly T[]
  readonly total: number
}

const DAY_MS = 86_400_000
const DEFAULT_MS = 7 * DAY_MS
const MAX_MS = 366 * DAY_MS
const HOUR_MS = 3_600_000
const DEFAULT_LIMIT = 100
const MAX_ITEMS = 1000
/** The newest failures are looked at: a client that cannot be intercepted tries again and again. */
const MAX_FAILURES = 10_000
const MAX_CLIENTS = 20
/** So many failures and no success: the host is worth a tunnel. */
const SUGGESTED_AFTER = 3

export class Coverage {
  readonly #db: Kysely<Tables>
  readonly #tenant: string
  readonly #now: () => number
  readonly #pseudonymous: () => boolean

  constructor(
    db: Kysely<Tables>,
    tenant: string,
    now: () => number,
    pseudonymous: () => boolean = () => false,
  ) {
    this.#pseudonymous = pseudonymous
    this.#db = db
    this.#tenant = tenant
    this.#now = now
  }

  /** By whole hours: the first and the last are counted whole. */
  async report(query: CoverageQuery): Promise<CoverageReport> {
    const { from, to } = this.#range(query)
    const hours = {
      from: new Date(Math.floor(from.getTime() / HOUR_MS) * HOUR_MS),
      to: new Date(Math.ceil(to.getTime() / HOUR_MS) * HOUR_MS),
    }
    const by = query.by ?? 'reason'
    const { rows: whole } = await this.#sums(hours, sql`''`, sql`null`)
    const { rows } =
      by === 'reason'
        ? await this.#sums(hours, sql`reason`, sql`visibility`)
        : await this.#sums(hours, by === 'department' ? sql`department` : SERVICE, sql`null`)
    const [all] = whole
    const bytes = Number(all?.bytes ?? 0)
    return {
      from: hours.from.toISOString(),
      to: hours.to.toISOString(),
      requests: Number(all?.requests ?? 0),
      bytes,
      seen: sharesOf(all),
      by,
      items: rows.map((row) => ({
        name: row.name === '' ? null : row.name,
        visibility: row.visibility,
        requests: Number(row.requests),
        bytes: Number(row.bytes),
        share: share(Number(row.bytes), bytes),
        seen: sharesOf(row),
      })),
      total: Number(rows[0]?.groups ?? 0),
    }
  }

  #sums(
    { from, to }: { readonly from: Date; readonly to: Date },
    name: RawBuilder<unknown>,
    visibility: RawBuilder<unknown>,
  ): Promise<{ rows: SumRow[] }> {
    const parts = VISIBILITIES.map(
      (each) =>
        sql`coalesce(sum(bytes_in + bytes_out) filter (where visibility = ${sql.lit(each)}), 0) as ${sql.ref(`bytes_${each}`)}`,
    )
    return sql<SumRow>`
      select ${name} as name, ${visibility}::text as visibility, sum(requests) as requests, sum(bytes_in + bytes_out) as bytes,
        ${sql.join(parts)}, count(*) over () as groups
      from coverage_hours where tenant = ${this.#tenant} and hour >= ${from} and hour < ${to} and ai
      group by 1, 2 order by bytes desc, 1, 2 limit ${MAX_ITEMS}`.execute(this.#db)
  }

  /** Hosts that were seen in the range, newest first; the figures of each are all that is known of it. */
  async shadowAi(query: ListQuery): Promise<Found<ShadowHost>> {
    const { from, to } = this.#range(query)
    const { rows } = await sql<ShadowRow>`
      select host, min(first_seen) as first_seen, max(last_seen) as last_seen, count(distinct person_key) as people,
        sum(requests) as requests, sum(bytes_in) as bytes_in, sum(bytes_out) as bytes_out,
        array_agg(distinct format) as formats, array_agg(distinct department) as departments, count(*) over () as groups
      from shadow_ai where tenant = ${this.#tenant} and host in (
        select host from shadow_ai where tenant = ${this.#tenant} and last_seen >= ${from} and first_seen < ${to})
      group by host order by last_seen desc, host limit ${query.limit ?? DEFAULT_LIMIT}`.execute(
      this.#db,
    )
    return {
      total: Number(rows[0]?.groups ?? 0),
      items: rows.map((row) => ({
        host: row.host,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        people: Number(row.people),
        requests: Number(row.requests),
        bytes: Number(row.bytes_in) + Number(row.bytes_out),
        bytes_in: Number(row.bytes_in),
        bytes_out: Number(row.bytes_out),
        formats: row.formats.filter((name) => name !== ''),
        departments: row.departments.filter((name) => name !== ''),
      })),
    }
  }

  /** Handshakes that clients broke off, by host and client, most failures first. */
  async failures(query: ListQuery): Promise<Found<FailingHost>> {
    const { from, to } = this.#range(query)
    const who = this.#pseudonymous()
      ? sql`null::text as address, person_key as user`
      : sql`ip_address as address, user_name as user`
    const { rows } = await sql<FailureRow>`
      with failed as (
        select decision_id, time from outcomes
        where tenant = ${this.#tenant} and visibility_reason = 'handshake_failed' and time >= ${from} and time < ${to}
        order by time desc limit ${MAX_FAILURES})
      select resource_host as host, ${who}, user_department as department,
        count(*) as failures, min(failed.time) as first_seen, max(failed.time) as last_seen
      from failed join decisions on decisions.decision_id = failed.decision_id
      where tenant = ${this.#tenant} and decisions.time >= ${new Date(from.getTime() - DAY_MS)} and decisions.time < ${to}
        and resource_host is not null
      group by 1, 2, 3, 4 order by failures desc, last_seen desc`.execute(this.#db)
    const shown = this.#pseudonymous()
      ? rows.map((row) => ({ ...row, user: pseudonymOf(row.user ?? '') ?? null }))
      : rows
    const hosts = Map.groupBy(shown, ({ host }) => host)
    const succeeded = await this.#seenInside([...hosts.keys()], from, to)
    const items = [...hosts]
      .map(([host, clients]) => failingHost(host, clients, succeeded.get(host) ?? 0))
      .toSorted((a, b) => b.failures - a.failures || (a.host < b.host ? -1 : 1))
    return { items: items.slice(0, query.limit ?? DEFAULT_LIMIT), total: items.length }
  }

  async #seenInside(
    hosts: readonly string[],
    from: Date,
    to: Date,
  ): Promise<ReadonlyMap<string, number>> {
    if (hosts.length === 0) return new Map()
    const { rows } = await sql<{ host: string; requests: string }>`
      select host, sum(requests) as requests from coverage_hours
      where tenant = ${this.#tenant} and hour >= ${new Date(from.getTime() - HOUR_MS)} and hour < ${to}
        and visibility in ('content', 'metadata') and host = any(${hosts}::text[])
      group by host`.execute(this.#db)
    return new Map(rows.map(({ host, requests }) => [host, Number(requests)]))
  }

  #range({ from, to }: Range): { readonly from: Date; readonly to: Date } {
    const end = to === undefined ? this.#now() : Date.parse(to)
    const begin = from === undefined ? end - DEFAULT_MS : Date.parse(from)
    const invalid = (name: string, message: string): CordonError =>
      new CordonError('INPUT_INVALID', `${name} ${message}`, {
        problems: [{ file: `/querystring/${name}`, message }],
      })
    if (Number.isNaN(end)) throw invalid('to', 'must be a time such as 2026-11-24T00:00:00Z')
    if (Number.isNaN(begin)) throw invalid('from', 'must be a time such as 2026-11-24T00:00:00Z')
    if (begin >= end) throw invalid('from', 'must be before "to"')
    if (end - begin > MAX_MS) throw invalid('from', 'must be within a year before "to"')
    return { from: new Date(begin), to: new Date(end) }
  }
}

/** Hosts that no signature matches stand together here; the list of suspected AI has them one by one. */
const SERVICE = sql`case when service = '' then 'unknown_ai' else service end`

interface SumRow {
  readonly name: string
  readonly visibility: Visibility | null
  readonly requests: string
  readonly bytes: string
  readonly groups: string
  readonly bytes_content: string
  readonly bytes_metadata: string
  readonly bytes_sni: string
  readonly bytes_none: string
}

interface ShadowRow {
  readonly host: string
  readonly first_seen: Date
  readonly last_seen: Date
  readonly people: string
  readonly requests: string
  readonly bytes_in: string
  readonly bytes_out: string
  readonly formats: string[]
  readonly departments: string[]
  readonly groups: string
}

interface FailureRow {
  readonly host: string
  readonly address: string | null
  readonly user: string | null
  readonly department: string | null
  readonly failures: string
  readonly first_seen: Date
  readonly last_seen: Date
}

function sharesOf(row: SumRow | undefined): Shares {
  const bytes = Number(row?.bytes ?? 0)
  const of = (each: Visibility): number | null => share(Number(row?.[`bytes_${each}`] ?? 0), bytes)
  return { content: of('content'), metadata: of('metadata'), sni: of('sni'), none: of('none') }
}

/** To a hundredth of a percent. */
function share(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 10_000) / 10_000
}

function failingHost(host: string, rows: readonly FailureRow[], succeeded: number): FailingHost {
  const failures = rows.reduce((sum, row) => sum + Number(row.failures), 0)
  const times = (pick: (row: FailureRow) => Date): number[] =>
    rows.map((row) => pick(row).getTime())
  const suggested = failures >= SUGGESTED_AFTER && succeeded === 0
  return {
    host,
    failures,
    first_seen: new Date(Math.min(...times((row) => row.first_seen))),
    last_seen: new Date(Math.max(...times((row) => row.last_seen))),
    succeeded,
    suggested,
    suggestion: suggested ? `add ${host} to proxy.intercept.never` : null,
    clients: rows.slice(0, MAX_CLIENTS).map(({ address, user, department, ...row }) => ({
      address,
      user,
      department,
      failures: Number(row.failures),
      last_seen: row.last_seen,
    })),
  }
}
