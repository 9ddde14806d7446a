// The policies on the page of the benches: what a decision costs as they become more, memory, start and swap.

import { type Measured, table, verdict } from './tables.ts'

const CASES = ['evaluated', 'candidates never seen', 'remembered', 'a loop over all', 'OPA server']
const ENGINES = ['rego', 'cedar', 'mixed']

/** What the profile below shows, summed up. */
const WHERE_IT_GOES = [
  'Of ten Rego policies that are evaluated about half is the rules themselves, in the wasm of OPA: members looked up by hash and compared',
  'byte by byte, fractions compared as decimals, and each loop turn counted as fuel. A fifth is the input, written value by value as OPA',
  'lays it out; an eighth is what the answer is remembered by; the calls in and out of the wasm, reading answers and combining are the rest.',
  'What could still fall is the first half: by another compiler than that of OPA. A remembered decision costs one look at each value that',
  'is read: the names that a scope may mean, then those that the candidates read, hashed and compared with what is remembered.',
  'With more policies the candidates lie in two shards instead of one: the input is written once and copied, but the code of the wasm is',
  "there once a shard, so that the processor's caches, and what V8 has optimised so far, hold for fewer requests. Of the memory after",
  'loading 3 to 4 MB for 1,000 policies are objects; the rest is code, and room that V8 took for reading and has not given back.',
  'Of ten Cedar statements four fifths is one call of the package. With nothing to read it takes 40 us, and ten statements without conditions',
  'make it 93: the request goes in and the answer comes out as JSON, ids are parsed, and the set is copied with every call. Each value adds 3 to',
  '6 us (a text of a list is one), an entity 13, an address or a fraction 15, a finding 75. What statements cannot tell apart is left out of the',
  'request (a third less here than with whole lists), and what Cedar answered to a request is remembered: the same request again costs a tenth.',
  'The rest is the package: it has no way to keep entities, or to take a request that is not JSON.',
]

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
  for (const row of of('policy-ratio')) {
    const ratio = `${String(row['x'])} x`
    const cells = counts.map((count) => (count === Number(row['policies']) ? ratio : '-'))
    lines.push([String(row['engine']), `p99 ratio to ${String(row['to'])}, evaluated`, ...cells])
  }
  return [
    'One decision of the policies in process, p50 / p99 in microseconds, by the number of policies. Ten of them concern each request (five',
    'by its service, five by its department), the input has 2 KB. "evaluated": no answer is remembered; "candidates never seen": nor is',
    'which policies concern the request; "a loop over all": the same policies without scopes; "OPA server": the same policies in `opa run',
    '--server` over loopback, one request at a time.',
    '',
    table(['', '', ...counts.map((count) => count.toLocaleString('en-US'))], lines),
    '',
    ...WHERE_IT_GOES,
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
