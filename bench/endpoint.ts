// What does an answer of the decision endpoint cost beside an OPA server, at 16 keep-alive connections?
//
// Cordon runs as shipped: default policies, recording on. OPA evaluates one package, equality first, once
// without and once with its decision log, which is what comes nearest to recording. Skipped without OPA.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from './support/processes.ts'
import { compare, type Contender } from './support/rounds.ts'
import { cordon, cordonConfig, PORTS, startCordon, startOpa, versionOf } from './support/servers.ts'
import type { Load } from './support/wrk.ts'

const rawDir = join(import.meta.dirname, 'raw')
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
const running: Server[] = []
const policy = readFileSync(join(import.meta.dirname, 'support/endpoint.rego'), 'utf8')

const ASKED = {
  user: { email: 'maya@acme.example' },
  action: 'send_prompt',
  resource: { url: 'https://api.openai.com/v1/chat/completions', method: 'POST' },
  context: { source: 'api_gateway', ip_address: '10.0.0.7' },
}
/** What Cordon makes of it: the document that its own policies see. */
const DOCUMENT = {
  user: { id: 'unknown', known: false, email: 'maya@acme.example', groups: [], roles: [] },
  action: 'send_prompt',
  resource: {
    type: 'ai_service',
    id: 'openai-api',
    name: 'OpenAI API',
    known: true,
    ai: true,
    approval_status: 'unknown',
    host: 'api.openai.com',
    path: '/v1/chat/completions',
    method: 'POST',
    capabilities: ['chat'],
    risk_tier: 'medium',
  },
  context: { source: 'api_gateway', ip_address: '10.0.0.7', tenant: 'default' },
}

try {
  const config = cordonConfig(dir)
  const server = await started(startCordon(config))
  const key = cordon([
    'key',
    'create',
    '--config',
    config,
    '--name',
    'bench',
    '--scope',
    'decisions:write',
  ])
  const load = (port: number, target: string, body: unknown, headers = {}): Load => ({
    url: `http://127.0.0.1:${port}`,
    method: 'POST',
    target,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
    connections: 16,
    seconds: 2,
  })
  const contenders: Contender[] = [
    {
      name: 'cordon',
      server,
      load: load(PORTS.cordonApi, '/v1/decisions', ASKED, { Authorization: `Bearer ${key}` }),
    },
  ]
  if (versionOf('opa', ['version']) !== undefined) {
    const question = { input: DOCUMENT }
    for (const [name, port, isLogging] of [
      ['opa', PORTS.opa, false],
      ['opa, decision log', PORTS.opaLogging, true],
    ] as const) {
      const opa = await started(startOpa(dir, policy, isLogging))
      contenders.push({ name, server: opa, load: load(port, '/v1/data/bench/answer', question) })
    }
  }
  await compare('endpoint', 'decide', contenders, {
    rounds: 3,
    origin: undefined,
    dir,
    rawDir,
    print: (round) => process.stdout.write(`${JSON.stringify(round)}\n`),
  })
} finally {
  for (const server of running.toReversed()) await server.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function started(server: Promise<Server>): Promise<Server> {
  const it = await server
  running.push(it)
  return it
}
