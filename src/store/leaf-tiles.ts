// The leaf hashes of a writer in `ledger_leaves`: 32 a row, so that a tree of millions costs thousands of rows.
//
// They outlive the rows of their records. So they tell, too, which records the store has had, whatever order they
// came in: a record is new where its leaf is not there.

import { sql, type Transaction } from 'kysely'
import { HASH_BYTES } from '../proof/tree.ts'
import type { Tables } from './tables.ts'
import { type Columns, type Row, selectRows } from './unnest.ts'

const TILE_LEAVES = 32
const NONE = Buffer.alloc(HASH_BYTES)
const COLUMNS: Columns = { writer: 'uuid', tile: 'bigint', hashes: 'bytea' }

export class LeafTiles {
  readonly #writer: string
  /** What is known of each tile, from its first leaf to the last one that came. */
  readonly #tiles: Map<number, Buffer>
  readonly #changed = new Set<number>()

  /** Reads those that hold the sequence numbers `from` to `to`. The caller holds the writer's cursor. */
  static async read(
    transaction: Transaction<Tables>,
    writer: string,
    from: number,
    to: number,
  ): Promise<LeafTiles> {
    const { rows } = await sql<{ tile: string; hashes: Buffer }>`
      select tile, hashes from ledger_leaves
      where writer = ${writer} and tile between ${tileOf(from)} and ${tileOf(to)}`.execute(
      transaction,
    )
    return new LeafTiles(writer, new Map(rows.map(({ tile, hashes }) => [Number(tile), hashes])))
  }

  private constructor(writer: string, tiles: Map<number, Buffer>) {
    this.#writer = writer
    this.#tiles = tiles
  }

  /** The leaf of a record that the store has had. */
  leafOf(seq: number): Buffer | undefined {
    const at = placeOf(seq)
    const leaf = this.#tiles.get(tileOf(seq))?.subarray(at, at + HASH_BYTES)
    return leaf === undefined || leaf.length < HASH_BYTES || leaf.equals(NONE) ? undefined : leaf
  }

  add(seq: number, leaf: Buffer): void {
    const tile = tileOf(seq)
    const end = placeOf(seq) + HASH_BYTES
    let hashes = this.#tiles.get(tile)
    if (hashes === undefined || hashes.length < end) {
      const longer = Buffer.alloc(end)
      hashes?.copy(longer)
      hashes = longer
      this.#tiles.set(tile, hashes)
    }
    leaf.copy(hashes, placeOf(seq))
    this.#changed.add(tile)
  }

  async write(transaction: Transaction<Tables>): Promise<void> {
    if (this.#changed.size === 0) return
    const rows: Row[] = [...this.#changed].map((tile) => ({
      writer: this.#writer,
      tile,
      hashes: this.#tiles.get(tile),
    }))
    await sql`
      insert into ledger_leaves (writer, tile, hashes) ${selectRows(COLUMNS, rows)}
      on conflict (writer, tile) do update set hashes = excluded.hashes`.execute(transaction)
  }
}

function tileOf(seq: number): number {
  return Math.floor((seq - 1) / TILE_LEAVES)
}

/** The first byte of a leaf in its tile. */
function placeOf(seq: number): number {
  return ((seq - 1) % TILE_LEAVES) * HASH_BYTES
}
