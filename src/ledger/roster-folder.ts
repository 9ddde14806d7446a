// The list of writers in its folder: `ledger/writers/<number, 8 digits>.note`, one signed entry a file.
//
// A number is taken by link(2), which one of several processes wins; the others read what it wrote and take
// the next one. So the list never forks, and whoever knows its head knows all of it.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { RosterHead } from '../proof/checkpoint.ts'
import { signNote, type SigningKey } from '../proof/note.ts'
import { NO_ENTRY, type RosterEntry, rosterHead, rosterText } from '../proof/roster.ts'
import { type Disk, putOnce, realDisk } from './disk.ts'

const FOLDER = 'writers'
const NAME = /^(\d{8})\.note$/

/** What became of a writer. */
export type RosterEvent = Pick<RosterEntry, 'writer' | 'time'> &
  (
    | { readonly event: 'begun' }
    | { readonly event: 'ended'; readonly size: number; readonly root: Buffer }
  )

/** The notes of the list, oldest first; a hole in the numbers is for those who verify. */
export function rosterNotes(ledgerDir: string, disk: Disk = realDisk): string[] {
  const folder = join(ledgerDir, FOLDER)
  return disk
    .list(folder)
    .filter((name) => NAME.test(name))
    .toSorted()
    .map((name) => disk.read(join(folder, name)).toString('utf8'))
}

/** Whether the list says that a writer has begun. */
export function isEntered(ledgerDir: string, writer: string, disk: Disk = realDisk): boolean {
  return rosterNotes(ledgerDir, disk).some((note) => note.includes(`\nbegun ${writer}\n`))
}

/** Whether the list says that a writer has ended. */
export function isEnded(ledgerDir: string, writer: string, disk: Disk = realDisk): boolean {
  return rosterNotes(ledgerDir, disk).some((note) => note.includes(`\nended ${writer} `))
}

/** How far the list reaches; `known` spares looking at what is known. */
export function rosterHeadIn(
  ledgerDir: string,
  known?: RosterHead,
  disk: Disk = realDisk,
): RosterHead {
  const folder = join(ledgerDir, FOLDER)
  let count = known?.count ?? newestIn(folder, disk)
  while (disk.has(join(folder, nameOf(count + 1)))) count += 1
  if (count === known?.count) return known
  return count === 0
    ? NO_ENTRY
    : rosterHead(count, disk.read(join(folder, nameOf(count))).toString('utf8'))
}

/** Writes the next entry, signed; the head of the list with it. */
export function enterRoster(
  ledgerDir: string,
  keys: { readonly installation: string; readonly signing: SigningKey },
  event: RosterEvent,
  disk: Disk = realDisk,
): RosterHead {
  const folder = join(ledgerDir, FOLDER)
  disk.makeFolder(folder)
  let head = rosterHeadIn(ledgerDir, undefined, disk)
  for (;;) {
    const number = head.count + 1
    const entry = { installation: keys.installation, number, previous: head.hash, ...event }
    const note = signNote(rosterText(entry), keys.signing)
    if (putOnce(disk, join(folder, nameOf(number)), note, randomUUID()))
      return rosterHead(number, note)
    head = rosterHeadIn(ledgerDir, head, disk)
  }
}

function newestIn(folder: string, disk: Disk): number {
  return disk
    .list(folder)
    .reduce((newest, name) => Math.max(newest, Number(NAME.exec(name)?.[1] ?? 0)), 0)
}

function nameOf(number: number): string {
  return `${String(number).padStart(8, '0')}.note`
}
