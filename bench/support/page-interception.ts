// The part of bench/README.md about looking inside TLS.

import { FOREIGN_CORES } from './rounds.ts'
import { type Measured, range, summary, table, verdict } from './tables.ts'

interface Scenario {
  readonly title: string
  /** What one request is there. */
  readonly unit: string
}

interface Aim {
  readonly scenario: string
  readonly field: 'rps' | 'cpu_us'
  readonly peer: string
  readonly least?: number
  readonly most?: number
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'tls-get': { title: 'GET to an AI service (recorded), 64 connections', unit: 'requests' },
  'tls-site-get': {
    title: 'GET to an ordinary site (decided, not recorded), 64 connections',
    unit: 'requests',
  },
  'tls-post': { title: 'chat POST of 2 KB (read, recorded), 64 connections', unit: 'requests' },
  'tls-connect': {
    title: 'new connections to a known host, 8 at a time: CONNECT, handshake, one GET',
    unit: 'connections',
  },
  'tls-resume': { title: 'the same, TLS sessions resumed', unit: 'connections' },
  'tls-fresh': {
    title: 'new connections to hosts never seen before, 4 at a time',
    unit: 'connections',
  },
  'tls-sse': {
    title: "50 streams, an event every 20 ms each: origin's stamp to client's read",
    unit: 'events',
  },
}
const AIMS: readonly Aim[] = [
  { scenario: 'tls-get', field: 'rps', peer: 'squid', least: 1 },
  { scenario: 'tls-get', field: 'cpu_us', peer: 'squid', most: 1 },
  { scenario: 'tls-post', field: 'rps', peer: 'squid', least: 8 },
  { scenario: 'tls-post', field: 'rps', peer: 'mitmproxy', least: 15 },
  { scenario: 'tls-connect', field: 'rps', peer: 'squid', least: 1.3 },
  { scenario: 'tls-fresh', field: 'rps', peer: 'squid', least: 5 },
]
/** What ten times the upload may take more: some garbage that waits to be collected. */
const FLAT_MB = 100

export function interceptionAims(
  rows: readonly Measured[],
  memory: readonly Measured[],
): string[][] {
  const ratios = AIMS.flatMap(({ scenario, field, peer, least, most }) => {
    const ratio = paired(rows, scenario, field, peer)
    if (Number.isNaN(ratio)) return []
    const what = field === 'rps' ? `${SCENARIOS[scenario]?.unit}/s` : 'CPU a request'
    const isMet = least === undefined ? ratio <= (most ?? 0) : ratio >= least
    const bound = least === undefined ? `<= ${most}` : `>= ${least}`
    return [[`${scenario}: ${what} ${bound} x ${peer}`, `${ratio.toFixed(2)} x`, verdict(isMet)]]
  })
  return [...ratios, ...delayAims(rows), ...memoryAims(memory)]
}

/** What a contender adds to the delay that an event has without it. */
function delayAims(rows: readonly Measured[]): string[][] {
  return ['p50_ms', 'p99_ms'].flatMap((field) => {
    const added = (name: string): number =>
      median(
        pairs(rows, 'tls-sse', name, 'direct').map(
          ([own, direct]) => Number(own[field]) - Number(direct[field]),
        ),
      )
    const [cordon, squid] = [added('cordon'), added('squid')]
    if (Number.isNaN(cordon) || Number.isNaN(squid)) return []
    const share = field.slice(0, 3)
    return [
      [
        `tls-sse: delay added, ${share} <= Squid's ${squid.toFixed(2)} ms`,
        `${cordon.toFixed(2)} ms`,
        verdict(cordon <= squid),
      ],
    ]
  })
}

function memoryAims(rows: readonly Measured[]): string[][] {
  const own = rows.find((row) => row['contender'] === 'cordon')
  const squid = rows.find((row) => row['contender'] === 'squid')
  if (own === undefined) return []
  const growth = Number(own['peak_mb']) - Number(own['tenth_peak_mb'])
  const idle = Number(own['idle_kb'])
  const bound = Number(squid?.['idle_kb'] ?? Number.NaN)
  return [
    ...(Number.isNaN(bound)
      ? []
      : [
          [
            `memory of an idle intercepted connection <= Squid's ${bound} KB`,
            `${idle} KB`,
            verdict(idle <= bound),
          ],
        ]),
    [
      `1 GB upload beside 1,000 streams: peak above that of 100 MB <= ${FLAT_MB} MB`,
      `${growth >= 0 ? '+' : ''}${growth.toFixed(1)} MB`,
      verdict(growth <= FLAT_MB),
    ],
  ]
}

export function interceptionTables(rows: readonly Measured[]): string[] {
  const disturbed = rows.filter((row) => Number(row['foreign_cores']) > FOREIGN_CORES).length
  return [
    'TLS on both sides (1.3, X25519, P-256 leaves), HTTP/1.1, the origin verified. Cordon as shipped, with the hosts of the benches',
    'intercepted: default policies, two of which read content, recording on. Squid bumps at CONNECT, its fastest way, in one process (a',
    'second one costs more CPU here and gives no more requests); log buffered, an ACL as long as the catalogue. mitmproxy with its defaults,',
    'no log, streams passed on. The driver opens the connections of the request and stream rows before the clock starts. "x": Cordon to',
    'the peer, median of the paired rounds. "resumed": share of the handshakes that resumed a session.',
    ...(disturbed === 0
      ? []
      : [
          '',
          `**In ${disturbed} of ${rows.length} rounds other work used more than ${FOREIGN_CORES} core in spite of the repetitions: measure again.**`,
        ]),
    '',
    ...Object.entries(SCENARIOS).flatMap(([scenario, { title, unit }]) => {
      const some = rows.filter((row) => row['scenario'] === scenario)
      return some.length === 0 ? [] : [`${title}:`, '', scenarioTable(some, scenario, unit), '']
    }),
  ].slice(0, -1)
}

function scenarioTable(rows: readonly Measured[], scenario: string, unit: string): string {
  const names = [...new Set(rows.map((row) => String(row['contender'])))]
  const isResuming = scenario === 'tls-resume'
  const head = ['', `${unit}/s`, 'x', 'us', 'x', 'workers', 'drained', 'p50 ms', 'p99 ms']
  return table(
    isResuming ? [...head, 'resumed'] : head,
    names.map((name) => {
      const some = rows.filter((row) => row['contender'] === name)
      const cell = (field: string): string => range(summary(some, field))
      const times = (field: 'rps' | 'cpu_us'): string => {
        const ratio = paired(rows, scenario, field, name)
        return name === 'cordon' || name === 'direct' || Number.isNaN(ratio)
          ? '-'
          : ratio.toFixed(2)
      }
      const workers = name === 'cordon' ? cell('cpu_us_children') : '-'
      const cpu =
        name === 'direct'
          ? ['-', '-', '-', '-']
          : [cell('cpu_us'), times('cpu_us'), workers, cell('cpu_us_drained')]
      const delays = [cell('p50_ms'), cell('p99_ms')]
      const resumed = isResuming ? [cell('resumed')] : []
      return [name, cell('rps'), times('rps'), ...cpu, ...delays, ...resumed]
    }),
  )
}

export function memoryTable(rows: readonly Measured[]): string[] {
  return [
    'Resident memory of the process tree, each contender started anew. "idle": a connection that was used once, by the difference between',
    '1,000 and 3,000 of them. Then 1,000 streams with an event a second, and beside them an upload of 100 MB and one of 1 GB, their peaks',
    'sampled every 50 ms: memory is flat where the second is no higher than the first.',
    '',
    table(
      [
        '',
        'idle KB',
        'before, MB',
        'with streams',
        'peak, 100 MB',
        'peak, 1 GB',
        'after',
        '1 GB in s',
      ],
      rows.map((row) =>
        [
          'contender',
          'idle_kb',
          'before_mb',
          'streaming_mb',
          'tenth_peak_mb',
          'peak_mb',
          'after_mb',
          'upload_s',
        ].map((field) => String(row[field])),
      ),
    ),
  ]
}

/** Cordon's figure to that of a peer in the same round, the median of all rounds. */
function paired(
  rows: readonly Measured[],
  scenario: string,
  field: 'rps' | 'cpu_us',
  peer: string,
): number {
  return median(
    pairs(rows, scenario, 'cordon', peer).map(
      ([own, other]) => Number(own[field]) / Number(other[field]),
    ),
  )
}

function pairs(
  rows: readonly Measured[],
  scenario: string,
  name: string,
  other: string,
): (readonly [Measured, Measured])[] {
  const some = rows.filter((row) => row['scenario'] === scenario)
  const named = (contender: string): Measured[] =>
    some.filter((row) => row['contender'] === contender)
  return named(name).flatMap((own) => {
    const peer = named(other).find((row) => row['round'] === own['round'])
    return peer === undefined ? [] : [[own, peer] as const]
  })
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
