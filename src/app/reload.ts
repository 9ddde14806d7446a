// SIGHUP: a new revision from files, taken as a whole or not at all.

import { CordonError, formatProblem } from '../base/errors.ts'
import { leavesOf, loadConfig, type LoadOptions } from '../config/load.ts'
import { type Config, SCHEMA } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { Catalogue } from '../signatures/catalogue.ts'
import type { InTurn } from './in-turn.ts'
import type { LoadedInterception } from './interception.ts'
import { checkNamedFiles } from './named-files.ts'
import {
  type Environment,
  type LoadedCatalogue,
  type LoadedRules,
  loadRules,
  readCatalogue,
} from './rules.ts'

export interface Revision {
  readonly config: Config
  readonly catalogue: LoadedCatalogue
  readonly rules: LoadedRules
  readonly interception: LoadedInterception | undefined
}

export interface ReloadParts {
  readonly log: Log
  readonly env: Environment
  readonly read: LoadOptions
  readonly current: () => Config
  /** Policies beside those of `policy.dirs`: a reload leaves them as they are. */
  readonly folders: () => readonly string[]
  /** One change of the rules after the other, whoever makes it. */
  readonly inTurn: InTurn
  readonly take: (next: Revision) => Promise<void>
  readonly loadInterception: (
    config: Config,
    catalogue: Catalogue,
  ) => Promise<LoadedInterception | undefined>
  /** Whatever becomes of the settings: whoever rotated the logs wants new files. */
  readonly reopenLogs: () => void
}

/** What needs a start: whatever was opened, bound or sized with it. */
export const NEEDS_START =
  /^(?:data_dir|database_url|redis_url|tenant|policy\.(?:bundles|bundle_signing)|api\.|observe\.|proxy\.(?:listen|workers|access_log|limits\.(?!body_inspect_bytes))|ledger\.(?:fsync|spool_limit|when_full|archive))/

/** What is refused leaves everything as it is. */
export function reloader(parts: ReloadParts): () => Promise<void> {
  return () => parts.inTurn(() => reload(parts))
}

async function reload({
  log,
  env,
  read,
  current,
  folders,
  take,
  loadInterception,
  reopenLogs,
}: ReloadParts): Promise<void> {
  reopenLogs()
  try {
    const loaded = loadConfig(read)
    for (const warning of loaded.warnings) log.warn(warning)
    const { config, ignored } = withFixedSettings(loaded.config, current())
    checkNamedFiles(config)
    const catalogue = readCatalogue(config, env)
    const rules = await loadRules(config, catalogue, env, folders())
    const interception = await loadInterception(config, rules.catalogue)
    await take({ config, catalogue, rules, interception })
    if (ignored.length > 0)
      log.warn({ settings: ignored }, 'these settings take effect with the next start')
    log.info({ revision: rules.revision }, 'reloaded')
  } catch (error) {
    const problems = error instanceof CordonError ? error.problems.map(formatProblem) : []
    log.error(
      { err: error instanceof Error ? error.message : String(error), problems },
      'reload refused; the last good revision stays in force',
    )
  }
}

/** The new settings, with those that need a start as they are; the names of those that differ. */
function withFixedSettings(
  next: Config,
  current: Config,
): { readonly config: Config; readonly ignored: readonly string[] } {
  const config = structuredClone(next) as Record<string, unknown>
  const ignored: string[] = []
  for (const [path] of leavesOf(SCHEMA, '')) {
    if (!NEEDS_START.test(path)) continue
    const old = valueAt(current, path)
    if (JSON.stringify(valueAt(next, path)) !== JSON.stringify(old)) ignored.push(path)
    const parts = path.split('.')
    const last = parts.pop() ?? ''
    const level = valueAt(config, parts.join('.')) as Record<string, unknown>
    level[last] = old
  }
  return { config: config as unknown as Config, ignored }
}

function valueAt(settings: unknown, path: string): unknown {
  if (path === '') return settings
  let value = settings
  for (const part of path.split('.')) value = (value as Record<string, unknown>)[part]
  return value
}
