// `.manifest` of a bundle: its revision, and which packages and documents are its own.

import { basename } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { CordonError } from '../../base/errors.ts'
import { parseExact } from '../../base/exact-json.ts'
import type { StoredFile } from '../../model/stored-policy.ts'
import { byCodePoint } from '../combine.ts'
import { isObject } from '../metadata.ts'

export const MANIFEST_FILE = '.manifest'

export interface Manifest {
  /** As its maker named it; empty where it has none. */
  readonly revision: string
  /** Paths with `/`; [''] is everything. */
  readonly roots: readonly string[]
  /** `metadata.cordon.rejudge`: what is open is judged again once this is in force. */
  readonly rejudge: boolean
  /** `metadata.cordon.serial`: grows with every bundle of its maker. */
  readonly serial?: number
}

const MAX_REVISION = 512

/** Throws BUNDLE_INVALID; without a manifest everything is the bundle's own. */
export function readManifest(text: string | undefined): Manifest {
  if (text === undefined) return { revision: '', roots: [''], rejudge: false }
  let manifest: unknown
  try {
    manifest = parseExact(text)
  } catch {
    manifest = undefined
  }
  if (!isObject(manifest)) throw refused(`${MANIFEST_FILE} is no JSON object`)
  const { revision = '', roots = [''], rego_version, file_rego_versions, metadata } = manifest
  if (typeof revision !== 'string' || revision.length > MAX_REVISION)
    throw refused(
      `the revision in ${MANIFEST_FILE} is no text of at most ${MAX_REVISION} characters`,
    )
  if (!Array.isArray(roots) || !roots.every((root) => typeof root === 'string'))
    throw refused(`the roots in ${MANIFEST_FILE} are no list of texts`)
  const versions = [
    rego_version,
    ...(isObject(file_rego_versions) ? Object.values(file_rego_versions) : []),
  ]
  if (versions.some((version) => version !== undefined && version !== 1))
    throw refused('it holds Rego of version 0: build it with rego_version 1')
  const own = isObject(metadata) ? metadata['cordon'] : undefined
  const serial = isObject(own) ? own['serial'] : undefined
  if (serial !== undefined && !isSerial(serial))
    throw refused(
      `metadata.cordon.serial in ${MANIFEST_FILE} is no whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
    )
  const trimmed = roots.map((root) => root.replace(/^\/+|\/+$/g, ''))
  for (const [index, root] of trimmed.entries()) {
    const other = trimmed.find((each, at) => at !== index && isBelow(root, each))
    if (other !== undefined) throw refused(`its roots "${other}" and "${root}" overlap`)
  }
  return {
    revision,
    roots: trimmed,
    rejudge: isObject(own) && own['rejudge'] === true,
    ...(serial === undefined ? {} : { serial }),
  }
}

function isSerial(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** A manifest of ours, that a bundle with a higher one has replaced it can be told. */
export function withSerial(manifest: string, serial: number): string {
  return `${JSON.stringify({ ...(JSON.parse(manifest) as object), metadata: { cordon: { serial } } })}\n`
}

/** The manifest of these files: first parts of their packages and documents are their roots. */
export function manifestOf(revision: string, files: readonly StoredFile[]): string {
  const roots = new Set<string>()
  for (const file of files) {
    if (file.path.endsWith('.rego')) {
      const [first] = packageOf(file.text)
      if (first !== undefined) roots.add(first)
    } else if (isDocument(file.path)) for (const [first = ''] of pathsOf(file, 1)) roots.add(first)
  }
  return `${JSON.stringify({ revision, roots: [...roots].toSorted(byCodePoint), rego_version: 1 })}\n`
}

/** Throws BUNDLE_INVALID where a package or a document lies outside of the roots. */
export function checkRoots({ roots }: Manifest, files: readonly StoredFile[]): void {
  if (roots.includes('')) return
  const depth = Math.max(...roots.map((root) => root.split('/').length), 1)
  for (const file of files) {
    const paths = file.path.endsWith('.rego')
      ? [packageOf(file.text)]
      : isDocument(file.path)
        ? pathsOf(file, depth)
        : []
    const outside = paths.find((path) => !roots.some((root) => isBelow(path.join('/'), root)))
    if (outside !== undefined)
      throw refused(
        `"${file.path}" has ${outside.join('/') || 'nothing'}, which its roots (${roots.join(', ')}) do not allow`,
      )
  }
}

export function isDocument(path: string): boolean {
  return /^data\.(?:json|ya?ml)$/.test(basename(path))
}

/** A document in YAML. */
export function isYaml(path: string): boolean {
  return /^data\.ya?ml$/.test(basename(path))
}

/** The parts of a package's name; none where the text has no package. */
function packageOf(text: string): readonly string[] {
  const [, name = ''] =
    /^[ \t]*package[ \t]+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\["[^"\\]*"\])*)/m.exec(text) ?? []
  return name === ''
    ? []
    : [...name.matchAll(/([A-Za-z_]\w*)|\["([^"\\]*)"\]/g)].map((part) => part[1] ?? part[2] ?? '')
}

/** Where a document's values are, down to `depth` parts. */
function pathsOf({ path, text }: StoredFile, depth: number): readonly (readonly string[])[] {
  const folder = path.split('/').slice(0, -1)
  let document: unknown
  try {
    document = path.endsWith('.json') ? parseExact(text) : parseYaml(text, { maxAliasCount: 100 })
  } catch {
    // The folder's reader says where.
    return []
  }
  const found: (readonly string[])[] = []
  const walk = (value: unknown, at: readonly string[]): void => {
    if (at.length >= depth || !isObject(value)) found.push(at)
    else for (const [key, inner] of Object.entries(value)) walk(inner, [...at, key])
  }
  walk(document, folder)
  return found
}

function isBelow(path: string, root: string): boolean {
  return root === '' || path === root || path.startsWith(`${root}/`)
}

function refused(why: string): CordonError {
  return new CordonError('BUNDLE_INVALID', `the bundle is refused: ${why}`)
}
