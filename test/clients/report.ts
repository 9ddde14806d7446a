// The matrix as a table for the terminal and as the page docs/clients.md.

import Table from 'cli-table3'
import type { Client } from './clients.ts'
import { COLUMNS, type Column } from './columns.ts'
import type { Job } from './jobs.ts'

export interface Cell {
  readonly column: Column
  readonly client: Client
  readonly job: Job
  /** Undefined: empty, and `text` says why. */
  readonly holds: boolean | undefined
  readonly text: string
}

export interface Matrix {
  readonly cells: readonly Cell[]
  readonly versions: ReadonlyMap<Client, string>
}

export function asTable(matrix: Matrix): string {
  const table = new Table({
    head: ['client', 'asks for', ...COLUMNS.map(({ title }) => title)],
    style: { head: [], border: [], compact: true },
  })
  for (const [client, job] of rowsOf(matrix))
    table.push([
      client.title,
      labelOf(job),
      ...COLUMNS.map((column) => marked(cellAt(matrix, client, job, column))),
    ])
  return table.toString()
}

export function asJson(matrix: Matrix): unknown {
  return matrix.cells.map(({ column, client, job, holds, text }) => ({
    client: client.title,
    version: matrix.versions.get(client) ?? null,
    job: job.name,
    stream: job.stream,
    column: column.id,
    holds: holds ?? null,
    text,
  }))
}

export function asPage(matrix: Matrix): string {
  const titles = COLUMNS.map(({ title }) => title)
  const lines = [
    '# Clients',
    '',
    'Real clients through Cordon, each changed by nothing but a proxy setting and an authority to trust (the lines of',
    '`cordon setup`). Written by `npm run clients`; a cell that does not hold makes the run fail.',
    '',
    ...COLUMNS.map(({ title, about }) => `- **${title}**: ${about}.`),
    '',
    'A cell that went through names the HTTP version at the origin, with the version of the client before it where the',
    'client tells and it is another (`ws`: a WebSocket). A denial names the error that the client raises, after one',
    'attempt, with the decision id in its message.',
    '',
    row(['client', 'asks for', ...titles]),
    row(['---', '---', ...titles.map(() => '---')]),
    ...rowsOf(matrix).map(([client, job]) =>
      row([
        client.title,
        labelOf(job),
        ...COLUMNS.map((column) => marked(cellAt(matrix, client, job, column))),
      ]),
    ),
    '',
    '## Versions',
    '',
    ...new Set([...matrix.versions.values()].map((version) => `- ${version}`)),
    '',
  ]
  return lines.join('\n')
}

function rowsOf({ cells }: Matrix): (readonly [Client, Job])[] {
  const rows = new Map<string, readonly [Client, Job]>()
  for (const { client, job } of cells)
    rows.set(`${client.id} ${job.name} ${job.stream}`, [client, job])
  return [...rows.values()]
}

function cellAt(matrix: Matrix, client: Client, job: Job, column: Column): Cell | undefined {
  return matrix.cells.find(
    (cell) => cell.client === client && cell.job === job && cell.column === column,
  )
}

function labelOf({ name, stream }: Job): string {
  return stream ? `${name}, stream` : name
}

function marked(cell: Cell | undefined): string {
  if (cell === undefined) return ''
  if (cell.holds === undefined) return `(${cell.text})`
  return cell.holds ? cell.text : `FAILS: ${cell.text}`
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
}
