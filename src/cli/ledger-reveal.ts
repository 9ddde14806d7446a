// `cordon ledger reveal`: who is behind a pseudonym. It is written down with its reason before it is told.

import { CordonError } from '../base/errors.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printRows } from './io.ts'

/** 1 where nobody can tell any more. */
export async function ledgerReveal(
  io: Io,
  pseudonym: string,
  options: { readonly config?: string; readonly json?: boolean; readonly reason?: string },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  try {
    const { user, ip_address, seen, ...known } = await withAdmin(io, config, (commands) =>
      commands.reveal({ pseudonym, reason: options.reason ?? '' }),
    )
    const row = { ...known, ...user, ip_address, seen: new Date(seen).toISOString() }
    if (options.json === true) io.out.write(`${JSON.stringify(row, undefined, 2)}\n`)
    else printRows(io, false, Object.keys(row), [row])
    return 0
  } catch (error) {
    if (!(error instanceof CordonError) || error.code !== 'NOT_FOUND') throw error
    io.err.write(`cordon: ${error.message}\n`)
    return 1
  }
}
