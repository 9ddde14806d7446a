// bench/README.md from the raw figures: what was measured, where, and whether the aims are met.

import { interceptionAims, memoryTable, interceptionTables } from './page-interception.ts'
import { ledgerMinutesTables, ledgerStoreAims, ledgerStoreTables } from './page-ledger-store.ts'
import { policyAims, policyTables } from './page-policy.ts'
import { questionTables } from './page-questions.ts'
import { replayTables } from './page-replay.ts'
import { spoolAims, spoolTables } from './page-spool.ts'
import { type Measured, roundsTable, summary, table, verdict } from './tables.ts'

const SCENARIOS: Readonly<Record<string, string>> = {
  'ai-get': 'GET to an AI service (recorded)',
  'site-get': 'GET to an ordinary site (decided, not recorded)',
  'ai-post': 'chat POST of 2 KB to an AI service (recorded)',
}

export function pageOf(
  parts: readonly (readonly Measured[])[],
  profiles: { readonly proxy: string; readonly intercept: string; readonly policy: string },
): string {
  const all = parts.flat()
  const about = all.filter(({ bench }) => bench === 'about')
  const of = (bench: string): Measured[] => all.filter((each) => each.bench === bench)
  const aims = [
    ...proxyAims(of('proxy')),
    ...decisionAims(of('decision')),
    ...policyAims(all.filter(({ bench }) => bench.startsWith('policy'))),
    ...spoolAims(of('spool')),
    ...ledgerStoreAims(of('ledger-store')),
    ...endpointAims(of('endpoint')),
    ...interceptionAims(of('intercept'), of('intercept-memory')),
  ]
  return [
    '# Benches',
    '',
    '`npm run bench` runs them all, `npm run bench -- proxy` one of matcher, decision, spool, ledger-store, ledger-minutes, proxy, intercept, intercept-memory,',
    'intercept-stages, intercept-profile, endpoint, policy, questions, replay, profile; this page is written by it. Raw figures, and what the drivers printed, lie in [raw](raw/). Needs `wrk`, `nginx-light`,',
    '`squid-openssl`, `openssl` and `golang` of Debian, `opa` on the path, and mitmproxy on the path or installed by pip into a venv',
    '`mitmproxy` in the tools folder of the cache (`~/.cache/cordon/tools`); what is missing is skipped.',
    '',
    ...about.map(
      ({ part, date, machine, versions }) =>
        `- ${part}: ${String(date).slice(0, 16)}Z, ${machine}; ${versions}`,
    ),
    '',
    'Driver, origin and contender share the cores, over loopback: a difference in requests a second under 1.3 is noise, CPU a request is',
    'what holds. **us** = CPU microseconds of the whole process tree a request, user and system. Rounds are interleaved; medians, with the',
    'range in brackets. A round in which anything else used more than 0.4 core is repeated. An answer other than 2xx fails the run.',
    '',
    '## Aims',
    '',
    table(['aim', 'measured', ''], aims),
    '',
    'The ratios hang on the processor: JavaScript needs larger caches than Squid does. On a Xeon of 2 cores (2026-11-24) a request to an',
    "ordinary site took 0.51 x Squid's CPU at 2.71 x its requests a second, one to an AI service 1.00 x in the workers and 1.60 x with the",
    'primary process, which ships the records, and a recorded decision 34 us (p99 113 us).',
    '',
    ...section('## Proxy, 64 keep-alive connections', of('proxy'), proxyTables),
    ...profileOf(profiles.proxy),
    ...section('## Interception', of('intercept'), interceptionTables),
    ...section('### By stage, in process', of('intercept-stages'), stagesTable),
    ...section('### Memory', of('intercept-memory'), memoryTable),
    ...profileOf(profiles.intercept),
    ...section('## Decision endpoint, 16 keep-alive connections', of('endpoint'), endpointTable),
    ...section('## One decision, by stage, in process', of('decision'), decisionTable),
    ...section(
      '## Policies, from ten to ten thousand',
      all.filter(({ bench }) => bench.startsWith('policy')),
      policyTables,
    ),
    ...profileOf(profiles.policy),
    ...section('## A record kept', of('spool'), spoolTables),
    ...section('## From segments into the store', of('ledger-store'), ledgerStoreTables),
    ...section('### Ten minutes', of('ledger-store-minutes'), ledgerMinutesTables),
    ...section(
      '## Questions at ten million decisions',
      all.filter(({ bench }) => bench.startsWith('questions')),
      questionTables,
    ),
    ...section('## A hundred thousand decisions replayed', of('replay'), replayTables),
    ...section('## Signature look-up', of('matcher'), matcherTable),
  ].join('\n')
}

function section(
  title: string,
  rows: readonly Measured[],
  make: (rows: readonly Measured[]) => string[],
): string[] {
  return rows.length === 0 ? [] : [title, '', ...make(rows), '']
}

function profileOf(text: string): string[] {
  return text === '' ? [] : ['### Where the time goes', '', '```', text, '```', '']
}

function proxyTables(rows: readonly Measured[]): string[] {
  return [
    'Cordon in its default configuration: default policies and recording on, the embedded database, a worker a core. Only addresses, data',
    'folder, egress ports and the way to the origin (`proxy.resolve`) are set. Squid with a domain ACL as long as the catalogue, buffered',
    'access log, no cache, origin connections kept. "workers": the part of us that the gateway workers used; the rest is the primary',
    'process, which ships records to the store. "drained": us until every record is in the store.',
    '',
    ...Object.entries(SCENARIOS).flatMap(([scenario, title]) => {
      const some = rows.filter((row) => row['scenario'] === scenario)
      return some.length === 0 ? [] : [`${title}:`, '', roundsTable(some), '']
    }),
  ].slice(0, -1)
}

function endpointTable(rows: readonly Measured[]): string[] {
  return [
    'Cordon: `POST /v1/decisions` with a key, default policies, recording on. OPA: an equivalent policy as one package, equality first',
    '([support/endpoint.rego](support/endpoint.rego)), asked with the finished input document, without and with its decision log.',
    '',
    roundsTable(rows),
  ]
}

function decisionTable(rows: readonly Measured[]): string[] {
  return [
    'Shipped catalogue and pack, `ledger.fsync: batch`, an unknown person asking for an AI service. "whole" ends when the record is in the',
    'spool; "at once": time divided by the number of requests. "policy, evaluated" is what a request costs whose answer is not remembered.',
    '',
    stagesTable(rows).join('\n'),
  ]
}

function stagesTable(rows: readonly Measured[]): string[] {
  return [
    table(
      ['stage', 'p50 us', 'p99 us'],
      rows.map((row) => [row['stage'], row['p50_us'], row['p99_us']].map(String)),
    ),
  ]
}

function matcherTable(rows: readonly Measured[]): string[] {
  const sizes = [...new Set(rows.map((row) => Number(row['signatures'])))]
  const loads = [...new Set(rows.map((row) => String(row['workload'])))]
  return [
    'Median nanoseconds a look-up by the number of signatures. "cold": more hosts than the catalogue remembers.',
    '',
    table(
      ['workload', ...sizes.map(String)],
      loads.map((load) => [
        load,
        ...sizes.map((size) =>
          String(
            rows.find((row) => row['workload'] === load && row['signatures'] === size)?.[
              'median_ns'
            ] ?? '-',
          ),
        ),
      ]),
    ),
  ]
}

function proxyAims(rows: readonly Measured[]): string[][] {
  const median = (scenario: string, contender: string, field: string): number =>
    summary(
      rows.filter((row) => row['scenario'] === scenario && row['contender'] === contender),
      field,
    ).median
  return Object.keys(SCENARIOS).flatMap((scenario) => {
    const rps = median(scenario, 'cordon', 'rps') / median(scenario, 'squid', 'rps')
    const us = median(scenario, 'cordon', 'cpu_us') / median(scenario, 'squid', 'cpu_us')
    if (Number.isNaN(rps)) return []
    const least = scenario === 'site-get' ? 1.3 : 1
    return [
      [`${scenario}: requests/s >= ${least} x Squid`, `${rps.toFixed(2)} x`, verdict(rps >= least)],
      [`${scenario}: CPU a request <= 1 x Squid`, `${us.toFixed(2)} x`, verdict(us <= 1)],
    ]
  })
}

function decisionAims(rows: readonly Measured[]): string[][] {
  const whole = rows.filter((row) => String(row['stage']).startsWith('whole'))
  return whole.map((row) => [
    `one decision, ${row['stage']}: p99 < 100 us`,
    `${row['p99_us']} us`,
    verdict(Number(row['p99_us']) < 100),
  ])
}

function endpointAims(rows: readonly Measured[]): string[][] {
  const us = (name: string): number =>
    summary(
      rows.filter((row) => row['contender'] === name),
      'cpu_us',
    ).median
  return ['opa', 'opa, decision log'].flatMap((name) => {
    const share = us('cordon') / us(name)
    return Number.isNaN(share)
      ? []
      : [
          [
            `endpoint: CPU a request <= 0.5 x ${name}`,
            `${share.toFixed(2)} x`,
            verdict(share <= 0.5),
          ],
        ]
  })
}
