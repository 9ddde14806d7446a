// What every command works with: its streams, its configuration, and one way to say what went wrong.

import { styleText } from 'node:util'
import Table from 'cli-table3'
import { CordonError, type ErrorCode, formatProblem, type Problem } from '../base/errors.ts'
import { type Loaded, loadConfig } from '../config/load.ts'

/** Data goes to `out`, everything else to `err`. */
export interface Io {
  readonly in: NodeJS.ReadStream
  readonly out: NodeJS.WriteStream
  readonly err: NodeJS.WriteStream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/** 0 done, 1 the answer is no, 2 usage, 3 cannot. */
export type ExitCode = 0 | 1 | 2 | 3

const EXIT: Partial<Record<ErrorCode, ExitCode>> = {
  CONFIG_INVALID: 1,
  SIGNATURE_INVALID: 1,
  POLICY_INVALID: 1,
  BUNDLE_INVALID: 1,
  IMPORT_INVALID: 1,
  CONFLICT: 1,
  STALE: 1,
  OWN_VERSION: 1,
  OWN_REQUEST: 1,
  ACTIVATION_REFUSED: 1,
  INPUT_INVALID: 2,
  FORBIDDEN: 2,
  UNSEEN: 2,
}

/** Runs a command; what it throws is told on stderr, every place on a line of its own. */
export async function guard(io: Io, run: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof CordonError)) {
      io.err.write(`cordon: ${error instanceof Error ? error.message : String(error)}\n`)
      return 3
    }
    for (const problem of error.problems)
      if (problem.file !== '' || problem.message !== error.message)
        io.err.write(`${placed(problem)}\n`)
    io.err.write(`cordon: ${error.message}\n`)
    return EXIT[error.code] ?? 3
  }
}

/** A problem of a request has no file: what is wrong in it is named as the API names it. */
function placed(problem: Problem): string {
  const { file, pointer = '', message } = problem
  if (file !== '') return formatProblem(asOption(problem))
  return pointer === '' ? message : `${pointer.slice(1)}: ${message}`
}

/** What a query names by a pointer, a command line does by an option. */
function asOption(problem: Problem): Problem {
  const name = /^\/querystring\/(\w+)$/.exec(problem.file)?.[1]
  return name === undefined ? problem : { ...problem, file: `--${name.replaceAll('_', '-')}` }
}

/** The configuration of `--config`, its warnings told on stderr. */
export function configOf(io: Io, options: { readonly config?: string }): Loaded {
  const loaded = loadConfig({ file: options.config, env: io.env, cwd: io.cwd })
  for (const warning of loaded.warnings) io.err.write(`warning: ${warning}\n`)
  return loaded
}

/** Rows as a table for people, or as one JSON array. */
export function printRows(
  io: Io,
  json: boolean,
  columns: readonly string[],
  rows: readonly Readonly<Record<string, unknown>>[],
): void {
  if (json) {
    io.out.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  const table = new Table({
    head: columns.map((column) => styleText('bold', column, { stream: io.out })),
    style: { head: [], border: [], compact: true },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '  ',
    },
  })
  for (const row of rows) table.push(columns.map((column) => shown(row[column])))
  io.out.write(`${table.toString()}\n`)
}

/** Whether the text was taken; false once the reader has gone (`| head -1`), when there is nobody to go on for. */
export async function writeOut({ out }: Io, text: string): Promise<boolean> {
  // Of the standard output the stream itself does not remember that it failed.
  if (!watched.has(out)) {
    watched.add(out)
    for (const name of ['close', 'error'] as const) out.once(name, () => gone.add(out))
  }
  if (gone.has(out)) return false
  if (!out.write(text) && !gone.has(out)) {
    // Of a reader that has gone no drain comes.
    await new Promise<void>((resolve) => {
      const end = (): void => {
        for (const name of EVENTS) out.off(name, end)
        resolve()
      }
      for (const name of EVENTS) out.once(name, end)
    })
  }
  return !gone.has(out)
}

const EVENTS = ['drain', 'close', 'error'] as const
const watched = new WeakSet<NodeJS.WriteStream>()
const gone = new WeakSet<NodeJS.WriteStream>()

export function printJson(io: Io, value: unknown): void {
  io.out.write(`${JSON.stringify(value, undefined, 2)}\n`)
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return value.join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
