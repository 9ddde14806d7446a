// From the Rego files of a folder to compiled shards with a manifest.
//
// The compiler is OPA: what it refuses is refused here, with its places. The manifest names every source
// by hash, so that a compiled form is used only while it is fresh.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { CordonError, type Problem } from '../../base/errors.ts'
import { COMPILED_DIR, type PolicyFolder, type SourceFile } from '../folder.ts'
import { factsOf, type ModuleFacts, READS_ALL, readsOf } from './syntax.ts'
import { OPA_VERSION, type Toolchain } from './toolchain.ts'
import type { HostBuiltins, ShardCode } from './wasm.ts'

const POLICIES_PER_SHARD = 100
const MANIFEST = 'manifest.json'
const FORMAT = 1
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

export interface CompiledPolicy {
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
  const compiled = await compileRego(folder, options)
  writeCompiled(cached, compiled)
  return compiled
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
    const capabilities = join(work, 'capabilities.json')
    writeFileSync(capabilities, await capabilitiesFor(options))
    const modules = await parseModules(folder, options.toolchain)
    const facts = modules.map(({ facts: each }) => each)
    const policies = modules.filter(({ facts: { rules } }) =>
      rules.some((rule) => CONVENTION.has(rule)),
    )
    refuseTwice(policies)
    const libraries = modules.filter((module) => !policies.includes(module))
    const shards: ShardCode[] = []
    const compiled: CompiledPolicy[] = []
    const data = JSON.stringify(folder.data)
    // One policy may refer to another's package: then they must lie in one shard with everything.
    const split =
      policies.length > POLICIES_PER_SHARD &&
      !policies.some(({ facts: each }) => refersToAny(each, policies))
    const groups = split
      ? chunks(policies, POLICIES_PER_SHARD)
      : policies.length > 0
        ? [policies]
        : []
    for (const [shard, group] of groups.entries()) {
      const files = split ? [...group, ...libraries] : modules
      const wasm = await build(work, shard, files, group, capabilities, options.toolchain, folder)
      shards.push({ wasm, data })
      for (const { file, facts: each } of group) {
        compiled.push({
          file: file.name,
          package: each.packagePath.join('.'),
          entrypoint: each.packagePath.join('/'),
          rules: each.rules,
          reads: readsOf(each, facts),
          shard,
        })
      }
    }
    if (groups.length === 0 && modules.length > 0)
      await check(
        modules.map(({ file }) => file),
        capabilities,
        options.toolchain,
      )
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

interface Module {
  readonly file: SourceFile
  readonly facts: ModuleFacts
}

/** The syntax trees of all files from one run of OPA. */
async function parseModules(folder: PolicyFolder, toolchain: Toolchain): Promise<Module[]> {
  const input = JSON.stringify({ files: folder.rego.map(({ path, text }) => ({ path, text })) })
  const query =
    '[module | some file in input.files; module := rego.parse_module(file.path, file.text)]'
  const { code, stdout } = await toolchain.run(
    ['eval', '--format', 'raw', '--stdin-input', '--strict-builtin-errors', query],
    input,
  )
  if (code !== 0) {
    const { stdout: report } = await toolchain.run([
      'check',
      '--format',
      'json',
      ...folder.rego.map(({ path }) => path),
    ])
    throw refused(folder, problemsOf(report, folder))
  }
  const trees = JSON.parse(stdout) as unknown[]
  return folder.rego.map((file, index) => ({ file, facts: factsOf(trees[index]) }))
}

async function build(
  work: string,
  shard: number,
  files: readonly Module[],
  policies: readonly Module[],
  capabilities: string,
  toolchain: Toolchain,
  folder: PolicyFolder,
): Promise<Uint8Array> {
  const entrypoints = policies
    .flatMap(({ facts: { packagePath, rules } }) =>
      rules.map((rule) => ['-e', [...packagePath, rule].join('/')]),
    )
    .flat()
  const bundle = join(work, `bundle-${shard}.tar.gz`)
  const paths = files.map(({ file }) => file.path)
  const { code, stderr } = await toolchain.run([
    'build',
    '-t',
    'wasm',
    '--capabilities',
    capabilities,
    '-o',
    bundle,
    ...entrypoints,
    ...paths,
  ])
  if (code !== 0) {
    await check(
      files.map(({ file }) => file),
      capabilities,
      toolchain,
      folder,
    )
    throw refused(folder, [{ file: folder.dir, message: stderr.trim().replace(/^error: /, '') }])
  }
  const out = join(work, `shard-${shard}`)
  mkdirSync(out)
  await promisify(execFile)('tar', ['-xzf', bundle, '-C', out, '/policy.wasm']).catch(() =>
    promisify(execFile)('tar', ['-xzf', bundle, '-C', out]),
  )
  return readFileSync(join(out, 'policy.wasm'))
}

/** Throws POLICY_INVALID with OPA's own places where it finds anything. */
async function check(
  files: readonly SourceFile[],
  capabilities: string,
  toolchain: Toolchain,
  folder?: PolicyFolder,
): Promise<void> {
  const { code, stdout, stderr } = await toolchain.run([
    'check',
    '--format',
    'json',
    '--capabilities',
    capabilities,
    ...files.map(({ path }) => path),
  ])
  if (code === 0) return
  throw refused(folder, problemsOf(stdout === '' ? stderr : stdout, folder))
}

function problemsOf(report: string, folder: PolicyFolder | undefined): Problem[] {
  let errors: { message: string; location?: { file: string; row: number; col: number } }[] = []
  try {
    errors = (JSON.parse(report) as { errors?: typeof errors }).errors ?? []
  } catch {
    return [
      {
        file: folder?.dir ?? 'policies',
        message: report.trim().split('\n', 1)[0] ?? 'OPA refuses the policies',
      },
    ]
  }
  return errors.map(({ message, location }) => {
    const [, name = ''] = /^undefined function (\S+)/.exec(message) ?? []
    const text = NON_DETERMINISTIC.has(name)
      ? `${name} is not allowed: the same input must always give the same answer`
      : message
    return location === undefined
      ? { file: folder?.dir ?? 'policies', message: text }
      : {
          file: location.file,
          line: location.row,
          column: Math.max(1, location.col),
          message: text,
        }
  })
}

function refused(folder: PolicyFolder | undefined, problems: readonly Problem[]): CordonError {
  return new CordonError(
    'POLICY_INVALID',
    `${folder?.dir ?? 'policies'}: the policy folder is refused`,
    { problems },
  )
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

function refersToAny(facts: ModuleFacts, policies: readonly Module[]): boolean {
  return policies.some(({ facts: other }) => {
    if (other === facts) return false
    const path = other.packagePath.join('/')
    return [...facts.refers].some(
      (reference) =>
        reference === READS_ALL ||
        `${reference}/`.startsWith(`${path}/`) ||
        `${path}/`.startsWith(`${reference}/`),
    )
  })
}

/** OPA's own capabilities, less what is not deterministic and what neither wasm nor host can do. */
async function capabilitiesFor({ toolchain, builtins }: CompileOptions): Promise<string> {
  const { stdout } = await toolchain.run(['capabilities', '--current'])
  const capabilities = JSON.parse(stdout) as { builtins: { name: string }[] }
  capabilities.builtins = capabilities.builtins.filter(
    ({ name }) => !NON_DETERMINISTIC.has(name) && builtins.has(name),
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
    const data = JSON.stringify(folder.data)
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
  if (existsSync(dir)) rmSync(dir, { recursive: true, force: true })
  renameSync(fresh, dir)
}

function sourcesOf(folder: PolicyFolder): Record<string, string> {
  const sources = folder.rego.map(({ name, text }) => [name, sha256(Buffer.from(text))])
  return Object.fromEntries([
    ...sources,
    ['data', sha256(Buffer.from(JSON.stringify(folder.data)))],
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
