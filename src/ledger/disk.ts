// What the ledger asks of a disk, and nothing else: so that a test can be a disk that is full, broken, slow or gone.
//
// All calls block: they are made by the thread that writes, or while a process starts.

import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/** Paths are absolute; failures are thrown as Node's `fs` throws them, with `code`. */
export interface Disk {
  /** Makes a folder and those above it; 0700. */
  makeFolder(path: string): void
  /** Names in a folder; none where it is absent. */
  list(path: string): string[]
  has(path: string): boolean
  read(path: string): Buffer
  /** Changes when another file takes the name, or the file is written to; undefined where it is absent. */
  identity(path: string): string | undefined
  /** A descriptor. `new`: at the end of a file that must not exist; `over`: of an emptied one; `end`: at the end of one that exists. */
  open(path: string, as: 'new' | 'over' | 'end'): number
  /** How many bytes were written, at most all from `start` on. */
  write(fd: number, bytes: Buffer, start: number): number
  /** What was written survives power loss when this returns. */
  sync(fd: number): void
  truncate(fd: number, length: number): void
  close(fd: number): void
  rename(from: string, to: string): void
  /** A second name for a file; throws EEXIST where the name is taken. */
  link(from: string, to: string): void
  remove(path: string): void
  /** The names in a folder survive power loss when this returns. */
  syncFolder(path: string): void
  /** Bytes that this process may still write there. */
  free(path: string): number
}

const MODES = {
  new: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND,
  over: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  end: constants.O_WRONLY | constants.O_APPEND,
} as const

export const realDisk: Disk = {
  makeFolder: (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
  list: (path) => (existsSync(path) ? readdirSync(path) : []),
  has: existsSync,
  read: (path) => readFileSync(path),
  identity: (path) => {
    const found = statSync(path, { throwIfNoEntry: false })
    return found === undefined ? undefined : `${found.ino} ${found.size} ${found.mtimeMs}`
  },
  open: (path, as) => openSync(path, MODES[as], 0o600),
  write: (fd, bytes, start) => writeSync(fd, bytes, start),
  sync: fdatasyncSync,
  truncate: ftruncateSync,
  close: closeSync,
  rename: renameSync,
  link: (from, to) => {
    try {
      linkSync(from, to)
    } catch (error) {
      // Some network file systems have no links.
      if (codeOf(error) !== 'EPERM') throw error
      copyFileSync(from, to, constants.COPYFILE_EXCL)
    }
  },
  remove: (path) => rmSync(path, { force: true }),
  syncFolder: (path) => {
    const fd = openSync(path, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  },
  free: (path) => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  },
}

export function writeAll(disk: Disk, fd: number, bytes: Buffer): void {
  let written = 0
  while (written < bytes.length) written += disk.write(fd, bytes, written)
}

/** Puts a file in place of the one of that name, whole and on the disk: nobody ever reads half of it. */
export function putFile(disk: Disk, path: string, bytes: Buffer | string): void {
  const draft = `${path}.part`
  putDraft(disk, draft, 'over', Buffer.from(bytes))
  disk.rename(draft, path)
  disk.syncFolder(dirname(path))
}

/** Puts a file where there is none of that name yet; false where another process was first. `nonce` names the draft. */
export function putOnce(disk: Disk, path: string, bytes: Buffer | string, nonce: string): boolean {
  const draft = `${path}.${nonce}.part`
  try {
    putDraft(disk, draft, 'new', Buffer.from(bytes))
    disk.link(draft, path)
    disk.syncFolder(dirname(path))
    return true
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return false
  } finally {
    disk.remove(draft)
  }
}

function putDraft(disk: Disk, path: string, as: 'new' | 'over', bytes: Buffer): void {
  const fd = disk.open(path, as)
  try {
    writeAll(disk, fd, bytes)
    disk.sync(fd)
  } finally {
    disk.close(fd)
  }
}

/** The code of a failed system call, such as ENOSPC; empty where there is none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}
