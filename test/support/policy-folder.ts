// Policy folders for tests: written to disk, loaded with what is installed here.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { env } from 'node:process'
import type { Test } from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import type { CombineOptions } from '../../src/policy/combine.ts'
import { type LoadOptions, loadPolicySet } from '../../src/policy/load.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { Toolchain } from '../../src/policy/rego/toolchain.ts'
import { RULES } from './policy-rules.ts'

const ROOT = join(import.meta.dirname, '../..')

/** OPA as it is found here; tests install nothing. */
export function toolchain(): Toolchain {
  const home = env['HOME'] ?? ROOT
  const toolsDir = join(env['XDG_CACHE_HOME'] ?? join(home, '.cache'), 'cordon/tools')
  return new Toolchain({ env, toolsDir, mayInstall: false })
}

/** False, or why a test of Rego sources cannot run here. */
export function withoutOpa(): false | string {
  return toolchain().find() === undefined ? 'OPA is not installed (go install opa)' : false
}

/** A folder with these files; names may have folders. */
export function folderOf(t: Test, files: Readonly<Record<string, string>>): string {
  const dir = t.testdir()
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return dir
}

export function loadDirs(
  dirs: readonly string[],
  rules: Partial<CombineOptions> = {},
  options: Partial<LoadOptions> = {},
): Promise<PolicySet> {
  return loadPolicySet({
    dirs,
    combining: { ...RULES, ...rules },
    toolchain: toolchain(),
    builtins: createHostBuiltins(),
    cacheDir: join(ROOT, '.cache/policies'),
    ...options,
  })
}

/** What is wrong with the folder, as `check` prints it, the folder's path left out. */
export async function problemsOf(dir: string): Promise<readonly string[]> {
  try {
    await loadDirs([dir])
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return error.problems.map((problem) => formatProblem(problem).replaceAll(`${dir}/`, ''))
  }
  return []
}
