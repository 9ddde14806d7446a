// Where segments go when the store has them: nowhere, or into the archive folder, which keeps its bounds.

import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { type SegmentFile, segmentsOf, syncFolder } from './segment.ts'
import { WRITER } from './writer-folder.ts'

export interface ArchiveOptions {
  /** Empty: segments are deleted. */
  readonly dir: string
  readonly keepMs: number
  readonly limitBytes: number
  readonly now: () => number
}

export class Archive {
  readonly #options: ArchiveOptions

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  /** Throws where the archive does not take it; the segment then stays where it is. */
  take(writer: string, { path }: SegmentFile): void {
    if (this.#options.dir === '') return rmSync(path, { force: true })
    const folder = join(this.#options.dir, writer)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const target = join(folder, basename(path))
    try {
      renameSync(path, target)
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EXDEV') throw error
      // Another file system, as archives are: whole and safe there before it goes here.
      const draft = `${target}.part`
      copyFileSync(path, draft)
      const fd = openSync(draft, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(draft, target)
      syncFolder(folder)
      rmSync(path, { force: true })
    }
    this.#prune()
  }

  /** Takes the oldest away, beyond the age and the size that are kept. */
  #prune(): void {
    const { dir, keepMs, limitBytes, now } = this.#options
    const files = readdirSync(dir)
      .filter((name) => WRITER.test(name))
      .flatMap((name) => segmentsOf(join(dir, name)))
      .map(({ path }) => ({ path, ...sizeAndTime(path) }))
      .toSorted((a, b) => b.time - a.time)
    let total = 0
    for (const { path, bytes, time } of files) {
      total += bytes
      if (total <= limitBytes && now() - time <= keepMs) continue
      rmSync(path, { force: true })
      removeIfEmpty(join(path, '..'))
    }
  }
}

function sizeAndTime(path: string): { bytes: number; time: number } {
  const { size, mtimeMs } = statSync(path)
  return { bytes: size, time: mtimeMs }
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Others are still in it.
  }
}
