// What somebody who can write to a ledger's files does to them: for real, with checksums, leaves, frontiers and
// signatures made to fit as far as the attacker can.

import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { frameOf, readFrame } from '../../src/ledger/frame.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { checkpointText, readCheckpoint, type RosterHead } from '../../src/proof/checkpoint.ts'
import { keyName } from '../../src/proof/key-chain.ts'
import { generateKey, openNote, signNote, type SigningKey, vkeyOf } from '../../src/proof/note.ts'
import { NO_ENTRY, readRosterEntry, rosterHead, rosterText } from '../../src/proof/roster.ts'
import { leafHash, Tree } from '../../src/proof/tree.ts'
import type { TestLedger, TestWriter } from './ledger-folder.ts'

export interface TestFrame {
  record: Buffer
  personal: Buffer
}

/** A copy of a ledger that can be spoiled. */
export function copyOf(ledger: TestLedger, dataDir: string): TestLedger {
  cpSync(ledger.dataDir, dataDir, { recursive: true })
  const to = join(dataDir, 'ledger')
  return {
    dataDir,
    ledger: to,
    writers: ledger.writers.map((writer) => ({ ...writer, folder: join(to, writer.writer) })),
  }
}

export function framesIn(path: string): TestFrame[] {
  const bytes = readFileSync(path)
  const frames: TestFrame[] = []
  for (let at = SEGMENT_HEAD; ;) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') return frames
    frames.push({ record: Buffer.from(read.record), personal: Buffer.from(read.personal) })
    at = read.next
  }
}

/** Writes a segment anew, every checksum right. */
export function putFrames(path: string, frames: readonly TestFrame[]): void {
  const head = readFileSync(path).subarray(0, SEGMENT_HEAD)
  writeFileSync(path, Buffer.concat([head, ...frames.map(frameOf)]))
}

/** The segment that holds a record, and its place in it. */
export function placeOf(
  { folder }: TestWriter,
  seq: number,
): { readonly path: string; readonly index: number } {
  const segment = segmentsOf(folder).findLast(({ firstSeq }) => firstSeq <= seq)
  if (segment === undefined) throw new Error(`there is no record ${seq}`)
  return { path: segment.path, index: seq - segment.firstSeq }
}

export function editFrames(
  writer: TestWriter,
  seq: number,
  edit: (frames: TestFrame[], index: number) => void,
): void {
  const { path, index } = placeOf(writer, seq)
  const frames = framesIn(path)
  edit(frames, index)
  putFrames(path, frames)
}

/** Another value of the same length in a record. */
export function changed({ record, personal }: TestFrame): TestFrame {
  const text = record.toString('utf8')
  const other = text.replace(/"(?:reason|action)":"(\w)/, (found) => found.slice(0, -1) + 'X')
  if (other === text) throw new Error('nothing was changed')
  return { record: Buffer.from(other), personal }
}

/** The same record under another number. */
function renumbered({ record, personal }: TestFrame, seq: number): TestFrame {
  return {
    record: Buffer.from(record.toString('utf8').replace(/"seq":\d+/, `"seq":${seq}`)),
    personal,
  }
}

/** Gives all records of a writer numbers without holes again, and segments the names that fit. */
export function renumberAll(writer: TestWriter): void {
  let seq = 1
  for (const { path } of segmentsOf(writer.folder)) {
    const bytes = readFileSync(path)
    bytes.writeBigUInt64LE(BigInt(seq), SEGMENT_HEAD - 8)
    writeFileSync(path, bytes)
    putFrames(
      path,
      framesIn(path).map((frame) => renumbered(frame, seq++)),
    )
  }
}

function leavesOf({ folder }: TestWriter): Buffer[] {
  return segmentsOf(folder).flatMap(({ path }) =>
    framesIn(path).map(({ record }) => leafHash(record)),
  )
}

/** Makes the files of leaves fit the records. */
export function fitLeaves(writer: TestWriter): void {
  const leaves = leavesOf(writer)
  const files = filesOf(writer, '.leaves')
  for (const [index, file] of files.entries()) {
    const from = Number.parseInt(file, 10)
    const next = files[index + 1]
    const to = next === undefined ? Infinity : Number.parseInt(next, 10) - 1
    writeFileSync(join(writer.folder, file), Buffer.concat(leaves.slice(from - 1, to)))
  }
}

export function filesOf({ folder }: TestWriter, ending: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .toSorted()
}

/** Makes the frontiers of seals fit the records; the signatures in them are another thing. */
export function fitFrontiers(writer: TestWriter): void {
  for (const file of filesOf(writer, '.seal')) {
    const seal = JSON.parse(readFileSync(join(writer.folder, file), 'utf8')) as { last_seq: number }
    const { frontier } = treeOf(writer, seal.last_seq)
    const fitting = { ...seal, frontier: frontier.map((hash) => hash.toString('base64')) }
    writeFileSync(join(writer.folder, file), `${JSON.stringify(fitting)}\n`)
  }
}

function treeOf(writer: TestWriter, size: number): Tree {
  const tree = new Tree()
  for (const leaf of leavesOf(writer).slice(0, size)) tree.append(leaf)
  return tree
}

/** Signs checkpoints and seals of a writer anew, over the records as they are now. */
export function signAnew(
  writer: TestWriter,
  key: SigningKey,
  heads: (known: RosterHead) => RosterHead = (known) => known,
): void {
  fitLeaves(writer)
  const count = leavesOf(writer).length
  const signed = (note: string): string => {
    const said = readCheckpoint(openNote(note, [])?.text ?? '')
    if (said === undefined) throw new Error('that is no checkpoint')
    const size = Math.min(said.size, count)
    const root = treeOf(writer, size).root()
    return signNote(checkpointText({ ...said, size, root, roster: heads(said.roster) }), key)
  }
  fitFrontiers(writer)
  for (const file of filesOf(writer, '.seal')) {
    const path = join(writer.folder, file)
    const seal = JSON.parse(readFileSync(path, 'utf8')) as { checkpoint: string }
    writeFileSync(path, `${JSON.stringify({ ...seal, checkpoint: signed(seal.checkpoint) })}\n`)
  }
  const path = join(writer.folder, 'checkpoint')
  writeFileSync(path, signed(readFileSync(path, 'utf8')))
}

/** Makes the whole ledger anew with a key of one's own: nothing in it tells any more. */
export function signWholeAnew({ ledger, writers }: TestLedger): SigningKey {
  const installation = readFileSync(join(ledger, 'installation'), 'utf8').trim()
  const key = generateKey(keyName(installation))
  for (const name of readdirSync(join(ledger, 'keys'))) rmSync(join(ledger, 'keys', name))
  writeFileSync(join(ledger, 'keys', '0001.vkey'), `${vkeyOf(key)}\n`)
  const heads = [NO_ENTRY]
  const folder = join(ledger, 'writers')
  for (const [index, name] of readdirSync(folder).toSorted().entries()) {
    const path = join(folder, name)
    const entry = readRosterEntry(openNote(readFileSync(path, 'utf8'), [])?.text ?? '')
    if (entry === undefined) throw new Error(`${name} is no entry`)
    const previous = heads[index]?.hash ?? NO_ENTRY.hash
    const note = signNote(rosterText({ ...entry, previous }), key)
    writeFileSync(path, note)
    heads.push(rosterHead(index + 1, note))
  }
  for (const writer of writers) signAnew(writer, key, ({ count }) => heads[count] ?? NO_ENTRY)
  return key
}

/** Puts a copy of a segment beside it, under another name. */
export function duplicate(writer: TestWriter, seq: number, name: (file: string) => string): void {
  const { path } = placeOf(writer, seq)
  copyFileSync(path, join(writer.folder, name(basename(path))))
}
