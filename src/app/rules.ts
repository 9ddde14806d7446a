// Policies, catalogue and settings of one revision, made from a configuration.

import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDirs } from '../config/cache.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import type { Rules } from '../decision/decide.ts'
import type { AiService } from '../model/service.ts'
import { type LoadOptions, loadPolicySet } from '../policy/load.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { createHostBuiltins } from '../policy/rego/builtins/registry.ts'
import type { CompileOptions } from '../policy/rego/compile.ts'
import { Toolchain } from '../policy/rego/toolchain.ts'
import { Catalogue } from '../signatures/catalogue.ts'
import { loadServices } from '../signatures/load.ts'
import { CatalogueCache } from './catalogue-cache.ts'

/** One for the process: revisions that have shards in common have their built-ins in common. */
const BUILTINS = createHostBuiltins()

export type Environment = Readonly<Record<string, string | undefined>>

export interface LoadedRules extends Rules {
  readonly catalogue: Catalogue
  readonly catalogueDigest: string
  readonly policies: PolicySet
}

export interface LoadedCatalogue {
  readonly services: readonly AiService[]
  readonly digest: string
}

/** The shipped catalogue with the configured folders over it. */
export function readCatalogue(config: Config, env: Environment): LoadedCatalogue {
  const { catalogue } = cacheDirs(env, tmpdir())
  return loadServices(
    [join(PROGRAM_DIR, 'signatures'), ...config.signatures.dirs],
    catalogue === undefined ? undefined : new CatalogueCache(catalogue),
  )
}

export function compileOptions(env: Environment, mayInstall: boolean): CompileOptions {
  const dirs = cacheDirs(env, tmpdir())
  return {
    toolchain: new Toolchain({ env, toolsDir: dirs.tools, mayInstall }),
    builtins: BUILTINS,
    cacheDir: dirs.policies,
  }
}

/** How these folders are loaded: as the configuration wants them combined, without installing anything. */
export function loadOptions(
  { policy }: Config,
  env: Environment,
  dirs: readonly string[],
): LoadOptions {
  return {
    ...compileOptions(env, false),
    dirs,
    isLive: true,
    combining: { combining: policy.combining, defaults: policy.default, onError: policy.on_error },
  }
}

/**
 * `folders`: of policies beside those of `policy.dirs`. Throws CordonError with every problem; what is in force stays as it
 * is then.
 */
export async function loadRules(
  config: Config,
  catalogue: LoadedCatalogue,
  env: Environment,
  folders: readonly string[] = [],
): Promise<LoadedRules> {
  const policies = await loadPolicySet(
    loadOptions(config, env, [...config.policy.dirs, ...folders]),
  )
  return rulesOf(config, new Catalogue(catalogue.services), catalogue.digest, policies)
}

/** The same settings and catalogue, with the policies of other folders. */
export async function withPolicies(
  { catalogue, catalogueDigest }: LoadedRules,
  config: Config,
  env: Environment,
  folders: readonly string[],
): Promise<LoadedRules> {
  const policies = await loadPolicySet(
    loadOptions(config, env, [...config.policy.dirs, ...folders]),
  )
  return rulesOf(config, catalogue, catalogueDigest, policies)
}

function rulesOf(
  { policy, proxy, risk, budgets, budgets_on_error }: Config,
  catalogue: Catalogue,
  catalogueDigest: string,
  policies: PolicySet,
): LoadedRules {
  const { enabled, services, never } = proxy.intercept
  const settings = JSON.stringify([
    policy.review,
    policy.mode,
    policy.review_valid,
    risk,
    budgets,
    budgets_on_error,
    // What is seen is what can be decided on.
    ...(enabled ? [services, never] : []),
  ])
  const revision = createHash('sha256')
    .update(policies.revision)
    .update(catalogueDigest)
    .update(settings)
    .digest('hex')
  return { revision: `sha256:${revision}`, catalogue, catalogueDigest, policies }
}

/** Longer than any decision that began with the old rules. */
const RETIRE_AFTER_MS = 60_000

/** Frees what replaced rules hold, once nobody can be using them. */
export function retire(replaced: LoadedRules): void {
  setTimeout(() => replaced.policies.close(), RETIRE_AFTER_MS).unref()
}
