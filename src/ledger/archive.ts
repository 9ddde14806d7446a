// What becomes of segments that the store has: compressed, in the writer's folder or in that of the archive, as long and as
// many as are kept.
//
// What goes together is a stretch: the segments, leaves and seal between two seals. A stretch is whole in its new place,
// on the disk, before it leaves the old one; whoever dies in between leaves both, and the next look finishes it. Before
// records leave a folder, a signed note in it says from which number on they are there: whatever else is missing was
// taken by somebody.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import { readCheckpoint } from '../proof/checkpoint.ts'
import { type Kept, KEPT_FILE, keptText, readKept } from '../proof/kept.ts'
import { signNote } from '../proof/note.ts'
import { putFile, realDisk } from './disk.ts'
import { CHECKPOINT_FILE } from './evidence.ts'
import { type LedgerKeys, openLedgerKeys } from './ledger-keys.ts'
import { enterRoster, isEnded } from './roster-folder.ts'
import { readSealFile, SEAL_NAME } from './seal-file.ts'
import { seqName, syncFolder } from './segment.ts'
import { Listing, type StoredSegment, storedSegments } from './stored-segment.ts'
import { isLeft, WRITER, writersIn } from './writer-folder.ts'

export interface ArchiveOptions {
  /** `data_dir/ledger`. */
  readonly ledgerDir: string
  /** Empty: segments stay in the folders of their writers. */
  readonly dir: string
  readonly keepMs: number
  readonly limitBytes: number
  readonly now: () => number
}

/** Milliseconds since the epoch, `from` inclusive; undefined: without a bound. */
export interface Held {
  readonly from: number | undefined
  readonly to: number | undefined
}

/** The segments between two seals, and what belongs to them. */
interface Stretch {
  readonly writer: string
  readonly firstSeq: number
  readonly lastSeq: number
  readonly timeFrom: number
  readonly timeTo: number
  readonly segments: readonly StoredSegment[]
  /** False: of a release that proved nothing. */
  readonly isProved: boolean
}

/** Known once read: a seal never changes. */
type Times = Pick<Stretch, 'lastSeq' | 'timeFrom' | 'timeTo'>

const compress = promisify(zstdCompress)
const ZST = '.zst'
/** Behind the name of a folder that is being removed. */
const GOING = '.part'

export class Archive {
  readonly #options: ArchiveOptions
  readonly #listings = new Map<string, Listing>()
  readonly #seals = new Map<string, Times>()

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  /** The folders of a writer, first where it writes. */
  foldersOf(writer: string): string[] {
    const { ledgerDir, dir } = this.#options
    return dir === '' ? [join(ledgerDir, writer)] : [join(ledgerDir, writer), join(dir, writer)]
  }

  /** Everybody of whom there may be segments. */
  writers(): string[] {
    return [...new Set([...writersIn(this.#options.ledgerDir), ...this.#archivedWriters()])]
  }

  /** None where the archive cannot be read: that stops no record, and is told when it does not take segments. */
  #archivedWriters(): string[] {
    const { dir } = this.#options
    try {
      return dir === '' ? [] : writersIn(dir)
    } catch {
      return []
    }
  }

  /** Takes what is sealed and in the store up to a number; how many segments. Throws where the archive does not take it. */
  async take(writer: string, shipped: number, isDrained: boolean): Promise<number> {
    let taken = 0
    for (const stretch of this.#stretchesIn(this.#ledgerFolder(writer), writer, isDrained)) {
      if (stretch.lastSeq > shipped) break
      taken += await this.#takeStretch(stretch)
    }
    return taken
  }

  /** Removes what is older, or more, than is kept, oldest first, but nothing that is held; how many segments. */
  prune(shippedOf: (writer: string) => number, held: readonly Held[]): number {
    const { dir, keepMs, limitBytes, now } = this.#options
    this.#finishEnds()
    const writers = this.writers().map((writer) =>
      this.#stretchesIn(this.#keptFolder(writer), writer, false).filter(
        ({ lastSeq, segments }) =>
          lastSeq <= shippedOf(writer) && (dir !== '' || segments.every(isArchived)),
      ),
    )
    let total = writers.flat().reduce((sum, stretch) => sum + bytesOf(stretch), 0)
    let removed = 0
    for (;;) {
      // Of each writer the oldest goes first; one that is held keeps those behind it.
      const [oldest] = writers
        .flatMap(([first]) => (first === undefined || isHeld(first, held) ? [] : [first]))
        .toSorted((a, b) => a.timeTo - b.timeTo)
      if (oldest === undefined) return removed
      if (total <= limitBytes && now() - oldest.timeTo <= keepMs) return removed
      total -= bytesOf(oldest)
      this.#leave(this.#keptFolder(oldest.writer), oldest)
      removed += oldest.segments.length
      writers.find(([first]) => first === oldest)?.shift()
    }
  }

  /** Ends a writer that is gone and of which nothing is kept any more; whether it did. `shipped`: what the store has. */
  end(writer: string, shipped: number): boolean {
    const ledgerFolder = this.#ledgerFolder(writer)
    if (!isLeft(ledgerFolder)) return false
    if (this.foldersOf(writer).some((folder) => this.#segmentsIn(folder).length > 0)) return false
    const note = textIn(join(ledgerFolder, CHECKPOINT_FILE))
    // Who entered it and died before the folder went has left the rest of it to us.
    if (note !== undefined && !isEnded(this.#options.ledgerDir, writer)) {
      const said = readCheckpoint(textOf(note))
      // One that cannot be read is for somebody to look at.
      if (said?.writer !== writer || said.size > shipped) return false
      const { size, root } = said
      const event = { event: 'ended', writer, size, root, time: this.#options.now() } as const
      enterRoster(this.#options.ledgerDir, this.#keys(), event)
    }
    for (const folder of this.foldersOf(writer)) if (existsSync(folder)) removeWhole(folder)
    return true
  }

  /** What somebody who died on the way has left of writers that have ended. */
  #finishEnds(): void {
    const { ledgerDir, dir } = this.#options
    for (const parent of dir === '' || !existsSync(dir) ? [ledgerDir] : [ledgerDir, dir])
      for (const name of readdirSync(parent))
        if (name.endsWith(GOING) && WRITER.test(name.slice(0, -GOING.length)))
          rmSync(join(parent, name), { recursive: true, force: true })
    for (const writer of this.#archivedWriters())
      if (!existsSync(this.#ledgerFolder(writer)) && isEnded(ledgerDir, writer))
        removeWhole(join(dir, writer))
  }

  async #takeStretch(stretch: Stretch): Promise<number> {
    const from = this.#ledgerFolder(stretch.writer)
    const to = this.#keptFolder(stretch.writer)
    if (from === to && stretch.segments.every(isArchived)) return 0
    if (from !== to) {
      mkdirSync(to, { recursive: true, mode: 0o700 })
      // What had gone before there was an archive is not missing in it.
      const known = keptIn(from)
      if (known?.older === 'removed') this.#noteKept(to, stretch.writer, known.from)
    }
    for (const { path, isCompressed } of stretch.segments) {
      const target = join(to, `${basename(path)}${isCompressed ? '' : ZST}`)
      const bytes = await readFile(path)
      await putWhole(target, isCompressed ? bytes : await compress(bytes))
    }
    if (from === to) {
      syncFolder(to)
      for (const { path } of stretch.segments)
        if (!path.endsWith(ZST)) rmSync(path, { force: true })
      return stretch.segments.length
    }
    for (const ending of ['leaves', 'seal']) {
      const name = `${seqName(stretch.firstSeq)}.${ending}`
      if (existsSync(join(from, name)))
        putFile(realDisk, join(to, name), await readFile(join(from, name)))
    }
    syncFolder(to)
    this.#leave(from, stretch)
    return stretch.segments.length
  }

  /** Takes a stretch out of a folder, but for its seal. */
  #leave(folder: string, { writer, firstSeq, lastSeq, isProved }: Stretch): void {
    if (isProved) this.#noteKept(folder, writer, lastSeq + 1)
    for (const { path, firstSeq: first } of this.#segmentsIn(folder))
      if (first <= lastSeq) rmSync(path, { force: true })
    rmSync(join(folder, `${seqName(firstSeq)}.leaves`), { force: true })
    syncFolder(folder)
  }

  /** The note only ever moves on. */
  #noteKept(folder: string, writer: string, from: number): void {
    const path = join(folder, KEPT_FILE)
    const known = keptIn(folder)
    if (known !== undefined && known.from >= from) return
    const older = folder === this.#keptFolder(writer) ? 'removed' : 'archived'
    const text = keptText({ writer, from, older, time: this.#options.now() })
    putFile(realDisk, path, signNote(text, this.#keys().signing))
  }

  /** In order, and without what is not sealed yet. A writer of a release that proved nothing ends its stretches with its segments. */
  #stretchesIn(folder: string, writer: string, isDrained: boolean): Stretch[] {
    const names = this.#namesIn(folder)
    const segments = storedSegments([{ folder, names }])
    const seals = names.filter((name) => SEAL_NAME.test(name)).toSorted()
    if (seals.length === 0 && !names.includes(CHECKPOINT_FILE))
      return unproved(writer, segments, isDrained || folder !== this.#ledgerFolder(writer))
    return seals.flatMap((name) => {
      const firstSeq = Number(name.slice(0, 16))
      const times = this.#timesOf(join(folder, name))
      const its = segments.filter(
        (segment) => segment.firstSeq >= firstSeq && segment.firstSeq <= (times?.lastSeq ?? 0),
      )
      return times === undefined || its.length === 0
        ? []
        : [{ writer, firstSeq, ...times, segments: its, isProved: true }]
    })
  }

  #timesOf(path: string): Times | undefined {
    const known = this.#seals.get(path)
    if (known !== undefined) return known
    const seal = readSealFile(path)
    if (seal === undefined) return undefined
    const times = { lastSeq: seal.last_seq, timeFrom: seal.time_from, timeTo: seal.time_to }
    this.#seals.set(path, times)
    return times
  }

  #segmentsIn(folder: string): StoredSegment[] {
    return storedSegments([{ folder, names: this.#namesIn(folder) }])
  }

  #namesIn(folder: string): readonly string[] {
    let listing = this.#listings.get(folder)
    if (listing === undefined) {
      listing = new Listing(folder)
      this.#listings.set(folder, listing)
    }
    return listing.names()
  }

  #ledgerFolder(writer: string): string {
    return join(this.#options.ledgerDir, writer)
  }

  /** Where its segments are kept. */
  #keptFolder(writer: string): string {
    const { ledgerDir, dir } = this.#options
    return join(dir === '' ? ledgerDir : dir, writer)
  }

  #keys(): LedgerKeys {
    const { ledgerDir } = this.#options
    return openLedgerKeys(dirname(ledgerDir), ledgerDir)
  }
}

/** Each segment by itself; the newest one only where nothing more is written to it. */
function unproved(writer: string, segments: readonly StoredSegment[], isWhole: boolean): Stretch[] {
  return segments.slice(0, isWhole ? undefined : -1).map((segment, index) => {
    const { firstSeq, path } = segment
    const time = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
    const lastSeq = Math.max(firstSeq, (segments[index + 1]?.firstSeq ?? 0) - 1)
    const times = { timeFrom: time, timeTo: time }
    return { writer, firstSeq, lastSeq, ...times, segments: [segment], isProved: false }
  })
}

/** A folder that is whole or gone for whoever reads it: it goes under a name that nobody reads. */
function removeWhole(folder: string): void {
  const going = `${folder}${GOING}`
  renameSync(folder, going)
  syncFolder(dirname(folder))
  rmSync(going, { recursive: true, force: true })
}

function isArchived({ isCompressed }: StoredSegment): boolean {
  return isCompressed
}

function isHeld({ timeFrom, timeTo }: Stretch, held: readonly Held[]): boolean {
  return held.some(({ from = -Infinity, to = Infinity }) => timeTo >= from && timeFrom < to)
}

function bytesOf({ segments }: Stretch): number {
  return segments.reduce(
    (sum, { path }) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0),
    0,
  )
}

/** Under its name only when it is whole and on the disk. */
async function putWhole(path: string, bytes: Buffer): Promise<void> {
  const draft = `${path}.part`
  try {
    const file = await open(draft, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined)
    throw error
  }
}

function keptIn(folder: string): Kept | undefined {
  const note = textIn(join(folder, KEPT_FILE))
  return note === undefined ? undefined : readKept(textOf(note))
}

function textIn(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

/** The text of a note, whoever signed it. */
function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1)
}
