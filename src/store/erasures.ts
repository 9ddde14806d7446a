// Who is to be erased, up to when, and how far that has come.
//
// The order is a record of the ledger (`person_erased`). Whoever ships it makes the row, in the same transaction, so no
// personal part ever goes before the record that says so; a store that is filled from segments learns it in the same way.

import { type Kysely, sql, type Transaction } from 'kysely'
import { type ErasureOrder, orderIn } from '../model/erasure.ts'
import { peopleIn, type ShippedRecord } from '../model/record.ts'
import type { Tables } from './tables.ts'

const NONE = Buffer.alloc(0)

/** People whose records are stripped on their way into the store: late ones, and those of an older copy of the segments. */
export class ErasedPeople {
  #orders = 0
  readonly #before = new Map<string, number>()

  /** What is ordered by now; reads the orders only where there are new ones. */
  async refresh(transaction: Transaction<Tables>): Promise<void> {
    const { rows } = await sql<{ n: number }>`
      select count(*)::integer as n from erasures`.execute(transaction)
    const orders = rows[0]?.n ?? 0
    if (orders === this.#orders) return
    this.#before.clear()
    for (const { person_keys: keys, before } of await ordersIn(transaction, sql`true`))
      for (const key of keys) this.#before.set(key, Math.max(before, this.#before.get(key) ?? 0))
    this.#orders = orders
  }

  /** The record without its personal part, where that is of somebody who was erased. */
  strip(record: ShippedRecord): ShippedRecord {
    if (this.#before.size === 0 || record.personalBytes.length === 0) return record
    const isErased = peopleIn(record.record).some(
      (key) => record.record.time < (this.#before.get(key) ?? -Infinity),
    )
    return isErased ? { ...record, personal: undefined, personalBytes: NONE } : record
  }
}

/** Makes the rows of the orders among the records. */
export async function takeOrders(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
): Promise<void> {
  for (const { record } of records) {
    const order = record.kind === 'audit' ? orderIn(record) : undefined
    if (order === undefined) continue
    const reason = record.kind === 'audit' ? record.data?.['reason'] : undefined
    await sql`
      insert into erasures (tenant, erasure_id, person_keys, before, reason)
      values (${order.tenant}, ${order.erasure_id}, ${[...order.person_keys]}, ${new Date(order.before)}, ${typeof reason === 'string' ? reason : null})
      on conflict do nothing`.execute(transaction)
  }
}

/** Orders that the tables have not followed yet, oldest first. */
export function openOrders(
  db: Kysely<Tables>,
): Promise<(ErasureOrder & { readonly position: string })[]> {
  return ordersIn(db, sql`done_at is null`)
}

/** All orders, of every tenant: a folder may hold records of several. */
export function allOrders(db: Kysely<Tables>): Promise<ErasureOrder[]> {
  return ordersIn(db, sql`true`)
}

/** Orders that the folder of an installation has not followed yet. */
export function ordersFor(db: Kysely<Tables>, installation: string): Promise<ErasureOrder[]> {
  return ordersIn(
    db,
    sql`not exists (select from erasure_folders f
      where f.tenant = e.tenant and f.erasure_id = e.erasure_id and f.installation = ${installation})`,
  )
}

async function ordersIn(
  db: Kysely<Tables>,
  condition: ReturnType<typeof sql<boolean>>,
): Promise<(ErasureOrder & { readonly position: string })[]> {
  const { rows } = await sql<{
    tenant: string
    erasure_id: string
    person_keys: string[]
    before: Date
    position: string
  }>`select tenant, erasure_id, person_keys, before, position::text as position from erasures e where ${condition}
    order by ordered_at, erasure_id`.execute(db)
  return rows.map((row) => ({ ...row, before: row.before.getTime() }))
}

/** A data directory over this store tells that it is there: an erasure is done when each of them has done its part. */
export async function folderSeen(
  db: Kysely<Tables>,
  tenant: string,
  installation: string,
): Promise<void> {
  await sql`
    insert into ledger_folders (tenant, installation) values (${tenant}, ${installation})
    on conflict (tenant, installation) do update set last_seen = now()`.execute(db)
}

/** The files of an installation hold nothing more of the people of an order. */
export async function folderDone(
  db: Kysely<Tables>,
  { tenant, erasure_id: id }: ErasureOrder,
  installation: string,
  { records, segments }: { readonly records: number; readonly segments: number },
): Promise<void> {
  await sql`
    insert into erasure_folders (tenant, erasure_id, installation, records, segments)
    values (${tenant}, ${id}, ${installation}, ${records}, ${segments})
    on conflict (tenant, erasure_id, installation) do update set
      records = erasure_folders.records + excluded.records, segments = erasure_folders.segments + excluded.segments,
      done_at = now()`.execute(db)
}

/** How far an erasure has come: in the store, and in each data directory over it. */
export interface ErasureState {
  readonly erasure_id: string
  readonly person_keys: readonly string[]
  readonly before: Date
  readonly reason: string | null
  /** Rows that lost what named the person, by table; null while the tables have not been gone through. */
  readonly erased: Readonly<Record<string, number>> | null
  readonly store_done_at: Date | null
  readonly folders: readonly FolderState[]
}

export interface FolderState {
  readonly installation: string
  readonly last_seen: Date
  readonly done_at: Date | null
  readonly records: number
  readonly segments: number
}

/** The newest first. */
export async function erasureStates(
  db: Kysely<Tables>,
  tenant: string,
  id?: string,
): Promise<ErasureState[]> {
  const { rows } = await sql<{
    erasure_id: string
    person_keys: string[]
    before: Date
    reason: string | null
    erased: Record<string, number>
    done_at: Date | null
  }>`
    select erasure_id, person_keys, before, reason, erased, done_at from erasures
    where tenant = ${tenant} ${id === undefined ? sql`` : sql`and erasure_id = ${id}`}
    order by ordered_at desc, erasure_id limit 1000`.execute(db)
  const { rows: folders } = await sql<FolderRow>`
    select e.erasure_id, l.installation, l.last_seen, f.done_at, coalesce(f.records, 0)::integer as records,
      coalesce(f.segments, 0)::integer as segments
    from erasures e join ledger_folders l on l.tenant = e.tenant
      left join erasure_folders f on f.tenant = e.tenant and f.erasure_id = e.erasure_id and f.installation = l.installation
    where e.tenant = ${tenant} and e.erasure_id = any(${rows.map(({ erasure_id: each }) => each)}::uuid[])
    order by l.installation`.execute(db)
  const byErasure = Map.groupBy(folders, ({ erasure_id: each }) => each)
  return rows.map(({ done_at: done, erased, ...row }) => ({
    ...row,
    erased: done === null ? null : erased,
    store_done_at: done,
    folders: (byErasure.get(row.erasure_id) ?? []).map(({ erasure_id: _id, ...folder }) => folder),
  }))
}

type FolderRow = FolderState & { readonly erasure_id: string }
