// The compiled form of a folder on disk: shards, and a manifest that says what they were made of.
//
// The manifest names every source by hash, so that a compiled form is used only while it is fresh. It
// describes; what is enforced is read from the sources. One policy stands on a line, for people who compare
// two of them, and so that a long one is read in slices.

import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringifyExact } from '../../base/exact-json.ts'
import { Pace } from '../../base/pace.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import { COMPILED_DIR, type PolicyFolder } from '../folder.ts'
import { dataAt } from './modules.ts'
import type { ShardCode } from './wasm.ts'

export const FORMAT = 5
const MANIFEST = 'manifest.json'

/** What a reader of the manifest wants to know; what is enforced is read from the sources. */
type Described = Pick<
  PolicyMetadata,
  'id' | 'version' | 'priority' | 'severity' | 'mode' | 'scope' | 'framework' | 'article'
>

export interface CompiledPolicy extends Described {
  readonly title: string
  /** File name within the folder. */
  readonly file: string
  readonly package: string
  /** Entrypoint prefix of its rules: the package path joined with `/`. */
  readonly entrypoint: string
  /** What the names of the rules begin with through which it is asked (`rule-functions.ts`). */
  readonly answer: string
  readonly rules: readonly string[]
  readonly reads: readonly string[]
  readonly shard: number
}

export interface CompiledShard {
  readonly file: string
  readonly sha256: string
  /** sha256 over all that the shard was made of. */
  readonly key: string
  /** Which data documents it can read: prefixes of paths, parts joined with `/`; `['']`: all of them. */
  readonly data: readonly string[]
}

export interface Manifest {
  readonly format: number
  readonly opa: string
  /** sha256 of every source that matters, by name. */
  readonly sources: Readonly<Record<string, string>>
  readonly shards: readonly CompiledShard[]
  readonly policies: readonly CompiledPolicy[]
}

export interface CompiledRego {
  readonly manifest: Manifest
  readonly shards: readonly ShardCode[]
}

export function described(metadata: PolicyMetadata): Described & { readonly title: string } {
  const { id, name, version, priority, severity, mode, scope, framework, article } = metadata
  return {
    id,
    title: name,
    ...(version === undefined ? {} : { version }),
    priority,
    severity,
    mode,
    scope,
    ...(framework === undefined ? {} : { framework }),
    ...(article === undefined ? {} : { article }),
  }
}

/** The sources of a folder by name, each as its sha256. */
export async function sourcesOf(folder: PolicyFolder): Promise<Record<string, string>> {
  const pace = new Pace()
  const sources: [string, string][] = []
  for (const { name, text } of folder.rego) {
    sources.push([name, sha256(Buffer.from(text))])
    await pace.point()
  }
  sources.push(['data', sha256(Buffer.from(stringifyExact(folder.data)))])
  return Object.fromEntries(sources)
}

/** The shards with what each can read of the folder's data documents. */
export function withData(
  folder: PolicyFolder,
  { shards }: Manifest,
  codes: readonly Uint8Array[],
): ShardCode[] {
  // Shards that read the same share one text.
  const texts = new Map<string, string>()
  return codes.map((wasm, index) => {
    const paths = shards[index]?.data ?? ['']
    const key = JSON.stringify(paths)
    const data = texts.get(key) ?? stringifyExact(dataAt(folder.data, paths))
    texts.set(key, data)
    return { wasm, data }
  })
}

/** The manifest beside the sources, or at another place; undefined: there is none that can be read. */
export async function readManifest(dir: string): Promise<Manifest | undefined> {
  try {
    return await parseManifest(await readFile(join(dir, MANIFEST), 'utf8'))
  } catch {
    return undefined
  }
}

export function isFresh(manifest: Manifest, sources: Readonly<Record<string, string>>): boolean {
  if (manifest.format !== FORMAT) return false
  const names = Object.keys(sources)
  return (
    names.length === Object.keys(manifest.sources).length &&
    names.every((name) => manifest.sources[name] === sources[name])
  )
}

/** A compiled form whose shards lie beside its manifest; undefined where one is missing or damaged. */
export async function readShards(
  dir: string,
  { shards }: Manifest,
): Promise<readonly Uint8Array[] | undefined> {
  const codes: Uint8Array[] = []
  for (const { file, sha256: expected } of shards) {
    const wasm = await readFile(join(dir, file)).catch(() => undefined)
    if (wasm === undefined || sha256(wasm) !== expected) return undefined
    codes.push(wasm)
  }
  return codes
}

/** Puts the compiled form in the place of what is there, as a whole. */
export async function writeCompiled(
  dir: string,
  manifest: Manifest,
  codes: readonly Uint8Array[],
): Promise<void> {
  await mkdir(dirname(dir), { recursive: true })
  const fresh = await mkdtemp(join(dirname(dir), '.compiling-'))
  try {
    for (const [index, wasm] of codes.entries())
      await writeFile(join(fresh, manifest.shards[index]?.file ?? ''), wasm)
    await writeFile(join(fresh, MANIFEST), manifestText(manifest))
    // Whoever compiles need not be who runs Cordon.
    await chmod(fresh, 0o755)
    await rm(dir, { recursive: true, force: true })
    await rename(fresh, dir)
  } catch (error) {
    // Another process may have been faster.
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined)
    throw error
  }
}

/** Why the compiled form beside the sources cannot be used. */
export async function staleness(folder: PolicyFolder): Promise<string> {
  const manifest = await readManifest(join(folder.dir, COMPILED_DIR))
  if (manifest === undefined) return `${folder.dir}: its Rego has no compiled form`
  if (manifest.format !== FORMAT) return `${folder.dir}: compiled by another release of Cordon`
  const sources = await sourcesOf(folder)
  const known = manifest.sources
  const names = [...new Set([...Object.keys(sources), ...Object.keys(known)])]
  const changed = names.filter((name) => sources[name] !== known[name])
  return changed.length === 0
    ? `${folder.dir}: its compiled form is damaged`
    : `${folder.dir}: changed since it was compiled (${changed.slice(0, 5).join(', ')})`
}

const POLICIES = '  "policies": [\n'
const END = '\n  ]\n}\n'

function manifestText({ policies, ...rest }: Manifest): string {
  const head = JSON.stringify(rest, undefined, 2).slice(0, -'\n}'.length)
  const lines = policies.map((policy) => `    ${JSON.stringify(policy)}`)
  return `${head},\n${POLICIES}${lines.join(',\n')}${END}`
}

async function parseManifest(text: string): Promise<Manifest> {
  const at = text.indexOf(POLICIES)
  if (at === -1 || !text.endsWith(END)) return JSON.parse(text) as Manifest
  const head = JSON.parse(`${text.slice(0, at)}"policies": []}`) as Manifest
  const pace = new Pace()
  const policies: CompiledPolicy[] = []
  for (const line of text.slice(at + POLICIES.length, -END.length).split('\n')) {
    if (line !== '') policies.push(JSON.parse(line.replace(/,$/, '')) as CompiledPolicy)
    await pace.point()
  }
  return { ...head, policies }
}

export function sha256(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex')
}
