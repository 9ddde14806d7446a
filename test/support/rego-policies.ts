// Rego in a temporary folder, compiled by OPA and evaluated: what tests of the Rego engine need.
//
// OPA is taken from PATH or the tool cache; where it is absent `opaMissing` is the reason to skip.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { env } from 'node:process'
import { stringifyExact } from '../../src/base/exact-json.ts'
import type { EngineInput, PolicyOutcome } from '../../src/policy/engine.ts'
import { type PolicyFolder, readFolder } from '../../src/policy/folder.ts'
import { readMetadata } from '../../src/policy/metadata.ts'
import { compileRego } from '../../src/policy/rego/compile.ts'
import { RegoEngine } from '../../src/policy/rego/engine.ts'
import type { CompiledRego } from '../../src/policy/rego/manifest.ts'
import { Toolchain } from '../../src/policy/rego/toolchain.ts'
import { type HostBuiltins, Shard } from '../../src/policy/rego/wasm.ts'

export const toolchain = new Toolchain({
  env,
  toolsDir: join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'cordon/tools'),
  mayInstall: false,
})

export const opaMissing: string | false =
  toolchain.find() === undefined ? 'OPA is neither on PATH nor in the tool cache' : false

/** Enough of a host for the policies of these tests; the real one has tests of its own. */
export const plainBuiltins: HostBuiltins = {
  has: () => true,
  call: (name, args) => {
    if (name === 'sprintf' && typeof args[0] === 'string') return args[0]
    if (name === 'semver.is_valid') throw new Error('a limit of the host')
    return undefined
  },
}

/** A folder with these files, read; the caller removes it through `remove`. */
export function folderOf(files: Readonly<Record<string, string>>): {
  readonly folder: PolicyFolder
  readonly remove: () => void
} {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-test-rego-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return { folder: readFolder(dir), remove: () => rmSync(dir, { recursive: true, force: true }) }
}

export async function compileFiles(files: Readonly<Record<string, string>>): Promise<CompiledRego> {
  const { folder, remove } = folderOf(files)
  try {
    return await compileRego(folder, {
      toolchain,
      builtins: plainBuiltins,
      cacheDir: join(folder.dir, 'cache'),
    })
  } finally {
    remove()
  }
}

/** The engine over all policies of a folder, in the order of the manifest. */
export function engineOf({ manifest, shards }: CompiledRego, builtins = plainBuiltins): RegoEngine {
  const loaded = shards.map((code) => new Shard(code, builtins))
  return new RegoEngine(
    manifest.policies.map((compiled) => {
      const metadata = readMetadata(
        {},
        {
          language: 'rego',
          file: compiled.file,
          defaultId: compiled.package,
          reads: compiled.reads,
          text: '',
        },
        (message) => ({ file: compiled.file, message }),
      )
      const shard = loaded[compiled.shard]
      if (!('id' in metadata) || shard === undefined) throw new Error('the fixture is broken')
      return { metadata, compiled, shard }
    }),
  )
}

function inputOf(document: unknown): EngineInput {
  return { document, json: () => Buffer.from(stringifyExact(document)) }
}

/** What each policy says of the document, by id. */
export function outcomesOf(engine: RegoEngine, document: unknown): Map<string, PolicyOutcome> {
  const indexes = engine.policies.map((_policy, index) => index)
  const outcomes = engine.evaluate(indexes, inputOf(document))
  return new Map(
    engine.policies.flatMap(({ id }, index) => {
      const outcome = outcomes[index]
      return outcome === undefined ? [] : [[id, outcome] as const]
    }),
  )
}
