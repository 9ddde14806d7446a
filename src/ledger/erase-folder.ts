// Erases people from the segments of a data directory: from the ledger's folder and the archive, compressed or not.
//
// A segment is written anew beside itself and takes the old one's name once it is safe: whoever reads it sees one or the
// other, with the same records at the same places. One that somebody writes to is left for later.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import { tryLock } from '../base/process-lock.ts'
import type { ErasureOrder } from '../model/erasure.ts'
import { eraseIn, mayHold } from './erase-segment.ts'
import type { Seal } from './evidence.ts'
import { END_WANTED, segmentsOf, syncFolder } from './segment.ts'
import { LOCK, writersIn } from './writer-folder.ts'

export interface FolderErasure {
  /** Personal parts that were overwritten, and the segments that they were in. */
  readonly records: number
  readonly segments: number
  /** Segments that hold something of the people and are still being written. */
  readonly waiting: readonly string[]
}

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
const SEGMENT = /^\d{16}(?:-\d{1,6})?\.seg(\.zst)?$/
/** Of a rewrite that was interrupted. */
const DRAFT = '.erased.part'

/** `dirs`: the ledger's folder, and that of the archive where there is one. */
export async function eraseInFolders(
  dirs: readonly string[],
  orders: readonly ErasureOrder[],
): Promise<FolderErasure> {
  const done = { records: 0, segments: 0, waiting: [] as string[] }
  for (const dir of dirs)
    for (const writer of writersIn(dir)) await eraseInWriter(join(dir, writer), orders, done)
  return done
}

/** How many segments hold something of the people. */
export async function countInFolders(
  dirs: readonly string[],
  orders: readonly ErasureOrder[],
): Promise<number> {
  let count = 0
  for (const dir of dirs)
    for (const writer of writersIn(dir))
      for (const name of await segmentNames(join(dir, writer))) {
        const bytes = await read(join(dir, writer, name))
        if (bytes !== undefined && mayHold(bytes, orders) && eraseIn(bytes, orders) > 0) count += 1
        await setImmediate()
      }
  return count
}

/** Asks those who write to segments to go on in new ones. */
export function askToEnd(paths: readonly string[]): void {
  for (const path of paths) writeFileSync(join(dirname(path), END_WANTED), '', { mode: 0o600 })
}

/** Segments that are being written. */
export function segmentsInWork(ledgerDir: string): string[] {
  return writersIn(ledgerDir).flatMap((writer) => {
    const folder = join(ledgerDir, writer)
    const newest = segmentsOf(folder).at(-1)
    if (newest === undefined) return []
    const hold = holdOf(folder, newest.path)
    hold?.release()
    return hold === undefined ? [newest.path] : []
  })
}

async function eraseInWriter(
  folder: string,
  orders: readonly ErasureOrder[],
  done: { records: number; segments: number; waiting: string[] },
): Promise<void> {
  for (const name of await segmentNames(folder)) {
    const path = join(folder, name)
    // Before it is read: what is written to it afterwards would be lost.
    const hold = holdOf(folder, path)
    try {
      const bytes = await read(path)
      const erased = bytes !== undefined && mayHold(bytes, orders) ? eraseIn(bytes, orders) : 0
      if (bytes === undefined || erased === 0) continue
      if (hold === undefined) done.waiting.push(path)
      else {
        await replace(path, bytes)
        done.records += erased
        done.segments += 1
      }
    } finally {
      hold?.release()
    }
    await setImmediate()
  }
}

/** Undefined while a process writes to the segment: it is the newest of its writer. */
function holdOf(folder: string, path: string): { release(): void } | undefined {
  const newest = segmentsOf(folder).at(-1)
  if (newest?.path !== path || lastSealed(folder) >= newest.firstSeq) return NOBODYS
  return tryLock(join(folder, LOCK))
}

/** Up to this number nothing more is written to the segments of a writer. */
function lastSealed(folder: string): number {
  const newest = readdirSync(folder)
    .filter((name) => name.endsWith('.seal'))
    .toSorted()
    .at(-1)
  if (newest === undefined) return 0
  const { last_seq: last } = JSON.parse(readFileSync(join(folder, newest), 'utf8')) as Seal
  return last
}

const NOBODYS = { release: (): void => undefined }

async function replace(path: string, bytes: Buffer): Promise<void> {
  const draft = `${path}${DRAFT}`
  const { atime, mtime } = await stat(path)
  try {
    const kept = path.endsWith('.zst') ? await compress(bytes) : bytes
    await writeFile(draft, kept, { mode: 0o600, flush: true })
    // The archive keeps by age.
    await utimes(draft, atime, mtime)
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  syncFolder(dirname(path))
}

/** Of a segment that is archived or removed just now nothing can be read; the next look finds it elsewhere. */
async function read(path: string): Promise<Buffer | undefined> {
  try {
    const bytes = await readFile(path)
    return path.endsWith('.zst') ? await decompress(bytes) : bytes
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function segmentNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names) if (name.endsWith(DRAFT)) await rm(join(folder, name), { force: true })
  return names.filter((name) => SEGMENT.test(name)).toSorted()
}
