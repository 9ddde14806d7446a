// Whose signatures count: the succession of keys of an installation, and its list of writers.

import { createPublicKey } from 'node:crypto'
import { type Checkpoint, readCheckpoint, type RosterHead } from '../proof/checkpoint.ts'
import { type KeptKey, readKeyChain } from '../proof/key-chain.ts'
import { openNote, publicKey, type PublicKey, readVkey, vkeyOf } from '../proof/note.ts'
import { NO_ENTRY, readRosterEntry, type RosterEntry, rosterHead } from '../proof/roster.ts'
import { type Damage, Damaged } from './report.ts'

/** Where something that is checked was read; told with what is wrong with it. */
export type Origin = Pick<Damage, 'file' | 'table' | 'writer' | 'seq'>

export interface SignedCheckpoint extends Checkpoint {
  readonly note: string
  /** Number of the key that signed it, from 1. */
  readonly key: number
}

/** What the list of writers says of one of them. */
export interface Enrolled {
  readonly writer: string
  /** When it began, in milliseconds since the epoch. */
  readonly begun: number
  readonly ended: { readonly size: number; readonly root: Buffer } | undefined
}

export class Trust {
  readonly installation: string
  readonly keys: readonly PublicKey[]
  /** Heads of the list of writers by their count; the first is that of an empty list. */
  readonly #heads: RosterHead[] = [NO_ENTRY]
  /** Numbers of the keys that signed the entries. */
  readonly #entryKeys: number[] = []
  readonly #writers = new Map<string, Enrolled>()
  #firstTime: number | undefined

  /** Throws Damaged where a key is not vouched for. `origin` tells where key number n was read. */
  constructor(
    installation: string,
    kept: readonly KeptKey[],
    origin: (number: number) => Origin = () => ({}),
  ) {
    this.installation = installation
    const keys = readKeyChain(installation, kept)
    if ('what' in keys)
      throw new Damaged({ ...origin(keys.number), what: `key ${keys.number} ${keys.what}` })
    this.keys = keys
  }

  get entries(): number {
    return this.#heads.length - 1
  }

  /** How far the list of writers reaches. */
  get head(): RosterHead {
    return this.#heads.at(-1) ?? NO_ENTRY
  }

  get writers(): ReadonlyMap<string, Enrolled> {
    return this.#writers
  }

  /** When the list of writers began; undefined where it is empty. */
  get firstTime(): number | undefined {
    return this.#firstTime
  }

  /** The next entry of the list of writers. Throws Damaged. */
  enrol(note: string, origin: Origin): void {
    const number = this.#heads.length
    const wrong = (what: string): Damaged =>
      new Damaged({ ...origin, what: `entry ${number} of the list of writers ${what}` })
    const { text, key } = this.open(note, origin, `entry ${number} of the list of writers`)
    if (key < (this.#entryKeys.at(-1) ?? 0))
      throw wrong(`is signed with key ${key}, after key ${this.#entryKeys.at(-1)} was in force`)
    const entry = readRosterEntry(text)
    if (entry === undefined) throw wrong('is no entry')
    if (entry.installation !== this.installation)
      throw wrong(`belongs to ${entry.installation}, not to ${this.installation}`)
    if (entry.number !== number) throw wrong(`says that it is number ${entry.number}`)
    if (!entry.previous.equals(this.head.hash))
      throw wrong(`does not follow entry ${number - 1} as it stands here`)
    const problem = this.#take(entry)
    if (problem !== undefined) throw wrong(problem)
    this.#heads.push(rosterHead(number, note))
    this.#entryKeys.push(key)
    this.#firstTime ??= entry.time
  }

  #take(entry: RosterEntry): string | undefined {
    const known = this.#writers.get(entry.writer)
    if (entry.event === 'begun') {
      if (known !== undefined) return `begins writer ${entry.writer}, which has begun before`
      this.#writers.set(entry.writer, {
        writer: entry.writer,
        begun: entry.time,
        ended: undefined,
      })
      return undefined
    }
    const { size, root } = entry
    // Said twice by a process that died before the folder went, and by the next one.
    if (known?.ended?.size === size && known.ended.root.equals(root)) return undefined
    if (known === undefined || known.ended !== undefined)
      return `ends writer ${entry.writer}, which is not there`
    this.#writers.set(entry.writer, { ...known, ended: { size, root } })
    return undefined
  }

  /** The text of a note that one of the keys has signed, and which one. Throws Damaged. */
  open(
    note: string,
    origin: Origin,
    what: string,
  ): { readonly text: string; readonly key: number } {
    const opened = openNote(note, this.keys)
    const [id] = opened?.signedBy ?? []
    if (opened === undefined || id === undefined)
      throw new Damaged({ ...origin, what: `${what} is not signed by a key of this ledger` })
    return { text: opened.text, key: this.keys.findIndex((key) => key.id === id) + 1 }
  }

  /** A checkpoint of a writer, its signature and list of writers checked. Throws Damaged. */
  checkpoint(
    note: string,
    writer: string,
    origin: Origin,
    what = 'the checkpoint',
  ): SignedCheckpoint {
    const { text, key } = this.open(note, origin, what)
    const read = readCheckpoint(text)
    if (read === undefined) throw new Damaged({ ...origin, what: `${what} is none` })
    if (read.writer !== writer)
      throw new Damaged({ ...origin, what: `${what} belongs to writer ${read.writer}` })
    this.checkHead(read.roster, origin, what)
    const after = this.#entryKeys[read.roster.count]
    if (after !== undefined && after < key)
      throw new Damaged({
        ...origin,
        what: `entry ${read.roster.count + 1} of the list of writers is signed with key ${after}, after ${what} was signed with key ${key}`,
      })
    return { ...read, note, key }
  }

  /** The list of writers as somebody has signed it must be the beginning of the one that is here. Throws Damaged. */
  checkHead({ count, hash }: RosterHead, origin: Origin, what: string): void {
    const here = this.#heads[count]
    if (here === undefined)
      throw new Damaged({
        ...origin,
        what: `${what} knows ${count} entries of the list of writers, here are ${this.entries}: entries were removed`,
      })
    if (!here.hash.equals(hash))
      throw new Damaged({
        ...origin,
        what: `${what} knows another list of writers than the one that is here`,
      })
  }

  /** Whether a key that somebody kept elsewhere, as vkey or PEM, is one of the keys here. */
  has(key: PublicKey): boolean {
    return this.keys.some(({ key: own }) => own.equals(key.key))
  }
}

/** A public key out of a file: a vkey, or PEM. Undefined where it is neither. */
export function readKey(text: string): PublicKey | undefined {
  const vkey = readVkey(text)
  if (vkey !== undefined) return vkey
  try {
    // Of a private key too, which nobody should have to hand around.
    return publicKey('pem', createPublicKey(text))
  } catch {
    return undefined
  }
}

/** The keys as `cordon ledger keys` and reports show them. */
export function vkeys(keys: readonly PublicKey[]): string[] {
  return keys.map(vkeyOf)
}
