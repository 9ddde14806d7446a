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
import { drive, type Driven, type Load } from './wrk.ts'

export interface Contender {
  readonly name: string
  /** undefined: nothing stands between driver and origin. */
  readonly server: Server | undefined
  readonly load: Load | Prepare
}

/** Makes a driver ready, so that what it opens beforehand is not counted; without seconds: as long as a round. */
export type Prepare = (seconds?: number) => Promise<Prepared>

export interface Prepared {
  run(): Promise<Driven>
  /** Ends the driver and what it has open. */
  close(): Promise<void>
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
export const FOREIGN_CORES = 0.4
const ATTEMPTS = 3
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
    /** For a look while the machine is busy: short, and no round is repeated. */
    readonly isQuick?: boolean
  },
): Promise<void> {
  const { origin, dir } = options
  const attempts = options.isQuick === true ? 1 : ATTEMPTS
  for (const { load, server } of contenders) {
    const driver = await prepare(load, dir, options.isQuick === true ? 1 : WARM_SECONDS)
    await driver.run()
    await driver.close()
    if (server !== undefined) await idle(server.pid, DRAIN_MS)
  }
  const texts: string[] = []
  for (let round = 1; round <= options.rounds; round++) {
    for (const contender of contenders) {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const { result, text } = await once(contender, origin, dir)
        texts.push(`# ${contender.name}, round ${round}, attempt ${attempt + 1}\n${text}\n`)
        if (result.foreign_cores > FOREIGN_CORES && attempt < attempts - 1) continue
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
  const driver = await prepare(load, dir)
  const before = read()
  const driven = await driver.run()
  const after = read()
  await driver.close()
  if (server !== undefined) await idle(server.pid, DRAIN_MS)
  const drained = server === undefined ? 0 : treeCpuUs(server.pid)
  const knownUs = after.known - before.known + (driven.driverUs ?? 0)
  const foreignUs = after.machine - before.machine - knownUs
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
      ...driven.more,
    },
    text: driven.text,
  }
}

/** wrk opens its connections itself, as part of its run. */
function prepare(load: Load | Prepare, dir: string, seconds?: number): Promise<Prepared> {
  if (typeof load === 'function') return load(seconds)
  return Promise.resolve({
    run: () => drive(seconds === undefined ? load : { ...load, seconds }, dir),
    close: () => Promise.resolve(),
  })
}

function ownCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function round1(value: number): number {
  return Math.round(value * 10) / 10
}
