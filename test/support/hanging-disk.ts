// A disk that does not answer while a file is there: `?while=<path>&operation=write|sync`.

import { existsSync } from 'node:fs'
import { type Disk, realDisk } from '../../src/ledger/disk.ts'

const asked = new URL(import.meta.url).searchParams
const path = asked.get('while') ?? ''
const operation = asked.get('operation')

function hang(): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  while (existsSync(path)) Atomics.wait(nobody, 0, 0, 20)
}

/** What the thread of a spool takes for its disk. */
export const disk: Disk = {
  ...realDisk,
  write: (fd, bytes, start) => {
    if (operation === 'write') hang()
    return realDisk.write(fd, bytes, start)
  },
  sync: (fd) => {
    if (operation === 'sync') hang()
    realDisk.sync(fd)
  },
}
