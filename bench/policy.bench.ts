// What does a decision of the policies cost as they become more, in time and in memory, and what a start and a swap?
//
// Ten policies concern a request however many there are. Contenders in the same run: a loop over all policies
// instead of the scope index, and OPA's own server over loopback with the same policies. `--quick`: up to 1,000
// policies and fewer calls. Folders are compiled into the cache of the repository, so that only the first run builds.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { env } from 'node:process'
import { setImmediate as soon } from 'node:timers'
import { setTimeout as wait } from 'node:timers/promises'
import { loadPolicySet, type LoadOptions } from '../src/policy/load.ts'
import { createHostBuiltins } from '../src/policy/rego/builtins/registry.ts'
import { Toolchain } from '../src/policy/rego/toolchain.ts'
import { document, type Engine, policyFiles, regoPolicy, scopes } from './support/policies.ts'
import { startServer } from './support/processes.ts'
import { profileHere } from './support/profiles.ts'

const ENGINES: readonly Engine[] = ['rego', 'cedar', 'mixed']
const asJson = process.argv.includes('--json')
const isQuick = process.argv.includes('--quick')
const COUNTS = isQuick ? [10, 100, 1000] : [10, 100, 1000, 10_000]
const MOST = COUNTS.at(-1) ?? 0
/** What most of them are compared with: the candidates are equal. */
const FEW = 100
const WARM = isQuick ? 300 : 2000
const CALLS = isQuick ? 1000 : 10_000
/** Services, and departments, that come again and again; every pair of them. */
const KNOWN = 10
/** A loop over more would take too long. */
const MOST_IN_LOOP = 1000
const OPA_PORT = 21_190

const ROOT = join(import.meta.dirname, '..')
const CACHE = join(ROOT, '.cache/bench-policies')
const OPTIONS = {
  combining: {
    combining: 'priority_tiers',
    defaults: {
      approved: 'allow',
      review_required: 'review',
      prohibited: 'deny',
      unknown_ai: 'allow',
      other: 'allow',
    },
    onError: 'deny',
  },
  builtins: createHostBuiltins(),
  toolchain: new Toolchain({
    env,
    toolsDir: join(env['XDG_CACHE_HOME'] ?? join(env['HOME'] ?? ROOT, '.cache'), 'cordon/tools'),
    mayInstall: false,
  }),
} as const

/** Every package of the bench, as one would gather them in OPA. */
const MAIN = `package main

denies contains name if {
	some name
	data.bench[name].deny
}

reviews contains name if {
	some name
	count(data.bench[name].review) > 0
}

allows contains name if {
	some name
	data.bench[name].allow
}
`

const PROFILES: string[] = []

/** A start is measured in a process of its own. */
const [, , task = '', folder = ''] = process.argv
if (task === 'start') await measureStart(folder)
else await measureAll()

async function measureAll(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
  try {
    for (const engine of ENGINES) {
      const p99s = new Map<number, number>()
      for (const count of COUNTS) p99s.set(count, await measureDecisions(dir, engine, count))
      const ratio = (p99s.get(MOST) ?? 0) / (p99s.get(FEW) ?? 1)
      tell({
        bench: 'policy-ratio',
        engine,
        case: 'p99 ratio',
        policies: MOST,
        to: FEW,
        x: round2(ratio),
      })
      await measureInProcess(dir, engine, MOST)
    }
    await measureSwap(dir, MOST)
    for (const count of COUNTS) await measureOpa(dir, count)
    // Beside the figures: what takes its time, where an aim is missed and where it is not.
    if (asJson)
      writeFileSync(join(ROOT, 'bench/raw/policy-profile.txt'), `${PROFILES.join('\n\n')}\n`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function optionsFor(dirs: readonly string[]): LoadOptions {
  return { ...OPTIONS, dirs, cacheDir: CACHE }
}

/** The folder of so many policies; without scopes every one of them must be asked. */
function folderOf(dir: string, engine: Engine, count: number, isScoped = true): string {
  const path = join(dir, `${engine}-${count}${isScoped ? '' : '-loop'}`)
  for (const [name, text] of Object.entries(policyFiles(engine, count, isScoped))) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), text)
  }
  return path
}

/** Gives the p99 of decisions that are not remembered. */
async function measureDecisions(dir: string, engine: Engine, count: number): Promise<number> {
  const path = folderOf(dir, engine, count)
  const began = performance.now()
  const set = await loadPolicySet(optionsFor([path]))
  tell({ bench: 'policy-load', engine, policies: count, s: seconds(began) })
  const most = scopes(count)
  // The same services and departments however many there are: equal candidates.
  const same = Math.min(most, KNOWN)
  const known = (call: number, score: number): unknown =>
    document(call % same, Math.floor(call / same) % same, score)
  // A whole number: Cedar sees no other. Below 90, from where the policies refuse.
  let score = 0
  const tellTimes = (
    what: string,
    calls: number,
    make: (call: number) => unknown,
    warm = WARM,
  ): Record<string, number> => {
    const measured = times(set, calls, make, warm)
    tell({ bench: 'policy', engine, policies: count, case: what, ...measured })
    return measured
  }
  const { p99_us: p99 = 0 } = tellTimes('evaluated', CALLS, (call) => known(call, (score -= 1)))
  if (count === MOST || count === COUNTS[0]) {
    const table = await profileHere(() => {
      for (let call = 0; call < CALLS; call++) set.decide(known(call, (score -= 1)))
    })
    PROFILES.push(`${engine}, ${count} policies, evaluated${table}`)
  }
  tellTimes('remembered', CALLS, (call) => known(call, 1))
  // No pair comes twice, as far as there are enough of them.
  tellTimes(
    'candidates never seen',
    Math.min(CALLS, 4000),
    (call) =>
      document((call * 31) % most, (call * 17 + Math.floor(call / most)) % most, (score -= 1)),
    0,
  )
  set.close()
  if (count > MOST_IN_LOOP) return p99
  const unscoped = await loadPolicySet(optionsFor([folderOf(dir, engine, count, false)]))
  const all = times(
    unscoped,
    Math.max(50, Math.floor(20_000 / count)),
    (call) => known(call, (score -= 1)),
    20,
  )
  tell({ bench: 'policy', engine, policies: count, case: 'a loop over all', ...all })
  unscoped.close()
  return p99
}

function times(
  set: { decide(input: unknown): unknown },
  calls: number,
  make: (call: number) => unknown,
  warm: number,
): Record<string, number> {
  const taken: number[] = []
  for (let call = 0; call < warm + calls; call++) {
    const input = make(call)
    const began = performance.now()
    set.decide(input)
    if (call >= warm) taken.push((performance.now() - began) * 1000)
  }
  return percentiles(taken)
}

function percentiles(taken: readonly number[]): Record<string, number> {
  const sorted = taken.toSorted((a, b) => a - b)
  const at = (share: number): number => round(sorted[Math.floor(sorted.length * share)] ?? 0)
  return { p50_us: at(0.5), p99_us: at(0.99), calls: taken.length }
}

/** Start and memory, in a process that does nothing else; the compiled forms are in the cache by now. */
async function measureInProcess(dir: string, engine: Engine, count: number): Promise<void> {
  const path = folderOf(dir, engine, count)
  const child = spawnSync(
    process.execPath,
    ['--expose-gc', import.meta.filename, 'start', path, engine, String(count)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  if (child.status !== 0) throw new Error('the start in a process of its own failed')
  process.stdout.write(child.stdout)
}

async function measureStart(path: string): Promise<void> {
  const [, , , , engine = '', count = '0'] = process.argv
  const gc = (globalThis as unknown as { gc: () => void }).gc
  const empty = mkdtempSync(join(tmpdir(), 'cordon-bench-empty-'))
  writeFileSync(join(empty, 'p.rego'), regoPolicy(0))
  writeFileSync(join(empty, 'p.cedar'), '@id("one") permit(principal, action, resource);')
  // What the engines take by themselves is not counted to the policies.
  ;(await loadPolicySet(optionsFor([empty]))).decide({})
  rmSync(empty, { recursive: true, force: true })
  gc()
  const before = process.memoryUsage().rss
  const longestStop = watchStops()
  const began = performance.now()
  const set = await loadPolicySet(optionsFor([path]))
  const s = seconds(began)
  const stop = longestStop()
  gc()
  const loaded = process.memoryUsage().rss
  const most = scopes(Number(count))
  for (let call = 0; call < 20_000; call++)
    set.decide(document(call % most, (call * 7) % most, call))
  gc()
  const used = process.memoryUsage().rss
  const mb = (bytes: number): number => round(bytes / 1e6 / (Number(count) / 1000))
  tell({
    bench: 'policy-start',
    engine,
    policies: Number(count),
    s,
    longest_stop_ms: round(stop),
    loaded_mb_per_1000: mb(loaded - before),
    used_mb_per_1000: mb(used - before),
  })
  set.close()
}

/** One policy changes while decisions go on: how long until the next set, and the longest time that nothing else ran. */
async function measureSwap(dir: string, count: number): Promise<void> {
  const path = folderOf(dir, 'mixed', count)
  let set = await loadPolicySet(optionsFor([path]))
  const most = scopes(count)
  const state = { isDone: false }
  let decided = 0
  const taken: number[] = []
  const deciding = (async () => {
    while (!state.isDone) {
      const began = performance.now()
      set.decide(document(decided % most, (decided * 7) % most, decided))
      taken.push((performance.now() - began) * 1000)
      decided += 1
      // About a thousand requests a second, and room for the work that is measured.
      await wait(1)
    }
  })()
  for (let turn = 1; turn <= 3; turn++) {
    await wait(200)
    taken.length = 0
    writeFileSync(join(path, 'd0/p0.rego'), regoPolicy(0, 50 + turn + (Date.now() % 10)))
    const longestStop = watchStops()
    const began = performance.now()
    const next = await loadPolicySet(optionsFor([path]))
    const former = set
    set = next
    const s = seconds(began)
    await wait(100)
    const stop = longestStop()
    const { p99_us: p99 = 0 } = percentiles(taken)
    tell({
      bench: 'policy-swap',
      policies: count,
      round: turn,
      s,
      longest_stop_ms: round(stop),
      p99_us: p99,
      slowest_ms: round2(Math.max(...taken) / 1000),
    })
    former.close()
  }
  state.isDone = true
  await deciding
  set.close()
}

/** The longest time in milliseconds, until it is asked, that nothing else could run. */
function watchStops(): () => number {
  const state = { isOver: false, last: performance.now(), longest: 0 }
  const look = (): void => {
    const now = performance.now()
    state.longest = Math.max(state.longest, now - state.last)
    state.last = now
    if (!state.isOver) soon(look)
  }
  soon(look)
  return () => {
    state.isOver = true
    return state.longest
  }
}

/** OPA's own server with the same policies: all of them asked, those in scope counted. */
async function measureOpa(dir: string, count: number): Promise<void> {
  const opa = OPTIONS.toolchain.find()
  if (opa === undefined) return
  const path = join(dir, `opa-${count}`)
  mkdirSync(path)
  for (const [name, text] of Object.entries(policyFiles('rego', count)))
    writeFileSync(join(path, name.replaceAll('/', '-')), text)
  writeFileSync(join(path, 'main.rego'), MAIN)
  const server = await startServer(
    opa,
    [
      'run',
      '--server',
      '--disable-telemetry',
      '--addr',
      `127.0.0.1:${OPA_PORT}`,
      '--log-level',
      'error',
      path,
    ],
    {
      port: OPA_PORT,
    },
  )
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    const most = scopes(count)
    const taken: number[] = []
    const calls = count >= 10_000 ? 60 : 500
    for (let call = 0; call < calls + 20; call++) {
      const body = JSON.stringify({ input: document(call % most, (call * 7) % most, call / 1e6) })
      const began = performance.now()
      await post(agent, body)
      if (call >= 20) taken.push((performance.now() - began) * 1000)
    }
    tell({
      bench: 'policy',
      engine: 'rego',
      policies: count,
      case: 'OPA server',
      ...percentiles(taken),
    })
  } finally {
    agent.destroy()
    await server.stop()
  }
}

async function post(agent: Agent, body: string): Promise<void> {
  const sent = request({
    agent,
    host: '127.0.0.1',
    port: OPA_PORT,
    method: 'POST',
    path: '/v1/data/main',
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
  })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [
    NodeJS.ReadableStream & { statusCode: number },
  ]
  if (response.statusCode !== 200) throw new Error(`OPA answered ${response.statusCode}`)
  response.resume()
  await once(response, 'end')
}

function tell(measured: Record<string, string | number>): void {
  if (asJson || task === 'start') {
    process.stdout.write(`${JSON.stringify(measured)}\n`)
    return
  }
  const { bench, ...rest } = measured
  process.stdout.write(
    `${String(bench).padEnd(14)} ${Object.entries(rest)
      .map(([key, value]) => `${key} ${value}`)
      .join('  ')}\n`,
  )
}

function seconds(since: number): number {
  return round2((performance.now() - since) / 1000)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}
