// Where do the primary process and a worker spend their time under load?
//
// Writes bench/raw/profile.txt, apart from the figures: profiling slows what it looks at.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from './support/processes.ts'
import { profiled, withProfiler } from './support/profiles.ts'
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
  const config = cordonConfig(dir)
  const server = await withProfiler(profiles, () => startCordon(config))
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
  const profile = (load: Load, kinds: readonly string[]): Promise<string> =>
    profiled(server, profiles, () => drive(load, dir), kinds)
  const texts = [
    `Self time by function, recording on, ${SECONDS} s (node:inspector, 0.5 ms; share of busy time).`,
    `GET to an AI service, 64 connections: ${await profile(PROXIED, ['worker', 'primary'])}`,
    `POST /v1/decisions, 16 connections: ${await profile(asked, ['primary'])}`,
  ]
  writeFileSync(join(import.meta.dirname, 'raw/profile.txt'), `${texts.join('\n\n')}\n`)
} finally {
  for (const server of running.toReversed()) await server.stop()
  rmSync(dir, { recursive: true, force: true })
}
