// Who says, under a signature, that people are to be erased? A row of the store is no order: anybody who can write to the
// database can insert one, and what is erased is gone. The record is, once a checkpoint covers it.

import { type Kysely, sql } from 'kysely'
import { ERASURE_APPLIED, type ErasureOrder, orderIn, PERSON_ERASED } from '../model/erasure.ts'
import type { AuditRecord } from '../model/record.ts'
import { hashesIn, leafHash, Tree } from '../proof/tree.ts'
import type { Tables } from '../store/tables.ts'
import { Damaged } from './report.ts'
import { checkpointsOf, tilesOf } from './store-pages.ts'
import { trustsIn } from './store-trust.ts'
import type { Trust } from './trust.ts'

/** The data directories whose ledgers have signed records of an order. */
export interface Signed {
  readonly order: boolean
  /** Those that have recorded it as given, or as followed. */
  readonly installations: ReadonlySet<string>
}

interface RecordRow {
  readonly writer: string
  readonly seq: string
  readonly record: string
}

const TILE_LEAVES = 32
const NONE = Buffer.alloc(0)

/** Of each order that is open, by whom it is signed. */
export async function signedOrders(
  db: Kysely<Tables>,
  orders: readonly ErasureOrder[],
): Promise<ReadonlyMap<ErasureOrder, Signed>> {
  const signed = new Map<ErasureOrder, Signed>()
  if (orders.length === 0) return signed
  const trusts = (await trustsIn(db)).map(({ trust }) => trust)
  for (const order of orders) {
    const installations = new Set<string>()
    let isOrdered = false
    for (const row of await recordsOf(db, order)) {
      const record = JSON.parse(row.record) as AuditRecord
      if (!says(record, order)) continue
      const trust = trusts.find(({ writers }) => writers.has(row.writer))
      if (trust === undefined || !(await isCovered(db, row, trust))) continue
      installations.add(trust.installation)
      isOrdered ||= record.event_type === PERSON_ERASED
    }
    signed.set(order, { order: isOrdered, installations })
  }
  return signed
}

async function recordsOf(db: Kysely<Tables>, order: ErasureOrder): Promise<readonly RecordRow[]> {
  const { rows } = await sql<RecordRow>`
    select writer::text as writer, seq::text as seq, record from audit_events
    where tenant = ${order.tenant} and event_type in (${PERSON_ERASED}, ${ERASURE_APPLIED})
      and event_data->>'erasure_id' = ${order.erasure_id} order by time desc limit 1000`.execute(db)
  return rows
}

/** Whether a record names all the people of an order, and nothing less than its time. */
function says(record: AuditRecord, order: ErasureOrder): boolean {
  const said = orderIn({ ...record, event_type: PERSON_ERASED })
  return (
    said?.tenant === order.tenant &&
    said.erasure_id === order.erasure_id &&
    order.before <= said.before &&
    order.person_keys.every((key) => said.person_keys.includes(key))
  )
}

/** Whether the tree of its writer, as a key of the ledger has signed it, has this record at its place. */
async function isCovered(db: Kysely<Tables>, row: RecordRow, trust: Trust): Promise<boolean> {
  const snapshot = { db, isOne: false }
  const { writer } = row
  const seq = Number(row.seq)
  const all = await checkpointsOf(snapshot, writer, Number.MAX_SAFE_INTEGER)
  const end = all.find(({ size }) => size >= seq)
  if (end === undefined) return false
  const start = all.findLast(({ size, frontier }) => frontier !== null && size < seq)
  try {
    const { root } = trust.checkpoint(end.note, writer, { writer })
    const tree = new Tree(start?.size, hashesIn(start?.frontier ?? NONE))
    const leaf = leafHash(Buffer.from(row.record))
    let isThere = false
    for await (const { tile, hashes } of tilesOf(snapshot, writer, tree.size + 1))
      for (const [index, hash] of hashesIn(hashes).entries()) {
        const number = tile * TILE_LEAVES + index + 1
        if (number <= tree.size || tree.size === end.size) continue
        if (number !== tree.size + 1) return false
        tree.append(hash)
        isThere ||= number === seq && hash.equals(leaf)
        if (tree.size === end.size) return isThere && tree.root().equals(root)
      }
    return false
  } catch (error) {
    // What is damaged proves nothing; `cordon ledger verify --database` names it.
    if (error instanceof Damaged || error instanceof RangeError) return false
    throw error
  }
}
