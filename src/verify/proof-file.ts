// Proofs as files: a record and why it is in the ledger, or two moments and why the later one continues the earlier.
//
// All that is needed to check one is in it; docs/guides/prove-the-ledger.md does it by hand.

import { hash } from 'node:crypto'
import { isErased } from '../ledger/encode.ts'
import { WRITER } from '../ledger/writer-folder.ts'
import { type Checkpoint, readCheckpoint } from '../proof/checkpoint.ts'
import type { PublicKey } from '../proof/note.ts'
import { readStatement } from '../proof/statement.ts'
import { emptyRoot, leafHash, verifyConsistency, verifyInclusion } from '../proof/tree.ts'
import { checkKeys } from './anchors.ts'
import { readHead, readRecord } from './record-head.ts'
import { Damaged, type Report } from './report.ts'
import { Trust, vkeys } from './trust.ts'

export interface ProofKey {
  readonly vkey: string
  /** Why it is to be trusted; null for the first one. */
  readonly note: string | null
}

interface ProofHead {
  readonly v: 1
  readonly installation: string
  /** Oldest first. */
  readonly keys: readonly ProofKey[]
}

/** That a record is in the tree that a checkpoint has signed. Hashes are base64. */
export interface InclusionProof extends ProofHead {
  readonly cordon_proof: 'inclusion'
  readonly writer: string
  readonly seq: number
  /** The exact text; its leaf is SHA-256(0x00 || text). */
  readonly record: string
  /** Salt and personal part, base64; null where the record has none, or it was erased. */
  readonly personal: string | null
  /** Of the record: seq - 1. */
  readonly leaf_index: number
  readonly leaf_hash: string
  readonly tree_size: number
  /** RFC 9162, section 2.1.3, from the leaf upwards. */
  readonly path: readonly string[]
  /** A signed note whose size is `tree_size`. */
  readonly checkpoint: string
}

/** That every tree of the later note begins with that of the earlier one. */
export interface ConsistencyProof extends ProofHead {
  readonly cordon_proof: 'consistency'
  /** Signed notes: checkpoints of a writer, or statements. */
  readonly old: string
  readonly new: string
  /** RFC 9162, section 2.1.4, one for each writer that both notes name. */
  readonly trees: readonly {
    readonly writer: string
    readonly old_size: number
    readonly new_size: number
    readonly path: readonly string[]
  }[]
}

export type Proof = InclusionProof | ConsistencyProof

const HASH = /^[A-Za-z0-9+/]{43}=$/

/** The proof in a text; undefined where it is none. */
export function readProof(text: string): Proof | undefined {
  let read: Partial<Record<string, unknown>> | null
  try {
    read = JSON.parse(text) as typeof read
  } catch {
    return undefined
  }
  if (typeof read !== 'object' || read === null || read['v'] !== 1) return undefined
  if (!isId(read['installation']) || !Array.isArray(read['keys'])) return undefined
  if (!read['keys'].every((key) => isText((key as ProofKey | null)?.vkey))) return undefined
  if (read['cordon_proof'] === 'inclusion') {
    const { writer, record, personal, checkpoint, path } = read
    const isProof =
      isId(writer) &&
      [record, checkpoint, read['leaf_hash']].every(isText) &&
      (personal === null || isText(personal)) &&
      ['seq', 'leaf_index', 'tree_size'].every((name) => Number.isSafeInteger(read[name])) &&
      isPath(path)
    return isProof ? (read as unknown as InclusionProof) : undefined
  }
  if (read['cordon_proof'] !== 'consistency') return undefined
  const { trees } = read
  const isProof =
    [read['old'], read['new']].every(isText) &&
    Array.isArray(trees) &&
    trees.every((tree: Partial<Record<string, unknown>> | null) => {
      if (typeof tree !== 'object' || tree === null) return false
      const sizes = [tree['old_size'], tree['new_size']]
      return isId(tree['writer']) && sizes.every(Number.isSafeInteger) && isPath(tree['path'])
    })
  return isProof ? (read as unknown as ConsistencyProof) : undefined
}

function isId(value: unknown): value is string {
  return isText(value) && WRITER.test(value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isPath(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= 128 &&
    value.every((each) => isText(each) && HASH.test(each))
  )
}

/** Whether a proof holds. `keys`: those that somebody has from elsewhere. */
export function verifyProof(proof: Proof, file: string, keys: readonly PublicKey[]): Report {
  const report = { of: file, writers: [], unjudged: [] as string[], notes: [] as string[] }
  try {
    const kept = proof.keys.map(({ vkey, note }) => ({ vkey, note: note ?? undefined }))
    const trust = new Trust(proof.installation, kept, () => ({ file }))
    if (trust.keys.length === 0) throw new Damaged({ file, what: 'has no key' })
    checkKeys(keys, [trust])
    if (keys.length === 0)
      report.notes.push(
        'the keys are those of the file itself: with --key it shows, too, that they are the right ones',
      )
    const records =
      proof.cordon_proof === 'inclusion'
        ? checkInclusion(proof, file, trust, report.notes)
        : checkConsistency(proof, file, trust, report.unjudged)
    const { installation } = proof
    return {
      ...report,
      verdict: report.unjudged.length > 0 ? 'unknown' : 'intact',
      installations: [{ installation, keys: vkeys(trust.keys), writers: 0 }],
      records,
      damage: [],
    }
  } catch (error) {
    if (!(error instanceof Damaged)) throw error
    return { ...report, verdict: 'damaged', installations: [], records: 0, damage: [error.damage] }
  }
}

function checkInclusion(
  proof: InclusionProof,
  file: string,
  trust: Trust,
  notes: string[],
): number {
  const { writer, seq } = proof
  const place = { file, writer, seq }
  const checkpoint = signedCheckpoint(proof.checkpoint, file, trust)
  if (checkpoint.writer !== writer || checkpoint.size !== proof.tree_size)
    throw new Damaged({ ...place, what: 'the checkpoint is of another writer or size' })
  const text = Buffer.from(proof.record)
  const head = readHead(text)
  if (head === undefined || readRecord(text) === undefined)
    throw new Damaged({ ...place, what: 'is no record of a ledger' })
  if (head.writer !== writer || head.seq !== seq || proof.leaf_index !== seq - 1)
    throw new Damaged({
      ...place,
      what: `the record is number ${head.seq} of writer ${head.writer}`,
    })
  const leaf = leafHash(text)
  const path = proof.path.map((each) => Buffer.from(each, 'base64'))
  if (
    leaf.toString('base64') !== proof.leaf_hash ||
    !verifyInclusion(leaf, seq - 1, checkpoint.size, path, checkpoint.root)
  )
    throw new Damaged({
      ...place,
      time: head.time,
      what: 'the record is not in the tree that the checkpoint has signed',
    })
  const personal = Buffer.from(proof.personal ?? '', 'base64')
  if (personal.length > 0 && !isErased(personal) && hash('sha256', personal) !== head.personalHash)
    throw new Damaged({ ...place, what: 'the personal part is not that of the record' })
  if (head.personalHash !== undefined && (personal.length === 0 || isErased(personal)))
    notes.push(
      'the record was written with a personal part, which is not here: erased, or left out',
    )
  return 1
}

interface Moment {
  readonly writer: string
  readonly size: number
  readonly root: Buffer
}

function checkConsistency(
  proof: ConsistencyProof,
  file: string,
  trust: Trust,
  unjudged: string[],
): number {
  const old = momentsIn(proof.old, file, trust)
  const young = momentsIn(proof.new, file, trust)
  for (const { writer, size, root } of old) {
    const now = young.find((each) => each.writer === writer)
    const tree = proof.trees.find((each) => each.writer === writer)
    if (now === undefined || tree === undefined) {
      unjudged.push(`writer ${writer}: the later note, or the proof, says nothing of it`)
      continue
    }
    const path = tree.path.map((each) => Buffer.from(each, 'base64'))
    const isSame = tree.old_size === size && tree.new_size === now.size
    if (!isSame || !verifyConsistency({ size, root }, now, path))
      throw new Damaged({
        file,
        writer,
        what: `the tree of ${now.size} records does not begin with the one of ${size}`,
      })
  }
  return 0
}

function momentsIn(note: string, file: string, trust: Trust): readonly Moment[] {
  const { text } = trust.open(note, { file }, 'a note')
  const checkpoint = readCheckpoint(text)
  const statement = readStatement(text)
  const moments = checkpoint === undefined ? statement?.writers : [checkpoint]
  if (moments === undefined)
    throw new Damaged({ file, what: 'a note is neither a checkpoint nor a statement' })
  if (moments.some(({ size, root }) => size === 0 && !root.equals(emptyRoot())))
    throw new Damaged({ file, what: 'a tree without records has another root' })
  return moments
}

function signedCheckpoint(note: string, file: string, trust: Trust): Checkpoint {
  const checkpoint = readCheckpoint(trust.open(note, { file }, 'the checkpoint').text)
  if (checkpoint === undefined) throw new Damaged({ file, what: 'the checkpoint is none' })
  return checkpoint
}
