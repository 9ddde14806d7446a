// From the Rego files of a folder to compiled shards with a manifest.
//
// The compiler is OPA: what it refuses is refused here, with its places. The manifest names every source
// by hash, so that a compiled form is used only while it is fresh.

import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CordonError, type Problem } from '../../base/errors.ts'
import { stringifyExact } from '../../base/exact-json.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import { COMPILED_DIR, type PolicyFolder, type SourceFile } from '../folder.ts'
import { isObject } from '../metadata.ts'
import { metadataOf } from './annotations.ts'
import { fileOfBundle } from './bundle.ts'
import { canRefer, factsOf, type ModuleFacts, readsOf } from './syntax.ts'
import { OPA_VERSION, type RunResult, type Toolchain } from './toolchain.ts'
import type { HostBuiltins, ShardCode } from './wasm.ts'

const POLICIES_PER_SHARD = 100
const MANIFEST = 'manifest.json'
const FORMAT = 3
const CONVENTION = new Set(['decision', 'deny', 'review', 'allow', 'obligations'])
/** Same input, same answer: what these read is not in the input. */
const NON_DETERMINISTIC = new Set([
  'http.send',
  'time.now_ns',
  'rand.intn',
  'uuid.rfc4122',
  'opa.runtime',
  'net.lookup_ip_addr',
])
/** The compiler puts their results in their places. */
const AT_COMPILE_TIME = new Set(['rego.metadata.chain', 'rego.metadata.rule'])

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
  /** Entrypoint prefix: the package path joined with `/`. */
  readonly entrypoint: string
  readonly rules: readonly string[]
  readonly reads: readonly string[]
  readonly shard: number
}

export interface Manifest {
  readonly format: number
  readonly opa: string
  /** sha256 of every source that matters, by name. */
  readonly sources: Readonly<Record<string, string>>
  readonly shards: readonly { readonly file: string; readonly sha256: string }[]
  readonly policies: readonly CompiledPolicy[]
}

export interface CompiledRego {
  readonly manifest: Manifest
  readonly shards: readonly ShardCode[]
}

export interface CompileOptions {
  readonly toolchain: Toolchain
  readonly builtins: HostBuiltins
  /** Compiled forms of folders that have none beside them. */
  readonly cacheDir: string
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
  const beside = readCompiled(join(folder.dir, COMPILED_DIR), folder)
  if (beside !== undefined) return beside
  const cached = join(
    options.cacheDir,
    createHash('sha256').update(`${FORMAT} ${OPA_VERSION} ${folder.digest}`).digest('hex'),
  )
  const known = readCompiled(cached, folder)
  if (known !== undefined) return known
  const compiled = await compileRego(folder, options).catch((error: unknown) => {
    throw isMissing(error) ? withReason(error, staleness(folder)) : error
  })
  writeCompiled(cached, compiled)
  return compiled
}

function isMissing(error: unknown): error is CordonError {
  return error instanceof CordonError && error.code === 'POLICY_TOOLCHAIN_MISSING'
}

function withReason(error: CordonError, reason: string): CordonError {
  return new CordonError(error.code, `${reason}; ${error.message}`, { cause: error })
}

/** Why the compiled form beside the sources cannot be used. */
function staleness(folder: PolicyFolder): string {
  let known: Readonly<Record<string, unknown>>
  try {
    const manifest = JSON.parse(
      readFileSync(join(folder.dir, COMPILED_DIR, MANIFEST), 'utf8'),
    ) as Manifest
    if (manifest.format !== FORMAT) return `${folder.dir}: compiled by another release of Cordon`
    known = manifest.sources
  } catch {
    return `${folder.dir}: its Rego has no compiled form`
  }
  const sources = sourcesOf(folder)
  const names = [...new Set([...Object.keys(sources), ...Object.keys(known)])]
  const changed = names.filter((name) => sources[name] !== known[name])
  return changed.length === 0
    ? `${folder.dir}: its compiled form is damaged`
    : `${folder.dir}: changed since it was compiled (${changed.slice(0, 5).join(', ')})`
}

/** Writes the compiled form beside the sources. */
export async function compileBeside(
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<Manifest> {
  const compiled = await compileRego(folder, options)
  writeCompiled(join(folder.dir, COMPILED_DIR), compiled)
  return compiled.manifest
}

export async function compileRego(
  folder: PolicyFolder,
  options: CompileOptions,
): Promise<CompiledRego> {
  const work = mkdtempSync(join(tmpdir(), 'cordon-rego-'))
  try {
    const desk = openDesk(work, folder, options.toolchain)
    await writeFile(desk.capabilities, await capabilitiesFor(options))
    const modules = await parseModules(desk)
    await check(desk)
    const policies = modules.filter(({ facts: { rules } }) =>
      rules.some((rule) => CONVENTION.has(rule)),
    )
    refuseTwice(policies)
    refuseShadowing(modules, folder)
    const groups = chunks(policies, POLICIES_PER_SHARD)
    const data = stringifyExact(folder.data)
    const shards: ShardCode[] = []
    const compiled: CompiledPolicy[] = []
    const problems: Problem[] = []
    for (const [shard, group] of groups.entries()) {
      shards.push({ wasm: await build(desk, shard, group, needed(group, modules)), data })
      for (const { file, facts } of group) {
        const packageName = facts.packagePath.join('.')
        const reads = readsOf(needed([{ file, facts }], modules).map((module) => module.facts))
        const metadata = metadataOf(file, packageName, reads, problems)
        if (metadata === undefined) continue
        compiled.push({
          ...described(metadata),
          file: file.name,
          package: packageName,
          entrypoint: facts.packagePath.join('/'),
          rules: facts.rules,
          reads,
          shard,
        })
      }
    }
    if (problems.length > 0) throw refused(folder, problems)
    const manifest: Manifest = {
      format: FORMAT,
      opa: OPA_VERSION,
      sources: sourcesOf(folder),
      shards: shards.map(({ wasm }, index) => ({
        file: `shard-${index}.wasm`,
        sha256: sha256(wasm),
      })),
      policies: compiled,
    }
    return { manifest, shards }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function described(metadata: PolicyMetadata): Described & { readonly title: string } {
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

interface Module {
  readonly file: SourceFile
  readonly facts: ModuleFacts
}

/**
 * Where one compilation works. OPA sees copies of the texts that were read: what is compiled is what was
 * hashed. It runs among them, because the wasm holds their paths as OPA was told them.
 */
interface Desk {
  readonly work: string
  readonly folder: PolicyFolder
  readonly capabilities: string
  readonly copies: ReadonlyMap<SourceFile, string>
  readonly originals: ReadonlyMap<string, SourceFile>
  opa(args: readonly string[], input?: string): Promise<RunResult>
}

/** Names that OPA takes for nothing else: a leading dash is an option, a colon ends a prefix. */
const PLAIN_NAME = /^\w[\w./-]*$/

function openDesk(work: string, folder: PolicyFolder, toolchain: Toolchain): Desk {
  const sources = join(work, 'sources')
  mkdirSync(sources)
  const copies = new Map<SourceFile, string>()
  const originals = new Map<string, SourceFile>()
  for (const [index, file] of folder.rego.entries()) {
    const copy = PLAIN_NAME.test(file.name) ? file.name : `file-${index}.rego`
    if (originals.has(copy))
      throw refused(folder, [{ file: file.path, message: 'the file needs another name' }])
    mkdirSync(dirname(join(sources, copy)), { recursive: true })
    writeFileSync(join(sources, copy), file.text)
    copies.set(file, copy)
    originals.set(copy, file)
  }
  return {
    work,
    folder,
    capabilities: join(work, 'capabilities.json'),
    copies,
    originals,
    opa: (args, input) => toolchain.run(args, { cwd: sources, input }),
  }
}

/** The syntax trees of all files from one run of OPA. */
async function parseModules(desk: Desk): Promise<Module[]> {
  const { folder } = desk
  const input = JSON.stringify({ texts: folder.rego.map(({ text }) => text) })
  const query =
    '[module | some text in input.texts; module := rego.parse_module("policy.rego", text)]'
  const { code, stdout } = await desk.opa(
    ['eval', '--format', 'raw', '--stdin-input', '--strict-builtin-errors', query],
    input,
  )
  if (code === 0) {
    const trees = JSON.parse(stdout) as unknown[]
    return folder.rego.map((file, index) => ({ file, facts: factsOf(trees[index]) }))
  }
  const report = await desk.opa(['check', '--format', 'json', '.'])
  throw refused(folder, problemsOf(report, desk))
}

/** The modules that these can refer to, directly or not, themselves included. */
function needed(start: readonly Module[], all: readonly Module[]): readonly Module[] {
  const seen = new Set(start)
  for (const { facts } of seen) {
    for (const other of all) if (!seen.has(other) && canRefer(facts, other.facts)) seen.add(other)
  }
  return [...seen]
}

async function build(
  desk: Desk,
  shard: number,
  policies: readonly Module[],
  modules: readonly Module[],
): Promise<Uint8Array> {
  const bundle = join(desk.work, `bundle-${shard}.tar.gz`)
  const entrypoints = policies.flatMap(({ facts: { packagePath, rules } }) =>
    rules.flatMap((rule) => ['-e', [...packagePath, rule].join('/')]),
  )
  const result = await desk.opa([
    'build',
    '--target',
    'wasm',
    '--capabilities',
    desk.capabilities,
    '--output',
    bundle,
    ...entrypoints,
    ...modules.map(({ file }) => desk.copies.get(file) ?? ''),
  ])
  if (result.code !== 0) throw refused(desk.folder, problemsOf(result, desk))
  return fileOfBundle(await readFile(bundle), 'policy.wasm')
}

/** Throws POLICY_INVALID with OPA's own places where it finds anything in any file. */
async function check(desk: Desk): Promise<void> {
  const result = await desk.opa([
    'check',
    '--format',
    'json',
    '--capabilities',
    desk.capabilities,
    '.',
  ])
  if (result.code !== 0) throw refused(desk.folder, problemsOf(result, desk))
}

interface OpaError {
  readonly message: string
  readonly location?: { readonly file: string; readonly row: number; readonly col: number }
}

/** What OPA complains of, as JSON or as lines of `file:row: code: message`, at the places that people know. */
function problemsOf({ stdout, stderr }: RunResult, { folder, originals }: Desk): Problem[] {
  const errors = jsonErrors(stdout) ?? jsonErrors(stderr) ?? lineErrors(stderr || stdout)
  return errors.map(({ message, location }) => {
    const [, name = ''] = /undefined function (\S+)/.exec(message) ?? []
    const text = NON_DETERMINISTIC.has(name)
      ? `${name} is not allowed: the same input must always give the same answer`
      : message
    const original = location === undefined ? undefined : originals.get(location.file)
    return original === undefined || location === undefined
      ? { file: folder.dir, message: text }
      : {
          file: original.path,
          line: location.row,
          column: Math.max(1, location.col),
          message: text,
        }
  })
}

function jsonErrors(text: string): readonly OpaError[] | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: readonly OpaError[] }
    return errors === undefined || errors.length === 0 ? undefined : errors
  } catch {
    return undefined
  }
}

function lineErrors(text: string): readonly OpaError[] {
  const errors = text.split('\n').flatMap((line): OpaError[] => {
    const [, file, row, col, message] =
      /(?:^|\s)(\S+?\.rego):(\d+):(?:(\d+):)? (.+)$/.exec(line) ?? []
    return file === undefined || message === undefined
      ? []
      : [{ message, location: { file, row: Number(row), col: Number(col ?? 1) } }]
  })
  const first = text
    .trim()
    .split('\n', 1)[0]
    ?.replace(/^error: /, '')
  return errors.length > 0 ? errors : [{ message: first || 'OPA refuses the policies' }]
}

function refused(folder: PolicyFolder, problems: readonly Problem[]): CordonError {
  return new CordonError('POLICY_INVALID', `${folder.dir}: the policy folder is refused`, {
    problems,
  })
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
async function capabilitiesFor({ toolchain, builtins }: CompileOptions): Promise<string> {
  const { stdout } = await toolchain.run(['capabilities', '--current'])
  const capabilities = JSON.parse(stdout) as { builtins: { name: string }[] }
  capabilities.builtins = capabilities.builtins.filter(
    ({ name }) => !NON_DETERMINISTIC.has(name) && (builtins.has(name) || AT_COMPILE_TIME.has(name)),
  )
  return JSON.stringify(capabilities)
}

function readCompiled(dir: string, folder: PolicyFolder): CompiledRego | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(dir, MANIFEST), 'utf8')) as Manifest
    if (
      manifest.format !== FORMAT ||
      JSON.stringify(manifest.sources) !== JSON.stringify(sourcesOf(folder))
    )
      return undefined
    const data = stringifyExact(folder.data)
    const shards = manifest.shards.map(({ file, sha256: expected }) => {
      const wasm = readFileSync(join(dir, file))
      if (sha256(wasm) !== expected) throw new Error('damaged')
      return { wasm, data }
    })
    return { manifest, shards }
  } catch {
    // Missing, stale or damaged are the same: it must be compiled again.
    return undefined
  }
}

function writeCompiled(dir: string, { manifest, shards }: CompiledRego): void {
  mkdirSync(dirname(dir), { recursive: true })
  const fresh = mkdtempSync(join(dirname(dir), '.compiling-'))
  for (const [index, { wasm }] of shards.entries())
    writeFileSync(join(fresh, manifest.shards[index]?.file ?? ''), wasm)
  writeFileSync(join(fresh, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`)
  // Whoever compiles need not be who runs Cordon.
  chmodSync(fresh, 0o755)
  if (existsSync(dir)) rmSync(dir, { recursive: true, force: true })
  renameSync(fresh, dir)
}

function sourcesOf(folder: PolicyFolder): Record<string, string> {
  const sources = folder.rego.map(({ name, text }) => [name, sha256(Buffer.from(text))])
  return Object.fromEntries([
    ...sources,
    ['data', sha256(Buffer.from(stringifyExact(folder.data)))],
  ]) as Record<string, string>
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const out: T[][] = []
  for (let at = 0; at < items.length; at += size) out.push(items.slice(at, at + size))
  return out
}
