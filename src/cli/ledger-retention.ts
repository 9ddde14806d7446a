// `cordon ledger retention`: how long what is kept, what goes next, and how the last run went.

import type { AsJson } from '../app/control.ts'
import { CordonError } from '../base/errors.ts'
import type { UpkeepRun } from '../store/upkeep.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

const DAY_MS = 86_400_000

export async function ledgerRetention(
  io: Io,
  options: Common & { readonly run?: boolean },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const { run, report } = await withAdmin(io, config, async (commands) => ({
    run: options.run === true ? await commands.runUpkeep({}) : undefined,
    report: await commands.retention({}),
  }))
  if (run === null)
    throw new CordonError(
      'CONFLICT',
      'another Cordon over this store is at it; ask again in a moment',
    )
  if (options.json === true) printJson(io, { ...report, ...(run === undefined ? {} : { run }) })
  else {
    printRows(
      io,
      false,
      ['table', 'keep', 'before', 'oldest', 'due', 'held'],
      report.tables.map(({ table, age, keep_ms: keep, before, oldest, due, held }) => ({
        table,
        keep: `${keep / DAY_MS}d (${age})`,
        before: before.slice(0, 10),
        oldest: oldest ?? '-',
        due,
        held,
      })),
    )
    for (const lack of report.lacks) io.err.write(`note: ${lack}\n`)
    const last = run ?? report.last
    io.err.write(last === null ? 'no run yet\n' : `${toldRun(last)}\n`)
  }
  return run?.error === undefined || run.error === null ? 0 : 3
}

function toldRun({ began_at: began, by, steps, error }: AsJson<UpkeepRun>): string {
  const parts = steps.map(({ name, ms, done, error: failure }) => {
    const what =
      failure ??
      (typeof done === 'object'
        ? Object.entries(done)
            .map(([table, rows]) => `${rows} of ${table}`)
            .join(', ') || 'nothing due'
        : done === undefined
          ? 'done'
          : String(done))
    return `${name}: ${what} (${ms} ms)`
  })
  return `last run ${began} by ${by}: ${error === null ? '' : 'FAILED; '}${parts.join('; ')}`
}
