// What proves the records of one writer: its tree, the leaves and seals of its segments, its checkpoints.
//
// Records come in stretches, each from behind one seal up to the next: mostly one segment, more where a sync
// failed or a process ended in between. A stretch has one file of leaves and one seal, named by its first number.
//
// Order on the disk: records (synced by the caller), leaves, checkpoint, seal. So whatever is cut off in between,
// what a checkpoint says is there, and what a seal says is in a checkpoint.

import { join } from 'node:path'
import { type Checkpoint, checkpointText, type RosterHead } from '../proof/checkpoint.ts'
import { signNote } from '../proof/note.ts'
import { HASH_BYTES, Tree } from '../proof/tree.ts'
import { type Disk, putFile, writeAll } from './disk.ts'
import { type LedgerKeys, openLedgerKeys, pemPath } from './ledger-keys.ts'
import { rosterHeadIn } from './roster-folder.ts'
import { closeQuietly, seqName } from './segment.ts'

export const CHECKPOINT_FILE = 'checkpoint'

/** Where a ledger is, and whose records are proved. */
export interface WriterPlace {
  readonly dataDir: string
  readonly ledgerDir: string
  /** The writer's folder. */
  readonly folder: string
  readonly writer: string
}

/** How far a writer had come; plain data, because it crosses to the thread that writes. */
export interface Progress {
  /** Of the tree over all records. */
  readonly size: number
  readonly frontier: readonly Uint8Array[]
  readonly stretch: StretchState
  /** What the newest checkpoint says; undefined where there is none. */
  readonly checkpoint:
    | { readonly size: number; readonly roster: number; readonly note: string }
    | undefined
}

export interface StretchState {
  readonly firstSeq: number
  /** 32 bytes each, of all its records. */
  readonly leaves: Uint8Array
  /** Times of the records in it, milliseconds since the epoch; undefined where it has none. */
  readonly times: { readonly from: number; readonly to: number } | undefined
  /** Of its segments. */
  readonly bytes: number
}

/** What ends a stretch, as JSON in a file. */
export interface Seal {
  readonly v: 1
  readonly writer: string
  readonly first_seq: number
  readonly last_seq: number
  readonly time_from: number
  readonly time_to: number
  /** Of the tree over records 1 to `last_seq`, base64. */
  readonly frontier: readonly string[]
  /** A signed note; its size is `last_seq`. */
  readonly checkpoint: string
}

export class Evidence {
  readonly #disk: Disk
  readonly #place: WriterPlace
  readonly #onProblem: (message: string) => void
  readonly #tree: Tree
  readonly #leaves = new LeafList()
  #keys: LedgerKeys
  #roster: RosterHead
  #firstSeq: number
  #times: { readonly from: number; readonly to: number } | undefined
  #bytes: number
  #checkpoint: Progress['checkpoint']
  /** The file of leaves, and how many it has; undefined before the first of a stretch, and where writing to it failed. */
  #file: { readonly fd: number; count: number } | undefined

  /** Throws CordonError LEDGER_KEY where nothing can be signed. */
  constructor(
    disk: Disk,
    place: WriterPlace,
    progress: Progress,
    onProblem: (message: string) => void,
  ) {
    this.#disk = disk
    this.#place = place
    this.#onProblem = onProblem
    this.#keys = openLedgerKeys(place.dataDir, place.ledgerDir, disk)
    this.#roster = rosterHeadIn(place.ledgerDir, undefined, disk)
    this.#tree = new Tree(progress.size, progress.frontier)
    this.#leaves.push(progress.stretch.leaves)
    this.#firstSeq = progress.stretch.firstSeq
    this.#times = progress.stretch.times
    this.#bytes = progress.stretch.bytes
    this.#checkpoint = progress.checkpoint
  }

  /** Records so far: the number of the last one. */
  get size(): number {
    return this.#tree.size
  }

  /** What the newest checkpoint says. */
  get signed(): Progress['checkpoint'] {
    return this.#checkpoint
  }

  /** Bytes of the segments of this stretch. */
  get stretchBytes(): number {
    return this.#bytes
  }

  /** When the first record of this stretch was made; undefined where it has none. */
  get stretchBegan(): number | undefined {
    return this.#times?.from
  }

  append(leaf: Buffer): void {
    this.#tree.append(leaf)
    this.#leaves.push(leaf)
  }

  /** Counts bytes and times of records that were appended. */
  extend(bytes: number, times: { readonly from: number; readonly to: number }): void {
    this.#bytes += bytes
    this.#times = {
      from: Math.min(this.#times?.from ?? Infinity, times.from),
      to: Math.max(this.#times?.to ?? -Infinity, times.to),
    }
  }

  /** Whether there is anything that the newest checkpoint does not say. */
  hasNews(): boolean {
    this.#roster = rosterHeadIn(this.#place.ledgerDir, this.#roster, this.#disk)
    const { size, roster } = this.#checkpoint ?? {}
    return size !== this.#tree.size || roster !== this.#roster.count
  }

  /** Signs what there is. All records must be synced. Throws what the disk throws; another call tries again. */
  checkpoint(time: number): void {
    this.#takeNewKey()
    this.#writeLeaves()
    this.#roster = rosterHeadIn(this.#place.ledgerDir, this.#roster, this.#disk)
    const said: Checkpoint = {
      writer: this.#place.writer,
      size: this.#tree.size,
      root: this.#tree.root(),
      time,
      roster: this.#roster,
    }
    const note = signNote(checkpointText(said), this.#keys.signing)
    putFile(this.#disk, join(this.#place.folder, CHECKPOINT_FILE), note)
    this.#checkpoint = { size: said.size, roster: said.roster.count, note }
  }

  /** Ends the stretch, if there is anything in it. All records must be synced. */
  seal(time: number): void {
    if (this.#times === undefined) return
    if (this.#checkpoint?.size !== this.#tree.size) this.checkpoint(time)
    const seal: Seal = {
      v: 1,
      writer: this.#place.writer,
      first_seq: this.#firstSeq,
      last_seq: this.#tree.size,
      time_from: this.#times.from,
      time_to: this.#times.to,
      frontier: this.#tree.frontier.map((hash) => hash.toString('base64')),
      checkpoint: this.#checkpoint?.note ?? '',
    }
    putFile(this.#disk, this.#path('seal'), `${JSON.stringify(seal)}\n`)
    this.#closeLeaves()
    this.#leaves.clear()
    this.#firstSeq = this.#tree.size + 1
    this.#times = undefined
    this.#bytes = 0
  }

  close(): void {
    this.#closeLeaves()
  }

  /** Only what is new; all of them in a file of its own where the last writing failed, or none was begun. */
  #writeLeaves(): void {
    if (this.#leaves.count === (this.#file?.count ?? 0)) return
    try {
      if (this.#file === undefined) {
        putFile(this.#disk, this.#path('leaves'), this.#leaves.from(0))
        const fd = this.#disk.open(this.#path('leaves'), 'end')
        this.#file = { fd, count: this.#leaves.count }
        return
      }
      writeAll(this.#disk, this.#file.fd, this.#leaves.from(this.#file.count))
      this.#disk.sync(this.#file.fd)
      this.#file.count = this.#leaves.count
    } catch (error) {
      this.#closeLeaves()
      throw error
    }
  }

  #closeLeaves(): void {
    if (this.#file !== undefined) closeQuietly(this.#disk, this.#file.fd)
    this.#file = undefined
  }

  /** A key that was changed is taken without a restart; one that cannot be read never stops the signing. */
  #takeNewKey(): void {
    const { dataDir, ledgerDir } = this.#place
    try {
      if (this.#disk.identity(pemPath(dataDir)) === this.#keys.identity) return
      this.#keys = openLedgerKeys(dataDir, ledgerDir, this.#disk)
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown error'
      this.#onProblem(`the former key of the ledger goes on signing: ${why}`)
    }
  }

  #path(ending: string): string {
    return join(this.#place.folder, `${seqName(this.#firstSeq)}.${ending}`)
  }
}

/** Hashes side by side: a Buffer each would cost five times the memory. */
class LeafList {
  #bytes = Buffer.alloc(1024 * HASH_BYTES)
  #length = 0

  get count(): number {
    return this.#length / HASH_BYTES
  }

  push(leaves: Uint8Array): void {
    while (this.#length + leaves.length > this.#bytes.length)
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)])
    this.#bytes.set(leaves, this.#length)
    this.#length += leaves.length
  }

  /** The hashes from a place on. */
  from(index: number): Buffer {
    return this.#bytes.subarray(index * HASH_BYTES, this.#length)
  }

  clear(): void {
    this.#bytes = Buffer.alloc(1024 * HASH_BYTES)
    this.#length = 0
  }
}
