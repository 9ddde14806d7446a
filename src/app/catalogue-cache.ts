// What the catalogue's YAML said last time, because reading it anew takes most of a second.
//
// A text is kept under the hash of all that it was made from, the code that reads it included: a change of
// either leads to another name. Without a cache folder of one's own nothing is kept.

import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PROGRAM_DIR } from '../config/schema.ts'
import type { ServiceCache } from '../signatures/load.ts'

export class CatalogueCache implements ServiceCache {
  readonly #dir: string
  #reader: string | undefined

  constructor(dir: string) {
    this.#dir = dir
  }

  get(digest: string): unknown {
    try {
      return JSON.parse(readFileSync(this.#fileOf(digest), 'utf8'))
    } catch {
      // Not there, or damaged: it will be made again.
      return undefined
    }
  }

  put(digest: string, services: unknown): void {
    const file = this.#fileOf(digest)
    const draft = `${file}.${process.pid}`
    try {
      mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
      this.#dropOldest()
      writeFileSync(draft, JSON.stringify(services), { mode: 0o600 })
      renameSync(draft, file)
    } catch {
      // A disk that is full or read-only costs the time of reading, nothing else.
    }
  }

  #dropOldest(): void {
    const files = readdirSync(this.#dir).map((name) => join(this.#dir, name))
    if (files.length < KEPT) return
    const byAge = files.map((file) => ({ file, at: statSync(file).mtimeMs }))
    byAge.sort((a, b) => a.at - b.at)
    for (const { file } of byAge.slice(0, files.length - KEPT + 1)) rmSync(file, { force: true })
  }

  #fileOf(digest: string): string {
    this.#reader ??= readerHash()
    return join(this.#dir, `${digest}-${this.#reader}.json`)
  }
}

const KEPT = 32

function readerHash(): string {
  const folder = join(PROGRAM_DIR, 'src/signatures')
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).toSorted()) hash.update(readFileSync(join(folder, name)))
  return hash.digest('hex').slice(0, 16)
}
