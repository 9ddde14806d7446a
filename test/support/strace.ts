// Faults of a disk in a process that runs: strace lets its system calls fail or wait, and tells their order.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface Spoiling {
  /** Names of system calls, such as `fdatasync`. */
  readonly calls: readonly string[]
  /** As strace says it: `error=EIO`, `delay_enter=5s`. */
  readonly how: string
  /** Only calls over these files. */
  readonly paths?: readonly string[]
}

/** Why there is none; false where there is one. */
export function noStrace(): string | false {
  try {
    // It attaches only where it may trace: containers often forbid it.
    execFileSync('strace', ['-qq', '-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return false
  } catch {
    return 'strace is not installed, or may not trace'
  }
}

/** Begins with what the processes do from now on; the returned function ends it. */
export async function spoil(
  pids: readonly number[],
  { calls, how, paths = [] }: Spoiling,
): Promise<() => Promise<void>> {
  const tracer = spawn(
    'strace',
    [
      '-f',
      ...pids.flatMap((pid) => ['-p', String(pid)]),
      ...paths.flatMap((path) => ['-P', path]),
      '-e',
      `trace=${calls.join(',')}`,
      '-e',
      `inject=${calls.join(',')}:${how}`,
      '-o',
      '/dev/null',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  await attached(tracer, pids.length)
  return async () => {
    tracer.kill('SIGINT')
    if (tracer.exitCode === null && tracer.signalCode === null) await once(tracer, 'exit')
  }
}

async function attached(tracer: ChildProcess, count: number): Promise<void> {
  if (tracer.stderr === null) return
  let seen = 0
  for await (const line of createInterface({ input: tracer.stderr })) {
    if (/Process \d+ attached/.test(line)) seen += 1
    if (seen < count) continue
    tracer.stderr.resume()
    return
  }
  throw new Error('strace could not attach')
}
