// `cordon ledger export`: records to stdout as they come.

import { existsSync } from 'node:fs'
import { CordonError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import type { ExportTable } from '../governance/admin.ts'
import { openLedgerKeys, pemPath } from '../ledger/ledger-keys.ts'
import { type ProvedExport, signedLines } from '../verify/export-lines.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, writeOut } from './io.ts'
import { timeOf } from './times.ts'

export async function ledgerExport(
  io: Io,
  options: {
    readonly config?: string
    readonly table: ExportTable
    readonly format: 'ndjson' | 'csv'
    readonly from?: string
    readonly to?: string
    readonly proof?: boolean
  },
): Promise<ExitCode> {
  const { table, format, from, to } = options
  timeOf('--from', from)
  timeOf('--to', to)
  const { config } = configOf(io, options)
  if (options.proof === true) {
    if (format !== 'ndjson') throw new CordonError('INPUT_INVALID', '--proof needs --format ndjson')
    if (config.ledger.pseudonymous)
      throw new CordonError(
        'CONFLICT',
        'an export with proof holds whole records, which name people, and ledger.pseudonymous is on: export without --proof, or verify a copy of the ledger folder',
      )
    return exportProved(io, config, { table, tenant: config.tenant, from, to })
  }
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

/** Everything that "cordon ledger verify FILE" needs is in it; the last line is signed here, where the key is. */
async function exportProved(io: Io, config: Config, wanted: ProvedExport): Promise<ExitCode> {
  if (!existsSync(pemPath(config.data_dir)))
    throw new CordonError(
      'LEDGER_KEY',
      `${pemPath(config.data_dir)} is missing: an export is signed where a ledger is written`,
    )
  const { signing } = openLedgerKeys(config.data_dir)
  await withAdmin(io, config, async (commands) => {
    const lines = signedLines(commands.exportProved(wanted), signing, Date.now())
    for await (const text of lines) if (!(await writeOut(io, text))) return
  })
  return 0
}
