// The questions of those who watch on the page of the benches: sums beside rows, lists, and what an index costs.

import { type Measured, table } from './tables.ts'

export function questionTables(rows: readonly Measured[]): string[] {
  const of = (bench: string): Measured[] => rows.filter((row) => row.bench === bench)
  const stores = [...new Set(of('questions').map((row) => String(row['store'])))]
  const perIndex = of('questions-index')
  return [
    "A company's decisions of ninety days (5,000 people, 120 services, 40 departments, 12 policies; few of each have most of them).",
    'Milliseconds over a local connection, warm; what takes longer than ten seconds is asked once. "Sums" is how the API answers, "rows" is',
    '`exact=true` without its bound of 31 days.',
    ...stores.flatMap((store) => storeTables(store, rows)),
    ...(perIndex.length === 0
      ? []
      : [
          '',
          'What an index adds to a row that comes, CPU microseconds of the server (rows of one day, in the order of time):',
          '',
          table(
            ['index', 'us a row'],
            perIndex.map((row) => [String(row['index']), String(row['us'])]),
          ),
        ]),
  ]
}

function storeTables(store: string, rows: readonly Measured[]): string[] {
  const of = (bench: string): Measured[] =>
    rows.filter((row) => row.bench === bench && row['store'] === store)
  const [data] = of('questions-data')
  const text = (value: string | number | undefined): string =>
    value === undefined ? '-' : value.toLocaleString('en-US')
  const ratio = (row: Measured): string =>
    row['rows_ms'] === undefined
      ? '-'
      : `${Math.round(Number(row['rows_ms']) / Number(row['sums_ms'])).toLocaleString('en-US')} x`
  return [
    '',
    `${store}, ${text(data?.['decisions'])} decisions${data?.['chunks'] === undefined ? '' : `, ${text(data['compressed'])} of ${text(data['chunks'])} chunks compressed`}; the machine's load was ${text(data?.['load'])}:`,
    '',
    table(
      ['question', 'sums, median', 'p95', 'rows', ''],
      of('questions').map((row) => [
        String(row['question']),
        text(row['sums_ms']),
        text(row['sums_p95_ms']),
        text(row['rows_ms']),
        ratio(row),
      ]),
    ),
    '',
    table(
      ['list', 'median', 'p95'],
      of('questions-list').map((row) => [
        String(row['question']),
        text(row['ms']),
        text(row['p95_ms']),
      ]),
    ),
  ]
}
