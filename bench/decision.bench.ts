// How long does one decision take, stage by stage, in process, with the shipped catalogue and pack?
//
// `--json`: one line a stage, otherwise a table. Times are single calls, in microseconds.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openGateway } from '../src/app/gateway.ts'
import { PointMode } from '../src/app/point-mode.ts'
import { loadRules, readCatalogue } from '../src/app/rules.ts'
import { loadConfig } from '../src/config/load.ts'
import { MemoryBudgets } from '../src/context/budget-memory.ts'
import type { DirectorySource } from '../src/context/directory.ts'
import type { Reviews } from '../src/decision/decide.ts'
import { enforce } from '../src/decision/enforce.ts'
import { inputDocument, PolicyClock } from '../src/decision/input.ts'
import type { InputDocument } from '../src/model/input.ts'
import type { AccessRequest } from '../src/model/request.ts'
import type { Subject } from '../src/model/subject.ts'
import { openLog } from '../src/observe/log.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { effectiveStatus } from '../src/signatures/approval.ts'

const WARM = 5000
const CALLS = 20_000
/** So many policies are evaluated anew; each call is dearer. */
const MISSES = 3000
const AT_ONCE = 16

const asJson = process.argv.includes('--json')
const dir = mkdtempSync(join(tmpdir(), 'cordon-decision-'))
const loaded = loadConfig({ file: undefined, env: { CORDON_DATA_DIR: dir }, cwd: dir })
const { config } = loaded
const rules = await loadRules(config, readCatalogue(config, {}), {})
const metrics = new Metrics({ processMetrics: false })
const source: DirectorySource = {
  find: () => Promise.resolve(undefined),
  asset: () => Promise.resolve(undefined),
}
const reviews: Reviews = {
  open: () => Promise.resolve({ review_id: '', state: 'pending' }),
  answer: () => Promise.resolve('pending'),
}
const gateway = openGateway({
  config,
  log: openLog({ role: 'bench' }, process.stderr),
  metrics,
  source,
  reviews,
  exceptions: { of: () => [], claim: () => Promise.resolve(undefined) },
  counter: new MemoryBudgets(Date.now),
  rules: () => rules,
  mode: new PointMode('enforce', Date.now),
  personSecret: Buffer.alloc(32, 1),
  onWritten: () => undefined,
})
try {
  await measureAll()
} finally {
  await gateway.close()
  rmSync(dir, { recursive: true, force: true })
}

async function measureAll(): Promise<void> {
  const request = requestOf(0)
  const subject: Subject = await gateway.directory.find(request.principal)
  const match = rules.catalogue.match(request.destination)
  if (match === undefined) throw new Error('the catalogue does not know the service of the bench')
  const status = effectiveStatus(match, subject)
  const clock = new PolicyClock(Date.now)
  const documentOf = (each: AccessRequest): InputDocument =>
    inputDocument(each, {
      subject,
      match,
      status,
      asset: undefined,
      content: undefined,
      time: clock.read(),
      tenant: 'default',
    })
  const document = documentOf(request)
  const verdict = rules.policies.decide(document)

  measure('context', CALLS, () => gateway.directory.find(request.principal))
  measure('signature', CALLS, () => rules.catalogue.match(request.destination))
  measure('input', CALLS, () => documentOf(request))
  measure('policy, remembered', CALLS, () => rules.policies.decide(document))
  // Somebody's trainings and score have never been seen before: every read-set that has them misses.
  measure('policy, evaluated', MISSES, (call) =>
    rules.policies.decide({
      ...document,
      user: { ...document.user, risk_score: call, attributes: { n: call } },
      resource: { ...document.resource, risk_score: call },
    }),
  )
  measure('enforce', CALLS, () =>
    enforce(verdict, {
      pointMode: 'enforce',
      monitor: false,
      review: 'refuse',
      capabilities: [],
      content: undefined,
    }),
  )
  await measureAsync('whole, recorded, one at a time', 1)
  await measureAsync(`whole, recorded, ${AT_ONCE} at once`, AT_ONCE)
}

function measure(stage: string, calls: number, call: (index: number) => unknown): void {
  const times: number[] = []
  let seen = 0
  for (let index = 0; index < WARM + calls; index++) {
    const start = performance.now()
    // An answer that nobody reads might be left out.
    if (call(index) !== undefined) seen++
    if (index >= WARM) times.push(performance.now() - start)
  }
  if (seen === 0) throw new Error(`${stage} gave nothing`)
  print(stage, times)
}

/** Up to the moment a door may act on the answer: the record is in the spool by then. */
async function measureAsync(stage: string, atOnce: number): Promise<void> {
  const times: number[] = []
  for (let index = 0; index < (WARM + CALLS) / atOnce; index++) {
    const start = performance.now()
    await Promise.all(
      Array.from({ length: atOnce }, async (_, at) => {
        const outcome = await gateway.corridor.decide(requestOf(index * atOnce + at))
        outcome.finish({ status: 200, bytes_in: 0, bytes_out: 1000, duration_ms: 1 })
      }),
    )
    if (index * atOnce >= WARM) times.push((performance.now() - start) / atOnce)
  }
  print(stage, times)
}

function print(stage: string, times: number[]): void {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 100_000) / 100
  const result = {
    bench: 'decision',
    stage,
    p50_us: at(0.5),
    p99_us: at(0.99),
    calls: times.length,
  }
  process.stdout.write(
    asJson
      ? `${JSON.stringify(result)}\n`
      : `${stage.padEnd(32)} p50 ${String(result.p50_us).padStart(7)}  p99 ${String(result.p99_us).padStart(7)}\n`,
  )
}

function requestOf(index: number): AccessRequest {
  return {
    request_id: gateway.ids.next(),
    principal: {},
    action: 'access_ai_service',
    destination: {
      host: 'api.openai.com',
      port: 80,
      scheme: 'http',
      path: '/v1/chat/completions',
      method: 'POST',
      user_agent: 'bench/1.0',
      headers: new Map([['user-agent', 'bench/1.0']]),
    },
    context: { source: 'proxy', ip_address: `127.0.0.${index % 200}`, user_agent: 'bench/1.0' },
  }
}
