// Replays on the page of the benches: how fast, and whether every decision came out as it was recorded.

import { type Measured, table } from './tables.ts'

export function replayTables(rows: readonly Measured[]): string[] {
  const text = (value: string | number | undefined): string =>
    value === undefined ? '-' : value.toLocaleString('en-US')
  return [
    'A history made by the real corridor (60 people, 12 services, ten policies of Rego and Cedar that read names, devices, paths, clocks and',
    'content). "Same" are the decisions of which everything comes out as it was recorded, down to each policy; it must be all of them where the',
    'policies are those of then. us = CPU microseconds of the replaying process a decision. Equal documents run once: "runs" is how many did.',
    '',
    table(
      ['policies, and where from', 'decisions', 'same', 'runs', 'decisions/s', 'us', 'MB'],
      rows.map((row) => [
        String(row['scenario']),
        text(row['decisions']),
        text(row['identical']),
        text(row['evaluations']),
        text(row['per_second']),
        text(row['cpu_us']),
        text(row['rss_mb']),
      ]),
    ),
  ]
}
