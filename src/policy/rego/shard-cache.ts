// Compiled shards between runs, by what they were made of; and what modules define and read, by their text.
//
// A cache: what cannot be read is made anew, what cannot be written is made anew the next time.

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Manifest, sha256 } from './manifest.ts'
import type { ModuleFacts } from './syntax.ts'

const HASH_BYTES = 32
/** What nobody asked for so long goes when another one is written. */
const KEPT_MS = 30 * 24 * 60 * 60 * 1000
const FACTS = 'facts.json'
const MOST_FACTS = 50_000
const CHECKED = 'checked.json'
const MOST_CHECKED = 100_000

export class ShardCache {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const file = this.#file(key)
    const content = await readFile(file).catch(() => undefined)
    if (content === undefined) return undefined
    const wasm = content.subarray(HASH_BYTES)
    if (sha256(wasm) !== content.toString('hex', 0, HASH_BYTES)) return undefined
    const now = new Date()
    await utimes(file, now, now).catch(() => undefined)
    return wasm
  }

  /** All shards of a compiled form; undefined where one is not here. */
  async readAll({ shards }: Manifest): Promise<readonly Uint8Array[] | undefined> {
    const codes: Uint8Array[] = []
    for (const { key } of shards) {
      const wasm = await this.read(key)
      if (wasm === undefined) return undefined
      codes.push(wasm)
    }
    return codes
  }

  async write(key: string, wasm: Uint8Array): Promise<void> {
    await this.#replace(`${key}.shard`, Buffer.concat([Buffer.from(sha256(wasm), 'hex'), wasm]))
  }

  /** Facts of modules by the sha256 of their texts. */
  async readFacts(): Promise<Map<string, ModuleFacts>> {
    try {
      const known = JSON.parse(await readFile(join(this.#dir, FACTS), 'utf8')) as [
        string,
        StoredFacts,
      ][]
      return new Map(
        known.map(([key, { reads, refers, ...facts }]) => [
          key,
          { ...facts, reads: new Set(reads), refers: new Set(refers) },
        ]),
      )
    } catch {
      return new Map()
    }
  }

  /** The newest come last. */
  async writeFacts(facts: ReadonlyMap<string, ModuleFacts>): Promise<void> {
    const kept = [...facts].slice(-MOST_FACTS)
    const stored = kept.map(([key, { reads, refers, ...rest }]) => [
      key,
      { ...rest, reads: [...reads], refers: [...refers] },
    ])
    await this.#replace(FACTS, JSON.stringify(stored))
  }

  /** What OPA has found nothing in, as `checkModules` names it. */
  async readChecked(): Promise<Set<string>> {
    try {
      return new Set(JSON.parse(await readFile(join(this.#dir, CHECKED), 'utf8')) as string[])
    } catch {
      return new Set()
    }
  }

  /** The newest come last. */
  async writeChecked(checked: ReadonlySet<string>): Promise<void> {
    await this.#replace(CHECKED, JSON.stringify([...checked].slice(-MOST_CHECKED)))
  }

  /** Removes shards that nobody has read or written for a month. */
  async prune(): Promise<void> {
    const names = await readdir(this.#dir).catch(() => [])
    const oldest = Date.now() - KEPT_MS
    for (const name of names) {
      const file = join(this.#dir, name)
      const found = await stat(file).catch(() => undefined)
      if (found !== undefined && found.mtimeMs < oldest) await rm(file, { force: true })
    }
  }

  #file(key: string): string {
    return join(this.#dir, `${key}.shard`)
  }

  /** Whole or not at all: several processes write here. */
  async #replace(name: string, content: string | Uint8Array): Promise<void> {
    const fresh = join(this.#dir, `.${name}-${randomBytes(6).toString('hex')}`)
    try {
      await mkdir(this.#dir, { recursive: true })
      await writeFile(fresh, content)
      await rename(fresh, join(this.#dir, name))
    } catch {
      await rm(fresh, { force: true }).catch(() => undefined)
    }
  }
}

interface StoredFacts extends Omit<ModuleFacts, 'reads' | 'refers'> {
  readonly reads: readonly string[]
  readonly refers: readonly string[]
}
