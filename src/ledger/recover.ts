// How far had a writer come? Read from its newest seal and the frames behind it: one or two segments.
//
// What is read must fit what was signed: a frame that is missing or another one than a checkpoint covers makes
// the folder unfit to be gone on with. Only behind all whole frames may there be a torn one, which was never
// acknowledged.

import { join } from 'node:path'
import { readCheckpoint } from '../proof/checkpoint.ts'
import { openNote, type PublicKey } from '../proof/note.ts'
import { leafHash, Tree } from '../proof/tree.ts'
import type { Disk } from './disk.ts'
import { CHECKPOINT_FILE, type Progress, type Seal } from './evidence.ts'
import { MAX_FRAME_BYTES, nextFrame, readFrame } from './frame.ts'
import { readSegment, SEGMENT_HEAD, type SegmentFile, segmentsOf } from './segment.ts'

const SEAL_NAME = /^\d{16}\.seal$/
/** How far behind a torn frame another one is looked for. */
const MAX_SEARCH_BYTES = 64 * 1024

export interface Recovered extends Progress {
  /** Segments that may not be synced: those behind the newest seal. */
  readonly open: readonly OpenSegment[]
}

export interface OpenSegment {
  readonly path: string
  readonly bytes: number
  /** How many of them are frames that no other segment has. */
  readonly keep: number
}

/** Why a folder cannot be gone on with. */
export interface Unfit {
  readonly why: string
}

export function recover(
  disk: Disk,
  folder: string,
  writer: string,
  keys: readonly PublicKey[],
): Recovered | Unfit {
  const sealed = newestSeal(disk, folder, writer, keys)
  if ('why' in sealed) return sealed
  const signed = signedCheckpoint(disk, folder, writer, keys)
  if (signed !== undefined && 'why' in signed) return signed
  if (signed === undefined || signed.size < sealed.lastSeq)
    return { why: 'its checkpoint is missing, or older than its newest seal' }

  const { tree } = sealed
  const firstSeq = sealed.lastSeq + 1
  const leaves: Buffer[] = []
  const segments: OpenFrames[] = []
  let from = Infinity
  let to = -Infinity
  const fits = (): boolean => tree.size !== signed.size || tree.root().equals(signed.root)
  if (!fits()) return { why: 'its checkpoint does not fit its newest seal' }
  for (const segment of segmentsOf(folder, disk)) {
    if (segment.firstSeq <= sealed.lastSeq) continue
    const read = framesOf(disk, segment)
    if (typeof read === 'string') return { why: read }
    const frames: OpenFrames = {
      path: segment.path,
      bytes: read.bytes,
      numbers: [],
      ends: read.ends,
    }
    segments.push(frames)
    for (const record of read.records) {
      const said = numberAndTime(record)
      if (said === undefined) return { why: `${segment.path} holds a frame that is no record` }
      const { seq, time } = said
      frames.numbers.push(seq)
      if (seq <= tree.size) continue
      if (seq !== tree.size + 1)
        return { why: `record ${tree.size + 1} is missing (${segment.path})` }
      const leaf = leafHash(record)
      tree.append(leaf)
      leaves.push(leaf)
      from = Math.min(from, time)
      to = Math.max(to, time)
      if (!fits())
        return { why: `a record up to ${seq} is not what its checkpoint was signed over` }
    }
  }
  if (tree.size < signed.size)
    return {
      why: `its checkpoint covers records up to ${signed.size}, but the last one is ${tree.size}`,
    }
  const open = withoutRepeats(segments)
  return {
    size: tree.size,
    frontier: tree.frontier,
    stretch: {
      firstSeq,
      leaves: Buffer.concat(leaves),
      times: leaves.length === 0 ? undefined : { from, to },
      bytes: open.reduce((sum, { keep }) => sum + keep, 0),
    },
    checkpoint: { size: signed.size, roster: signed.roster.count, note: signed.note },
    open,
  }
}

/** Undefined where the text is no record: who wrote it has made a checksum for it, too. */
function numberAndTime(text: Buffer): { readonly seq: number; readonly time: number } | undefined {
  try {
    const { seq, time } = JSON.parse(text.toString('utf8')) as { seq: unknown; time: unknown }
    return Number.isSafeInteger(seq) && typeof time === 'number'
      ? { seq: Number(seq), time }
      : undefined
  } catch {
    return undefined
  }
}

interface OpenFrames {
  readonly path: string
  readonly bytes: number
  /** Of its frames: their numbers, and where they end. */
  readonly numbers: number[]
  readonly ends: readonly number[]
}

/**
 * A process that died after a sync had failed leaves frames in two files. The later file counts where it goes as
 * far as the earlier ones, otherwise it was cut off in the middle.
 */
function withoutRepeats(segments: readonly OpenFrames[]): OpenSegment[] {
  const counted: { segment: OpenFrames; count: number }[] = []
  const dropped: OpenFrames[] = []
  let last = 0
  for (const segment of segments) {
    const [first] = segment.numbers
    const end = segment.numbers.at(-1)
    if (first === undefined || end === undefined || end < last) {
      dropped.push(segment)
      continue
    }
    for (const each of counted)
      each.count = each.segment.numbers.filter((seq, at) => at < each.count && seq < first).length
    counted.push({ segment, count: segment.numbers.length })
    last = end
  }
  return [
    ...dropped.map(({ path, bytes }) => ({ path, bytes, keep: 0 })),
    ...counted.map(({ segment: { path, bytes, ends }, count }) => ({
      path,
      bytes,
      keep: count === 0 ? 0 : (ends[count - 1] ?? 0),
    })),
  ]
}

function newestSeal(
  disk: Disk,
  folder: string,
  writer: string,
  keys: readonly PublicKey[],
): { readonly lastSeq: number; readonly tree: Tree } | Unfit {
  const name = disk
    .list(folder)
    .filter((each) => SEAL_NAME.test(each))
    .toSorted()
    .at(-1)
  if (name === undefined) return { lastSeq: 0, tree: new Tree() }
  const why = `its newest seal (${join(folder, name)}) is damaged`
  try {
    const seal = JSON.parse(disk.read(join(folder, name)).toString('utf8')) as Seal
    const tree = new Tree(
      seal.last_seq,
      seal.frontier.map((hash) => Buffer.from(hash, 'base64')),
    )
    const signed = checkpointIn(seal.checkpoint, writer, keys)
    return signed?.size === seal.last_seq && signed.root.equals(tree.root())
      ? { lastSeq: seal.last_seq, tree }
      : { why }
  } catch {
    return { why }
  }
}

function signedCheckpoint(
  disk: Disk,
  folder: string,
  writer: string,
  keys: readonly PublicKey[],
): (NonNullable<ReturnType<typeof checkpointIn>> & { readonly note: string }) | Unfit | undefined {
  const path = join(folder, CHECKPOINT_FILE)
  if (!disk.has(path)) return undefined
  const note = disk.read(path).toString('utf8')
  const signed = checkpointIn(note, writer, keys)
  return signed === undefined
    ? { why: `its checkpoint (${path}) is damaged, or signed with no key of this ledger` }
    : { ...signed, note }
}

function checkpointIn(
  note: string,
  writer: string,
  keys: readonly PublicKey[],
): ReturnType<typeof readCheckpoint> {
  const opened = openNote(note, keys)
  if (opened === undefined || opened.signedBy.length === 0) return undefined
  const said = readCheckpoint(opened.text)
  return said?.writer === writer ? said : undefined
}

/** The records of a segment, and where their frames end; or why it cannot be read. */
function framesOf(
  disk: Disk,
  { path }: SegmentFile,
):
  | { readonly bytes: number; readonly records: readonly Buffer[]; readonly ends: number[] }
  | string {
  const segment = readSegment(path, disk)
  // Its maker died before its head was whole, so nothing was ever written to it.
  if (segment === undefined)
    return disk.read(path).length > SEGMENT_HEAD
      ? `${path} is damaged at byte 0`
      : { bytes: 0, records: [], ends: [] }
  const bytes = segment.length
  const records: Buffer[] = []
  const ends: number[] = []
  let at = SEGMENT_HEAD
  for (;;) {
    const read = readFrame(segment, at)
    if (read.kind === 'frame') {
      records.push(read.record)
      at = read.next
      ends.push(at)
      continue
    }
    if (at >= bytes) return { bytes, records, ends }
    // A length that was changed makes a frame look torn: then another one follows soon, for a torn one is shorter than a frame.
    const behind = segment.subarray(at + 1, at + 1 + MAX_SEARCH_BYTES)
    if (
      read.kind === 'damaged' ||
      bytes - at > MAX_FRAME_BYTES ||
      nextFrame(behind, 0) !== undefined
    )
      return `${path} is damaged at byte ${at}`
    return { bytes, records, ends }
  }
}
