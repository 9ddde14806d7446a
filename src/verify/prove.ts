// Makes proofs and statements out of a ledger's folders, in one pass over the leaf hashes.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { isErased } from '../ledger/encode.ts'
import { WRITER } from '../ledger/writer-folder.ts'
import { readCheckpoint, type RosterHead } from '../proof/checkpoint.ts'
import type { KeptKey } from '../proof/key-chain.ts'
import {
  consistencyRanges,
  inclusionRanges,
  type LeafRange,
  RangeRoots,
} from '../proof/proof-ranges.ts'
import { readStatement } from '../proof/statement.ts'
import { HASH_BYTES, leafHash } from '../proof/tree.ts'
import { keysIn, trustIn } from './folder-trust.ts'
import type { FolderPlace } from './folder.ts'
import type { ConsistencyProof, InclusionProof, ProofKey } from './proof-file.ts'
import { readRecord } from './record-head.ts'
import { framesOf, readSegmentFile } from './segment-file.ts'
import type { Trust } from './trust.ts'
import { filesOf, leavesIn, type WriterFiles } from './writer-files.ts'

/** A record as it is asked for. */
export type Wanted =
  | { readonly decisionId: string }
  | { readonly writer: string; readonly seq: number }

/** How far every writer of a folder has come, as its checkpoints say. */
export interface Standing {
  readonly installation: string
  readonly roster: RosterHead
  readonly writers: readonly {
    readonly writer: string
    readonly size: number
    readonly root: Buffer
    /** Milliseconds since the epoch. */
    readonly time: number
    readonly note: string
  }[]
}

/** Throws Damaged, and CordonError NOT_FOUND where there is no ledger. */
export function standingOf(place: FolderPlace): Standing {
  const trust = trustIn(place.ledger)
  const writers = writersOf(place, trust).flatMap((writer) => {
    const { checkpoint } = filesIn(place, writer, trust)
    return checkpoint === undefined ? [] : [checkpoint]
  })
  return { installation: trust.installation, roster: trust.head, writers }
}

/** Why a record is in the ledger. Throws CordonError NOT_FOUND and CONFLICT. */
export function proveInclusion(place: FolderPlace, wanted: Wanted): InclusionProof {
  const trust = trustIn(place.ledger)
  const found = find(place, trust, wanted)
  if (found === undefined)
    throw new CordonError(
      'NOT_FOUND',
      `${shown(wanted)} is not among the records that are kept in ${place.ledger}${place.archive === undefined ? '' : ` and ${place.archive}`}`,
    )
  const { writer, seq, record, personal, files } = found
  const { checkpoint } = files
  const signed = checkpoint?.size ?? files.seals.at(-1)?.lastSeq ?? 0
  if (checkpoint === undefined || signed < seq) throw uncovered(writer, seq)
  const ranges = inclusionRanges(seq - 1, checkpoint.size)
  const path = rolled(files, writer, ranges, checkpoint.size).rootsOf(ranges)
  const head = { installation: trust.installation, keys: proofKeys(keysIn(place.ledger).kept) }
  return inclusionProof({ ...head, writer, seq, record, personal, checkpoint, path })
}

/** The proof of what was found, wherever that was. Throws CordonError CONFLICT where there is no path. */
export function inclusionProof({
  installation,
  keys,
  writer,
  seq,
  record,
  personal,
  checkpoint,
  path,
}: {
  readonly installation: string
  readonly keys: readonly ProofKey[]
  readonly writer: string
  readonly seq: number
  readonly record: Buffer
  readonly personal: Buffer
  readonly checkpoint: { readonly size: number; readonly note: string }
  readonly path: readonly Buffer[] | undefined
}): InclusionProof {
  if (path === undefined) throw pruned(writer)
  return {
    cordon_proof: 'inclusion',
    v: 1,
    installation,
    keys,
    writer,
    seq,
    record: record.toString('utf8'),
    personal: personal.length === 0 || isErased(personal) ? null : personal.toString('base64'),
    leaf_index: seq - 1,
    leaf_hash: leafHash(record).toString('base64'),
    tree_size: checkpoint.size,
    path: path.map((each) => each.toString('base64')),
    checkpoint: checkpoint.note,
  }
}

/** Why what an older note says is the beginning of what a newer one says. Both are notes of this ledger. */
export function proveConsistency(
  place: FolderPlace,
  old: string,
  young: string,
): { readonly proof: ConsistencyProof; readonly left: readonly string[] } {
  const trust = trustIn(place.ledger)
  const before = momentsIn(old, trust, 'the older note')
  const after = momentsIn(young, trust, 'the newer note')
  const left: string[] = []
  const trees = before.flatMap(({ writer, size }) => {
    const now = after.find((each) => each.writer === writer)
    if (now === undefined || !hasFolder(place, writer)) {
      left.push(writer)
      return []
    }
    if (now.size < size) throw shrunk(writer, size, now.size)
    const ranges = consistencyRanges(size, now.size)
    const files = filesIn(place, writer, trust)
    const path = ranges.length === 0 ? [] : rolled(files, writer, ranges, now.size).rootsOf(ranges)
    if (path === undefined) throw pruned(writer)
    const hashes = path.map((each) => each.toString('base64'))
    return [{ writer, old_size: size, new_size: now.size, path: hashes }]
  })
  const head = {
    v: 1,
    installation: trust.installation,
    keys: proofKeys(keysIn(place.ledger).kept),
  } as const
  return { proof: { cordon_proof: 'consistency', ...head, old, new: young, trees }, left }
}

export function momentsIn(
  note: string,
  trust: Trust,
  what: string,
): readonly { readonly writer: string; readonly size: number }[] {
  const { text } = trust.open(note, {}, what)
  const checkpoint = readCheckpoint(text)
  const moments = checkpoint === undefined ? readStatement(text)?.writers : [checkpoint]
  if (moments !== undefined) return moments
  throw new CordonError('INPUT_INVALID', `${what} is neither a checkpoint nor a statement`)
}

export function proofKeys(kept: readonly KeptKey[]): ProofKey[] {
  return kept.map(({ vkey, note }) => ({ vkey, note: note ?? null }))
}

export function uncovered(writer: string, seq: number): CordonError {
  return new CordonError(
    'CONFLICT',
    `record ${seq} of writer ${writer} is covered by no checkpoint yet: while Cordon runs that takes ten seconds at most`,
  )
}

export function shrunk(writer: string, before: number, now: number): CordonError {
  return new CordonError(
    'CONFLICT',
    `writer ${writer} had ${before} records in the older note and has ${now} in the newer one: give the older one first, or look with "cordon ledger verify --checkpoint"`,
  )
}

/** The tree up to a size, from the oldest leaf that is kept on. */
function rolled(
  { seals, leaves, segments }: WriterFiles,
  writer: string,
  ranges: readonly LeafRange[],
  size: number,
): RangeRoots {
  const first = leaves[0]?.firstSeq ?? segments[0]?.firstSeq ?? 1
  const seal = seals.find(({ lastSeq }) => lastSeq === first - 1)
  if (first > 1 && seal === undefined) throw pruned(writer)
  const roots = new RangeRoots(
    ranges,
    seal === undefined ? undefined : { size: seal.lastSeq, frontier: seal.frontier },
  )
  for (const [index, { path, firstSeq }] of leaves.entries()) {
    const { hashes } = leavesIn(path, firstSeq, writer)
    const end = Math.min(size, (leaves[index + 1]?.firstSeq ?? Infinity) - 1)
    for (let seq = Math.max(firstSeq, roots.size + 1); seq <= end; seq++) {
      const at = (seq - firstSeq) * HASH_BYTES
      if (at + HASH_BYTES > hashes.length) break
      roots.append(hashes.subarray(at, at + HASH_BYTES))
    }
  }
  if (roots.size === size) return roots
  throw new CordonError(
    'CONFLICT',
    `writer ${writer}: the leaf hashes end with ${roots.size} of ${size}; see what "cordon ledger verify" says`,
  )
}

interface Found {
  readonly writer: string
  readonly seq: number
  readonly record: Buffer
  readonly personal: Buffer
  readonly files: WriterFiles
}

/** The newest first: what is asked for is seldom old. */
function find(place: FolderPlace, trust: Trust, wanted: Wanted): Found | undefined {
  const writers = 'writer' in wanted ? [wanted.writer] : writersOf(place, trust)
  for (const writer of writers) {
    if (!hasFolder(place, writer)) continue
    const files = filesIn(place, writer, trust)
    const candidates =
      'seq' in wanted
        ? files.segments.filter(({ firstSeq }) => firstSeq <= wanted.seq).slice(-1)
        : files.segments.toReversed()
    for (const segment of candidates) {
      const bytes = readSegmentFile(segment, writer)
      if ('decisionId' in wanted && !bytes.includes(`"decision_id":"${wanted.decisionId}"`))
        continue
      let seq = segment.firstSeq - 1
      for (const { record, personal } of framesOf(bytes)) {
        seq += 1
        const isIt = 'seq' in wanted ? seq === wanted.seq : isDecision(record, wanted.decisionId)
        if (isIt) return { writer, seq, record, personal, files }
      }
    }
  }
  return undefined
}

function isDecision(record: Buffer, id: string): boolean {
  if (!record.includes(`"decision_id":"${id}"`)) return false
  const read = readRecord(record)
  return read?.kind === 'decision' && read.decision.decision_id === id
}

export function shown(wanted: Wanted): string {
  return 'writer' in wanted
    ? `record ${wanted.seq} of writer ${wanted.writer}`
    : `decision ${wanted.decisionId}`
}

export function pruned(writer: string): CordonError {
  return new CordonError(
    'CONFLICT',
    `writer ${writer}: the leaf hashes that this proof needs are no longer kept here`,
  )
}

function filesIn({ ledger, archive }: FolderPlace, writer: string, trust: Trust): WriterFiles {
  const folderIn = (parent: string | undefined): string | undefined => {
    const folder = parent === undefined ? undefined : join(parent, writer)
    return folder !== undefined && existsSync(folder) ? folder : undefined
  }
  return filesOf({ writer, archive, live: folderIn(ledger), archived: folderIn(archive) }, trust)
}

function hasFolder({ ledger, archive }: FolderPlace, writer: string): boolean {
  return [ledger, archive].some(
    (parent) => parent !== undefined && existsSync(join(parent, writer)),
  )
}

/** Writers of which something is kept. */
function writersOf({ ledger, archive }: FolderPlace, trust: Trust): string[] {
  const names = [ledger, archive].flatMap((folder) =>
    folder === undefined || !existsSync(folder) ? [] : readdirSync(folder),
  )
  return [...new Set(names)]
    .filter((name) => WRITER.test(name) && trust.writers.has(name))
    .toSorted()
}
