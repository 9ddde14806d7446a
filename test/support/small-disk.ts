// A real file system that is small enough to fill: tmpfs, where this machine lets us mount one.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why none can be had; false where one can. */
export function noSmallDisk(): string | false {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-disk-'))
  try {
    new SmallDisk(dir, 1).remove()
    return false
  } catch {
    return 'this process may not mount file systems'
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

export class SmallDisk {
  readonly dir: string

  constructor(dir: string, mib: number) {
    this.dir = dir
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0700`, 'cordon-test', dir], {
      stdio: 'ignore',
    })
  }

  /** Somebody else takes all there is. */
  fill(): void {
    const fd = openSync(join(this.dir, 'filler'), 'a')
    try {
      for (const bytes of [1024 * 1024, 4096]) {
        const piece = Buffer.alloc(bytes)
        try {
          for (;;) writeSync(fd, piece)
        } catch {
          // Full, to this size.
        }
      }
    } finally {
      closeSync(fd)
    }
  }

  free(): void {
    rmSync(join(this.dir, 'filler'), { force: true })
  }

  remove(): void {
    execFileSync('umount', ['-l', this.dir], { stdio: 'ignore' })
  }
}
