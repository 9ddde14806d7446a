// Policies, catalogue and settings of one revision, made from a configuration.

import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDirs } from '../config/cache.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import type { Rules } from '../decision/decide.ts'
import type { AiService } from '../model/service.ts'
import { loadPolicySet } from '../policy/load.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { createHostBuiltins } from '../policy/rego/builtins/registry.ts'
import type { CompileOptions } from '../policy/rego/compile.ts'
import { Toolchain } from '../policy/rego/toolchain.ts'
import { Catalogue } from '../signatures/catalogue.ts'
import { loadServices } from '../signatures/load.ts'
import { CatalogueCache } from './catalogue-cache.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface LoadedRules extends Rules {
  readonly catalogue: Catalogue
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
    builtins: createHostBuiltins(),
    cacheDir: dirs.policies,
  }
}

/** Throws CordonError with every problem; what is in force stays as it is then. */
export async function loadRules(
  config: Config,
  catalogue: LoadedCatalogue,
  env: Environment,
): Promise<LoadedRules> {
  const { policy, proxy } = config
  const policies = await loadPolicySet({
    ...compileOptions(env, false),
    dirs: policy.dirs,
    combining: { combining: policy.combining, defaults: policy.default, onError: policy.on_error },
  })
  const { enabled, services, never } = proxy.intercept
  const settings = JSON.stringify([
    policy.review,
    policy.mode,
    policy.review_valid,
    // What is seen is what can be decided on.
    ...(enabled ? [services, never] : []),
  ])
  const revision = createHash('sha256')
    .update(policies.revision)
    .update(catalogue.digest)
    .update(settings)
    .digest('hex')
  return { revision: `sha256:${revision}`, catalogue: new Catalogue(catalogue.services), policies }
}

/** Longer than any decision that began with the old rules. */
const RETIRE_AFTER_MS = 60_000

/** Frees what replaced rules hold, once nobody can be using them. */
export function retire(replaced: LoadedRules): void {
  setTimeout(() => replaced.policies.close(), RETIRE_AFTER_MS).unref()
}
