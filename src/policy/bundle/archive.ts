// Bundles as they travel: gzipped tar archives. How large one may become is decided before it is unpacked.

import { promisify } from 'node:util'
import { constants, gunzip, gzip } from 'node:zlib'
import { CordonError } from '../../base/errors.ts'
import { type ArchiveFile, packTar, readTar } from './tar.ts'

/** As it travels. */
export const MAX_BUNDLE_BYTES = 64 * 1024 * 1024
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024
const MAX_FILES = 50_000
/** A policy file; what OPA compiled may be larger. */
const MAX_FILE_BYTES = 64 * 1024 * 1024

const compress = promisify(gzip)
const decompress = promisify(gunzip)

/** The same files give the same bytes. */
export function packArchive(files: readonly ArchiveFile[]): Promise<Buffer> {
  return compress(packTar(files), { level: constants.Z_BEST_SPEED })
}

/** Throws BUNDLE_INVALID. */
export async function unpackArchive(bytes: Buffer): Promise<readonly ArchiveFile[]> {
  if (bytes.length > MAX_BUNDLE_BYTES)
    throw new CordonError(
      'BUNDLE_INVALID',
      `the bundle is refused: it is larger than ${MAX_BUNDLE_BYTES} bytes`,
    )
  const tar = await decompress(bytes, { maxOutputLength: MAX_UNPACKED_BYTES }).catch(
    (error: unknown) => {
      const isLarge =
        error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
      throw new CordonError(
        'BUNDLE_INVALID',
        isLarge
          ? `the bundle is refused: it unpacks to more than ${MAX_UNPACKED_BYTES} bytes`
          : 'the bundle is refused: it is no gzip archive, or damaged',
        { cause: error },
      )
    },
  )
  return readTar(tar, { files: MAX_FILES, fileBytes: MAX_FILE_BYTES })
}
