// What somebody has kept elsewhere: checkpoints and statements, and public keys. Against whoever holds the key.

import { readCheckpoint } from '../proof/checkpoint.ts'
import type { RosterHead } from '../proof/checkpoint.ts'
import { openNote, type PublicKey } from '../proof/note.ts'
import { readStatement } from '../proof/statement.ts'
import { Damaged } from './report.ts'
import type { Mark } from './tree-check.ts'
import type { Trust } from './trust.ts'

/** What a file says of one writer's tree. */
export interface Anchor extends Mark {
  readonly writer: string
}

/** A file with a note, as it was given. */
export interface NoteFile {
  readonly file: string
  readonly note: string
}

/** Whether a text is a note that can be an anchor, whoever signed it. */
export function isAnchor(note: string): boolean {
  const text = openNote(note, [])?.text ?? ''
  return readCheckpoint(text) !== undefined || readStatement(text) !== undefined
}

/**
 * What the files say of an installation's writers. Throws Damaged where one was not signed with a key of it, or
 * speaks of another list of writers.
 */
export function anchorsIn(
  files: readonly NoteFile[],
  trust: Trust,
): ReadonlyMap<string, readonly Anchor[]> {
  const anchors: Anchor[] = []
  for (const { file, note } of files) {
    const said = `the checkpoint ${file}`
    const { text } = trust.open(note, {}, said)
    const checkpoint = readCheckpoint(text)
    const statement = readStatement(text)
    if (statement !== undefined && statement.installation !== trust.installation)
      throw new Damaged({
        what: `${said} belongs to ${statement.installation}, this is ${trust.installation}`,
      })
    const head: RosterHead | undefined = checkpoint?.roster ?? statement?.roster
    if (head !== undefined) trust.checkHead(head, {}, said)
    const told = checkpoint === undefined ? (statement?.writers ?? []) : [checkpoint]
    for (const { writer, size, root } of told) anchors.push({ writer, size, root, said })
  }
  return Map.groupBy(anchors, ({ writer }) => writer)
}

/** Whether what an installation signs counts: where keys were kept elsewhere, one of them must be one of its own. */
export function isPinned(trust: Trust, keys: readonly PublicKey[]): boolean {
  return keys.length === 0 || keys.some((key) => trust.has(key))
}

/** Throws Damaged where a key that somebody kept elsewhere is none of the ledger's. */
export function checkKeys(keys: readonly PublicKey[], trusts: readonly Trust[]): void {
  for (const key of keys)
    if (!trusts.some((trust) => trust.has(key)))
      throw new Damaged({
        what: `the key ${key.name}+${key.id} that was given is none of the keys of this ledger: it was signed anew, or is another one`,
      })
}
