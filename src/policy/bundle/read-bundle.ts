// An OPA bundle from elsewhere becomes files of a policy folder, or is refused with the reason.
//
// Taken are Rego, Cedar and data documents. Tests stay out, and so does whatever was compiled elsewhere: what is
// enforced is compiled here, from the sources that were signed.

import { basename } from 'node:path'
import { CordonError } from '../../base/errors.ts'
import type { StoredFile } from '../../model/stored-policy.ts'
import { COMPILED_DIR } from '../folder.ts'
import { ageOf, type BundleAge } from './age.ts'
import { unpackArchive } from './archive.ts'
import { checkReadings } from './file-hash.ts'
import {
  checkRoots,
  isDocument,
  isYaml,
  type Manifest,
  MANIFEST_FILE,
  readManifest,
} from './manifest.ts'
import { checkSignature, SIGNATURES_FILE, type Verification } from './signature.ts'
import type { ArchiveFile } from './tar.ts'

export interface ReadBundle extends Manifest {
  readonly files: readonly StoredFile[]
  readonly age: BundleAge
  /** `exp` of the signature, in seconds since 1970. */
  readonly expiresAt?: number
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Throws BUNDLE_INVALID. `verification` undefined: only bundles without a signature pass. */
export async function readBundle(
  bytes: Buffer,
  verification: Verification | undefined,
): Promise<ReadBundle> {
  const archive = await unpackArchive(bytes)
  const signed = checkSignature(archive, verification)
  if (archive.some(({ path }) => basename(path) === 'patch.json'))
    throw refused('it is a delta bundle, which was not asked for')
  const manifest = readManifest(textAt(archive, MANIFEST_FILE))
  const files = archive.filter(({ path }) => isPolicyFile(path)).map(storedFile)
  if (files.length === 0 && archive.some(({ path }) => basename(path) === 'policy.wasm'))
    throw refused('it holds compiled policies without their sources: build it without -t wasm')
  const hidden = files.find(({ path }) => isHidden(path))
  if (hidden !== undefined)
    throw refused(`"${hidden.path}" lies where policies are not read: rename its folder`)
  checkRoots(manifest, files)
  for (const { path, text } of files) if (isYaml(path)) checkReadings(path, text)
  return {
    ...manifest,
    files,
    age: signed === undefined ? {} : ageOf({ serial: manifest.serial, issued_at: signed.issuedAt }),
    ...(signed?.expiresAt === undefined ? {} : { expiresAt: signed.expiresAt }),
  }
}

function isPolicyFile(path: string): boolean {
  if (path === SIGNATURES_FILE || path === MANIFEST_FILE || path.endsWith('_test.rego'))
    return false
  return path.endsWith('.rego') || path.endsWith('.cedar') || isDocument(path)
}

/** A policy folder is not read there (src/policy/folder.ts): a policy must not vanish silently. */
function isHidden(path: string): boolean {
  const [first, ...rest] = path.split('/')
  return (
    (first === COMPILED_DIR && rest.length > 0) ||
    path.split('/').some((part) => part.startsWith('.'))
  )
}

function storedFile({ path, bytes }: ArchiveFile): StoredFile {
  try {
    return { path, text: UTF8.decode(bytes) }
  } catch {
    throw refused(`"${path}" is no text in UTF-8`)
  }
}

function textAt(archive: readonly ArchiveFile[], wanted: string): string | undefined {
  const file = archive.find(({ path }) => path === wanted)
  return file === undefined ? undefined : storedFile(file).text
}

function refused(why: string): CordonError {
  return new CordonError('BUNDLE_INVALID', `the bundle is refused: ${why}`)
}
