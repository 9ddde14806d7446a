// `cordon coverage`: how much is seen of what goes to AI services.

import { VISIBILITIES } from '../model/record.ts'
import type { CoverageBy, CoverageReport } from '../store/coverage.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { timeOf } from './times.ts'

export async function coverage(
  io: Io,
  options: {
    readonly config?: string
    readonly json?: boolean
    readonly from?: string
    readonly to?: string
    readonly by: CoverageBy
  },
): Promise<ExitCode> {
  const { from, to, by } = options
  timeOf('--from', from)
  timeOf('--to', to)
  const { config } = configOf(io, options)
  const report = await withAdmin(io, config, (commands) =>
    commands.coverage({
      by,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    }),
  )
  if (options.json === true) printJson(io, report)
  else print(io, report)
  return 0
}

function print(io: Io, { by, items, seen, bytes, from, to, total }: CoverageReport): void {
  const shares = VISIBILITIES.map((each) => `${each} ${percent(seen[each])}`).join(', ')
  io.err.write(`${from} to ${to}: ${bytes} bytes with AI services; ${shares}\n`)
  const rows = items.map((item) => ({
    ...item,
    [by]: item.name ?? '-',
    visibility: item.visibility ?? '',
    share: percent(item.share),
    ...Object.fromEntries(VISIBILITIES.map((each) => [each, percent(item.seen[each])])),
  }))
  const columns =
    by === 'reason'
      ? ['visibility', 'reason', 'share', 'bytes', 'requests']
      : [by, 'share', 'bytes', 'requests', ...VISIBILITIES]
  printRows(io, false, columns, rows)
  if (total > items.length) io.err.write(`and ${total - items.length} more\n`)
}

function percent(share: number | null): string {
  return share === null ? '-' : `${(share * 100).toFixed(1)}%`
}
