// From policy folders to a PolicySet. A folder with one bad policy is refused as a whole, with every place.
//
// All of it happens in slices, beside a process that decides with the former set; what both sets have in common
// (compiled shards, statements, annotations) is made once.

import { createHash } from 'node:crypto'
import { CordonError, type Problem } from '../base/errors.ts'
import { Pace } from '../base/pace.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import { CedarEngine } from './cedar/engine.ts'
import { type CedarPolicy, readCedarFiles } from './cedar/read.ts'
import type { CombineOptions } from './combine.ts'
import type { Engine } from './engine.ts'
import { type PolicyFolder, readFolderInSlices } from './folder.ts'
import { PolicySet } from './policy-set.ts'
import { Quarantine } from './quarantine.ts'
import { sharedMetadata } from './rego/annotations.ts'
import { type CompileOptions, loadCompiled } from './rego/compile.ts'
import { RegoEngine, type RegoPolicy } from './rego/engine.ts'
import type { CompiledRego } from './rego/manifest.ts'
import { ruleName } from './rego/rule-functions.ts'
import { openShard, type Shard, type ShardCode } from './rego/wasm.ts'
import { SharedValues } from './shared-values.ts'
import { type Trial, tryOut } from './trial.ts'

export interface LoadOptions extends CompileOptions {
  readonly dirs: readonly string[]
  readonly combining: CombineOptions
  /** For what decides about traffic: policies run over the worst inputs first, and those that take too long are held. */
  readonly isLive?: boolean
}

const SHARDS = new SharedValues<Shard>()

/** Throws CordonError POLICY_INVALID, NOT_FOUND, or POLICY_TOOLCHAIN_MISSING. */
export async function loadPolicySet(options: LoadOptions): Promise<PolicySet> {
  const folders: PolicyFolder[] = []
  for (const dir of options.dirs) folders.push(await readFolderInSlices(dir))
  const problems: Problem[] = []
  const engines: Engine[] = []
  const trials: Trial[] = []
  const statements: CedarPolicy[] = []
  for (const read of await readCedarFiles(folders.flatMap(({ cedar }) => cedar))) {
    statements.push(...read.policies)
    problems.push(...read.problems)
  }
  for (const folder of folders) {
    try {
      const compiled = await loadCompiled(folder, options)
      const policies = await regoPolicies(folder, compiled, options, problems)
      if (options.isLive === true) trials.push(...regoTrials(compiled, policies))
      engines.push(new RegoEngine(policies, quarantineOf(policies, options)))
    } catch (error) {
      if (!(error instanceof CordonError) || error.problems.length === 0) throw error
      problems.push(...error.problems)
    }
  }
  if (problems.length === 0 && statements.length > 0) {
    if (options.isLive === true) trials.push(...cedarTrials(statements))
    engines.push(new CedarEngine(statements))
  }
  problems.push(...twins(engines.flatMap(({ policies }) => policies)))
  if (problems.length === 0) problems.push(...(await tryOut(trials, options.cacheDir)))
  if (problems.length > 0) {
    for (const engine of engines) engine.close?.()
    throw new CordonError('POLICY_INVALID', 'the policies are refused', { problems })
  }
  return new PolicySet(engines, digestOf(folders), options.combining)
}

/** Of everything that the policies of these folders are made from: part of the revision. */
export function digestOf(folders: readonly PolicyFolder[]): string {
  const digest = createHash('sha256')
  for (const folder of folders) digest.update(folder.digest)
  return digest.digest('hex')
}

async function regoPolicies(
  folder: PolicyFolder,
  { manifest, shards: codes }: CompiledRego,
  options: LoadOptions,
  problems: Problem[],
): Promise<readonly RegoPolicy[]> {
  const shards: Shard[] = []
  for (const [index, code] of codes.entries())
    shards.push(await sharedShard(code, manifest.shards[index]?.sha256 ?? '', options))
  const files = new Map(folder.rego.map((file) => [file.name, file]))
  const policies: RegoPolicy[] = []
  const pace = new Pace()
  for (const compiled of manifest.policies) {
    const file = files.get(compiled.file)
    const shard = shards[compiled.shard]
    if (file === undefined || shard === undefined)
      throw new CordonError(
        'POLICY_INVALID',
        `${folder.dir}: the manifest does not fit its sources`,
      )
    const metadata = sharedMetadata(file, compiled.package, compiled.reads, problems)
    if (metadata !== undefined) policies.push({ metadata, compiled, shard })
    await pace.point()
  }
  return policies
}

/** Revisions that have a shard in common ask one instance of it: none of them is ever in the midst of a question. */
async function sharedShard(code: ShardCode, hash: string, options: LoadOptions): Promise<Shard> {
  const parts = [hash, code.data]
  const known = SHARDS.get(parts)
  if (known !== undefined && known.builtins === options.builtins) return known
  const shard = await openShard(code, options.builtins)
  SHARDS.set(parts, shard)
  return shard
}

function quarantineOf(
  policies: readonly RegoPolicy[],
  { isLive = false }: LoadOptions,
): Quarantine | undefined {
  return isLive ? new Quarantine(policies.map(({ metadata }) => metadata.id)) : undefined
}

function regoTrials(
  { manifest, shards }: CompiledRego,
  policies: readonly RegoPolicy[],
): readonly Trial[] {
  return shards.map((code, index) => {
    const members = policies.filter(({ compiled }) => compiled.shard === index)
    const reads = new Set(members.flatMap(({ compiled }) => compiled.reads))
    return {
      job: {
        kind: 'rego' as const,
        code,
        answers: members.map(({ compiled: { answer, rules } }) =>
          rules.map((rule) => ruleName(answer, rule)),
        ),
        reads: [...reads],
      },
      policies: members.map(({ metadata }) => metadata),
      key: hashOf([manifest.shards[index]?.sha256 ?? '', code.data]),
    }
  })
}

function cedarTrials(statements: readonly CedarPolicy[]): readonly Trial[] {
  return statements.map((policy) => ({
    job: { kind: 'cedar' as const, policies: [policy], reads: policy.metadata.reads },
    policies: [policy.metadata],
    key: hashOf([policy.text]),
  }))
}

function hashOf(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:${part}`)
  return hash.digest('base64url')
}

function twins(policies: readonly PolicyMetadata[]): Problem[] {
  const seen = new Map<string, PolicyMetadata>()
  const problems: Problem[] = []
  for (const policy of policies) {
    const other = seen.get(policy.id)
    if (other === undefined) seen.set(policy.id, policy)
    else
      problems.push({
        file: policy.file,
        line: policy.line ?? 1,
        column: 1,
        message: `the id "${policy.id}" stands in ${other.file}:${other.line ?? 1} already`,
      })
  }
  return problems
}
