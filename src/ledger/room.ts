// Room on the disk: never fill it, and keep a little back for what must be told when others have.
//
// Below the floor nothing ordinary is written. Gap records and what administrators do may use what is left,
// and, once the disk is really full, the reserve: a file of the ledger folder that goes then and comes back later.

import { join } from 'node:path'
import { type Disk, writeAll } from './disk.ts'
import { closeQuietly } from './segment.ts'

const FLOOR_BYTES = 64 * 1024 * 1024
const RESERVE_BYTES = 8 * 1024 * 1024
const RESERVE_FILE = 'reserve'
/** How much may be written before the disk is asked again. */
const ASK_EVERY_BYTES = 256 * 1024
const ASK_EVERY_MS = 1000

export class Room {
  readonly #disk: Disk
  readonly #ledgerDir: string
  readonly #reserve: string
  #askedAt = -Infinity
  #writtenSince = 0
  #isLow = false

  constructor(disk: Disk, ledgerDir: string) {
    this.#disk = disk
    this.#ledgerDir = ledgerDir
    this.#reserve = join(ledgerDir, RESERVE_FILE)
  }

  /** Throws ENOSPC where so many bytes would leave less than the floor. `at`: milliseconds of a steady clock. */
  require(bytes: number, at: number): void {
    this.#writtenSince += bytes
    if (
      this.#isLow ||
      this.#writtenSince >= ASK_EVERY_BYTES ||
      at - this.#askedAt >= ASK_EVERY_MS
    ) {
      this.#isLow = this.#disk.free(this.#ledgerDir) - bytes < FLOOR_BYTES
      this.#askedAt = at
      this.#writtenSince = 0
    }
    if (this.#isLow) throw Object.assign(new Error('the disk is nearly full'), { code: 'ENOSPC' })
  }

  /** Gives the reserve to whoever writes next; whether there was one. */
  release(): boolean {
    if (!this.#disk.has(this.#reserve)) return false
    this.#disk.remove(this.#reserve)
    return true
  }

  /** Makes the reserve where there is none and room for it; never throws. */
  restore(): void {
    let fd: number | undefined
    try {
      if (this.#disk.has(this.#reserve)) return
      if (this.#disk.free(this.#ledgerDir) < FLOOR_BYTES + 2 * RESERVE_BYTES) return
      fd = this.#disk.open(this.#reserve, 'new')
      writeAll(this.#disk, fd, Buffer.alloc(RESERVE_BYTES))
    } catch {
      // Another process makes it, or there is no room after all: half a reserve is better than none.
    } finally {
      if (fd !== undefined) closeQuietly(this.#disk, fd)
    }
  }
}
