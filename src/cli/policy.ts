// `cordon policy compile|list|eval`.

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
import { configOf, type ExitCode, type Io, printRows } from './io.ts'
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
  const compile = { ...compileOptions(io.env, true), onProgress: progressOn(io) }
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

/** A line for each tenth of many shards; few are done before anybody asks. */
function progressOn(io: Io): (done: number, of: number) => void {
  return (done, of) => {
    const step = Math.ceil(of / 10)
    if (of >= 10 && (done % step === 0 || done === of))
      io.err.write(`compiled ${done} of ${of} shards\n`)
  }
}

/** Of folders what is in force; of the store everything, where there is one. */
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
  const stored =
    dirs.length > 0 ? [] : await (await import('./policy-life.ts')).storedPolicies(io, config)
  const rows = [
    ...policies.map((policy) => ({ ...policy, origin: 'folder', status: 'active' })),
    ...stored.map(({ policy_id: id, path: file, ...policy }) => ({ id, ...policy, file })),
  ]
  printRows(
    io,
    options.json === true,
    [
      'id',
      'origin',
      'status',
      'version',
      'mode',
      'priority',
      'severity',
      'language',
      'name',
      'framework',
      'article',
    ],
    rows,
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

export function foldersOf(io: Io, dirs: readonly string[], config: Config): readonly string[] {
  return dirs.length === 0 ? config.policy.dirs : dirs.map((dir) => resolve(io.cwd, dir))
}

export function loadFrom(
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
