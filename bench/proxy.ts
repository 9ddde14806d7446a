// What does a request through Cordon cost beside Squid and a direct connection, at 64 keep-alive connections?
//
// Cordon runs as shipped: default policies, recording on. One JSON line a round; wrk's own output goes to bench/raw.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { otherAiDomains } from './support/denied-domains.ts'
import type { Server } from './support/processes.ts'
import { compare, type Contender } from './support/rounds.ts'
import {
  AI_HOST,
  cordonConfig,
  PORTS,
  SITE_HOST,
  startCordon,
  startOrigin,
  startSquid,
} from './support/servers.ts'
import type { Load } from './support/wrk.ts'

const CONNECTIONS = 64
const SECONDS = 1
const ROUNDS = 5
const rawDir = join(import.meta.dirname, 'raw')
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
const running: Server[] = []

/** A chat request of 2 KB. */
const CHAT = JSON.stringify({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Please tell me about the sea. '.repeat(65) }],
})
const SCENARIOS = [
  { name: 'ai-get', host: AI_HOST, path: '/v1/models', method: 'GET' },
  { name: 'site-get', host: SITE_HOST, path: '/index.html', method: 'GET' },
  { name: 'ai-post', host: AI_HOST, path: '/v1/chat/completions', method: 'POST' },
] as const

try {
  const config = cordonConfig(dir)
  const origin = await started(startOrigin(dir))
  const cordon = await started(startCordon(config))
  const squid = await started(startSquid(dir, otherAiDomains(config, dir)))
  for (const { name, host, path, method } of SCENARIOS) {
    const load = (port: number, target: string): Load => ({
      url: `http://127.0.0.1:${port}`,
      method,
      target,
      headers: {
        Host: host,
        'User-Agent': 'bench/1.0',
        Accept: '*/*',
        ...(method === 'POST' ? { 'Content-Type': 'application/json' } : {}),
      },
      ...(method === 'POST' ? { body: CHAT } : {}),
      connections: CONNECTIONS,
      seconds: SECONDS,
    })
    const contenders: Contender[] = [
      { name: 'direct', server: undefined, load: load(PORTS.origin, path) },
      { name: 'squid', server: squid, load: load(PORTS.squid, `http://${host}${path}`) },
      { name: 'cordon', server: cordon, load: load(PORTS.cordon, `http://${host}${path}`) },
    ]
    await compare('proxy', name, contenders, {
      rounds: ROUNDS,
      origin,
      dir,
      rawDir,
      print: (round) => process.stdout.write(`${JSON.stringify(round)}\n`),
    })
  }
} finally {
  for (const server of running.toReversed()) await server.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function started(server: Promise<Server>): Promise<Server> {
  const it = await server
  running.push(it)
  return it
}
