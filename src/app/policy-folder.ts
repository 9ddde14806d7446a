// Bundles on disk, as folders that policies are loaded from: written whole or not at all, the last good one kept for a
// start while nobody can be asked.
//
//   <parent>/<name>/bundle.tar.gz   as it came, synced
//   <parent>/<name>/...             its files; made again from the bundle where they are not what they were
//   <parent>/current.json           which folder is in force

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface FolderFile {
  readonly path: string
  readonly bytes: Uint8Array
}

const BUNDLE = 'bundle.tar.gz'
const CURRENT = 'current.json'
const DRAFT = '.writing-'
/** Folders that are kept behind the one in force: a worker may be starting with one of them. */
const KEPT = 5

/** The folder with these files; one of that name that is whole already is taken as it is. */
export async function writePolicyFolder(
  parent: string,
  name: string,
  bundle: Uint8Array,
  files: readonly FolderFile[],
): Promise<string> {
  const folder = join(parent, name)
  if (await isWhole(folder, bundle, files)) return folder
  mkdirSync(parent, { recursive: true, mode: 0o700 })
  const draft = mkdtempSync(join(parent, DRAFT))
  try {
    writeSynced(join(draft, BUNDLE), bundle)
    for (const { path, bytes } of files) {
      const file = join(draft, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, bytes)
    }
    syncFolder(draft)
    // Another process of this data directory may have been quicker, and may be reading it by now.
    if (await isWhole(folder, bundle, files)) return folder
    // A damaged one of that name makes way.
    rmSync(folder, { recursive: true, force: true })
    renameSync(draft, folder)
    syncFolder(parent)
    return folder
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** The bundle that the folder was made from; undefined where there is none. */
export function bundleIn(folder: string): Buffer | undefined {
  try {
    return readFileSync(join(folder, BUNDLE))
  } catch {
    return undefined
  }
}

/** What is in force, for the next start. */
export function writeCurrent(parent: string, current: object): void {
  mkdirSync(parent, { recursive: true, mode: 0o700 })
  const draft = join(parent, `${CURRENT}.${process.pid}`)
  writeSynced(draft, Buffer.from(`${JSON.stringify(current)}\n`))
  renameSync(draft, join(parent, CURRENT))
  syncFolder(parent)
}

/** Undefined: nothing was in force, or what says so cannot be read. */
export function readCurrent(parent: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(parent, CURRENT), 'utf8'))
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** Whether there is a folder, in force or not. */
export function holdsFolders(parent: string): boolean {
  return readdirSync(parent, { withFileTypes: true }).some(
    (entry) => entry.isDirectory() && !entry.name.startsWith(DRAFT),
  )
}

/** Removes folders that were in force before the last few; `current` stays whatever its age. */
export function removeOldFolders(parent: string, current: string): void {
  const found = readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== current)
    .map(({ name }) => ({ name, at: statSync(join(parent, name)).mtimeMs }))
    .toSorted((a, b) => b.at - a.at)
  const old = found.filter(({ name }) => !name.startsWith(DRAFT)).slice(KEPT - 1)
  const left = found.filter(({ name, at }) => name.startsWith(DRAFT) && at < Date.now() - LEFT_MS)
  for (const { name } of [...old, ...left])
    rmSync(join(parent, name), { recursive: true, force: true })
}

/** A draft that nobody has touched for so long was left by a process that ended. */
const LEFT_MS = 3_600_000

async function isWhole(
  folder: string,
  bundle: Uint8Array,
  files: readonly FolderFile[],
): Promise<boolean> {
  if (bundleIn(folder)?.equals(bundle) !== true) return false
  try {
    for (const { path, bytes } of files)
      if (!(await readFile(join(folder, path))).equals(bytes)) return false
    return true
  } catch {
    return false
  }
}

function writeSynced(file: string, bytes: Uint8Array): void {
  const fd = openSync(file, 'w', 0o600)
  try {
    writeFileSync(fd, bytes)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
