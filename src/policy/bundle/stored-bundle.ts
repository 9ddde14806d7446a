// The active policies of the store as one OPA bundle: sources, their manifest, and their compiled form, so that the
// nodes which fetch it need no compiler.

import { createHash } from 'node:crypto'
import type { StoredFile } from '../../model/stored-policy.ts'
import { byCodePoint } from '../combine.ts'
import { COMPILED_DIR } from '../folder.ts'
import { packArchive, unpackArchive } from './archive.ts'
import { checkReadings } from './file-hash.ts'
import { isYaml, MANIFEST_FILE, manifestOf, withSerial } from './manifest.ts'
import { SIGNATURES_FILE, type Signing, signatureOf } from './signature.ts'
import type { ArchiveFile } from './tar.ts'

/** sha256 over path and text in order of path, as `sha256:<hex>`: the same files are the same revision, wherever. */
export function revisionOf(files: readonly StoredFile[]): string {
  const hash = createHash('sha256')
  for (const { path, text } of files.toSorted((a, b) => byCodePoint(a.path, b.path)))
    hash.update(`${Buffer.byteLength(path)}\0${path}\0${Buffer.byteLength(text)}\0${text}\0`)
  return `sha256:${hash.digest('hex')}`
}

/** `compiled`: the files of the folder `compiled` beside the sources, named from there. */
export async function packStored(
  files: readonly StoredFile[],
  compiled: readonly ArchiveFile[],
): Promise<{ readonly revision: string; readonly bundle: Buffer }> {
  const revision = revisionOf(files)
  const sources = sorted(files.map(({ path, text }) => ({ path, bytes: Buffer.from(text) })))
  const bundle = await packArchive([
    { path: MANIFEST_FILE, bytes: Buffer.from(manifestOf(revision, files)) },
    ...sources,
    ...sorted(compiled.map(({ path, bytes }) => ({ path: `${COMPILED_DIR}/${path}`, bytes }))),
  ])
  return { revision, bundle }
}

/**
 * What OPA is served: without tests and compiled forms, signed where there is a key. `serial` grows with every change of
 * what is in force. Throws BUNDLE_INVALID where OPA would read a document otherwise than it is enforced here.
 */
export async function bundleForOpa(
  stored: Buffer,
  serial: number,
  signing: Signing | undefined,
): Promise<Buffer> {
  const files = (await unpackArchive(stored))
    .filter(
      ({ path }) =>
        !path.startsWith(`${COMPILED_DIR}/`) &&
        !path.endsWith('_test.rego') &&
        !/\.test\.ya?ml$/.test(path),
    )
    .map((file) =>
      file.path === MANIFEST_FILE
        ? { ...file, bytes: Buffer.from(withSerial(file.bytes.toString('utf8'), serial)) }
        : file,
    )
  for (const { path, bytes } of files) if (isYaml(path)) checkReadings(path, bytes.toString('utf8'))
  return packArchive(
    signing === undefined
      ? files
      : [...files, { path: SIGNATURES_FILE, bytes: signatureOf(files, signing) }],
  )
}

/** The sources among what was packed. */
export function sourcesIn(files: readonly ArchiveFile[]): readonly StoredFile[] {
  return files
    .filter(({ path }) => path !== MANIFEST_FILE && !path.startsWith(`${COMPILED_DIR}/`))
    .map(({ path, bytes }) => ({ path, text: bytes.toString('utf8') }))
}

function sorted(files: readonly ArchiveFile[]): readonly ArchiveFile[] {
  return files.toSorted((a, b) => byCodePoint(a.path, b.path))
}
