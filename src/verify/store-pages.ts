// Reads what the store holds, page by page: nothing is ever in memory whole.
//
// On a server all of it is one snapshot, read with cursors in whatever order it lies. The embedded database has one
// connection, which the recorder needs too: there each page is a statement of its own, in the order of time, and
// what arrives meanwhile is left out by number (src/verify/store.ts).

import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../store/tables.ts'
import type { Columns, ColumnType } from '../store/unnest.ts'
import { VIOLATION_COLUMNS, VIOLATION_FACT_COLUMNS } from '../store/violation-rows.ts'

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
    .execute(async (transaction) => {
      // To sort the violations of a day may take longer than any question may.
      await sql`set local statement_timeout = 0`.execute(transaction)
      return use({ db: transaction, isOne: true })
    })
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
  if (isOne) {
    yield* byCursor(db, select)
    return
  }
  // By its table: the plain name is that of the text which was selected, and sorts as a text.
  const keys = sql.join(order.map((name) => sql.ref(`${table}.${name}`)))
  yield* byKey(db, select, keys, (last) =>
    sql.join(order.map((name) => keyValue(columns[name], last[name] ?? null))),
  )
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

/** `keysOf`: the values of `keys` in a row. */
async function* byKey(
  db: Kysely<Tables>,
  select: RawBuilder<unknown>,
  keys: RawBuilder<unknown>,
  keysOf: (last: StoredRow) => RawBuilder<unknown>,
): AsyncGenerator<readonly StoredRow[]> {
  let last: StoredRow | undefined
  for (;;) {
    const behind: RawBuilder<unknown> =
      last === undefined ? sql`` : sql`where (${keys}) > (${keysOf(last)})`
    const page: { rows: StoredRow[] } = await sql<StoredRow>`${select} ${behind}
      order by ${keys} limit ${PAGE_ROWS}`.execute(db)
    if (page.rows.length > 0) yield page.rows
    last = page.rows.at(-1)
    if (page.rows.length < PAGE_ROWS) return
  }
}

function exact(name: string, type: ColumnType, table?: string): RawBuilder<unknown> {
  const column = sql.ref(table === undefined ? name : `${table}.${name}`)
  // Microseconds since the epoch, whatever the time zone and date style of the session; what is no time as it is called.
  if (type === 'timestamptz')
    return sql`case when ${isUsual(column)} then (extract(epoch from ${column}) * 1000000)::bigint::text else ${column}::text end`
  if (type === 'date')
    return sql`case when ${isUsual(column)} then to_char(${column}, 'YYYY-MM-DD') else ${column}::text end`
  return type === 'jsonb' || type === 'bigint' || type === 'uuid' ? sql`${column}::text` : column
}

/** Whether a record can be of that time or day: PostgreSQL knows some that are none, and some that cannot be reckoned with. */
function isUsual(column: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql<boolean>`(isfinite(${column}) and ${column} < date '200000-01-01')`
}

function keyValue(type: ColumnType | undefined, value: Value): RawBuilder<unknown> {
  if (type === 'timestamptz' && /^-?\d+$/.test(String(value)))
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

/** What the store says that it has of a writer. */
export interface StoredWriter {
  readonly shipped: number | undefined
  /** Of each tenant, which record of it came last. */
  readonly cursors: readonly { readonly tenant: string; readonly seq: number }[]
  /** The size of the newest checkpoint. */
  readonly signed: number | undefined
  /** How far its leaves reach, if none is missing between them; in whole tiles. */
  readonly leaves: number
}

export async function writersIn({ db }: Snapshot): Promise<ReadonlyMap<string, StoredWriter>> {
  // Checkpoints first: one that comes later covers records that are not looked at.
  const signed = await sql<{ writer: string; size: string }>`
    select writer::text as writer, max(size)::text as size from ledger_checkpoints group by writer`.execute(
    db,
  )
  const shipped = await sql<{ writer: string; seqs: string[]; tenants: string[] }>`
    select writer::text as writer, array_agg(seq::text order by seq) as seqs, array_agg(tenant order by seq) as tenants
    from writers group by writer`.execute(db)
  const leaves = await sql<{ writer: string; tiles: string }>`
    select writer::text as writer, (min(tile) + count(*))::text as tiles from ledger_leaves group by writer`.execute(
    db,
  )
  const sizes = new Map(signed.rows.map(({ writer, size }) => [writer, Number(size)]))
  const cursors = new Map(
    shipped.rows.map(({ writer, seqs, tenants }) => [
      writer,
      seqs.map((seq, index) => ({ seq: Number(seq), tenant: tenants[index] ?? '' })),
    ]),
  )
  const leafed = new Map(leaves.rows.map(({ writer, tiles }) => [writer, 32 * Number(tiles)]))
  return new Map(
    [...new Set([...sizes.keys(), ...cursors.keys(), ...leafed.keys()])].map((writer) => [
      writer,
      {
        shipped: cursors.get(writer)?.at(-1)?.seq,
        cursors: cursors.get(writer) ?? [],
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

/** A day of a tenant; null: no day that a record can have. Days since the epoch, in UTC. */
export interface TenantDay {
  readonly tenant: string
  readonly day: number | null
}

/** Days that have violations, or facts of them. */
export async function violationDays({ db }: Snapshot): Promise<readonly TenantDay[]> {
  const { rows } = await sql<TenantDay>`
    select tenant, case when ${isUsual(sql`day`)} then day - date '1970-01-01' end as day from violations
    union
    select tenant, case when ${isUsual(sql`time`)} then floor(extract(epoch from time) / 86400)::integer end from violation_facts
    order by 1, 2`.execute(db)
  return rows
}

/** A violation beside one of its facts, and that beside its decision, where they are there. */
export interface ViolationRow {
  readonly id: string
  readonly group: StoredRow | undefined
  readonly fact: StoredRow | undefined
  readonly record: string | null
  readonly personal: Buffer | null
}

/** The violations and facts of a day, those of one violation together; each page is of one moment. */
export async function* violationsOf(
  { db, isOne }: Snapshot,
  { tenant, day }: TenantDay,
): AsyncGenerator<readonly ViolationRow[]> {
  const at = (number: number): RawBuilder<unknown> => sql`to_timestamp(${number * 86_400}::float8)`
  const isIn =
    day === null
      ? sql`not ${isUsual(sql`time`)}`
      : sql`time >= ${at(day)} and time < ${at(day + 1)}`
  const isOn =
    day === null ? sql`not ${isUsual(sql`day`)}` : sql`day = date '1970-01-01' + ${day}::integer`
  const columns = [...listOf('v', VIOLATION_COLUMNS), ...listOf('f', VIOLATION_FACT_COLUMNS)]
  const select = sql`
    select ${sql.join(columns)}, d.record, d.personal
    from (select * from violation_facts where tenant = ${tenant} and ${isIn}) f
    full join (select * from violations where tenant = ${tenant} and ${isOn}) v
      on v.tenant = f.tenant and v.violation_id = f.violation_id
    left join (select tenant, time, writer, seq, record, personal from decisions where tenant = ${tenant} and ${isIn}) d
      on d.tenant = f.tenant and d.time = f.time and d.writer = f.writer and d.seq = f.seq`
  const order = sql`coalesce(v.violation_id, f.violation_id), coalesce(f.time, '-infinity'), coalesce(f.writer, ${NOBODY}), coalesce(f.seq, 0)`
  const pages = isOne
    ? byCursor(db, sql`${select} order by ${order}`)
    : byKey(db, select, order, (last) => {
        const time = keyValue('timestamptz', last['f.time'] ?? '-infinity')
        const id = last['v.violation_id'] ?? last['f.violation_id']
        return sql`${id}::uuid, ${time}, coalesce(${last['f.writer']}::uuid, ${NOBODY}), ${last['f.seq'] ?? 0}::bigint`
      })
  for await (const page of pages) yield page.map(violationRow)
}

const NOBODY = sql`'00000000-0000-0000-0000-000000000000'::uuid`

function listOf(table: string, columns: Columns): RawBuilder<unknown>[] {
  return Object.entries(columns).map(
    ([name, type]) => sql`${exact(name, type, table)} as ${sql.id(`${table}.${name}`)}`,
  )
}

function violationRow(row: StoredRow): ViolationRow {
  const part = (table: string): StoredRow | undefined =>
    row[`${table}.violation_id`] === null
      ? undefined
      : Object.fromEntries(
          Object.entries(row).flatMap(([name, value]) =>
            name.startsWith(`${table}.`) ? [[name.slice(2), value]] : [],
          ),
        )
  const [group, fact] = [part('v'), part('f')]
  const { record, personal } = row as { record: string | null; personal: Buffer | null }
  const id = String(group?.['violation_id'] ?? fact?.['violation_id'])
  return { id, group, fact, record, personal }
}
