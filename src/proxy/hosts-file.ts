// Names that the machine itself knows. The system's resolver skips them for a name that ends in a dot,
// and the dot is wanted, because it keeps search domains out.

import type { LookupAddress } from 'node:dns'
import { readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'

const MAX_BYTES = 16 * 1024 * 1024
const NOBODY: readonly LookupAddress[] = []

export class HostsFile {
  readonly #path: string
  #version = ''
  #names: ReadonlyMap<string, readonly LookupAddress[]> = new Map()

  /** An empty path: no names. */
  constructor(path: string) {
    this.#path = path
  }

  /** The addresses of a name in lower case; a file that cannot be read has none. */
  async find(name: string): Promise<readonly LookupAddress[]> {
    if (this.#path === '') return NOBODY
    try {
      const { mtimeMs, size } = await stat(this.#path)
      const version = `${mtimeMs} ${size}`
      if (version !== this.#version && size <= MAX_BYTES) {
        this.#names = read(await readFile(this.#path, 'utf8'))
        this.#version = version
      }
    } catch {
      return NOBODY
    }
    return this.#names.get(name) ?? NOBODY
  }
}

function read(text: string): Map<string, LookupAddress[]> {
  const names = new Map<string, LookupAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...rest] = line.replace(/#.*/, '').trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const written of rest) {
      const name = written.toLowerCase().replace(/\.$/, '')
      const found = names.get(name)
      if (found === undefined) names.set(name, [{ address, family }])
      else found.push({ address, family })
    }
  }
  return names
}
