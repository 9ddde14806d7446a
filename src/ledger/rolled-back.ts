// Is this folder an older copy of itself? A backup that was put back ends before what the store has. Going on with
// it would give numbers a second time, and a second history to the list of writers; nobody could tell the two apart.
//
// After a power loss a writer may end before what the store has, too: that is no copy, and its numbers are left alone
// by the one who claims the folder. Entries in the list of writers are never lost so, because each is synced.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { type Disk, realDisk } from './disk.ts'
import { openKeyChain } from './ledger-keys.ts'
import { recover } from './recover.ts'
import { rosterHeadIn } from './roster-folder.ts'
import { isLeft, isOfThisBoot, writersIn } from './writer-folder.ts'

/** What a store has of the ledger of a data directory. */
export interface Kept {
  /** The last sequence number by writer. */
  readonly cursors: ReadonlyMap<string, number>
  /** Entries in the list of writers, of an installation. */
  entries(installation: string): Promise<number>
}

/** Throws CordonError LEDGER_OLDER where the store has more of this folder's ledger than the folder itself. */
export async function refuseOlder(
  ledgerDir: string,
  kept: Kept,
  disk: Disk = realDisk,
): Promise<void> {
  if (!existsSync(join(ledgerDir, 'installation'))) return
  const { installation, keys } = openKeyChain(ledgerDir, disk)
  // The store is asked before the folder is looked at: others may be writing, and the folder is never behind.
  const entries = await kept.entries(installation)
  const { count } = rosterHeadIn(ledgerDir, undefined, disk)
  if (entries > count)
    throw older(ledgerDir, `its list of writers has ${count} entries, the store knows ${entries}`)
  for (const writer of writersIn(ledgerDir)) {
    const folder = join(ledgerDir, writer)
    const cursor = kept.cursors.get(writer) ?? 0
    if (isLeft(folder) || !isOfThisBoot(folder) || signedSize(folder) >= cursor) continue
    const found = recover(disk, folder, writer, keys)
    // What is damaged is not gone on with anyway.
    if ('why' in found || found.size >= cursor) continue
    throw older(
      ledgerDir,
      `the records of writer ${writer} end with ${found.size}, the store has them up to ${cursor}`,
    )
  }
}

/** What the newest checkpoint claims, without a look at its signature: it spares reading frames, nothing else. */
function signedSize(folder: string): number {
  try {
    const [, size] = readFileSync(join(folder, 'checkpoint'), 'utf8').split('\n')
    return Number(size)
  } catch {
    return 0
  }
}

function older(ledgerDir: string, how: string): CordonError {
  return new CordonError(
    'LEDGER_OLDER',
    `${ledgerDir} is an older copy: ${how}. Move the folder away and start again: a new ledger begins, and the copy can still be verified and replayed from where it is`,
  )
}
