// Makes proofs out of a database: from the texts of its records, and the leaf hashes and checkpoints that it has of them.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { openNote } from '../proof/note.ts'
import {
  consistencyRanges,
  inclusionRanges,
  type LeafRange,
  RangeRoots,
} from '../proof/proof-ranges.ts'
import { hashesIn } from '../proof/tree.ts'
import type { Tables } from '../store/tables.ts'
import {
  type ConsistencyProof,
  type InclusionProof,
  type Proof,
  verifyProof,
} from './proof-file.ts'
import {
  inclusionProof,
  momentsIn,
  proofKeys,
  pruned,
  shown,
  shrunk,
  uncovered,
  type Wanted,
} from './prove.ts'
import { describe } from './report.ts'
import { checkpointsOf, type StoredCheckpoint, tilesOf } from './store-pages.ts'
import { type StoredTrust, trustsIn } from './store-trust.ts'

const TABLES = ['decisions', 'outcomes', 'audit_events', 'gaps', 'dead_letters'] as const
const NONE = Buffer.alloc(0)
const TILE_LEAVES = 32

/** Throws CordonError NOT_FOUND and CONFLICT, and Damaged. */
export async function proveStoredInclusion(
  db: Kysely<Tables>,
  tenant: string,
  wanted: Wanted,
): Promise<InclusionProof> {
  const found = await find(db, tenant, wanted)
  if (found === undefined)
    throw new CordonError('NOT_FOUND', `${shown(wanted)} is not among the records of the database`)
  const { writer } = found
  const seq = Number(found.seq)
  const owner = (await trustsIn(db)).find(({ trust }) => trust.writers.has(writer))
  const checkpoint = (await checkpointsIn(db, writer)).at(-1)
  if (owner === undefined || checkpoint === undefined || checkpoint.size < seq)
    throw uncovered(writer, seq)
  const { trust, kept } = owner
  trust.checkpoint(checkpoint.note, writer, { writer, table: 'ledger_checkpoints' })
  const ranges = inclusionRanges(seq - 1, checkpoint.size)
  const roots = await rolled(db, writer, ranges, checkpoint.size)
  const proof = inclusionProof({
    installation: trust.installation,
    keys: proofKeys(kept),
    writer,
    seq,
    record: Buffer.from(found.record),
    personal: found.personal ?? NONE,
    checkpoint,
    path: roots.rootsOf(ranges),
  })
  return holding(proof)
}

/** What was changed in the database proves nothing, and nobody should learn it from whoever gets the proof. */
function holding<T extends Proof>(proof: T): T {
  const [damage] = verifyProof(proof, 'the database', []).damage
  if (damage === undefined) return proof
  throw new CordonError(
    'CONFLICT',
    `the database is damaged, so it proves nothing: ${describe(damage)}; "cordon ledger verify --database" tells more`,
  )
}

/** As `proveConsistency` of a folder. `young` undefined: how far the writer of the older note, a checkpoint, has come. */
export async function proveStoredConsistency(
  db: Kysely<Tables>,
  old: string,
  young: string | undefined,
): Promise<{ readonly proof: ConsistencyProof; readonly left: readonly string[] }> {
  const { trust, kept } = await ownerOf(db, old)
  const before = momentsIn(old, trust, 'the older note')
  const newer = young ?? (await newest(db, before))
  const after = momentsIn(newer, trust, 'the newer note')
  const left: string[] = []
  const trees: ConsistencyProof['trees'][number][] = []
  for (const { writer, size } of before) {
    const now = after.find((each) => each.writer === writer)
    if (now === undefined || (await checkpointsIn(db, writer)).length === 0) {
      left.push(writer)
      continue
    }
    if (now.size < size) throw shrunk(writer, size, now.size)
    const ranges = consistencyRanges(size, now.size)
    const path =
      ranges.length === 0 ? [] : (await rolled(db, writer, ranges, now.size)).rootsOf(ranges)
    if (path === undefined) throw pruned(writer)
    const hashes = path.map((each) => each.toString('base64'))
    trees.push({ writer, old_size: size, new_size: now.size, path: hashes })
  }
  const head = { v: 1, installation: trust.installation, keys: proofKeys(kept) } as const
  const proof = { cordon_proof: 'consistency', ...head, old, new: newer, trees } as const
  return { proof: holding<ConsistencyProof>(proof), left }
}

interface FoundRow {
  readonly writer: string
  readonly seq: string
  readonly record: string
  readonly personal: Buffer | null
}

/** By the id of a decision, which an index finds; by its number every row of its writer's tenant is looked at. */
async function find(
  db: Kysely<Tables>,
  tenant: string,
  wanted: Wanted,
): Promise<FoundRow | undefined> {
  const where =
    'writer' in wanted
      ? sql`writer = ${wanted.writer} and seq = ${wanted.seq}`
      : sql`decision_id = ${wanted.decisionId}`
  for (const table of 'writer' in wanted ? TABLES : TABLES.slice(0, 1)) {
    const personal = table === 'outcomes' || table === 'gaps' ? sql`null::bytea` : sql`personal`
    const { rows } = await sql<FoundRow>`
      select writer::text as writer, seq::text as seq, record, ${personal} as personal from ${sql.table(table)}
      where tenant = ${tenant} and ${where} limit 1`.execute(db)
    if (rows[0] !== undefined) return rows[0]
  }
  return undefined
}

function checkpointsIn(db: Kysely<Tables>, writer: string): Promise<readonly StoredCheckpoint[]> {
  return checkpointsOf({ db, isOne: false }, writer, Number.MAX_SAFE_INTEGER)
}

/** The installation that has signed a note. */
async function ownerOf(db: Kysely<Tables>, note: string): Promise<StoredTrust> {
  const owners = await trustsIn(db)
  const owner = owners.find(({ trust }) => (openNote(note, trust.keys)?.signedBy.length ?? 0) > 0)
  if (owner !== undefined) return owner
  throw new CordonError(
    'NOT_FOUND',
    'the older note is signed by none of the installations that the database has',
  )
}

async function newest(
  db: Kysely<Tables>,
  before: readonly { readonly writer: string }[],
): Promise<string> {
  const [only, ...others] = before
  const checkpoint =
    only === undefined || others.length > 0
      ? undefined
      : (await checkpointsIn(db, only.writer)).at(-1)
  if (checkpoint !== undefined) return checkpoint.note
  throw new CordonError(
    'INPUT_INVALID',
    'give a newer note too: a database has no key to sign one with, only the ledger has',
  )
}

/** The tree up to a size, from the oldest leaf that is here on. */
async function rolled(
  db: Kysely<Tables>,
  writer: string,
  ranges: readonly LeafRange[],
  size: number,
): Promise<RangeRoots> {
  const seals = await checkpointsIn(db, writer)
  let roots: RangeRoots | undefined
  for await (const { tile, hashes } of tilesOf({ db, isOne: false }, writer))
    for (const [index, hash] of hashesIn(hashes).entries()) {
      const seq = tile * TILE_LEAVES + index + 1
      if (roots?.size === size) return roots
      if (roots === undefined) {
        const start = seals.find((each) => each.frontier !== null && each.size === seq - 1)
        if (seq > 1 && start === undefined) continue
        roots = new RangeRoots(
          ranges,
          start === undefined
            ? undefined
            : { size: start.size, frontier: hashesIn(start.frontier ?? NONE) },
        )
      }
      if (seq !== roots.size + 1) throw pruned(writer)
      roots.append(hash)
    }
  if (roots?.size === size) return roots
  throw new CordonError(
    'CONFLICT',
    `writer ${writer}: the leaf hashes end with ${roots?.size ?? 0} of ${size}; see what "cordon ledger verify --database" says`,
  )
}
