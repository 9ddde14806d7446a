// `cordon start`: runs in the foreground until SIGTERM or SIGINT.

import { rmSync } from 'node:fs'
import { controlSocket } from '../app/control.ts'
import { startPrimary } from '../app/primary.ts'
import type { Role } from '../app/roles.ts'
import { version } from '../app/version.ts'
import { configOf, type ExitCode, type Io } from './io.ts'

export async function start(
  io: Io,
  options: { readonly config?: string; readonly role: Role },
): Promise<ExitCode> {
  const { config, file } = configOf(io, options)
  // A SIGHUP while this starts would end it; it is what has just been read.
  let reload = (): void => undefined
  process.on('SIGHUP', () => reload())
  const primary = await startPrimary({
    config,
    role: options.role,
    version: version(),
    env: io.env,
    configFile: file,
    cwd: io.cwd,
  })
  const { proxy, api, observe } = primary.addresses
  const parts = [
    ...(proxy.length === 0 ? [] : [`proxy ${proxy.join(' ')}`]),
    ...(api.length === 0 ? [] : [`api ${api.join(' ')}`]),
    ...(observe.length === 0 ? [] : [`metrics ${observe.join(' ')}`]),
  ]
  io.err.write(`cordon ready: ${parts.join(', ')}\n`)
  reload = () => void primary.reload()
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  try {
    await Promise.race([asked, primary.fault])
  } finally {
    io.err.write('cordon: draining\n')
    await primary.close()
    rmSync(controlSocket(config.data_dir), { force: true })
  }
  return 0
}
