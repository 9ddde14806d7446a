// Whose folder is it? A writer is a folder that one living process holds; its sequence numbers never start over.
//
// A folder is taken again only where everything that anybody may have read of it is still there: after a
// clean stop, or after a process that died while the machine lived on (what it wrote is in the page cache);
// and only where it fits what was signed. After a power loss frames may be missing that the store has already,
// and their numbers would be given to other records, which the store would take for repeats. Such a folder is
// marked `left` and drained.

import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { type Lock, tryLock } from '../base/process-lock.ts'
import { type Disk, putFile } from './disk.ts'
import { Evidence, type Progress, type WriterPlace } from './evidence.ts'
import { type LedgerKeys, openKeyChain, openLedgerKeys } from './ledger-keys.ts'
import { type OpenSegment, recover, type Recovered, type Unfit } from './recover.ts'
import { enterRoster, isEntered } from './roster-folder.ts'
import { closeQuietly, cutOff, segmentsOf } from './segment.ts'

export const WRITER = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** Holds the boot id while a process writes. */
const OPEN = 'open'
/** In its place: not all that was written may be on the disk, as after a power loss. */
const UNSAFE = 'unsafe'
const LEFT = 'left'
export const LOCK = 'lock'

export interface WriterFolder extends WriterPlace {
  readonly progress: Progress
  release(ending: Ending): void
}

/**
 * How a writer stops: all on the disk and under a checkpoint; on the disk, but what proves the last records could not be
 * written, which whoever takes the folder next makes up for; or not all on the disk, so that nobody goes on with it: the
 * next one makes each frame stand once, seals what is there and leaves it.
 */
export type Ending = 'proved' | 'synced' | 'unsafe'

export interface ClaimOptions {
  readonly dataDir: string
  readonly ledgerDir: string
  readonly disk: Disk
  readonly now: () => number
  /** Told of a folder that cannot be gone on with: its records still go to the store, but another writer begins. */
  readonly onLeft: (writer: string, why: string) => void
}

export function writersIn(dir: string): string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir)
    .filter((name) => WRITER.test(name))
    .toSorted()
}

/** Nobody will write here any more. */
export function isLeft(folder: string): boolean {
  return existsSync(join(folder, LEFT))
}

/** Takes a folder that nobody holds, or makes a new writer. Throws CordonError SPOOL_FAILED or LEDGER_KEY. */
export function claimWriter(options: ClaimOptions): WriterFolder {
  try {
    options.disk.makeFolder(options.ledgerDir)
    const keys = openLedgerKeys(options.dataDir, options.ledgerDir, options.disk)
    for (const writer of writersIn(options.ledgerDir)) {
      const claimed = claimOld(writer, options)
      if (claimed !== undefined) return claimed
    }
    return makeNew(keys, options)
  } catch (error) {
    if (error instanceof CordonError) throw error
    const why = error instanceof Error ? error.message : 'unknown error'
    throw new CordonError('SPOOL_FAILED', `${options.ledgerDir}: no writer can begin (${why})`, {
      cause: error,
    })
  }
}

function claimOld(writer: string, options: ClaimOptions): WriterFolder | undefined {
  const { ledgerDir, disk, onLeft } = options
  const folder = join(ledgerDir, writer)
  if (isLeft(folder)) return undefined
  const entered = isEntered(ledgerDir, writer, disk)
  // Between its mkdir and its entry; touching it would take it from whoever makes it.
  if (!entered && segmentsOf(folder, disk).length === 0) return undefined
  const lock = tryLock(join(folder, LOCK))
  if (lock === undefined) return undefined
  const found: Recovered | Unfit = entered
    ? judged(folder, recover(disk, folder, writer, openKeyChain(ledgerDir, disk).keys))
    : { why: 'it was made by a release that proved nothing' }
  if ('why' in found) {
    onLeft(writer, found.why)
  } else {
    const isSound = settle(disk, folder, found.open)
    const place = { dataDir: options.dataDir, ledgerDir, folder, writer }
    if (isSound && isOfThisBoot(folder)) return taken(place, found, lock, disk)
    if (isSound) sealOff(place, found, options)
    onLeft(
      writer,
      isSound ? 'not all that was written to it had reached the disk' : 'it cannot be synced',
    )
  }
  putFile(disk, join(folder, LEFT), '')
  lock.release()
  return undefined
}

/** Who ended in peace has signed all that it wrote: what stands behind that was not written by Cordon, and nobody signs it. */
function judged(folder: string, found: Recovered | Unfit): Recovered | Unfit {
  if ('why' in found || existsSync(join(folder, OPEN))) return found
  const signed = found.checkpoint?.size ?? 0
  return found.size === signed
    ? found
    : { why: `records beyond ${signed} were added after it had ended with that one` }
}

function makeNew(keys: LedgerKeys, options: ClaimOptions): WriterFolder {
  const { dataDir, ledgerDir, disk, now } = options
  const writer = randomUUID()
  const folder = join(ledgerDir, writer)
  disk.makeFolder(folder)
  const lock = tryLock(join(folder, LOCK))
  if (lock === undefined)
    throw new CordonError('SPOOL_FAILED', `${ledgerDir}: no writer folder could be claimed`)
  const place = { dataDir, ledgerDir, folder, writer }
  // First a checkpoint, of nothing: a writer that is in the list and has none has lost it.
  const evidence = new Evidence(disk, place, NOTHING_YET, () => undefined)
  evidence.checkpoint(now())
  enterRoster(ledgerDir, keys, { event: 'begun', writer, time: now() }, disk)
  return taken(place, { ...NOTHING_YET, checkpoint: evidence.signed }, lock, disk)
}

const NOTHING_YET: Progress = {
  size: 0,
  frontier: [],
  stretch: { firstSeq: 1, leaves: Buffer.alloc(0), times: undefined, bytes: 0 },
  checkpoint: undefined,
}

function taken(place: WriterPlace, progress: Progress, lock: Lock, disk: Disk): WriterFolder {
  const mark = join(place.folder, OPEN)
  putFile(disk, mark, bootId())
  return {
    ...place,
    progress,
    release: (ending) => {
      try {
        if (ending === 'proved') disk.remove(mark)
        if (ending === 'unsafe') putFile(disk, mark, UNSAFE)
      } finally {
        lock.release()
      }
    },
  }
}

/**
 * Leaves each frame once and no torn one, and syncs what the former process may not have; whether that went well.
 * Files whose frames stand in later ones go last: whatever is cut off in between, each frame is there.
 */
function settle(disk: Disk, folder: string, open: readonly OpenSegment[]): boolean {
  try {
    for (const { path, keep } of open) {
      if (keep === 0) continue
      const fd = disk.open(path, 'end')
      try {
        disk.sync(fd)
      } finally {
        closeQuietly(disk, fd)
      }
    }
    if (open.length > 0) disk.syncFolder(folder)
    for (const { path, bytes, keep } of open)
      if (keep === 0 || keep < bytes) cutOff(disk, path, keep)
    return true
  } catch {
    return false
  }
}

/** What is there of a writer that does not go on is proved as it stands. */
function sealOff(
  place: WriterPlace,
  progress: Progress,
  { disk, now, onLeft }: ClaimOptions,
): void {
  try {
    const evidence = new Evidence(disk, place, progress, (message) => onLeft(place.writer, message))
    evidence.seal(now())
    evidence.close()
  } catch (error) {
    onLeft(place.writer, `it cannot be sealed: ${String(error)}`)
  }
}

/** Whether the machine has been up since somebody wrote here; true after a clean stop. */
export function isOfThisBoot(folder: string): boolean {
  const mark = join(folder, OPEN)
  if (!existsSync(mark)) return true
  const boot = bootId()
  return boot !== '' && readFileSync(mark, 'utf8') === boot
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
