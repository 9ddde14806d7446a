// The path of a unix socket holds 107 bytes (sun_path); a data directory may well lie deeper.

import { existsSync, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { CordonError } from '../base/errors.ts'

const MAX_BYTES = 107
const OPEN_FOLDERS = '/proc/self/fd'

/** A path to the same socket that can be bound and dialled; the folder must be there. */
export function socketPath(path: string): string {
  if (Buffer.byteLength(path) <= MAX_BYTES) return path
  if (!existsSync(OPEN_FOLDERS))
    throw new CordonError(
      'CONFIG_INVALID',
      `data_dir: ${path} is longer than the ${MAX_BYTES} bytes that the path of a socket may have`,
    )
  // The folder stays open: the path leads through it for as long as the process lives.
  return `${OPEN_FOLDERS}/${openSync(dirname(path), 'r')}/${basename(path)}`
}
