// `cordon report`: how much and when, most of what, and what is new.

import { CordonError } from '../base/errors.ts'
import type { Answer, Bucket, Question, QuestionBy } from '../store/questions.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { timeOf } from './times.ts'

export type ReportKind = 'trend' | 'top' | 'first-seen'

export interface ReportOptions {
  readonly config?: string
  readonly json?: boolean
  readonly by?: QuestionBy
  readonly bucket?: Bucket
  readonly question: Question
}

export async function report(
  io: Io,
  kind: ReportKind,
  { by, bucket, question, ...options }: ReportOptions,
): Promise<ExitCode> {
  timeOf('--from', question.from)
  timeOf('--to', question.to)
  const { limit } = question
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= 1000))
    throw new CordonError('INPUT_INVALID', '--limit must be a whole number from 1 to 1000')
  const { config } = configOf(io, options)
  const asked = { ...question, ...(by === undefined ? {} : { by }) }
  const answer = await withAdmin(io, config, (commands) =>
    commands.report({ kind, question: bucket === undefined ? asked : { ...asked, bucket } }),
  )
  if (options.json === true) printJson(io, answer)
  else print(io, answer)
  return 0
}

function print(io: Io, { from, to, read, by, items, next_cursor: next }: Answer): void {
  io.err.write(`${from} to ${to}, read from ${read}\n`)
  const rows = items.map(({ decisions, ...item }) => ({
    ...item,
    ...decisions,
    ...(by === null ? {} : { [by]: item.name ?? '-' }),
  }))
  const [first] = items
  printRows(
    io,
    false,
    [
      ...(first?.time === undefined ? [] : ['time']),
      ...(by === null ? [] : [by]),
      'count',
      ...Object.keys(first?.decisions ?? {}),
      'first_seen',
      'last_seen',
    ],
    rows,
  )
  if (next !== null) io.err.write(`there is more: --cursor ${next}\n`)
}
