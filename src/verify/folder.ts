// A ledger in its folders: keys, list of writers, and every writer's files. Works beside a Cordon that writes:
// what is damage only for a moment, because a file was just renamed or moved, is none when looked at again.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { storedSegments } from '../ledger/stored-segment.ts'
import { WRITER } from '../ledger/writer-folder.ts'
import type { PublicKey } from '../proof/note.ts'
import { anchorsIn, checkKeys, type Anchor, type NoteFile } from './anchors.ts'
import { Erasures } from './erasures.ts'
import { DRAFT, trustIn } from './folder-trust.ts'
import { readHead } from './record-head.ts'
import { Damaged, type Damage, type Report, type WriterReport } from './report.ts'
import { framesOf, readSegmentFile } from './segment-file.ts'
import { type Enrolled, type Trust, vkeys } from './trust.ts'
import { checkpointIn, type WriterSource } from './writer-files.ts'
import { type CheckedWriter, checkWriter, uncompared } from './writer.ts'

export interface FolderPlace {
  /** The folder with `installation`, `keys` and `writers`. */
  readonly ledger: string
  /** The folder that segments are moved to. */
  readonly archive: string | undefined
}

export interface VerifyOptions {
  /** What was kept elsewhere. */
  readonly checkpoints: readonly NoteFile[]
  readonly keys: readonly PublicKey[]
  readonly onProgress: (records: number) => void
}

/** What else lies in a ledger: an archive has some of it too. */
const OTHERS = new Set(['installation', 'keys', 'writers', 'reserve'])
/** How often something is looked at that was damaged: files move while Cordon runs. */
const LOOKS = 3

/** What a folder is: a ledger, a data directory with one, or neither. */
export function ledgerIn(folder: string): string | undefined {
  const isLedger = (candidate: string): boolean =>
    ['installation', 'writers'].some((name) => existsSync(join(candidate, name)))
  return [folder, join(folder, 'ledger')].find(isLedger)
}

/** Throws CordonError NOT_FOUND where there is nothing that could be judged. */
export function verifyFolder(place: FolderPlace, options: VerifyOptions): Report {
  const report = new FolderCheck(place, options).run()
  // An order to erase may have come behind what was read of its writer.
  return report.isSettled ? report.report : new FolderCheck(place, options).run().report
}

class FolderCheck {
  readonly #place: FolderPlace
  readonly #options: VerifyOptions
  readonly #damage: Damage[] = []
  readonly #unjudged: string[] = []
  readonly #erasures = new Erasures()
  readonly #reports: WriterReport[] = []
  #records = 0
  #trust: Trust | undefined
  #anchors: ReadonlyMap<string, readonly Anchor[]> = new Map()

  constructor(place: FolderPlace, options: VerifyOptions) {
    this.#place = place
    this.#options = options
  }

  /** `isSettled`: it does not become another one only because Cordon went on writing meanwhile. */
  run(): { readonly report: Report; readonly isSettled: boolean } {
    // Folders before the list that names them: a writer has a folder first, then an entry.
    const live = this.#writersIn(this.#place.ledger)
    const archived = this.#writersIn(this.#place.archive)
    const failure = this.#again(() => this.#readTrust())
    if (failure instanceof Damaged) this.#damage.push(failure.damage)
    if (this.#trust !== undefined) {
      const writers = new Set([...this.#trust.writers.keys(), ...live, ...archived])
      for (const writer of [...writers].toSorted()) this.#writer(writer)
    }
    const unordered = this.#erasures.unordered()
    for (const { damage } of unordered) this.#damage.push(damage)
    this.#unjudged.push(...this.#erasures.unsigned())
    return { report: this.#report(), isSettled: unordered.length === 0 }
  }

  #report(): Report {
    const trust = this.#trust
    const isUnknown = this.#unjudged.length > 0
    return {
      verdict: this.#damage.length > 0 ? 'damaged' : isUnknown ? 'unknown' : 'intact',
      of: [this.#place.ledger, this.#place.archive].filter((each) => each !== undefined).join(', '),
      installations:
        trust === undefined
          ? []
          : [
              {
                installation: trust.installation,
                keys: vkeys(trust.keys),
                writers: trust.entries,
              },
            ],
      records: this.#records,
      writers: this.#reports,
      damage: this.#damage,
      unjudged: this.#unjudged,
      notes: [],
    }
  }

  #again<T>(look: () => T): T | Damaged {
    for (let left = LOOKS; ; left--) {
      try {
        return look()
      } catch (error) {
        const isGone = error instanceof Error && 'code' in error && error.code === 'ENOENT'
        if (!isGone && !(error instanceof Damaged)) throw error
        if (left > 1) continue
        if (error instanceof Damaged) return error
        throw error
      }
    }
  }

  /** Throws Damaged; what can be trusted in spite of it is set. */
  #readTrust(): void {
    const trust = trustIn(this.#place.ledger)
    checkKeys(this.#options.keys, [trust])
    this.#trust = trust
    const anchors = anchorsIn(this.#options.checkpoints, trust)
    for (const [writer, [anchor]] of anchors)
      if (!trust.writers.has(writer))
        throw new Damaged({
          writer,
          what: `${anchor?.said ?? ''} knows this writer, the list of writers does not`,
        })
    this.#anchors = anchors
  }

  #writersIn(folder: string | undefined): string[] {
    const found: string[] = []
    if (folder === undefined || !existsSync(folder)) return found
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const { name } = entry
      if (OTHERS.has(name) || DRAFT.test(name)) continue
      if (WRITER.test(name) && entry.isDirectory()) found.push(name)
      else this.#damage.push({ file: join(folder, name), what: 'does not belong into a ledger' })
    }
    return found
  }

  #writer(writer: string): void {
    let isAgain = false
    const found = this.#again(() => {
      // New keys and entries of the list come while the files are read that already go by them.
      if (isAgain) this.#again(() => this.#readTrust())
      isAgain = true
      return this.#look(this.#source(writer))
    })
    if (found === undefined) return
    if (found instanceof Damaged) {
      this.#damage.push(found.damage)
      this.#reports.push({ ...NOTHING, writer, state: 'damaged' })
      return
    }
    const { unjudged, ...report } = found
    for (const what of unjudged) this.#unjudged.push(`writer ${writer}: ${what}`)
    this.#records += report.records
    this.#reports.push(report)
  }

  #look(source: WriterSource): (CheckedWriter & { state: 'intact' | 'ended' }) | undefined {
    const { writer, live, archived } = source
    const trust = this.#trust
    const enrolled = trust?.writers.get(writer)
    const anchors = this.#anchors.get(writer) ?? []
    if (trust === undefined || enrolled === undefined) return this.#stranger(source, trust)
    if (live !== undefined) return this.#checked(source, enrolled, trust, anchors)
    // What an archive has of a writer is never all of it.
    if (archived !== undefined && enrolled.ended !== undefined)
      return this.#checked(source, enrolled, trust, anchors)
    return goneWriter(enrolled, anchors)
  }

  #source(writer: string): WriterSource {
    const { ledger, archive } = this.#place
    const folderIn = (parent: string | undefined): string | undefined => {
      const folder = parent === undefined ? undefined : join(parent, writer)
      return folder !== undefined && existsSync(folder) ? folder : undefined
    }
    return { writer, archive, live: folderIn(ledger), archived: folderIn(archive) }
  }

  #checked(
    source: WriterSource,
    enrolled: Enrolled,
    trust: Trust,
    anchors: readonly Anchor[],
  ): CheckedWriter & { readonly state: 'intact' } {
    const { onProgress } = this.#options
    const erasures = this.#erasures
    return {
      ...checkWriter(source, { trust, enrolled, anchors, erasures, onProgress }),
      state: 'intact',
    }
  }

  /** A folder that the list of writers does not know. Undefined where that is no damage. */
  #stranger({ writer, live, archived }: WriterSource, trust: Trust | undefined): undefined {
    const folders = [live, archived].filter((folder) => folder !== undefined)
    const names = folders.flatMap((folder) => readdirSync(folder))
    const has = (form: RegExp): boolean => names.some((name) => form.test(name))
    // Its entry comes next, or never, where the process died in between: then it has signed that nothing is there yet.
    const isBegun = has(/seg|seal|leaves/)
    if (!isBegun && !has(/checkpoint/)) return undefined
    if (!isBegun && trust !== undefined && signedIn(folders, writer, trust) === 0) return undefined
    if (has(/seal|leaves|checkpoint/) || !isOlder(folders, writer, trust))
      throw new Damaged({ writer, what: 'has a folder, and the list of writers does not know it' })
    this.#unjudged.push(
      `writer ${writer}: was written by a release that proved nothing, so its records cannot be judged`,
    )
    return undefined
  }
}

/** How many records the newest checkpoints of a writer cover; 0 where there are none. */
function signedIn(folders: readonly string[], writer: string, trust: Trust): number {
  return Math.max(...folders.map((folder) => checkpointIn(folder, writer, trust)?.size ?? 0))
}

/** A writer of which nothing is there: it must have ended, as the list of writers then says. */
function goneWriter(
  { writer, ended }: Enrolled,
  anchors: readonly Anchor[],
): CheckedWriter & { readonly state: 'ended' } {
  if (ended === undefined)
    throw new Damaged({
      writer,
      what: 'has begun and not ended, as the list of writers says, and its folder is missing',
    })
  for (const { size, root, said } of anchors)
    if (size > ended.size || (size === ended.size && !root.equals(ended.root)))
      throw new Damaged({
        writer,
        seq: Math.min(size, ended.size + 1),
        what: `is missing, or is not what ${said} has signed: the writer ended with ${ended.size}`,
      })
  return {
    ...NOTHING,
    writer,
    state: 'ended',
    last_seq: ended.size,
    unjudged: anchors.filter(({ size }) => size < ended.size).map(uncompared),
  }
}

const NOTHING = {
  records: 0,
  first_seq: null,
  last_seq: null,
  first_time: null,
  last_time: null,
  checkpoint: null,
  beyond_checkpoint: 0,
  torn_bytes: 0,
  erased: 0,
  gaps: [],
} as const

/** Whether a writer's first record was made before the list of writers began. */
function isOlder(folders: readonly string[], writer: string, trust: Trust | undefined): boolean {
  const [first] = storedSegments(folders.map((folder) => ({ folder, names: readdirSync(folder) })))
  if (first === undefined || trust?.firstTime === undefined) return false
  const bytes = readSegmentFile({ ...first, paths: [first.path] }, writer)
  const { value, done } = framesOf(bytes).next()
  const head = done === true ? undefined : readHead(value.record)
  return head === undefined || head.time < trust.firstTime
}
