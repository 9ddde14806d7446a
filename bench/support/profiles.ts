// Profiles of Cordon's processes under a load, as tables of self time.

import { readdirSync, readFileSync, rmSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'
import { env } from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { childrenOf, type Server } from './processes.ts'

const SHOWN = 20
const HERE_INTERVAL_US = 200

/** What starts meanwhile can be profiled, into this folder. */
export async function withProfiler<T>(profiles: string, start: () => Promise<T>): Promise<T> {
  env['NODE_OPTIONS'] = `--import=${join(import.meta.dirname, 'profiler.ts')}`
  env['BENCH_PROFILES'] = profiles
  try {
    return await start()
  } finally {
    delete env['NODE_OPTIONS']
  }
}

/** The tables of these kinds of process under a load; PGlite's thread beside the primary is not in them. */
export async function profiled(
  server: Server,
  profiles: string,
  load: () => Promise<{ readonly requests: number }>,
  kinds: readonly string[],
): Promise<string> {
  const processes = [server.pid, ...childrenOf(server.pid)]
  await load()
  for (const pid of processes) process.kill(pid, 'SIGUSR2')
  const { requests } = await load()
  for (const pid of processes) process.kill(pid, 'SIGUSR2')
  for (let tries = 0; readdirSync(profiles).length < processes.length && tries < 50; tries++)
    await wait(200)
  // The last one may still be on its way to the disk.
  await wait(500)
  const files = readdirSync(profiles).toSorted()
  const tables = kinds.map(
    (kind) =>
      `${kind} process, main thread${tableOf(
        profiles,
        files.find((name) => name.startsWith(kind)),
      )}`,
  )
  for (const file of files) rmSync(join(profiles, file))
  return [`${requests} requests`, ...tables].join('\n\n')
}

/** The table of this thread while it works. */
export async function profileHere(work: () => void): Promise<string> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: HERE_INTERVAL_US })
  await session.post('Profiler.start')
  work()
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  return selfTimes(profile)
}

function tableOf(profiles: string, name: string | undefined): string {
  if (name === undefined) return ': no profile'
  return selfTimes(JSON.parse(readFileSync(join(profiles, name), 'utf8')) as Profiler.Profile)
}

function selfTimes(profile: Profiler.Profile): string {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const self = new Map<string, number>()
  let idle = 0
  let total = 0
  for (const [index, id] of (profile.samples ?? []).entries()) {
    const frame = nodes.get(id)
    const time = profile.timeDeltas?.[index] ?? 0
    // What profiling itself costs is nobody's time.
    if (frame?.url === 'node:inspector') continue
    total += time
    if (frame?.functionName === '(idle)') idle += time
    else {
      const place = frame?.url.split('/').slice(-2).join('/') ?? ''
      const key = `${frame?.functionName === '' ? '(anonymous)' : (frame?.functionName ?? '')}  ${place}`
      self.set(key, (self.get(key) ?? 0) + time)
    }
  }
  const busy = total - idle
  const rows = [...self].toSorted((a, b) => b[1] - a[1]).slice(0, SHOWN)
  const lines = rows.map(
    ([key, time]) => `${((100 * time) / busy).toFixed(1).padStart(5)} %  ${key.trimEnd()}`,
  )
  return [`: busy ${Math.round((100 * busy) / total)} %`, ...lines].join('\n')
}
