// Faults of a disk in a process that runs: strace lets its system calls fail or wait, and tells their order.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

/** One finished system call over a file or a connection. */
export interface Call {
  readonly name: string
  /** A path, or `TCP:[from->to]`. */
  readonly target: string
  /** Seconds since the epoch, when it began. */
  readonly at: number
}

/** What the processes asked of the system while something was done, in the order in which it was finished. */
export async function callsDuring(
  pids: readonly number[],
  calls: readonly string[],
  act: () => Promise<void>,
): Promise<readonly Call[]> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-strace-'))
  const file = join(dir, 'calls')
  try {
    const tracer = spawn(
      'strace',
      [
        '-f',
        '-ttt',
        '-yy',
        '-s',
        '0',
        ...pids.flatMap((pid) => ['-p', String(pid)]),
        '-e',
        `trace=${calls.join(',')}`,
        '-o',
        file,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    await attached(tracer, pids.length)
    await act()
    tracer.kill('SIGINT')
    if (tracer.exitCode === null && tracer.signalCode === null) await once(tracer, 'exit')
    return finished(readFileSync(file, 'utf8'))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const BEGUN = /^(\d+) +(\d+\.\d+) (\w+)\(\d+<(TCP:\[[^\]]*\]|[^>]*)>/
const RESUMED = /^(\d+) +\d+\.\d+ <\.\.\. (\w+) resumed>/

/** A call that took a while is told in two lines: it counts where it ended. */
function finished(text: string): Call[] {
  const open = new Map<string, Call>()
  return text.split('\n').flatMap((line) => {
    if (/= -1 /.test(line)) return []
    const [, pid = '', at, name, target] = BEGUN.exec(line) ?? []
    if (name !== undefined && target !== undefined) {
      const call = { name, target, at: Number(at) }
      if (!line.includes('<unfinished')) return [call]
      open.set(pid, call)
      return []
    }
    const call = open.get(RESUMED.exec(line)?.[1] ?? '')
    if (call === undefined) return []
    open.delete(line.split(' ')[0] ?? '')
    return [call]
  })
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
