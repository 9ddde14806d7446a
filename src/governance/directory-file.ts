// A directory file as rows: CSV whose first line names the columns, or a JSON list of objects.

import { CsvError, parse as parseCsv } from 'csv-parse/sync'
import type { Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { COLUMNS, type Kind, REQUIRED } from './columns.ts'

const MAX_ROWS = 1_000_000
const MAX_PROBLEMS = 100

export interface DirectoryRow {
  readonly line: number
  /** Only what the row says: an empty or missing cell is absent. */
  readonly values: Readonly<Record<string, unknown>>
}

export interface DirectoryFile {
  readonly rows: readonly DirectoryRow[]
  readonly problems: readonly Problem[]
}

export function readDirectoryFile(file: string, content: string, kind: Kind): DirectoryFile {
  const raw = /^\s*[[{]/.test(content) ? fromJson(file, content) : fromCsv(file, content)
  if ('problem' in raw) return { rows: [], problems: [raw.problem] }
  const problems: Problem[] = []
  const known = COLUMNS[kind]
  const columns = new Set(raw.rows.flatMap(({ cells }) => Object.keys(cells)).concat(raw.columns))
  for (const column of columns) {
    if (!Object.hasOwn(known, column)) {
      problems.push({
        file,
        line: 1,
        column: 1,
        message: `unknown column "${column}"${didYouMean(column, Object.keys(known))}`,
      })
    }
  }
  for (const column of REQUIRED[kind]) {
    if (!columns.has(column))
      problems.push({ file, line: 1, column: 1, message: `the column "${column}" is missing` })
  }
  if (problems.length > 0) return { rows: [], problems }

  const rows: DirectoryRow[] = []
  for (const { line, cells } of raw.rows) {
    const values: Record<string, unknown> = {}
    for (const [column, cell] of Object.entries(cells)) {
      const text = cell.trim()
      const read = known[column]
      if (text === '' || read === undefined) continue
      const result = text.includes('\0') ? { wrong: 'holds a NUL character' } : read(text)
      if ('wrong' in result)
        problems.push({ file, line, column: 1, message: `${column} ${result.wrong}` })
      else values[column] = result.value
    }
    for (const column of REQUIRED[kind]) {
      if (values[column] === undefined)
        problems.push({ file, line, column: 1, message: `${column} is empty` })
    }
    rows.push({ line, values })
    if (problems.length >= MAX_PROBLEMS) break
  }
  return { rows, problems }
}

interface Raw {
  readonly columns: readonly string[]
  readonly rows: readonly {
    readonly line: number
    readonly cells: Readonly<Record<string, string>>
  }[]
}

function fromCsv(file: string, content: string): Raw | { readonly problem: Problem } {
  try {
    const records = parseCsv(content, {
      bom: true,
      info: true,
      skip_empty_lines: true,
      max_record_size: 1024 * 1024,
      to: MAX_ROWS + 1,
    }) as unknown as {
      record: string[]
      info: { lines: number }
    }[]
    const [head, ...body] = records
    if (head === undefined)
      return {
        problem: {
          file,
          line: 1,
          column: 1,
          message: 'the file is empty; its first line names the columns',
        },
      }
    if (body.length > MAX_ROWS) return { problem: { file, message: `more than ${MAX_ROWS} rows` } }
    const columns = head.record.map((name) => name.trim())
    const twice = columns.find((name, index) => columns.indexOf(name) !== index)
    if (twice !== undefined)
      return {
        problem: { file, line: 1, column: 1, message: `the column "${twice}" stands twice` },
      }
    return {
      columns,
      rows: body.map(({ record, info }) => ({
        line: info.lines,
        cells: Object.fromEntries(columns.map((name, index) => [name, record[index] ?? ''])),
      })),
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    const line = 'lines' in error && typeof error['lines'] === 'number' ? error['lines'] : 1
    return { problem: { file, line, column: 1, message: error.message } }
  }
}

function fromJson(file: string, content: string): Raw | { readonly problem: Problem } {
  let document: unknown
  try {
    document = JSON.parse(content)
  } catch (error) {
    return {
      problem: {
        file,
        line: 1,
        column: 1,
        message: error instanceof Error ? error.message : 'no JSON',
      },
    }
  }
  if (!Array.isArray(document))
    return { problem: { file, line: 1, column: 1, message: 'must be a JSON list of objects' } }
  if (document.length > MAX_ROWS)
    return { problem: { file, message: `more than ${MAX_ROWS} rows` } }
  const rows: Raw['rows'][number][] = []
  for (const [index, item] of (document as unknown[]).entries()) {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) {
      return {
        problem: {
          file,
          line: index + 1,
          column: 1,
          message: `item ${index + 1} must be an object`,
        },
      }
    }
    const cells: Record<string, string> = {}
    for (const [key, value] of Object.entries(item as Record<string, unknown>)) {
      if (value === null) continue
      if (Array.isArray(value)) cells[key] = value.map(String).join(';')
      else if (typeof value === 'string') cells[key] = value
      else if (typeof value === 'number' || typeof value === 'boolean') cells[key] = String(value)
      else
        return {
          problem: {
            file,
            line: index + 1,
            column: 1,
            message: `item ${index + 1}: ${key} must be a text, number, boolean or list`,
          },
        }
    }
    rows.push({ line: index + 1, cells })
  }
  return { columns: [], rows }
}
