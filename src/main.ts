// The program: a gateway worker when the primary says so, else the command line.
// What is not needed is not loaded, and what is loaded was compiled before, so that commands answer at once.

import { enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { cacheDirs } from './config/cache.ts'

const { code } = cacheDirs(process.env, tmpdir())
if (code !== undefined) enableCompileCache(code)

if (process.argv[2] === 'worker' && process.send !== undefined) {
  const { runWorker } = await import('./app/worker.ts')
  await runWorker(process.env)
} else {
  // A reader that has gone (`| head -1`) is no fault; whoever writes much looks whether it is still there.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  const { runCli } = await import('./cli/program.ts')
  process.exitCode = await runCli(process.argv.slice(2), {
    in: process.stdin,
    out: process.stdout,
    err: process.stderr,
    env: process.env,
    cwd: process.cwd(),
  })
}
