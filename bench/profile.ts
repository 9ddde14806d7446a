// Where do the primary process and a worker spend their time under load?
//
// Writes bench/raw/profile.txt, apart from the figures: profiling slows what it looks at.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { childrenOf, type Server } from './support/processes.ts'
import {
  AI_HOST,
  cordon,
  cordonConfig,
  PORTS,
  startCordon,
  startOrigin,
} from './support/servers.ts'
import { drive, type Load } from './support/wrk.ts'

const SECONDS = 3
const SHOWN = 20
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
const profiles = join(dir, 'profiles')
mkdirSync(profiles)
const PROXIED: Load = {
  url: `http://127.0.0.1:${PORTS.cordon}`,
  method: 'GET',
  target: `http://${AI_HOST}/v1/models`,
  headers: { Host: AI_HOST, 'User-Agent': 'bench/1.0', Accept: '*/*' },
  connections: 64,
  seconds: SECONDS,
}
const running: Server[] = []
try {
  running.push(await startOrigin(dir))
  env['NODE_OPTIONS'] = `--import=${join(import.meta.dirname, 'support/profiler.ts')}`
  env['BENCH_PROFILES'] = profiles
  const config = cordonConfig(dir)
  const server = await startCordon(config)
  delete env['NODE_OPTIONS']
  running.push(server)
  const key = cordon(
    ['key', 'create', '--config', config, '--name', 'bench'].concat('--scope', 'decisions:write'),
  )
  const asked: Load = {
    ...PROXIED,
    url: `http://127.0.0.1:${PORTS.cordonApi}`,
    method: 'POST',
    target: '/v1/decisions',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` },
    body: JSON.stringify({
      action: 'send_prompt',
      resource: { url: `https://${AI_HOST}/v1/chat/completions`, method: 'POST' },
    }),
    connections: 16,
  }
  const texts = [
    `Self time by function, recording on, ${SECONDS} s (node:inspector, 0.5 ms; share of busy time).`,
    `GET to an AI service, 64 connections: ${await profiled(server, PROXIED, ['worker', 'primary'])}`,
    `POST /v1/decisions, 16 connections: ${await profiled(server, asked, ['primary'])}`,
  ]
  writeFileSync(join(import.meta.dirname, 'raw/profile.txt'), `${texts.join('\n\n')}\n`)
} finally {
  for (const server of running.toReversed()) await server.stop()
  rmSync(dir, { recursive: true, force: true })
}

/** The tables of these kinds of process under a load; PGlite's thread beside the primary is not in them. */
async function profiled(server: Server, load: Load, kinds: readonly string[]): Promise<string> {
  const processes = [server.pid, ...childrenOf(server.pid)]
  await drive({ ...load, seconds: 1 }, dir)
  for (const pid of processes) process.kill(pid, 'SIGUSR2')
  const { requests } = await drive(load, dir)
  for (const pid of processes) process.kill(pid, 'SIGUSR2')
  for (let tries = 0; readdirSync(profiles).length < processes.length && tries < 50; tries++)
    await wait(200)
  // The last one may still be on its way to the disk.
  await wait(500)
  const files = readdirSync(profiles).toSorted()
  const tables = kinds.map(
    (kind) => `${kind} process, main thread${tableOf(files.find((name) => name.startsWith(kind)))}`,
  )
  for (const file of files) rmSync(join(profiles, file))
  return [`${requests} requests`, ...tables].join('\n\n')
}

function tableOf(name: string | undefined): string {
  if (name === undefined) return ': no profile'
  const profile = JSON.parse(readFileSync(join(profiles, name), 'utf8')) as Profiler.Profile
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
