// `cordon policy compile|test|list|eval`.

import { resolve } from 'node:path'
import { compileOptions } from '../app/rules.ts'
import { IdSource } from '../base/ids.ts'
import type { Config } from '../config/schema.ts'
import type { Combining } from '../policy/combine.ts'
import { evaluateLine } from '../policy/eval-lines.ts'
import { readFolder } from '../policy/folder.ts'
import { loadPolicySet } from '../policy/load.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { compileBeside } from '../policy/rego/compile.ts'
import { runPolicyTests } from '../policy/test-runner.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { eachLine } from './lines.ts'

interface Common {
  readonly config?: string
  readonly json?: boolean
}

/** The only command that may fetch OPA. */
export async function policyCompile(
  io: Io,
  dirs: readonly string[],
  options: Common,
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const compile = compileOptions(io.env, true)
  const rows = []
  for (const dir of foldersOf(io, dirs, config)) {
    const manifest = await compileBeside(readFolder(dir), compile)
    rows.push({
      folder: dir,
      policies: manifest.policies.length,
      shards: manifest.shards.length,
      opa: manifest.opa,
    })
  }
  printRows(io, options.json === true, ['folder', 'policies', 'shards', 'opa'], rows)
  return 0
}

export async function policyTest(
  io: Io,
  dirs: readonly string[],
  options: Common,
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const folders = foldersOf(io, dirs, config)
  const { toolchain } = compileOptions(io.env, false)
  const policies = await loadFrom(io, config, folders, config.policy.combining)
  const results = await runPolicyTests({ dirs: folders, toolchain, policies })
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length
  if (options.json === true) printJson(io, results)
  else {
    for (const { outcome, name, file, line, detail } of results) {
      if (outcome !== 'pass')
        io.out.write(
          `${outcome} ${file}:${line}: ${name}${detail === undefined ? '' : `: ${detail}`}\n`,
        )
    }
    io.out.write(`${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped\n`)
  }
  return count('fail') > 0 ? 1 : 0
}

export async function policyList(
  io: Io,
  dirs: readonly string[],
  options: Common,
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const { policies } = await loadFrom(
    io,
    config,
    foldersOf(io, dirs, config),
    config.policy.combining,
  )
  printRows(
    io,
    options.json === true,
    ['id', 'mode', 'priority', 'severity', 'language', 'name', 'framework', 'article'],
    policies as never,
  )
  return 0
}

export async function policyEval(
  io: Io,
  options: Common & { readonly policies: readonly string[]; readonly combining?: Combining },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const policies = await loadFrom(
    io,
    config,
    foldersOf(io, options.policies, config),
    options.combining ?? config.policy.combining,
  )
  const ids = new IdSource()
  await eachLine(io, (line) => evaluateLine(line, { policies, ids }))
  return 0
}

function foldersOf(io: Io, dirs: readonly string[], config: Config): readonly string[] {
  return dirs.length === 0 ? config.policy.dirs : dirs.map((dir) => resolve(io.cwd, dir))
}

function loadFrom(
  io: Io,
  { policy }: Config,
  dirs: readonly string[],
  combining: Combining,
): Promise<PolicySet> {
  return loadPolicySet({
    ...compileOptions(io.env, false),
    dirs,
    combining: { combining, defaults: policy.default, onError: policy.on_error },
  })
}
