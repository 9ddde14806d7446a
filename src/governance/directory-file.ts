// A directory file as rows: CSV whose first line names the columns, or a JSON list of objects.

import { CsvError, parse as parseCsv } from 'csv-parse/sync'
import { parseDocument } from 'yaml'
import type { Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { COLUMNS, type Kind, REQUIRED } from './columns.ts'

const MAX_ROWS = 1_000_000
const MAX_PROBLEMS = 100
/** Characters of a broken JSON file that are read again to find the place. */
const MAX_PLACED = 1_000_000

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
  const text = content.startsWith('\ufeff') ? content.slice(1) : content
  const raw = /^\s*[[{]/.test(text) ? fromJson(file, text) : fromCsv(file, text)
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
      const value = cell.trim()
      const read = known[column]
      if (value === '' || read === undefined) continue
      const result = read(value)
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
  } catch {
    return { problem: { file, ...placeOfError(content), message: 'is not well-formed JSON' } }
  }
  if (!Array.isArray(document))
    return { problem: { file, line: 1, column: 1, message: 'must be a JSON list of objects' } }
  if (document.length > MAX_ROWS)
    return { problem: { file, message: `more than ${MAX_ROWS} rows` } }
  const rows: Raw['rows'][number][] = []
  const lines = itemLines(content)
  for (const [index, item] of (document as unknown[]).entries()) {
    const line = lines[index] ?? 1
    if (typeof item !== 'object' || item === null || Array.isArray(item)) {
      return {
        problem: {
          file,
          line,
          column: 1,
          message: `item ${index + 1} must be an object`,
        },
      }
    }
    // Entries, because a key such as __proto__ would be no column of an object.
    const cells: [string, string][] = []
    for (const [key, value] of Object.entries(item as Record<string, unknown>)) {
      const text = textOf(value)
      if (text !== undefined) cells.push([key, text])
      else
        return {
          problem: {
            file,
            line,
            column: 1,
            message: `item ${index + 1}: ${key} must be a text, number, boolean or list`,
          },
        }
    }
    rows.push({ line, cells: Object.fromEntries(cells) })
  }
  return { columns: [], rows }
}

/** JSON.parse tells a place only sometimes; YAML, which JSON is nearly a part of, always does. */
function placeOfError(content: string): { readonly line: number; readonly column: number } {
  if (content.length > MAX_PLACED) return { line: 1, column: 1 }
  const [place] = parseDocument(content).errors[0]?.linePos ?? []
  return { line: place?.line ?? 1, column: place?.col ?? 1 }
}

/** The cell that a value would be in CSV; undefined where it could be none. */
function textOf(value: unknown): string | undefined {
  if (value === null) return ''
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (!Array.isArray(value)) return undefined
  const items = (value as unknown[]).map(textOf)
  const isList = items.every((item) => item !== undefined && !item.includes(';'))
  return isList ? items.join(';') : undefined
}

/** The line on which each item of a well-formed JSON list begins. */
function itemLines(json: string): number[] {
  const lines: number[] = []
  let line = 1
  let depth = 0
  let isDue = false
  for (let index = 0; index < json.length; index++) {
    const character = json[index] ?? ''
    if (character === '\n') line += 1
    if (character.trim() === '') continue
    if (isDue && character !== ']') lines.push(line)
    isDue = false
    if (character === '"') index = endOfString(json, index)
    else if (character === '[' || character === '{') isDue = depth++ === 0
    else if (character === ']' || character === '}') depth -= 1
    else if (character === ',') isDue = depth === 1
  }
  return lines
}

function endOfString(json: string, start: number): number {
  let index = start + 1
  while (index < json.length && json[index] !== '"') index += json[index] === '\\' ? 2 : 1
  return index
}
