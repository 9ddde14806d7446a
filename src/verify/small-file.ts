// Reads a file that somebody else may have put there: no link, no pipe or device, and not more of it than it ever has.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { Damaged } from './report.ts'

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** All bytes of it. Throws Damaged, with `place`; what the system says (ENOENT) where it is not there. */
export function readSmall(
  path: string,
  mostBytes: number,
  place: { readonly writer?: string } = {},
): Buffer {
  const wrong = (what: string): Damaged => new Damaged({ ...place, file: basename(path), what })
  let fd
  try {
    fd = openSync(path, FLAGS)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ELOOP' || code === 'ENXIO') throw wrong('is no file of a ledger')
    throw error
  }
  try {
    const status = fstatSync(fd)
    if (!status.isFile()) throw wrong('is no file of a ledger')
    if (status.size > mostBytes) throw wrong('is larger than it ever is')
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}
