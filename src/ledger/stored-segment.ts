// The segments of one writer wherever they are: as they were written, compressed, or in the archive.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'

export interface StoredSegment {
  /** Of one edition, whatever file holds it. */
  readonly key: string
  readonly path: string
  readonly firstSeq: number
  readonly edition: number
  readonly isCompressed: boolean
}

const NAME = /^(\d{16})(?:-(\d{1,6}))?\.seg(\.zst)?$/
/** A segment is 16 MiB and what was written at once beyond that. */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024
/** A folder's time of change is as coarse as the kernel's clock. */
const SURE_AFTER_MS = 50

/** The names in a folder, read again only where the folder has changed; none where it is absent. */
export class Listing {
  readonly #folder: string
  #names: readonly string[] = []
  #changedAt = NaN
  #isSure = false

  constructor(folder: string) {
    this.#folder = folder
  }

  names(): readonly string[] {
    const changedAt = statSync(this.#folder, { throwIfNoEntry: false })?.mtimeMs
    if (changedAt === undefined) {
      this.#names = []
      this.#changedAt = NaN
    } else if (changedAt !== this.#changedAt || !this.#isSure) {
      this.#isSure = Math.abs(Date.now() - changedAt) > SURE_AFTER_MS
      this.#names = readdirSync(this.#folder)
      this.#changedAt = changedAt
    }
    return this.#names
  }
}

/** Oldest first. A segment that is being compressed or moved is there twice: the first folder, and what was written, first. */
export function storedSegments(
  folders: readonly { readonly folder: string; readonly names: readonly string[] }[],
): StoredSegment[] {
  const found = new Map<string, StoredSegment>()
  for (const { folder, names } of folders) {
    for (const name of names) {
      const [, digits, edition = '0', zst] = NAME.exec(name) ?? []
      if (digits === undefined) continue
      const key = `${digits}-${edition}`
      const known = found.get(key)
      if (known !== undefined && (!known.isCompressed || zst !== undefined)) continue
      found.set(key, {
        key,
        path: join(folder, name),
        firstSeq: Number(digits),
        edition: Number(edition),
        isCompressed: zst !== undefined,
      })
    }
  }
  return [...found.values()].toSorted((a, b) => a.firstSeq - b.firstSeq || a.edition - b.edition)
}

/** What a compressed segment holds. Throws where it cannot be read or is none. */
export function decompressed(bytes: Buffer): Buffer {
  return zstdDecompressSync(bytes, { maxOutputLength: MAX_SEGMENT_BYTES })
}
