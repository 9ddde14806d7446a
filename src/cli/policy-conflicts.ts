// `cordon policy conflicts`: of folders with nothing else, or of everything in force as the store keeps it.

import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { AsJson } from '../app/control.ts'
import type { PolicyAct, PolicyActName, PolicyAnswers } from '../app/policy-acts.ts'
import { compileOptions, readCatalogue } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import type { Conflict } from '../model/conflict.ts'
import { SEVERITIES, type Severity } from '../model/decision.ts'
import type { Combining } from '../policy/combine.ts'
import { conflictsOf } from '../policy/conflicts/of-folders.ts'
import { readFolder } from '../policy/folder.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { keyIn } from './key-file.ts'
import { foldersOf, loadFrom } from './policy.ts'

export interface ConflictsGiven extends Common {
  readonly combining?: Combining
  readonly severity?: Severity
  readonly policy?: string
  readonly limit?: string
  readonly accepted?: string
  readonly stored?: boolean
  readonly resolve?: string
  readonly notes?: string
  readonly key?: string
}

/** A conflict as it is shown; `resolved`: somebody has looked at it. */
type Shown = Conflict & { readonly resolved: boolean; readonly conflict_id?: string }

const MAX_FILE_BYTES = 256 * 1024 * 1024
const PAGE = 1000
/** More of low severity are not shown to people who did not ask for them. */
const FEW = 20
/** Rows of a table that nobody asked to be longer. */
const ROWS = 200
/** Before anything is told of how far it is. */
const PATIENCE_MS = 3000

export async function policyConflicts(
  io: Io,
  dirs: readonly string[],
  options: ConflictsGiven,
): Promise<ExitCode> {
  if (options.resolve !== undefined) return resolveOne(io, options.resolve, options)
  if (options.notes !== undefined)
    throw new CordonError('INPUT_INVALID', '--notes goes with --resolve')
  if (options.stored === true) {
    if (dirs.length > 0)
      throw new CordonError('INPUT_INVALID', 'give folders or --stored, not both')
    return tellStored(io, options)
  }
  return tellFolders(io, dirs, options)
}

async function tellFolders(
  io: Io,
  dirs: readonly string[],
  options: ConflictsGiven,
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const folders = foldersOf(io, dirs, config)
  const accepted = acceptedIn(io, options.accepted)
  const policies = await loadFrom(io, config, folders, options.combining ?? config.policy.combining)
  // What was found until then is told.
  const over = new AbortController()
  const stop = (): void => over.abort()
  process.once('SIGINT', stop)
  const report = await conflictsOf(
    policies,
    folders.map(readFolder),
    compileOptions(io.env, false).toolchain,
    {
      catalogued: { services: readCatalogue(config, io.env).services },
      onProgress: progressOn(io),
      signal: over.signal,
    },
  ).finally(() => process.off('SIGINT', stop))
  const shown = report.conflicts.map((conflict) => ({
    ...conflict,
    resolved: accepted.has(conflict.fingerprint),
  }))
  return tell(io, options, { ...report, conflicts: shown })
}

/** A line for each tenth, where it takes long. */
function progressOn(io: Io): (part: number) => void {
  const began = performance.now()
  let told = 0
  return (part) => {
    const tenth = Math.floor(10 * part)
    if (tenth <= told || tenth === 10 || performance.now() - began < PATIENCE_MS) return
    told = tenth
    io.err.write(`looked at ${10 * tenth} %\n`)
  }
}

async function tellStored(io: Io, options: ConflictsGiven): Promise<ExitCode> {
  const report = await ask(io, options, { act: 'scanConflicts' })
  const conflicts: Shown[] = []
  let cursor: string | null | undefined
  do {
    const page = await ask(io, options, {
      act: 'conflicts',
      filter: { limit: PAGE, ...(cursor == null ? {} : { cursor }) },
    })
    conflicts.push(...page.items)
    cursor = page.next_cursor
  } while (cursor !== null)
  return tell(io, options, { ...report, conflicts })
}

async function resolveOne(io: Io, id: string, options: ConflictsGiven): Promise<ExitCode> {
  if (options.notes === undefined)
    throw new CordonError('INPUT_INVALID', '--resolve needs --notes: why may the conflict stand?')
  const row = await ask(io, options, { act: 'resolveConflict', id, notes: options.notes })
  if (options.json === true) printJson(io, row)
  else io.out.write(`${row.conflict_id} is resolved: ${row.says}\n`)
  return 0
}

interface Told {
  readonly conflicts: readonly Shown[]
  readonly policies: number
  readonly pairs: number
  readonly examined: number
  readonly left_out: number
  readonly complete: boolean
  readonly notes: readonly string[]
}

function tell(io: Io, options: ConflictsGiven, report: Told): ExitCode {
  const isCrowd =
    report.conflicts.filter(({ severity }) => severity === 'low').length > FEW &&
    options.json !== true &&
    options.policy === undefined
  const least = SEVERITIES.indexOf(options.severity ?? (isCrowd ? 'medium' : 'low'))
  const conflicts = report.conflicts.filter(
    ({ severity, policy_a_id: a, policy_b_id: b, together_with }) =>
      SEVERITIES.indexOf(severity) >= least &&
      (options.policy === undefined || [a, b, ...together_with].includes(options.policy)),
  )
  const limit = limitOf(options)
  const rows = limit === undefined ? conflicts : conflicts.slice(0, limit)
  if (options.json === true) printJson(io, { ...report, conflicts: rows })
  else {
    if (rows.length > 0)
      printRows(
        io,
        false,
        [
          ...(options.stored === true ? ['conflict_id'] : []),
          'severity',
          'type',
          'evidence',
          'resolved',
          'policies',
          'says',
        ],
        rows.map((conflict) => ({
          ...conflict,
          resolved: conflict.resolved ? 'yes' : '',
          policies: [conflict.policy_a_id, ...conflict.together_with, conflict.policy_b_id].filter(
            (id) => id !== null,
          ),
        })),
      )
    io.err.write(
      `${report.policies} policies, ${report.pairs} pairs whose scopes meet, ${rows.length} conflicts shown${report.complete ? '' : ', not all were looked for'}\n`,
    )
    if (rows.length < conflicts.length)
      io.err.write(
        `note: ${conflicts.length - rows.length} more are not shown: --limit, --severity, --policy, --json\n`,
      )
    if (isCrowd && options.severity === undefined)
      io.err.write('note: those of low severity are not shown: --severity low\n')
    for (const note of report.notes) io.err.write(`note: ${note}\n`)
  }
  const isBlocked = report.conflicts.some(
    ({ severity, resolved }) => severity === 'critical' && !resolved,
  )
  return isBlocked ? 1 : 0
}

/** Undefined: all of them. */
function limitOf({ limit, json }: ConflictsGiven): number | undefined {
  if (limit === undefined) return json === true ? undefined : ROWS
  const count = Number(limit)
  if (!Number.isSafeInteger(count) || count < 1)
    throw new CordonError('INPUT_INVALID', '--limit must be a whole number of at least 1')
  return count
}

/** The fingerprints in an answer of `--json`. */
function acceptedIn(io: Io, file: string | undefined): ReadonlySet<string> {
  if (file === undefined) return new Set()
  let value: unknown
  try {
    const path = resolve(io.cwd, file)
    if (statSync(path).size > MAX_FILE_BYTES)
      throw new Error(`it has more than ${MAX_FILE_BYTES / 1024 / 1024} MiB`)
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new CordonError(
      'INPUT_INVALID',
      `--accepted: ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  const { conflicts } = (value ?? {}) as { readonly conflicts?: unknown }
  if (!Array.isArray(conflicts))
    throw new CordonError(
      'INPUT_INVALID',
      `--accepted: ${file} is no answer of "cordon policy conflicts --json": it has no list "conflicts"`,
    )
  return new Set(
    (conflicts as unknown[]).flatMap((item) => {
      const { fingerprint } = (item ?? {}) as { readonly fingerprint?: unknown }
      return typeof fingerprint === 'string' ? [fingerprint] : []
    }),
  )
}

async function ask<N extends PolicyActName>(
  io: Io,
  options: ConflictsGiven,
  act: PolicyAct<N>,
): Promise<AsJson<PolicyAnswers[N]>> {
  const { config } = configOf(io, options)
  const key = keyIn(io, options.key)
  const asked = { ...act, ...(key === undefined ? {} : { key }) } as PolicyAct
  return (await withAdmin(io, config, (commands) => commands.policyAct(asked))) as AsJson<
    PolicyAnswers[N]
  >
}
