// Brings what proves the records from the folders into the store: keys, the list of writers, seals and checkpoints.
//
// Each is brought once, and a checkpoint only when the store has what it covers. A store that was restored may
// lack what was brought: `again` begins anew.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Evidence } from '../model/record.ts'
import { readCheckpoint } from '../proof/checkpoint.ts'
import { CHECKPOINT_FILE } from './evidence.ts'
import { openKeyChain } from './ledger-keys.ts'
import { readSealFile, SEAL_NAME } from './seal-file.ts'
import { Listing } from './stored-segment.ts'

type Checkpoint = Evidence['checkpoints'][number]

/** What is on its way; `confirm` when the store has it. */
export interface Parcel {
  readonly evidence: Evidence
  confirm(): void
}

const ENTRY_NAME = /^(\d{8})\.note$/
/** Seals of an old ledger are many, and none of them is needed at once. */
const MOST_AT_ONCE = 500

export class EvidenceCourier {
  readonly #ledgerDir: string
  readonly #writers = new Map<string, WriterEvidence>()
  readonly #rosterNames: Listing
  #keys = 0
  #roster = 0

  constructor(ledgerDir: string) {
    this.#ledgerDir = ledgerDir
    this.#rosterNames = new Listing(join(ledgerDir, 'writers'))
  }

  /** Forgets what was brought. */
  again(): void {
    this.#keys = 0
    this.#roster = 0
    this.#writers.clear()
  }

  /** What the store does not have yet, of writers as far as it has their records; undefined where there is nothing. */
  next(
    writers: Iterable<{
      readonly writer: string
      readonly folders: readonly string[]
      readonly shipped: number
    }>,
  ): Parcel | undefined {
    // A ledger of a release that proved nothing.
    if (!existsSync(join(this.#ledgerDir, 'installation'))) return undefined
    const { installation, kept } = openKeyChain(this.#ledgerDir)
    const roster = this.#newEntries()
    const found: {
      readonly of: WriterEvidence
      readonly id: string
      readonly checkpoint: Checkpoint
    }[] = []
    for (const { writer, folders, shipped } of writers) {
      if (found.length >= MOST_AT_ONCE) break
      const of = this.#writers.get(writer) ?? new WriterEvidence(writer, folders)
      this.#writers.set(writer, of)
      for (const each of of.within(shipped)) found.push({ of, ...each })
    }
    const keys = kept
      .map((key, index) => ({ number: index + 1, ...key }))
      .filter(({ number }) => number > this.#keys)
    if (keys.length + roster.length + found.length === 0) return undefined
    return {
      evidence: {
        installation,
        keys,
        roster,
        checkpoints: found.map(({ checkpoint }) => checkpoint),
      },
      confirm: () => {
        this.#keys = kept.length
        this.#roster = roster.at(-1)?.number ?? this.#roster
        for (const { of, id } of found) of.confirm(id)
      },
    }
  }

  #newEntries(): { readonly number: number; readonly note: string }[] {
    return this.#rosterNames
      .names()
      .flatMap((name) => {
        const number = Number(ENTRY_NAME.exec(name)?.[1] ?? 0)
        return number > this.#roster
          ? [{ number, path: join(this.#ledgerDir, 'writers', name) }]
          : []
      })
      .toSorted((a, b) => a.number - b.number)
      .map(({ number, path }) => ({ number, note: readFileSync(path, 'utf8') }))
  }
}

/** Seals and checkpoint of one writer. */
class WriterEvidence {
  /** Names of seals that the store has. */
  readonly #seals = new Set<string>()
  /** The newest checkpoint that the store has. */
  #checkpoint = ''
  readonly #writer: string
  readonly #folders: readonly { readonly folder: string; readonly listing: Listing }[]
  /** Seals that wait for their records. */
  readonly #waiting = new Map<string, Checkpoint>()

  constructor(writer: string, folders: readonly string[]) {
    this.#writer = writer
    this.#folders = folders.map((folder) => ({ folder, listing: new Listing(folder) }))
  }

  /** What is new and covers no more than these records. */
  within(shipped: number): { readonly id: string; readonly checkpoint: Checkpoint }[] {
    for (const { folder, listing } of this.#folders)
      for (const name of listing.names()) {
        if (!SEAL_NAME.test(name) || this.#seals.has(name) || this.#waiting.has(name)) continue
        const seal = readSealFile(join(folder, name))
        const said = seal === undefined ? undefined : this.#said(seal.checkpoint)
        if (seal !== undefined && said !== undefined) {
          const frontier = Buffer.concat(seal.frontier.map((hash) => Buffer.from(hash, 'base64')))
          this.#waiting.set(name, { ...said, isSeal: true, frontier })
        }
      }
    const ready: { id: string; checkpoint: Checkpoint }[] = []
    for (const [id, checkpoint] of this.#waiting)
      if (checkpoint.size <= shipped) ready.push({ id, checkpoint })
    const newest = this.#newest()
    if (newest !== undefined && newest.size <= shipped && newest.note !== this.#checkpoint)
      ready.push({ id: newest.note, checkpoint: newest })
    return ready
  }

  confirm(id: string): void {
    if (this.#waiting.delete(id)) this.#seals.add(id)
    else this.#checkpoint = id
  }

  #newest(): Checkpoint | undefined {
    const path = join(this.#folders[0]?.folder ?? '', CHECKPOINT_FILE)
    if (!existsSync(path)) return undefined
    const said = this.#said(readFileSync(path, 'utf8'))
    return said === undefined ? undefined : { ...said, isSeal: false, frontier: undefined }
  }

  #said(note: string): Pick<Checkpoint, 'writer' | 'size' | 'time' | 'note'> | undefined {
    const said = readCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1))
    if (said?.writer !== this.#writer) return undefined
    return { writer: said.writer, size: said.size, time: said.time, note }
  }
}
