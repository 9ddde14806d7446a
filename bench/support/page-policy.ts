// The policies on the page of the benches: what a decision costs as they become more, memory, start and swap.

import { type Measured, table, verdict } from './tables.ts'

const CASES = ['evaluated', 'candidates never seen', 'remembered', 'a loop over all', 'OPA server']
const ENGINES = ['rego', 'cedar', 'mixed']

export function policyAims(rows: readonly Measured[]): string[][] {
  const find = (engine: string, policies: number, name: string): Measured | undefined =>
    rows.find(
      (row) =>
        row.bench === 'policy' &&
        row['engine'] === engine &&
        row['policies'] === policies &&
        row['case'] === name,
    )
  const aims: string[][] = []
  const most = Math.max(0, ...rows.map((row) => Number(row['policies'] ?? 0)))
  for (const engine of ENGINES) {
    const [few, many] = [find(engine, 100, 'evaluated'), find(engine, most, 'evaluated')]
    if (few === undefined || many === undefined) continue
    const ratio = Number(many['p99_us']) / Number(few['p99_us'])
    aims.push([
      `${engine}: p99 at ${most.toLocaleString('en-US')} policies <= 1.5 x p99 at 100`,
      `${ratio.toFixed(2)} x`,
      verdict(ratio <= 1.5),
    ])
  }
  for (const [engine, limit] of [
    ['rego', 50],
    ['cedar', 100],
  ] as const) {
    const ten = find(engine, 10, 'evaluated')
    if (ten !== undefined)
      aims.push([
        `ten candidate ${engine} policies, input of 2 KB: p50 <= ${limit} us`,
        `${ten['p50_us']} us`,
        verdict(Number(ten['p50_us']) <= limit),
      ])
  }
  const hit = find('mixed', most, 'remembered')
  if (hit !== undefined)
    aims.push([
      'a remembered decision: p50 <= 3 us',
      `${hit['p50_us']} us`,
      verdict(Number(hit['p50_us']) <= 3),
    ])
  return aims
}

export function policyTables(rows: readonly Measured[]): string[] {
  const of = (bench: string): Measured[] => rows.filter((row) => row.bench === bench)
  const decisions = of('policy')
  const counts = [...new Set(decisions.map((row) => Number(row['policies'])))]
  const cell = (engine: string, name: string, count: number): string => {
    const row = decisions.find(
      (each) =>
        each['engine'] === engine && each['case'] === name && Number(each['policies']) === count,
    )
    return row === undefined ? '-' : `${row['p50_us']} / ${row['p99_us']}`
  }
  const lines = ENGINES.flatMap((engine) =>
    CASES.filter((name) => counts.some((count) => cell(engine, name, count) !== '-')).map(
      (name) => [engine, name, ...counts.map((count) => cell(engine, name, count))],
    ),
  )
  return [
    'One decision of the policies in process, p50 / p99 in microseconds, by the number of policies. Ten of them concern each request (five',
    'by its service, five by its department), the input has 2 KB. "evaluated": no answer is remembered; "candidates never seen": nor is',
    'which policies concern the request; "a loop over all": the same policies without scopes; "OPA server": the same policies in `opa run',
    '--server` over loopback, one request at a time.',
    '',
    table(['', '', ...counts.map((count) => count.toLocaleString('en-US'))], lines),
    ...startTable(of('policy-start')),
    ...swapTable(of('policy-swap')),
  ]
}

function startTable(rows: readonly Measured[]): string[] {
  if (rows.length === 0) return []
  return [
    '',
    'A process that loads compiled policies: seconds, the longest time that its event loop stood still, and megabytes for 1,000 policies,',
    'loaded and after 20,000 decisions over all of them:',
    '',
    table(
      ['policies', 's', 'stop, ms', 'MB loaded', 'MB used'],
      rows.map((row) => [
        `${Number(row['policies']).toLocaleString('en-US')} ${row['engine']}`,
        ...['s', 'longest_stop_ms', 'loaded_mb_per_1000', 'used_mb_per_1000'].map((key) =>
          String(row[key]),
        ),
      ]),
    ),
  ]
}

function swapTable(rows: readonly Measured[]): string[] {
  if (rows.length === 0) return []
  return [
    '',
    'One policy changes while decisions go on, one after the other: seconds from the change until the next set is in force (its shard is built',
    'by OPA meanwhile), the longest stop of the event loop, and the decisions made meanwhile:',
    '',
    table(
      ['policies', 's', 'stop, ms', 'p99 us', 'slowest, ms'],
      rows.map((row) => [
        Number(row['policies']).toLocaleString('en-US'),
        ...['s', 'longest_stop_ms', 'p99_us', 'slowest_ms'].map((key) => String(row[key])),
      ]),
    ),
  ]
}
