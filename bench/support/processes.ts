// What do a process and all its children cost, and how busy is the rest of the machine meanwhile?

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

/** USER_HZ is 100 on every Linux that Node runs on. */
const US_PER_TICK = 10_000
/** Of a tenth of a second each: Cordon reads thousands of hosts on a machine that others use too. */
const START_ATTEMPTS = 900

/** CPU microseconds, user and system, of a process and its living descendants. */
export function treeCpuUs(pid: number): number {
  const stat = statOf(pid)
  if (stat === undefined) return 0
  let sum = ticks(stat, 11) + ticks(stat, 12)
  for (const child of childrenOf(pid)) sum += treeCpuUs(child) / US_PER_TICK
  return sum * US_PER_TICK
}

/** The same without the process itself: the gateway workers of Cordon. */
export function childrenCpuUs(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + treeCpuUs(child), 0)
}

/** Resident kilobytes of a process and its living descendants; what they share is counted in each. */
export function treeRssKb(pid: number): number {
  let own = 0
  try {
    own = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
  return childrenOf(pid).reduce((sum, child) => sum + treeRssKb(child), own)
}

/** CPU microseconds of the children of a process that have ended: drivers of this one, connections of a server. */
export function endedChildrenCpuUs(pid = process.pid): number {
  const stat = statOf(pid)
  return stat === undefined ? 0 : (ticks(stat, 13) + ticks(stat, 14)) * US_PER_TICK
}

/** CPU microseconds that the whole machine was busy. */
export function machineCpuUs(): number {
  const [, user, nice, system, , , irq, softirq] =
    readFileSync('/proc/stat', 'latin1').split('\n')[0]?.split(/\s+/) ?? []
  return [user, nice, system, irq, softirq].reduce(
    (sum, value) => sum + Number(value) * US_PER_TICK,
    0,
  )
}

/** Returns once a tree has stopped working, or after the limit. */
export async function idle(pid: number, limitMs: number): Promise<void> {
  const until = Date.now() + limitMs
  while (Date.now() < until) {
    const before = treeCpuUs(pid)
    await wait(250)
    if (treeCpuUs(pid) - before <= 30_000) return
  }
}

/** Starts a server and waits until its port answers; something that answers already is an error. */
export async function startServer(
  command: string,
  args: readonly string[],
  options: {
    readonly port: number
    /** What it says on stderr once it is ready; otherwise an answering port is enough. */
    readonly ready?: string
  },
): Promise<Server> {
  if (await answers(options.port)) throw new Error(`port ${options.port} is taken`)
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
  })
  const isReady = (): Promise<boolean> =>
    options.ready === undefined
      ? answers(options.port)
      : Promise.resolve(said.includes(options.ready))
  for (let attempt = 0; !(await isReady()); attempt++) {
    if (child.exitCode !== null || attempt > START_ATTEMPTS) {
      child.kill('SIGKILL')
      throw new Error(`${command} did not start: ${said}`)
    }
    await wait(100)
  }
  return { pid: child.pid ?? 0, stop: () => stop(child) }
}

export interface Server {
  readonly pid: number
  stop(): Promise<void>
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await ended
  clearTimeout(late)
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
        .split(' ')
        .filter((text) => text.trim() !== '')
        .map(Number),
    )
  } catch {
    return []
  }
}

/** The fields after the name, so that index 11 is utime (proc(5) field 14). */
function statOf(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')
  } catch {
    return undefined
  }
}

function ticks(stat: readonly string[], index: number): number {
  return Number(stat[index] ?? 0)
}
