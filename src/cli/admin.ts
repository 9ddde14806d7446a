// Commands that need the store work whether Cordon runs or not: through control.sock, else by opening the store.

import { type Commands, connectControl } from '../app/control.ts'
import type { Config } from '../config/schema.ts'
import type { Io } from './io.ts'

export async function withAdmin<T>(
  io: Io,
  config: Config,
  use: (commands: Commands) => Promise<T>,
): Promise<T> {
  const remote = await connectControl(config.data_dir)
  if (remote !== undefined) {
    try {
      return await use(remote)
    } finally {
      await remote.close()
    }
  }
  // Not loaded while Cordon runs: a command beside it answers at once.
  const { withStore } = await import('./own-store.ts')
  return withStore(io, config, use)
}
