// From policy folders to a PolicySet. A folder with one bad policy is refused as a whole, with every place.

import { createHash } from 'node:crypto'
import { CordonError, type Problem } from '../base/errors.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import { CedarEngine } from './cedar/engine.ts'
import { type CedarPolicy, readCedar } from './cedar/read.ts'
import type { CombineOptions } from './combine.ts'
import type { Engine } from './engine.ts'
import { type PolicyFolder, readFolder } from './folder.ts'
import { PolicySet } from './policy-set.ts'
import { metadataOf } from './rego/annotations.ts'
import { type CompileOptions, type CompiledRego, loadCompiled } from './rego/compile.ts'
import { RegoEngine, type RegoPolicy } from './rego/engine.ts'
import { Shard } from './rego/wasm.ts'

export interface LoadOptions extends CompileOptions {
  readonly dirs: readonly string[]
  readonly combining: CombineOptions
}

/** Throws CordonError POLICY_INVALID, NOT_FOUND, or POLICY_TOOLCHAIN_MISSING. */
export async function loadPolicySet(options: LoadOptions): Promise<PolicySet> {
  const folders = options.dirs.map(readFolder)
  const problems: Problem[] = []
  const engines: Engine[] = []
  const cedarPolicies: CedarPolicy[] = []
  for (const folder of folders) {
    for (const file of folder.cedar) {
      const read = readCedar(file)
      cedarPolicies.push(...read.policies)
      problems.push(...read.problems)
    }
  }
  for (const folder of folders) {
    try {
      engines.push(regoEngine(folder, await loadCompiled(folder, options), options, problems))
    } catch (error) {
      if (!(error instanceof CordonError) || error.problems.length === 0) throw error
      problems.push(...error.problems)
    }
  }
  if (problems.length === 0 && cedarPolicies.length > 0)
    engines.push(new CedarEngine(cedarPolicies))
  problems.push(...twins(engines.flatMap(({ policies }) => policies)))
  if (problems.length > 0)
    throw new CordonError('POLICY_INVALID', 'the policies are refused', { problems })
  const digest = createHash('sha256')
  for (const folder of folders) digest.update(folder.digest)
  return new PolicySet(engines, digest.digest('hex'), options.combining)
}

function regoEngine(
  folder: PolicyFolder,
  compiled: CompiledRego,
  options: LoadOptions,
  problems: Problem[],
): RegoEngine {
  const shards = compiled.shards.map((code) => new Shard(code, options.builtins))
  const files = new Map(folder.rego.map((file) => [file.name, file]))
  const policies: RegoPolicy[] = []
  for (const policy of compiled.manifest.policies) {
    const file = files.get(policy.file)
    const shard = shards[policy.shard]
    if (file === undefined || shard === undefined)
      throw new CordonError(
        'POLICY_INVALID',
        `${folder.dir}: the manifest does not fit its sources`,
      )
    const metadata = metadataOf(file, policy.package, policy.reads, problems)
    if (metadata !== undefined) policies.push({ metadata, compiled: policy, shard })
  }
  return new RegoEngine(policies)
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
