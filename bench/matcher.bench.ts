// How long does one look-up in the catalogue take at 600, 10,000 and 100,000 signatures?
// It must not grow with the catalogue. `--json`: one line a measurement, otherwise a table.

import type { Destination } from '../src/model/request.ts'
import type { AiService } from '../src/model/service.ts'
import { Catalogue } from '../src/signatures/catalogue.ts'

const SIZES = [600, 10_000, 100_000]
const ROUNDS = 7
const LOOKUPS = 200_000
/** More than the catalogue remembers, so that `cold` resolves each host anew. */
const COLD_HOSTS = 40_000

interface Workload {
  readonly name: string
  readonly destinations: readonly Destination[]
}

interface Measurement {
  readonly bench: 'matcher'
  readonly signatures: number
  readonly workload: string
  readonly median_ns: number
  readonly best_ns: number
}

const EMPTY = {
  domains: [],
  host_patterns: [],
  shared_hosts: [],
  api_hosts: [],
  support_domains: [],
  api_patterns: [],
  websocket_paths: [],
  headers: [],
  user_agents: [],
  capabilities: [],
  approval_status: 'unknown',
  approved_for: [],
  prohibited_for: [],
  certifications: [],
  data_regions: [],
  mode: 'enforce',
  confidence: 1,
} as const

const asJson = process.argv.includes('--json')
if (!asJson) process.stdout.write('signatures  workload   median ns  best ns\n')
for (const size of SIZES) {
  const catalogue = new Catalogue(services(size))
  for (const workload of workloads(size)) print(measure(catalogue, size, workload))
}

function print(result: Measurement): void {
  const { signatures, workload, median_ns: median, best_ns: best } = result
  process.stdout.write(
    asJson
      ? `${JSON.stringify(result)}\n`
      : `${String(signatures).padStart(10)}  ${workload.padEnd(9)}  ${String(median).padStart(9)}  ${String(best).padStart(7)}\n`,
  )
}

function measure(
  catalogue: Catalogue,
  signatures: number,
  { name, destinations }: Workload,
): Measurement {
  const rounds: number[] = []
  let hits = 0
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let index = 0; index < LOOKUPS; index++) {
      const destination = destinations[index % destinations.length]
      if (destination !== undefined && catalogue.match(destination) !== undefined) hits++
    }
    rounds.push(Number(process.hrtime.bigint() - start) / LOOKUPS)
  }
  // The first rounds warm the compiler up; a look-up whose answer nobody reads might be left out.
  const warm = rounds.slice(2).toSorted((a, b) => a - b)
  if (hits < 0) throw new Error('unreachable')
  return {
    bench: 'matcher',
    signatures,
    workload: name,
    median_ns: Math.round(warm[warm.length >> 1] ?? 0),
    best_ns: Math.round(warm[0] ?? 0),
  }
}

/** Of ten services: six with domains, one pattern, one on a shared host, two children of a parent. */
function* services(count: number): Generator<AiService> {
  for (let index = 0; index < count; index++) {
    const kind = index % 10
    const name = `s${index}`
    yield {
      ...EMPTY,
      id: name,
      name,
      ...(kind < 6 ? { domains: [`${name}.example`, `api.${name}.test`] } : {}),
      ...(kind === 6 ? { host_patterns: [`^[a-z0-9-]+-ai\\.${name}\\.example$`] } : {}),
      ...(kind === 7
        ? { shared_hosts: [{ host: 'shared.example', paths: [`/${name}/ai/`] }] }
        : {}),
      ...(kind > 7
        ? {
            parent: `s${index - kind}`,
            headers: [{ name: 'x-client', pattern: `^${name}$` }],
            user_agents: [`^${name}/`],
          }
        : {}),
    }
  }
}

function workloads(size: number): Workload[] {
  const at = (host: string, path: string, agent?: string): Destination => ({
    host,
    port: 443,
    scheme: 'https',
    path,
    method: 'POST',
    ...(agent === undefined
      ? {}
      : { user_agent: agent, headers: new Map([['user-agent', agent]]) }),
  })
  const pick = (kind: number, index: number): string =>
    `s${(Math.imul(index, 7919) % Math.floor(size / 10)) * 10 + kind}`
  const many = (count: number, make: (index: number) => Destination): Destination[] =>
    Array.from({ length: count }, (_, index) => make(index))
  const kinds: Workload[] = [
    {
      name: 'domain',
      destinations: many(500, (i) => at(`eu.api.${pick(i % 6, i)}.test`, '/v1/chat')),
    },
    {
      name: 'pattern',
      destinations: many(500, (i) => at(`eu-ai.${pick(6, i)}.example`, '/v1/chat')),
    },
    { name: 'path', destinations: many(500, (i) => at('shared.example', `/${pick(7, i)}/ai/x`)) },
    {
      name: 'child',
      destinations: many(500, (i) => at(`${pick(0, i)}.example`, '/', `${pick(8, i)}/1`)),
    },
    { name: 'miss', destinations: many(500, (i) => at(`cdn${i}.static.none.example`, '/a/b')) },
  ]
  const mixed = many(2500, (i) => kinds[i % 5]?.destinations[Math.floor(i / 5)] ?? at('x', '/'))
  return [
    ...kinds,
    { name: 'mixed', destinations: mixed },
    { name: 'cold', destinations: many(COLD_HOSTS, (i) => at(`h${i}.cdn.none.example`, '/')) },
  ]
}
