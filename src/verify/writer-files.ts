// What is there of one writer: its files by kind, in the ledger and in the archive. A file of no kind is damage.

import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Seal as SealText } from '../ledger/evidence.ts'
import { END_WANTED } from '../ledger/segment.ts'
import { type Kept, KEPT_FILE, readKept } from '../proof/kept.ts'
import { HASH_BYTES, Tree } from '../proof/tree.ts'
import { Damaged } from './report.ts'
import type { SegmentFiles } from './segment-file.ts'
import { readSmall } from './small-file.ts'
import { type SignedCheckpoint, type Trust } from './trust.ts'

export interface WriterSource {
  readonly writer: string
  /** The archive, where that is checked too. */
  readonly archive: string | undefined
  /** Its folder in the archive. */
  readonly archived: string | undefined
  /** Its folder in the ledger. */
  readonly live: string | undefined
}

export interface Seal {
  readonly file: string
  readonly firstSeq: number
  readonly lastSeq: number
  readonly timeFrom: number
  readonly timeTo: number
  readonly frontier: readonly Buffer[]
  readonly checkpoint: SignedCheckpoint
}

/** Leaf hashes that were kept beside the segments, 32 bytes each. */
export interface Leaves {
  readonly file: string
  readonly firstSeq: number
  readonly hashes: Buffer
}

export interface WriterFiles {
  readonly segments: readonly SegmentFiles[]
  readonly seals: readonly Seal[]
  readonly leaves: readonly { readonly firstSeq: number; readonly path: string }[]
  /** Undefined where the folder in the ledger has none, or is not there. */
  readonly checkpoint: SignedCheckpoint | undefined
  /** Segments below that number may be gone. */
  readonly keptFrom: number
  /** They were moved to an archive, which is not checked. */
  readonly isElsewhere: boolean
  /** Nobody will write here any more. */
  readonly isLeft: boolean
}

const NUMBERED = /^(\d{16})(?:-([1-9]\d{0,5}))?\.(seg|seg\.zst|leaves|seal)$/
const OTHERS = new Set(['open', 'left', 'lock', 'checkpoint', KEPT_FILE, END_WANTED])
/** Being written under that name, and renamed when it is whole. */
const DRAFT = /\.part$|^lock\.[0-9a-f-]{36}$/
const MAX_NOTE_BYTES = 1024 * 1024
const MAX_SEAL_BYTES = 64 * 1024

/** Throws Damaged. What is read first may be older than what is read later, never newer. */
export function filesOf(source: WriterSource, trust: Trust): WriterFiles {
  const { writer, archived, live } = source
  const checkpoint = live === undefined ? undefined : checkpointIn(live, writer, trust)
  const folders = [archived, live].filter((folder) => folder !== undefined)
  const named = folders.flatMap((folder) => {
    const names = namesIn(folder, writer)
    // Who died while older ones went has left some of them.
    const from = keptIn(folder, writer, trust)?.from ?? 1
    return names.filter(({ firstSeq, kind }) => kind === 'seal' || firstSeq >= from)
  })
  const seals = sealsOf(named, writer, trust)
  for (const folder of folders) keptByWhoMay(keptIn(folder, writer, trust), seals, writer)
  return {
    checkpoint,
    segments: segmentsOf(named),
    seals,
    leaves: named
      .filter(({ kind }) => kind === 'leaves')
      .map(({ firstSeq, path }) => ({ firstSeq, path }))
      .toSorted((a, b) => a.firstSeq - b.firstSeq),
    ...keptFrom(source, trust),
    isLeft: live === undefined || existsSync(join(live, 'left')),
  }
}

interface Named {
  readonly path: string
  readonly folder: string
  readonly kind: string
  readonly firstSeq: number
  readonly edition: number
}

function namesIn(folder: string, writer: string): Named[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const { name } = entry
    if (OTHERS.has(name) || DRAFT.test(name)) return []
    const [, digits, edition = '0', kind = ''] = NUMBERED.exec(name) ?? []
    const isOfOneEdition = kind === 'leaves' || kind === 'seal'
    if (digits === undefined || !entry.isFile() || (isOfOneEdition && edition !== '0'))
      throw new Damaged({ writer, file: name, what: 'does not belong into a ledger' })
    return [
      {
        path: join(folder, name),
        folder,
        kind,
        firstSeq: Number(digits),
        edition: Number(edition),
      },
    ]
  })
}

function segmentsOf(named: readonly Named[]): SegmentFiles[] {
  const segments = new Map<string, SegmentFiles & { paths: string[] }>()
  for (const { path, kind, firstSeq, edition } of named) {
    if (!kind.startsWith('seg')) continue
    const key = `${firstSeq}-${edition}`
    const known = segments.get(key)
    if (known === undefined) segments.set(key, { firstSeq, edition, paths: [path] })
    else known.paths.push(path)
  }
  return [...segments.values()].toSorted((a, b) => a.firstSeq - b.firstSeq || a.edition - b.edition)
}

/** The newest checkpoint in a folder, if it has one. */
export function checkpointIn(
  folder: string,
  writer: string,
  trust: Trust,
): SignedCheckpoint | undefined {
  const path = join(folder, 'checkpoint')
  if (!existsSync(path)) return undefined
  return trust.checkpoint(noteIn(path, writer), writer, { writer, file: 'checkpoint' })
}

/** Each seal goes on where the one before ends, so a missing one shows. */
function sealsOf(named: readonly Named[], writer: string, trust: Trust): Seal[] {
  const texts = new Map<number, { file: string; text: string }>()
  for (const { path, kind, firstSeq } of named) {
    if (kind !== 'seal') continue
    const file = basename(path)
    const text = noteIn(path, writer, MAX_SEAL_BYTES)
    if (texts.has(firstSeq) && texts.get(firstSeq)?.text !== text)
      throw new Damaged({ writer, file, what: 'is there twice, with other content' })
    texts.set(firstSeq, { file, text })
  }
  const seals = [...texts]
    .toSorted(([a], [b]) => a - b)
    .map(([firstSeq, { file, text }]) => sealOf(text, { file, firstSeq, writer }, trust))
  let next = 1
  let key = 0
  for (const { firstSeq, lastSeq, file, checkpoint } of seals) {
    if (firstSeq !== next)
      throw new Damaged({
        writer,
        seq: next,
        file,
        what: `seals records from ${firstSeq} on, and the seal of those before from ${next} on is missing`,
      })
    if (checkpoint.key < key)
      throw new Damaged({
        writer,
        file,
        what: `is signed with key ${checkpoint.key}, after key ${key} was in force`,
      })
    next = lastSeq + 1
    key = checkpoint.key
  }
  return seals
}

function sealOf(
  text: string,
  { file, firstSeq, writer }: { file: string; firstSeq: number; writer: string },
  trust: Trust,
): Seal {
  const wrong = (what: string): Damaged => new Damaged({ writer, seq: firstSeq, file, what })
  const seal = readSeal(text)
  if (seal === undefined) throw wrong('is no seal')
  if (seal.writer !== writer) throw wrong(`is a seal of writer ${seal.writer}`)
  if (seal.first_seq !== firstSeq) throw wrong(`seals records from ${seal.first_seq} on`)
  const lastSeq = seal.last_seq
  const checkpoint = trust.checkpoint(seal.checkpoint, writer, { writer, file })
  if (checkpoint.size !== lastSeq)
    throw wrong(`ends with record ${lastSeq}, its checkpoint with ${checkpoint.size}`)
  const frontier = seal.frontier.map((hash) => Buffer.from(hash, 'base64'))
  let root: Buffer | undefined
  try {
    root = new Tree(lastSeq, frontier).root()
  } catch {
    // Not as many hashes as the size asks for.
  }
  if (root?.equals(checkpoint.root) !== true)
    throw wrong('has a frontier that is not that of the tree which its checkpoint has signed')
  return {
    file,
    firstSeq,
    lastSeq,
    timeFrom: seal.time_from,
    timeTo: seal.time_to,
    frontier,
    checkpoint,
  }
}

/** Undefined where the text is not, byte for byte, as a seal is written. */
function readSeal(text: string): SealText | undefined {
  let read: Partial<SealText> | null
  try {
    read = JSON.parse(text) as typeof read
  } catch {
    return undefined
  }
  if (typeof read !== 'object' || read === null) return undefined
  const { v, writer, first_seq, last_seq, time_from, time_to, frontier, checkpoint } = read
  const known = { v, writer, first_seq, last_seq, time_from, time_to, frontier, checkpoint }
  const isSeal =
    v === 1 &&
    typeof writer === 'string' &&
    typeof checkpoint === 'string' &&
    [first_seq, last_seq, time_from, time_to].every((number) => Number.isFinite(number)) &&
    Number.isSafeInteger(first_seq) &&
    Number.isSafeInteger(last_seq) &&
    Number(first_seq) >= 1 &&
    Number(last_seq) >= Number(first_seq) &&
    Array.isArray(frontier) &&
    frontier.every(isBase64) &&
    `${JSON.stringify(known)}\n` === text
  return isSeal ? (known as SealText) : undefined
}

function isBase64(hash: unknown): boolean {
  return typeof hash === 'string' && Buffer.from(hash, 'base64').toString('base64') === hash
}

/**
 * From which number on segments must be there. What left the ledger for the archive must be in the archive, where
 * that is checked too; what the archive has removed, it says itself.
 */
function keptFrom(
  { writer, archived, archive, live }: WriterSource,
  trust: Trust,
): Pick<WriterFiles, 'keptFrom' | 'isElsewhere'> {
  const own = live === undefined ? undefined : keptIn(live, writer, trust)
  if (own?.older === 'removed' || archive === undefined)
    return { keptFrom: own?.from ?? 1, isElsewhere: own?.older === 'archived' }
  const there = archived === undefined ? undefined : keptIn(archived, writer, trust)
  // Nothing is archived twice: this note is the one of the ledger, put here to explain what was taken away.
  if (there?.older === 'archived')
    throw new Damaged({
      writer,
      file: join(archive, writer, KEPT_FILE),
      what: 'says that older records were archived, and this is the archive',
    })
  return { keptFrom: there?.from ?? 1, isElsewhere: false }
}

/** Records went after they were sealed: a key that was followed by another one before lets none of them go. Throws Damaged. */
function keptByWhoMay(
  kept: (Kept & { readonly key: number }) | undefined,
  seals: readonly Seal[],
  writer: string,
): void {
  const last = seals.find(({ lastSeq }) => lastSeq + 1 === kept?.from)
  if (kept !== undefined && last !== undefined && kept.key < last.checkpoint.key)
    throw new Damaged({
      writer,
      file: KEPT_FILE,
      what: `is signed with key ${kept.key}, and ${last.file}, which it lets go, with key ${last.checkpoint.key}`,
    })
}

function keptIn(
  folder: string,
  writer: string,
  trust: Trust,
): (Kept & { readonly key: number }) | undefined {
  const path = join(folder, KEPT_FILE)
  if (!existsSync(path)) return undefined
  const origin = { writer, file: KEPT_FILE }
  const { text, key } = trust.open(noteIn(path, writer), origin, 'the note of what is kept')
  const kept = readKept(text)
  if (kept?.writer !== writer)
    throw new Damaged({ ...origin, what: 'does not tell what is kept of this writer' })
  return { ...kept, key }
}

/** A run of leaf hashes. Throws Damaged where it is none. */
export function leavesIn(path: string, firstSeq: number, writer: string): Leaves {
  const hashes = readSmall(path, MAX_LEAVES_BYTES, { writer })
  // The last one may be cut off: it is written before the checkpoint that covers it.
  const whole = hashes.length - (hashes.length % HASH_BYTES)
  return { file: basename(path), firstSeq, hashes: hashes.subarray(0, whole) }
}

/** A frame is hardly smaller than 128 bytes. */
const MAX_LEAVES_BYTES = (64 * 1024 * 1024 * HASH_BYTES) / 128

function noteIn(path: string, writer: string, most = MAX_NOTE_BYTES): string {
  return readSmall(path, most, { writer }).toString('utf8')
}
