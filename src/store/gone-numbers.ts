// Which records of a writer retention has told to go: a bit for each number, in blocks, as `retention_numbers` has them.
//
// A count alone would let somebody put an aged row back and take another one in its place.

import { createHash } from 'node:crypto'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from './tables.ts'
import { type Columns, insert } from './unnest.ts'

const BLOCK_NUMBERS = 4096
const WORD_NUMBERS = 64
const WORD_BYTES = 8
const WORDS = BLOCK_NUMBERS / WORD_NUMBERS
const BLOCK_BYTES = BLOCK_NUMBERS / 8
const BLOCKS_AT_ONCE = 1000
const COLUMNS: Columns = {
  tenant: 'text',
  event_id: 'uuid',
  writer: 'uuid',
  block: 'bigint',
  numbers: 'bytea',
}

/** Number 4096 * block + 1 is the lowest bit of the first byte. */
export interface NumberBlock {
  readonly block: number
  readonly bits: Buffer
}

/** A set of sequence numbers. */
export class GoneNumbers {
  readonly #blocks = new Map<number, Buffer>()

  /** `bits`: the lowest is number 64 * word + 1. */
  add(word: number, bits: bigint): void {
    const block = Math.floor(word / WORDS)
    const at = (word % WORDS) * WORD_BYTES
    let known = this.#blocks.get(block)
    if (known === undefined) {
      known = Buffer.alloc(BLOCK_BYTES)
      this.#blocks.set(block, known)
    }
    known.writeBigUInt64LE(known.readBigUInt64LE(at) | bits, at)
  }

  /** Whether all of them are among these. */
  has(word: number, bits: bigint): boolean {
    const block = this.#blocks.get(Math.floor(word / WORDS))
    return (
      block !== undefined && (block.readBigUInt64LE((word % WORDS) * WORD_BYTES) & bits) === bits
    )
  }

  /** Lowest first. */
  blocks(): NumberBlock[] {
    return [...this.#blocks].toSorted(([a], [b]) => a - b).map(([block, bits]) => ({ block, bits }))
  }
}

/** SHA-256, hex, over all blocks, lowest first: eight bytes with its number, most significant first, then its bits. */
export function numbersHash(blocks: Iterable<NumberBlock>): string {
  const hash = createHash('sha256')
  const head = Buffer.alloc(WORD_BYTES)
  for (const { block, bits } of blocks) {
    head.writeBigUInt64BE(BigInt(block))
    hash.update(head).update(bits)
  }
  return hash.digest('hex')
}

export function* numbersIn({ block, bits }: NumberBlock): Generator<number> {
  for (const [index, byte] of bits.entries())
    for (let bit = 0; byte >> bit > 0; bit++)
      if ((byte & (1 << bit)) !== 0) yield block * BLOCK_NUMBERS + index * 8 + bit + 1
}

/** Columns `word`, `bits` and `rows` of rows that are grouped by `word`: what `GoneNumbers` takes. */
export function wordsOf(seq: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(${seq} - 1) / ${sql.lit(WORD_NUMBERS)} as word, count(*) as rows,
    bit_or(1::bigint << ((${seq} - 1) % ${sql.lit(WORD_NUMBERS)})::integer)::text as bits`
}

/** Bits of a word as the database tells them: a bigint with its sign. */
export function bitsOf(text: string): bigint {
  return BigInt.asUintN(WORD_NUMBERS, BigInt(text))
}

/** Keeps what a record is going to tell, before it does. */
export async function keepNumbers(
  db: Kysely<Tables>,
  { tenant, eventId }: { readonly tenant: string; readonly eventId: string },
  writers: ReadonlyMap<string, GoneNumbers>,
): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    for (const [writer, numbers] of writers) {
      const blocks = numbers.blocks()
      for (let from = 0; from < blocks.length; from += BLOCKS_AT_ONCE)
        await insert(
          transaction,
          'retention_numbers',
          COLUMNS,
          blocks.slice(from, from + BLOCKS_AT_ONCE).map(({ block, bits }) => ({
            tenant,
            event_id: eventId,
            writer,
            block,
            numbers: bits,
          })),
        )
    }
  })
}

/** The condition that a record has told the row with that writer and number. */
export function isTold(
  { tenant, eventId }: { readonly tenant: string; readonly eventId: string },
  writer: RawBuilder<unknown>,
  seq: RawBuilder<unknown>,
): RawBuilder<boolean> {
  // No row has a number below one, unless somebody put it there: then there is no such bit.
  return sql<boolean>`exists (select from retention_numbers told
    where told.tenant = ${tenant} and told.event_id = ${eventId} and told.writer = ${writer}
      and told.block = (${seq} - 1) / ${sql.lit(BLOCK_NUMBERS)}
      and case when ${seq} > 0 then get_bit(told.numbers, ((${seq} - 1) % ${sql.lit(BLOCK_NUMBERS)})::integer) = 1 end)`
}

/** What a record has told of each writer; in the order of writers and blocks. */
export async function* toldNumbers(
  db: Kysely<Tables>,
  { tenant, eventId }: { readonly tenant: string; readonly eventId: string },
): AsyncGenerator<NumberBlock & { readonly writer: string }> {
  let last: { readonly writer: string; readonly block: string } | undefined
  for (;;) {
    const behind: RawBuilder<unknown> =
      last === undefined
        ? sql``
        : sql`and (writer, block) > (${last.writer}::uuid, ${last.block}::bigint)`
    const page: { rows: { writer: string; block: string; numbers: Buffer }[] } = await sql<{
      writer: string
      block: string
      numbers: Buffer
    }>`
      select writer::text as writer, block::text as block, numbers from retention_numbers
      where tenant = ${tenant} and event_id = ${eventId} ${behind}
      order by retention_numbers.writer, retention_numbers.block limit ${sql.lit(BLOCKS_AT_ONCE)}`.execute(
      db,
    )
    for (const { writer, block, numbers } of page.rows)
      yield { writer, block: Number(block), bits: numbers }
    last = page.rows.at(-1)
    if (page.rows.length < BLOCKS_AT_ONCE) return
  }
}
