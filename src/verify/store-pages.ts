// Reads what the store holds, page by page: nothing is ever in memory whole.
//
// On a server all of it is one snapshot, read with cursors in whatever order it lies. The embedded database has one
// connection, which the recorder needs too: there each page is a statement of its own, in the order of time, and
// what arrives meanwhile is left out by number (src/verify/store.ts).

import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../store/tables.ts'
import type { Columns, ColumnType } from '../store/unnest.ts'

export type Value = string | number | boolean | Buffer | null
export type StoredRow = Readonly<Record<string, Value>>

/** A store, and whether all that is read of it is one snapshot. */
export interface Snapshot {
  readonly db: Kysely<Tables>
  readonly isOne: boolean
}

const PAGE_ROWS = 500
const TILES = 1000

/** Calls with one snapshot of a server's database, or with the embedded one as it is. */
export function withSnapshot<T>(
  { db, kind }: { readonly db: Kysely<Tables>; readonly kind: 'embedded' | 'postgres' },
  use: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  if (kind === 'embedded') return use({ db, isOne: false })
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((transaction) => use({ db: transaction, isOne: true }))
}

/** The rows of a table with the columns in exact forms; `order` is a unique key of it, for reading on behind a page. */
export async function* pagesOf(
  { db, isOne }: Snapshot,
  table: string,
  columns: Columns,
  order: readonly string[],
): AsyncGenerator<readonly StoredRow[]> {
  const list = sql.join(
    Object.entries(columns).map(([name, type]) => sql`${exact(name, type)} as ${sql.ref(name)}`),
  )
  const select = sql`select ${list} from ${sql.table(table)}`
  yield* isOne ? byCursor(db, select) : byKey(db, select, columns, { table, order })
}

async function* byCursor(
  db: Kysely<Tables>,
  select: RawBuilder<unknown>,
): AsyncGenerator<readonly StoredRow[]> {
  await sql`declare verified no scroll cursor for ${select}`.execute(db)
  try {
    for (;;) {
      const { rows } = await sql<StoredRow>`fetch ${sql.lit(PAGE_ROWS)} from verified`.execute(db)
      if (rows.length > 0) yield rows
      if (rows.length < PAGE_ROWS) return
    }
  } finally {
    await sql`close verified`.execute(db).catch(() => undefined)
  }
}

async function* byKey(
  db: Kysely<Tables>,
  select: RawBuilder<unknown>,
  columns: Columns,
  { table, order }: { readonly table: string; readonly order: readonly string[] },
): AsyncGenerator<readonly StoredRow[]> {
  // By its table: the plain name is that of the text which was selected, and sorts as a text.
  const keys = sql.join(order.map((name) => sql.ref(`${table}.${name}`)))
  let last: StoredRow | undefined
  for (;;) {
    const behind: RawBuilder<unknown> =
      last === undefined
        ? sql``
        : sql`where (${keys}) > (${sql.join(order.map((name) => keyValue(columns[name], last?.[name] ?? null)))})`
    const page: { rows: StoredRow[] } = await sql<StoredRow>`${select} ${behind}
      order by ${keys} limit ${PAGE_ROWS}`.execute(db)
    if (page.rows.length > 0) yield page.rows
    last = page.rows.at(-1)
    if (page.rows.length < PAGE_ROWS) return
  }
}

function exact(name: string, type: ColumnType): RawBuilder<unknown> {
  const column = sql.ref(name)
  // Microseconds since the epoch, whatever the time zone and date style of the session.
  if (type === 'timestamptz') return sql`(extract(epoch from ${column}) * 1000000)::bigint::text`
  return type === 'jsonb' || type === 'bigint' || type === 'uuid' ? sql`${column}::text` : column
}

function keyValue(type: ColumnType | undefined, value: Value): RawBuilder<unknown> {
  if (type === 'timestamptz')
    return sql`timestamptz 'epoch' + ${value}::bigint * interval '1 microsecond'`
  return sql`${value}::${sql.raw(type ?? 'text')}`
}

/** The tiles of a writer's leaf hashes, in order, from the one on that holds a number. */
export async function* tilesOf(
  { db }: Snapshot,
  writer: string,
  firstSeq = 1,
): AsyncGenerator<{ readonly tile: number; readonly hashes: Buffer }> {
  let from = Math.floor((firstSeq - 1) / 32)
  for (;;) {
    const { rows } = await sql<{ tile: string; hashes: Buffer }>`
      select tile::text as tile, hashes from ledger_leaves
      where writer = ${writer} and tile >= ${from} order by ledger_leaves.tile limit ${TILES}`.execute(
      db,
    )
    for (const { tile, hashes } of rows) yield { tile: Number(tile), hashes }
    const last = rows.at(-1)
    if (last === undefined || rows.length < TILES) return
    from = Number(last.tile) + 1
  }
}

/** Single tiles of any writers; those that are not there are left out. */
export async function tilesAt(
  { db }: Snapshot,
  wanted: readonly { readonly writer: string; readonly tile: number }[],
): Promise<readonly { readonly writer: string; readonly tile: number; readonly hashes: Buffer }[]> {
  if (wanted.length === 0) return []
  const writers = wanted.map(({ writer }) => writer)
  const tiles = wanted.map(({ tile }) => tile)
  const { rows } = await sql<{ writer: string; tile: string; hashes: Buffer }>`
    select writer::text as writer, tile::text as tile, hashes from ledger_leaves
    where (writer, tile) in (select * from unnest(${writers}::uuid[], ${tiles}::bigint[]))`.execute(
    db,
  )
  return rows.map(({ writer, tile, hashes }) => ({ writer, tile: Number(tile), hashes }))
}

export interface StoredKey {
  readonly installation: string
  readonly number: number
  readonly vkey: string
  readonly note: string | null
}

export async function keysIn({ db }: Snapshot): Promise<readonly StoredKey[]> {
  const { rows } = await sql<StoredKey>`
    select installation::text as installation, number, vkey, note from ledger_keys order by installation, number`.execute(
    db,
  )
  return rows
}

/** The entries of an installation's list of writers, oldest first. */
export async function* rosterIn(
  { db }: Snapshot,
  installation: string,
): AsyncGenerator<{ readonly number: number; readonly note: string }> {
  let after = 0
  for (;;) {
    const { rows } = await sql<{ number: number; note: string }>`
      select number, note from ledger_roster
      where installation = ${installation} and number > ${after} order by number limit ${PAGE_ROWS}`.execute(
      db,
    )
    yield* rows
    after = rows.at(-1)?.number ?? after
    if (rows.length < PAGE_ROWS) return
  }
}

/** Writers by what the store holds of them: how far it has come, and the size of the newest checkpoint. */
export async function writersIn({ db }: Snapshot): Promise<
  ReadonlyMap<
    string,
    {
      readonly shipped: number | undefined
      readonly signed: number | undefined
      /** How far its leaves reach, if none is missing between them; in whole tiles. */
      readonly leaves: number
    }
  >
> {
  // Checkpoints first: one that comes later covers records that are not looked at.
  const signed = await sql<{ writer: string; size: string }>`
    select writer::text as writer, max(size)::text as size from ledger_checkpoints group by writer`.execute(
    db,
  )
  const shipped = await sql<{ writer: string; seq: string }>`
    select writer::text as writer, max(seq)::text as seq from writers group by writer`.execute(db)
  const leaves = await sql<{ writer: string; tiles: string }>`
    select writer::text as writer, (min(tile) + count(*))::text as tiles from ledger_leaves group by writer`.execute(
    db,
  )
  const sizes = new Map(signed.rows.map(({ writer, size }) => [writer, Number(size)]))
  const cursors = new Map(shipped.rows.map(({ writer, seq }) => [writer, Number(seq)]))
  const leafed = new Map(leaves.rows.map(({ writer, tiles }) => [writer, 32 * Number(tiles)]))
  return new Map(
    [...new Set([...sizes.keys(), ...cursors.keys(), ...leafed.keys()])].map((writer) => [
      writer,
      {
        shipped: cursors.get(writer),
        signed: sizes.get(writer),
        leaves: leafed.get(writer) ?? 0,
      },
    ]),
  )
}

export interface StoredCheckpoint {
  readonly size: number
  readonly isSeal: boolean
  readonly note: string
  /** Microseconds since the epoch. */
  readonly time: string
  readonly frontier: Buffer | null
}

/** The checkpoints of a writer up to a size, smallest first. */
export async function checkpointsOf(
  { db }: Snapshot,
  writer: string,
  most: number,
): Promise<readonly StoredCheckpoint[]> {
  const { rows } = await sql<{
    size: string
    is_seal: boolean
    note: string
    time: string
    frontier: Buffer | null
  }>`
    select size::text as size, is_seal, note, (extract(epoch from time) * 1000000)::bigint::text as time, frontier
    from ledger_checkpoints where writer = ${writer} and size <= ${most} order by ledger_checkpoints.size, is_seal desc`.execute(
    db,
  )
  return rows.map(({ size, is_seal: isSeal, ...rest }) => ({ ...rest, size: Number(size), isSeal }))
}

/** The texts of the decisions that stand at the places of these rows, by `<writer>/<seq>`. */
export async function decisionsAt(
  { db }: Snapshot,
  rows: readonly StoredRow[],
): Promise<ReadonlyMap<string, string>> {
  const column = (name: string): string[] => rows.map((row) => String(row[name]))
  const times = column('time')
  // The bounds let a database leave most parts of the series alone.
  const bounds = times.map(Number)
  const at = (micros: number): RawBuilder<unknown> =>
    sql`timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond'`
  const { rows: found } = await sql<{ writer: string; seq: string; record: string }>`
    select d.writer::text as writer, d.seq::text as seq, d.record from decisions d
    join (select unnest(${column('tenant')}::text[]) as tenant, unnest(${times}::bigint[]) as micros,
      unnest(${column('writer')}::uuid[]) as writer, unnest(${column('seq')}::bigint[]) as seq) f
      on d.tenant = f.tenant and d.writer = f.writer and d.seq = f.seq
      and d.time = timestamptz 'epoch' + f.micros * interval '1 microsecond'
    where d.time between ${at(bounds.reduce((a, b) => Math.min(a, b), Infinity))}
      and ${at(bounds.reduce((a, b) => Math.max(a, b), -Infinity))}`.execute(db)
  return new Map(found.map(({ writer, seq, record }) => [`${writer}/${seq}`, record]))
}
