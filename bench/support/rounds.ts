// Interleaved rounds of several servers under the same load: A B C, A B C, ... with CPU and foreign CPU.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  childrenCpuUs,
  endedChildrenCpuUs,
  idle,
  machineCpuUs,
  type Server,
  treeCpuUs,
} from './processes.ts'
import { drive, type Load } from './wrk.ts'

export interface Contender {
  readonly name: string
  /** undefined: nothing stands between driver and origin. */
  readonly server: Server | undefined
  readonly load: Load
}

/** One round of one contender, as it is kept in bench/raw. */
export interface Round {
  readonly bench: string
  readonly scenario: string
  readonly contender: string
  readonly round: number
  readonly rps: number
  readonly p50_ms: number
  readonly p99_ms: number
  /** CPU of the contender's process tree a request, while the requests ran. */
  readonly cpu_us: number
  /** The part of that which its child processes used: Cordon's gateway workers. */
  readonly cpu_us_children: number
  /** As `cpu_us`, until it had finished what the requests left to do. */
  readonly cpu_us_drained: number
  /** Cores that neither driver, origin nor contender used. */
  readonly foreign_cores: number
  readonly requests: number
  readonly bytes_per_answer: number
}

/** A round with more foreign CPU than this is repeated, twice at most. */
const FOREIGN_CORES = 0.4
/** Compilers and caches; the first second of a Node process costs twice what the rest does. */
const WARM_SECONDS = 3
const DRAIN_MS = 20_000

export async function compare(
  bench: string,
  scenario: string,
  contenders: readonly Contender[],
  options: {
    readonly rounds: number
    readonly origin: Server | undefined
    readonly dir: string
    readonly rawDir: string
    readonly print: (round: Round) => void
  },
): Promise<void> {
  const { origin, dir } = options
  for (const { load, server } of contenders) {
    await drive({ ...load, seconds: WARM_SECONDS }, dir)
    if (server !== undefined) await idle(server.pid, DRAIN_MS)
  }
  const texts: string[] = []
  for (let round = 1; round <= options.rounds; round++) {
    for (const contender of contenders) {
      for (let attempt = 0; attempt < 3; attempt++) {
        const { result, text } = await once(contender, origin, dir)
        texts.push(`# ${contender.name}, round ${round}, attempt ${attempt + 1}\n${text}\n`)
        if (result.foreign_cores > FOREIGN_CORES && attempt < 2) continue
        options.print({ bench, scenario, contender: contender.name, round, ...result })
        break
      }
    }
  }
  writeFileSync(join(options.rawDir, `${bench}-${scenario}.txt`), texts.join('\n'))
}

async function once(
  { server, load }: Contender,
  origin: Server | undefined,
  dir: string,
): Promise<{
  result: Omit<Round, 'bench' | 'scenario' | 'contender' | 'round'>
  text: string
}> {
  const read = (): {
    own: number
    children: number
    known: number
    machine: number
    at: number
  } => {
    const own = server === undefined ? 0 : treeCpuUs(server.pid)
    const originUs = origin === undefined ? 0 : treeCpuUs(origin.pid)
    return {
      own,
      children: server === undefined ? 0 : childrenCpuUs(server.pid),
      known: own + originUs + endedChildrenCpuUs() + ownCpuUs(),
      machine: machineCpuUs(),
      at: performance.now(),
    }
  }
  const before = read()
  const driven = await drive(load, dir)
  const after = read()
  if (server !== undefined) await idle(server.pid, DRAIN_MS)
  const drained = server === undefined ? 0 : treeCpuUs(server.pid)
  const foreignUs = after.machine - before.machine - (after.known - before.known)
  return {
    result: {
      rps: Math.round(driven.requests / driven.seconds),
      p50_ms: driven.p50Ms,
      p99_ms: driven.p99Ms,
      cpu_us: round1((after.own - before.own) / driven.requests),
      cpu_us_children: round1((after.children - before.children) / driven.requests),
      cpu_us_drained: round1((drained - before.own) / driven.requests),
      foreign_cores: Math.max(
        0,
        Math.round(foreignUs / 1000 / (after.at - before.at) / 0.01) / 100,
      ),
      requests: driven.requests,
      bytes_per_answer: driven.bytesPerAnswer,
    },
    text: driven.text,
  }
}

function ownCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function round1(value: number): number {
  return Math.round(value * 10) / 10
}
