// From the Rego files of a folder to compiled shards with a manifest.
//
// The compiler is OPA: what it refuses is refused here, with its places. A shard is made again only where
// something that it is made of has changed: its policies, the modules that they use, what they may call, or OPA.

import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, stat, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CordonError, type Problem } from '../../base/errors.ts'
import { Pace } from '../../base/pace.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import { COMPILED_DIR, type PolicyFolder, type SourceFile } from '../folder.ts'
import { isObject } from '../metadata.ts'
import { sharedMetadata } from './annotations.ts'
import { capabilitiesWith } from './capabilities.ts'
import { checkModules } from './checked.ts'
import { Desk, NON_DETERMINISTIC, refused } from './desk.ts'
import { groupByScope } from './grouping.ts'
import { inParallel } from './in-parallel.ts'
import {
  type CompiledRego,
  described,
  FORMAT,
  isFresh,
  type Manifest,
  readManifest,
  readShards,
  sha256,
  sourcesOf,
  staleness,
  withData,
  writeCompiled,
} from './manifest.ts'
import { dataOf, type Module, ModuleGraph } from './modules.ts'
import { ANSWERS, ruleName } from './rule-functions.ts'
import { ShardCache } from './shard-cache.ts'
import type { ModuleFacts } from './syntax.ts'
import { OPA_VERSION, type Toolchain } from './toolchain.ts'
import type { HostBuiltins } from './wasm.ts'

const EVERY_RULE = 'every_rule'
/** Manifests in the cache: a large one has megabytes, and every change makes one. */
const MOST_REMEMBERED = 100
const CONVENTION = new Set(['decision', 'deny', 'review', 'allow', 'obligations'])
/** The compiler puts their results in their places. */
const AT_COMPILE_TIME = new Set(['rego.metadata.chain', 'rego.metadata.rule'])

export interface CompileOptions {
  readonly toolchain: Toolchain
  readonly builtins: HostBuiltins
  /** Compiled forms of folders that have none beside them, and shards that can be used again. */
  readonly cacheDir: string
  /** After each shard: how many there are, and how many are done. */
  readonly onProgress?: (done: number, of: number) => void
}

/** The compiled form beside the sources where it is fresh, else that of the cache, else a new one in the cache. */
export async function loadCompiled(
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<CompiledRego> {
  if (folder.rego.length === 0)
    return {
      manifest: { format: FORMAT, opa: OPA_VERSION, sources: {}, shards: [], policies: [] },
      shards: [],
    }
  const sources = await sourcesOf(folder)
  const compiled = join(folder.dir, COMPILED_DIR)
  const beside = await readFresh(compiled, folder, sources, (manifest) =>
    readShards(compiled, manifest),
  )
  if (beside !== undefined) return beside
  const cache = cacheOf(options)
  const cached = cachedAs(folder, options)
  const known = await readFresh(cached, folder, sources, (manifest) => cache.readAll(manifest))
  if (known !== undefined) {
    const now = new Date()
    await utimes(cached, now, now).catch(() => undefined)
    return known
  }
  try {
    const made = await compileRego(folder, options)
    await remember(made.manifest, folder, options)
    return made
  } catch (error) {
    throw isMissing(error) ? withReason(error, await staleness(folder)) : error
  }
}

/** Missing, stale or damaged are the same: it must be compiled again. */
async function readFresh(
  dir: string,
  folder: PolicyFolder,
  sources: Readonly<Record<string, string>>,
  readCodes: (manifest: Manifest) => Promise<readonly Uint8Array[] | undefined>,
): Promise<CompiledRego | undefined> {
  const manifest = await readManifest(dir)
  if (manifest === undefined || !isFresh(manifest, sources)) return undefined
  const codes = await readCodes(manifest)
  return codes === undefined ? undefined : { manifest, shards: withData(folder, manifest, codes) }
}

/** Where the cache has the manifest of a folder; its shards lie there by what they are made of. */
function cachedAs({ digest }: PolicyFolder, { cacheDir }: CompileOptions): string {
  return join(cacheDir, sha256(`${FORMAT} ${OPA_VERSION} ${digest}`))
}

/** For whoever loads the same files next. A cache that cannot be written costs time then, nothing else. */
async function remember(
  manifest: Manifest,
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<void> {
  const { cacheDir } = options
  await writeCompiled(cachedAs(folder, options), manifest, []).catch(() => undefined)
  const found: { readonly path: string; readonly usedAt: number }[] = []
  for (const name of await readdir(cacheDir).catch(() => [])) {
    const path = join(cacheDir, name)
    const about = /^[0-9a-f]{64}$/.test(name) ? await stat(path).catch(() => undefined) : undefined
    if (about !== undefined) found.push({ path, usedAt: about.mtimeMs })
  }
  for (const { path } of found.toSorted((a, b) => b.usedAt - a.usedAt).slice(MOST_REMEMBERED))
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
}

function cacheOf({ cacheDir }: CompileOptions): ShardCache {
  return new ShardCache(join(cacheDir, 'shards'))
}

function isMissing(error: unknown): error is CordonError {
  return error instanceof CordonError && error.code === 'POLICY_TOOLCHAIN_MISSING'
}

function withReason(error: CordonError, reason: string): CordonError {
  return new CordonError(error.code, `${reason}; ${error.message}`, { cause: error })
}

/** Writes the compiled form beside the sources. */
export async function compileBeside(
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<Manifest> {
  const { manifest, shards } = await compileRego(folder, options)
  await writeCompiled(
    join(folder.dir, COMPILED_DIR),
    manifest,
    shards.map(({ wasm }) => wasm),
  )
  await remember(manifest, folder, options)
  return manifest
}

export async function compileRego(
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<CompiledRego> {
  const work = await workFolder()
  try {
    const capabilities = await capabilitiesFor(options)
    const desk = await Desk.open(work, folder, options.toolchain, capabilities)
    const cache = cacheOf(options)
    const modules = await readModules(desk, folder, cache)
    const graph = new ModuleGraph(modules)
    await checkModules(modules, graph, desk, cache, capabilities)
    refuseReserved(modules, folder)
    const policies = modules.filter(({ facts: { rules } }) =>
      rules.some((rule) => CONVENTION.has(rule)),
    )
    refuseTwice(policies)
    refuseShadowing(modules, folder)
    const known = await describe(folder, policies, graph)
    const groups = groupByScope(known).map((group) => planOf(group, graph, desk, capabilities))
    const codes = await inParallel(
      groups,
      (group) => buildOnce(group, desk, cache),
      options.onProgress,
    )
    await cache.prune()
    const manifest: Manifest = {
      format: FORMAT,
      opa: OPA_VERSION,
      sources: await sourcesOf(folder),
      shards: groups.map(({ key, needed }, index) => ({
        file: `shard-${index}.wasm`,
        sha256: sha256(codes[index] ?? ''),
        key,
        data: dataOf(needed),
      })),
      policies: groups.flatMap(({ policies: members }, shard) =>
        members.map(({ module: { file, facts }, metadata, packageName, reads }, place) => ({
          ...described(metadata),
          file: file.name,
          package: packageName,
          entrypoint: facts.packagePath.join('/'),
          answer: answerOf(place),
          rules: facts.rules,
          reads,
          shard,
        })),
      ),
    }
    return { manifest, shards: withData(folder, manifest, codes) }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Where OPA works. Throws CONFIG_INVALID. */
async function workFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), 'cordon-rego-'))
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown error'
    throw new CordonError(
      'CONFIG_INVALID',
      `Rego cannot be compiled, because ${tmpdir()} takes no files (${why}): set TMPDIR to a folder that can be written to`,
      { cause: error },
    )
  }
}

interface KnownPolicy {
  readonly module: Module
  readonly metadata: PolicyMetadata
  readonly packageName: string
  readonly scope: PolicyMetadata['scope']
  readonly reads: readonly string[]
}

/** A shard before it is built. */
interface Plan {
  readonly policies: readonly KnownPolicy[]
  /** All modules of the shard. */
  readonly needed: readonly Module[]
  readonly answers: string
  readonly entrypoints: readonly string[]
  /** sha256 over everything that decides what comes of it. */
  readonly key: string
}

/** What the modules define and read; OPA parses those whose text it has not parsed before. */
async function readModules(
  desk: Desk,
  folder: PolicyFolder,
  cache: ShardCache,
): Promise<readonly Module[]> {
  const known = await cache.readFacts()
  const keys = new Map(
    folder.rego.map((file) => [file, sha256(`${FORMAT} ${OPA_VERSION} ${file.text}`)]),
  )
  const unknown = folder.rego.filter((file) => !known.has(keys.get(file) ?? ''))
  const parsed = await desk.parse(unknown)
  for (const [index, file] of unknown.entries()) {
    const facts = parsed[index]
    if (facts !== undefined) known.set(keys.get(file) ?? '', facts)
  }
  if (unknown.length > 0) await cache.writeFacts(known)
  return folder.rego.flatMap((file) => {
    const facts: ModuleFacts | undefined = known.get(keys.get(file) ?? '')
    return facts === undefined ? [] : [{ file, facts }]
  })
}

async function describe(
  folder: PolicyFolder,
  policies: readonly Module[],
  graph: ModuleGraph,
): Promise<readonly KnownPolicy[]> {
  const pace = new Pace()
  const problems: Problem[] = []
  const known: KnownPolicy[] = []
  for (const module of policies) {
    const packageName = module.facts.packagePath.join('.')
    const reads = graph.reads(module)
    const metadata = sharedMetadata(module.file, packageName, reads, problems)
    if (metadata !== undefined)
      known.push({ module, metadata, packageName, scope: metadata.scope, reads })
    await pace.point()
  }
  if (problems.length > 0) throw refused(folder, problems)
  return known
}

function planOf(
  policies: readonly KnownPolicy[],
  graph: ModuleGraph,
  desk: Desk,
  capabilities: string,
): Plan {
  const needed = graph.needed(policies.map(({ module }) => module))
  const answers = answersOf(policies)
  const entrypoints = [
    `${ANSWERS}/${EVERY_RULE}`,
    ...policies.flatMap(({ module: { facts } }) =>
      facts.rules.map((rule) => [...facts.packagePath, rule].join('/')),
    ),
  ]
  const key = createHash('sha256')
  for (const part of [String(FORMAT), OPA_VERSION, capabilities, answers, ...entrypoints])
    key.update(`${part.length}:${part}`)
  const files = needed.map(({ file }) => ({ name: desk.nameOf(file), text: file.text }))
  for (const { name, text } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    key.update(`${name.length}:${name}${text.length}:${text}`)
  return { policies, needed, answers, entrypoints, key: key.digest('hex') }
}

/** A rule of ours for each rule of each policy, and one that reads all of them, so that OPA compiles them. */
function answersOf(policies: readonly KnownPolicy[]): string {
  const rules: string[] = []
  const values: string[] = []
  for (const [place, { module }] of policies.entries()) {
    const path = module.facts.packagePath.map((part) => `[${JSON.stringify(part)}]`).join('')
    for (const rule of module.facts.rules) {
      const name = ruleName(answerOf(place), rule)
      rules.push(`${name} := data${path}.${rule}`)
      values.push(`[v | v := ${name}]`)
    }
  }
  return `package ${ANSWERS}\n\n${rules.join('\n')}\n\n${EVERY_RULE} := [${values.join(', ')}]\n`
}

/** What the names of our rules for the policy at a place of its shard begin with. */
function answerOf(place: number): string {
  return `p${place}`
}

async function buildOnce(plan: Plan, desk: Desk, cache: ShardCache): Promise<Uint8Array> {
  const { key, answers, entrypoints, needed } = plan
  const known = await cache.read(key)
  if (known !== undefined) return known
  const wasm = await desk.build(key, answers, entrypoints, needed)
  await cache.write(key, wasm)
  return wasm
}

function refuseTwice(policies: readonly Module[]): void {
  const seen = new Map<string, SourceFile>()
  for (const { file, facts } of policies) {
    const name = facts.packagePath.join('.')
    const other = seen.get(name)
    if (other !== undefined) {
      throw new CordonError('POLICY_INVALID', 'a package is a policy of one file', {
        problems: [
          {
            file: file.path,
            line: packageLine(file),
            column: 1,
            message: `package ${name} stands in ${other.path} already`,
          },
        ],
      })
    }
    seen.set(name, file)
  }
}

function refuseReserved(modules: readonly Module[], folder: PolicyFolder): void {
  const problems = modules.flatMap(({ file, facts: { packagePath, refers } }): Problem[] => {
    const isOurs = packagePath[0] === ANSWERS
    // What another policy reads is not in the read-set of one that refers to its answer.
    if (!isOurs && ![...refers].some((path) => path.split('/', 1)[0] === ANSWERS)) return []
    const wanted = isOurs ? 'give this one another name' : 'nothing else may refer to it'
    const message = `the package ${ANSWERS} is Cordon's own: ${wanted}`
    return [{ file: file.path, line: packageLine(file), column: 1, message }]
  })
  if (problems.length > 0) throw refused(folder, problems)
}

function packageLine({ text }: SourceFile): number {
  return text.split('\n').findIndex((line) => /^\s*package\s/.test(line)) + 1
}

/** OPA refuses a rule where a data document has a value; its compiler does not see the documents here. */
function refuseShadowing(modules: readonly Module[], folder: PolicyFolder): void {
  const problems = modules.flatMap(({ file, facts }): Problem[] => {
    const path = facts.packagePath.join('/')
    return facts.defines
      .filter((rule) => hasValueAt(folder.data, [...facts.packagePath, rule]))
      .map((rule) => ({
        file: file.path,
        line: packageLine(file),
        column: 1,
        message: `a data document has a value at ${path}/${rule}, where this package has a rule`,
      }))
  })
  if (problems.length > 0) throw refused(folder, problems)
}

/** Whether the documents hold something at the path, or a value on the way that has no members. */
function hasValueAt(data: unknown, path: readonly string[]): boolean {
  let value = data
  for (const part of path) {
    if (!isObject(value)) return true
    if (!Object.hasOwn(value, part)) return false
    value = value[part]
  }
  return true
}

/** OPA's own capabilities, less what is not deterministic and what neither wasm nor host can do. */
function capabilitiesFor({ toolchain, builtins }: CompileOptions): Promise<string> {
  return capabilitiesWith(
    toolchain,
    (name) => !NON_DETERMINISTIC.has(name) && (builtins.has(name) || AT_COMPILE_TIME.has(name)),
  )
}
