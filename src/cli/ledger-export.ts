// `cordon ledger export`: records to stdout as they come.

import { CordonError } from '../base/errors.ts'
import type { ExportTable } from '../governance/admin.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, writeOut } from './io.ts'

export async function ledgerExport(
  io: Io,
  options: {
    readonly config?: string
    readonly table: ExportTable
    readonly format: 'ndjson' | 'csv'
    readonly from?: string
    readonly to?: string
  },
): Promise<ExitCode> {
  const { table, format, from, to } = options
  for (const [name, time] of [
    ['--from', from],
    ['--to', to],
  ] as const) {
    if (time !== undefined && Number.isNaN(Date.parse(time)))
      throw new CordonError('INPUT_INVALID', `${name} must be a time such as 2026-11-24T00:00:00Z`)
  }
  const { config } = configOf(io, options)
  await withAdmin(io, config, async (commands) => {
    const lines = commands.export({
      table,
      format,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    })
    for await (const text of lines) if (!(await writeOut(io, text))) return
  })
  return 0
}
