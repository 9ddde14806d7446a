// The spool on the page of the benches: what a record costs a gateway, and how long it is waited for.

import { type Measured, range, summary, table, verdict } from './tables.ts'

const PROMISES = ['batch', 'record', 'off'] as const
const AIM_US = 8
const AIM_P50_MS = 5
const AIM_P99_MS = 25

export function spoolAims(rows: readonly Measured[]): string[][] {
  const at = (promise: string): Measured[] =>
    rows.filter(
      (row) => row['keeper'] === 'cordon' && row['promise'] === promise && row['at_once'] === 64,
    )
  if (rows.length === 0) return []
  const us = summary(at('batch'), 'all_us').median
  const p50 = summary(at('record'), 'p50_ms').median
  const p99 = summary(at('record'), 'p99_ms').median
  return [
    [
      `a record kept, fsync: batch, 64 at once: CPU of all threads <= ${AIM_US} us`,
      `${us} us`,
      verdict(us <= AIM_US),
    ],
    [
      `fsync: record, 64 at once: p50 <= ${AIM_P50_MS} ms, p99 <= ${AIM_P99_MS} ms`,
      `${p50} / ${p99} ms`,
      verdict(p50 <= AIM_P50_MS && p99 <= AIM_P99_MS),
    ],
  ]
}

export function spoolTables(rows: readonly Measured[]): string[] {
  return [
    'What a gateway pays until a decision of about 1.1 KB is kept as `ledger.fsync` promises, CPU microseconds a record: "main" makes the',
    'text, "thread" writes, syncs, hashes and signs. SQLite (WAL, one column of text, those that ask at once in one transaction)',
    'proves nothing: NORMAL stands beside `batch`, FULL beside `record`. "x": all CPU, Cordon to SQLite.',
    '',
    table(
      ['', 'at once', 'records/s', 'main us', 'thread us', 'all us', 'x', 'p50 ms', 'p99 ms'],
      PROMISES.flatMap((promise) => tableRows(rows, promise)),
    ),
  ]
}

function tableRows(rows: readonly Measured[], promise: string): string[][] {
  const ofPromise = rows.filter((row) => row['promise'] === promise)
  const counts = [...new Set(ofPromise.map((row) => Number(row['at_once'])))]
  return counts.flatMap((atOnce) => {
    const of = (keeper: string): Measured[] =>
      ofPromise.filter((row) => row['keeper'] === keeper && row['at_once'] === atOnce)
    const ratio = summary(of('cordon'), 'all_us').median / summary(of('sqlite'), 'all_us').median
    return ['cordon', 'sqlite']
      .filter((keeper) => of(keeper).length > 0)
      .map((keeper) => {
        const cell = (field: string): string => range(summary(of(keeper), field))
        const cells = ['records_s', 'main_us', 'thread_us', 'all_us'].map(cell)
        const isOurs = keeper === 'cordon' && !Number.isNaN(ratio)
        return [
          `${keeper}, ${promise}`,
          String(atOnce),
          ...cells,
          isOurs ? ratio.toFixed(2) : '',
          cell('p50_ms'),
          cell('p99_ms'),
        ]
      })
  })
}
