// An export that proves itself: lines of JSON with everything that is needed to check them, out of the store.
//
//   {"cordon_export": 1, "table", "tenant", "from", "to"}
//   {"installation", "keys": [{"vkey", "note"}]}, {"entry": "<note>"}...       one after the other, the list of writers behind its keys
//   {"writer", "installation", "first_seq", "frontier": [...], "checkpoint": "<note>" or null}, {"leaves": "<base64>"}...
//   {"row": 1, "writer", "seq", "record": "<text>", "personal": "<base64>" or null}...
//   {"rows", "sha256": "<of every byte before this line>", "signature": "<note>"}
//
// The leaves of a writer go from `first_seq` to the size of the checkpoint, or as far as the rows; `frontier` is that of the
// tree before them. The last line is signed, so that none before it can be left out or put in.

import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { signNote, type SigningKey } from '../proof/note.ts'
import { HASH_BYTES } from '../proof/tree.ts'
import type { Tables } from '../store/tables.ts'
import { checkpointsOf, keysIn, rosterIn, type StoredCheckpoint, tilesOf } from './store-pages.ts'
import { Trust } from './trust.ts'

export type ProvedTable = 'decisions' | 'violations' | 'audit_events'

export interface ProvedExport {
  readonly table: ProvedTable
  readonly tenant: string
  /** RFC 3339, inclusive. */
  readonly from: string | undefined
  /** Exclusive. */
  readonly to: string | undefined
}

const TILE_LEAVES = 32
const LEAVES_A_LINE = 1024
const PAGE_ROWS = 500

/** All lines but the last, each with its end of line. */
export async function* provedLines(
  db: Kysely<Tables>,
  { table, tenant, from, to }: ProvedExport,
): AsyncGenerator<string> {
  const line = (value: object): string => `${JSON.stringify(value)}\n`
  yield line({ cordon_export: 1, table, tenant, from: from ?? null, to: to ?? null })
  const snapshot = { db, isOne: false }
  const series = table === 'violations' ? 'decisions' : table
  const range = sql`r.tenant = ${tenant}
    ${from === undefined ? sql`` : sql`and r.time >= ${from}::timestamptz`}
    ${to === undefined ? sql`` : sql`and r.time < ${to}::timestamptz`}
    ${table === 'violations' ? sql`and exists (select from violation_facts f where f.tenant = r.tenant and f.time = r.time and f.writer = r.writer and f.seq = r.seq)` : sql``}`
  const { rows: spans } = await sql<{ writer: string; first: string; last: string }>`
    select r.writer::text as writer, min(r.seq)::text as first, max(r.seq)::text as last
    from ${sql.table(series)} r where ${range} group by r.writer order by 1`.execute(db)
  const installations = Map.groupBy(await keysIn(snapshot), ({ installation }) => installation)
  const owners = new Map<string, string>()
  for (const [installation, keys] of installations) {
    const kept = keys.map(({ vkey, note }) => ({ vkey, note: note ?? undefined }))
    const trust = new Trust(installation, kept)
    yield line({ installation, keys: keys.map(({ vkey, note }) => ({ vkey, note })) })
    for await (const { note } of rosterIn(snapshot, installation)) {
      yield line({ entry: note })
      trust.enrol(note, { table: 'ledger_roster' })
    }
    for (const writer of trust.writers.keys()) owners.set(writer, installation)
  }
  const lasts = new Map(spans.map(({ writer, last }) => [writer, Number(last)]))
  for (const { writer, first, last } of spans) {
    const all = await checkpointsOf(snapshot, writer, Number.MAX_SAFE_INTEGER)
    const start = all.findLast(
      ({ isSeal, size, frontier }) => isSeal && frontier !== null && size < Number(first),
    )
    const end = all.find(({ size }) => size >= Number(last)) ?? all.at(-1)
    yield line({
      writer,
      installation: owners.get(writer) ?? null,
      first_seq: (start?.size ?? 0) + 1,
      frontier: hashesOf(start?.frontier ?? null),
      checkpoint: end?.note ?? null,
    })
    for await (const leaves of leavesOf(db, writer, start, Math.max(Number(last), end?.size ?? 0)))
      yield line({ leaves: leaves.toString('base64') })
  }
  let count = 0
  let after: { micros: string; writer: string; seq: string } | undefined
  const personal = series === 'decisions' || series === 'audit_events' ? sql`r.personal` : sql`null`
  for (;;) {
    const behind =
      after === undefined
        ? sql``
        : sql`and (r.time, r.writer, r.seq) > (timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond', ${after.writer}::uuid, ${after.seq}::bigint)`
    const { rows } = await sql<{
      micros: string
      writer: string
      seq: string
      record: string
      personal: Buffer | null
    }>`
      select (extract(epoch from r.time) * 1000000)::bigint::text as micros, r.writer::text as writer, r.seq::text as seq,
        r.record, ${personal} as personal
      from ${sql.table(series)} r where ${range} ${behind}
      order by r.time, r.writer, r.seq limit ${PAGE_ROWS}`.execute(db)
    for (const row of rows) {
      const seq = Number(row.seq)
      // What has come since its leaves were read.
      if (seq > (lasts.get(row.writer) ?? 0)) continue
      count += 1
      yield line({
        row: count,
        writer: row.writer,
        seq,
        record: row.record,
        personal: row.personal?.toString('base64') ?? null,
      })
    }
    after = rows.at(-1)
    if (rows.length < PAGE_ROWS) return
  }
}

/** The same lines, with the last one, signed. */
export async function* signedLines(
  lines: AsyncIterable<string>,
  key: SigningKey,
  now: number,
): AsyncGenerator<string> {
  const digest = createHash('sha256')
  let rows = 0
  let pending = ''
  for await (const text of lines) {
    digest.update(text)
    // Lines may come in pieces.
    const parts = `${pending}${text}`.split('\n')
    pending = parts.pop() ?? ''
    rows += parts.filter((part) => part.startsWith('{"row":')).length
    yield text
  }
  const sha256 = digest.digest('hex')
  const signature = signNote(trailerText(rows, sha256, new Date(now).toISOString()), key)
  yield `${JSON.stringify({ rows, sha256, signature })}\n`
}

/** What the last line signs. */
export function trailerText(rows: number, sha256: string, time: string): string {
  return `cordon ledger export\nrows ${rows}\nsha256 ${sha256}\ntime ${time}\n`
}

function hashesOf(frontier: Buffer | null): string[] {
  const bytes = frontier ?? Buffer.alloc(0)
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, index) =>
    bytes.toString('base64', index * HASH_BYTES, (index + 1) * HASH_BYTES),
  )
}

async function* leavesOf(
  db: Kysely<Tables>,
  writer: string,
  start: StoredCheckpoint | undefined,
  last: number,
): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  const firstSeq = (start?.size ?? 0) + 1
  for await (const { tile, hashes } of tilesOf({ db, isOne: false }, writer, firstSeq)) {
    const from = tile * TILE_LEAVES + 1
    if (from > last) break
    const begin = Math.max(0, firstSeq - from) * HASH_BYTES
    const end = Math.min(TILE_LEAVES, last - from + 1) * HASH_BYTES
    pending.push(hashes.subarray(begin, end))
    if (pending.length * TILE_LEAVES < LEAVES_A_LINE) continue
    yield Buffer.concat(pending)
    pending = []
  }
  if (pending.length > 0) yield Buffer.concat(pending)
}
