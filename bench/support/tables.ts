// Tables of figures: medians with their range, and what is met.

export interface Measured {
  readonly bench: string
  readonly [field: string]: string | number
}

interface Summary {
  readonly median: number
  readonly least: number
  readonly most: number
}

export function roundsTable(rows: readonly Measured[]): string {
  const names = [...new Set(rows.map((row) => String(row['contender'])))]
  return table(
    ['', 'requests/s', 'us', 'workers', 'drained', 'p50 ms', 'p99 ms'],
    names.map((name) => {
      const some = rows.filter((row) => row['contender'] === name)
      const cell = (field: string): string => range(summary(some, field))
      const own =
        name === 'direct'
          ? ['-', '-', '-']
          : [
              cell('cpu_us'),
              name === 'cordon' ? cell('cpu_us_children') : '-',
              cell('cpu_us_drained'),
            ]
      return [name, cell('rps'), ...own, cell('p50_ms'), cell('p99_ms')]
    }),
  )
}

export function verdict(isMet: boolean): string {
  return isMet ? 'met' : '**missed**'
}

export function summary(rows: readonly Measured[], field: string): Summary {
  const sorted = rows.map((row) => Number(row[field])).toSorted((a, b) => a - b)
  return {
    median: sorted[sorted.length >> 1] ?? Number.NaN,
    least: sorted[0] ?? Number.NaN,
    most: sorted.at(-1) ?? Number.NaN,
  }
}

export function range({ median, least, most }: Summary): string {
  return `${short(median)} (${short(least)}-${short(most)})`
}

function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10)
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
