// What outcomes add up to: bytes by what was seen of them, and who used which suspected AI service.

import { sql, type Transaction } from 'kysely'
import type { OutcomeRecord, ShippedRecord } from '../model/record.ts'
import { decisionsOf, department, inputOf, type Of, only, text } from './record-rows.ts'
import type { Tables } from './tables.ts'
import { type Columns, names, type Row, selectRows } from './unnest.ts'

/** What the decision of an outcome says; `service` is empty on a host that no signature matches. */
interface Decided {
  readonly time: number
  readonly person_key: string
  readonly host: string
  readonly service: string
  readonly department: string
  readonly ai: boolean
}

type Told = OutcomeRecord & Required<Pick<OutcomeRecord, 'visibility'>>

const SUMS: Columns = { requests: 'bigint', bytes_in: 'bigint', bytes_out: 'bigint' }
const HOUR_COLUMNS: Columns = {
  tenant: 'text',
  hour: 'timestamptz',
  ai: 'boolean',
  visibility: 'text',
  reason: 'text',
  department: 'text',
  service: 'text',
  host: 'text',
  ...SUMS,
}
const SHADOW_COLUMNS: Columns = {
  tenant: 'text',
  host: 'text',
  person_key: 'text',
  department: 'text',
  format: 'text',
  first_seen: 'timestamptz',
  last_seen: 'timestamptz',
  ...SUMS,
}
/** All of them stand in a key, whose entries PostgreSQL bounds at 2,700 bytes. */
const MAX_TEXT = 255
const HOUR_MS = 3_600_000
/** A decision is made during its request; clocks and reviewers may take their time. */
const SLACK_MS = 24 * HOUR_MS

/** In the transaction that moves the cursor, so that an outcome counts once. */
export async function tally(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
): Promise<void> {
  const told = only<OutcomeRecord>(records, 'outcome')
    .map(({ record }) => record)
    .filter((record): record is Of<OutcomeRecord>['record'] & Told => isTold(record))
  if (told.length === 0) return
  const decided = await decisionsBehind(transaction, records, told)
  const hours = new Sums()
  const shadows = new Sums()
  for (const outcome of told) {
    const about = decided.get(outcome.decision_id)
    if (about === undefined) continue
    if (about.ai || isSeenInside(outcome)) hours.add(hourKey(outcome, about), outcome, about)
    if (about.ai && about.service === '') shadows.add(shadowKey(outcome, about), outcome, about)
  }
  await addHours(transaction, hours.rows())
  await addShadows(transaction, shadows.rows())
}

function isTold(record: OutcomeRecord): record is Told {
  return record.visibility !== undefined
}

/** Of sites only what was seen inside: it tells that a host can be intercepted. */
function isSeenInside({ visibility }: Told): boolean {
  return visibility === 'content' || visibility === 'metadata'
}

function hourKey(outcome: Told, { ai, department: unit, service, host }: Decided): Row {
  const { tenant, time, visibility, visibility_reason: reason = '' } = outcome
  const hour = new Date(time - (time % HOUR_MS)).toISOString()
  return { tenant, hour, ai, visibility, reason, department: unit, service, host }
}

function shadowKey({ tenant, format }: Told, about: Decided): Row {
  const { host, person_key, department: unit } = about
  return { tenant, host, person_key, department: unit, format: plain(format) }
}

/** Most requests end within the batch of their decision; of the others the store knows the decision. */
async function decisionsBehind(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
  outcomes: readonly Told[],
): Promise<ReadonlyMap<string, Decided>> {
  const found = new Map<string, Decided>()
  for (const { record } of decisionsOf(records)) {
    const { user, resource } = inputOf(record)
    found.set(record.decision.decision_id, {
      time: record.time,
      person_key: record.person_key,
      host: plain(resource['host']),
      service: plain(resource['id']),
      department: plain(department(user)),
      ai: resource['ai'] === true,
    })
  }
  const missing = outcomes.filter(({ decision_id: id }) => !found.has(id))
  if (missing.length === 0) return found
  const begun = missing.map(({ time, duration_ms: duration }) => time - duration)
  const { rows } = await sql<Stored>`
    select decision_id, time, person_key, resource_host, resource_id, user_department, resource_ai from decisions
    where tenant = any(${[...new Set(missing.map(({ tenant }) => tenant))]}::text[])
      and time >= ${new Date(least(begun) - SLACK_MS)} and time < ${new Date(-least(missing.map(({ time }) => -time)) + SLACK_MS)}
      and decision_id = any(${missing.map(({ decision_id: id }) => id)}::uuid[])`.execute(
    transaction,
  )
  for (const row of rows) {
    found.set(row.decision_id, {
      time: row.time.getTime(),
      person_key: row.person_key,
      host: plain(row.resource_host),
      service: plain(row.resource_id),
      department: plain(row.user_department),
      ai: row.resource_ai,
    })
  }
  return found
}

interface Stored {
  readonly decision_id: string
  readonly time: Date
  readonly person_key: string
  readonly resource_host: string | null
  readonly resource_id: string | null
  readonly user_department: string | null
  readonly resource_ai: boolean
}

function least(numbers: readonly number[]): number {
  return numbers.reduce((low, number) => Math.min(low, number), Infinity)
}

/** As PostgreSQL will hold it: two texts that become one there must be one key here. */
function plain(value: unknown): string {
  return (text(value) ?? '').slice(0, MAX_TEXT).toWellFormed().replaceAll('\0', '\ufffd')
}

/** One row a key. */
class Sums {
  readonly #rows = new Map<string, { row: Row; sums: Sum }>()

  add(key: Row, { time, bytes_in, bytes_out }: Told, about: Decided): void {
    const name = JSON.stringify(Object.values(key))
    const known = this.#rows.get(name)
    if (known === undefined) {
      const sums = { requests: 1, bytes_in, bytes_out, first: about.time, last: time }
      this.#rows.set(name, { row: key, sums })
      return
    }
    const { sums } = known
    sums.requests += 1
    sums.bytes_in += bytes_in
    sums.bytes_out += bytes_out
    sums.first = Math.min(sums.first, about.time)
    sums.last = Math.max(sums.last, time)
  }

  /** In the order of their keys: recorders that add to the same rows wait for each other, not in a circle. */
  rows(): Row[] {
    return [...this.#rows]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { row, sums }]) => ({
        ...row,
        requests: sums.requests,
        bytes_in: sums.bytes_in,
        bytes_out: sums.bytes_out,
        first_seen: new Date(sums.first).toISOString(),
        last_seen: new Date(Math.max(sums.first, sums.last)).toISOString(),
      }))
  }
}

interface Sum {
  requests: number
  bytes_in: number
  bytes_out: number
  /** Of the decisions. */
  first: number
  last: number
}

async function addHours(transaction: Transaction<Tables>, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return
  await sql`
    insert into coverage_hours as known (${names(HOUR_COLUMNS)}) ${selectRows(HOUR_COLUMNS, rows)}
    on conflict (tenant, hour, ai, visibility, reason, department, service, host) do update set
      requests = known.requests + excluded.requests, bytes_in = known.bytes_in + excluded.bytes_in,
      bytes_out = known.bytes_out + excluded.bytes_out`.execute(transaction)
}

async function addShadows(transaction: Transaction<Tables>, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return
  await sql`
    insert into shadow_ai as known (${names(SHADOW_COLUMNS)}) ${selectRows(SHADOW_COLUMNS, rows)}
    on conflict (tenant, host, person_key, department, format) do update set
      first_seen = least(known.first_seen, excluded.first_seen), last_seen = greatest(known.last_seen, excluded.last_seen),
      requests = known.requests + excluded.requests, bytes_in = known.bytes_in + excluded.bytes_in,
      bytes_out = known.bytes_out + excluded.bytes_out`.execute(transaction)
}
