// `cordon mode`: break glass.

import { CordonError } from '../base/errors.ts'
import { parseDuration } from '../base/size.ts'
import { MODES, type Mode } from '../model/decision.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'

export async function setMode(
  io: Io,
  mode: Mode,
  options: { readonly config?: string; readonly json?: boolean; readonly for: string },
): Promise<ExitCode> {
  if (!MODES.includes(mode))
    throw new CordonError('INPUT_INVALID', `the mode must be one of ${MODES.join(', ')}`)
  const forMs = parseDuration(options.for)
  if (forMs === undefined || forMs <= 0)
    throw new CordonError('INPUT_INVALID', '--for must be a duration with a unit, such as 30m')
  const { config } = configOf(io, options)
  const result = (await withAdmin(io, config, (commands) => commands.setMode({ mode, forMs }))) as {
    mode: Mode
    until: string
  }
  if (options.json === true) printJson(io, result)
  else io.out.write(`mode ${result.mode} until ${result.until}\n`)
  return 0
}
