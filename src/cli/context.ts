// `cordon context import`: directory files in the order given, all or nothing per file.

import { readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { CordonError, formatProblem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { type Kind, KINDS } from '../governance/columns.ts'
import type { ImportResult } from '../governance/import.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printRows } from './io.ts'

const MAX_FILE_BYTES = 256 * 1024 * 1024

export async function contextImport(
  io: Io,
  files: readonly string[],
  options: { readonly config?: string; readonly json?: boolean; readonly kind?: Kind },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const inputs = files.map((file) => ({
    file,
    kind: options.kind ?? kindOf(file),
    content: readText(resolve(io.cwd, file), file),
  }))
  const results = await withAdmin(io, config, async (commands) => {
    const done: ImportResult[] = []
    for (const input of inputs) {
      const result = (await commands.importContext(input)) as ImportResult
      done.push(result)
      for (const problem of result.refused) io.err.write(`${formatProblem(problem)}\n`)
      // Later files build on earlier ones.
      if (result.refused.length > 0) break
    }
    return done
  })
  const rows = results.map(({ refused, ...result }) => ({ ...result, refused: refused.length }))
  printRows(
    io,
    options.json === true,
    ['file', 'kind', 'created', 'updated', 'unchanged', 'refused'],
    rows,
  )
  return rows.some(({ refused }) => refused > 0) ? 1 : 0
}

function kindOf(file: string): Kind {
  const name = basename(file).replace(/\.(?:csv|json)$/i, '')
  const kind = KINDS.find((candidate) => candidate === name.toLowerCase())
  if (kind === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      `${file}: the name tells no kind${didYouMean(name, KINDS)}; add --kind (${KINDS.join(', ')})`,
    )
  return kind
}

function readText(path: string, shown: string): string {
  try {
    if (statSync(path).size > MAX_FILE_BYTES)
      throw new CordonError('INPUT_INVALID', `${shown}: larger than ${MAX_FILE_BYTES} bytes`)
    const bytes = readFileSync(path)
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    if (error instanceof CordonError) throw error
    if (error instanceof TypeError)
      throw new CordonError('IMPORT_INVALID', `${shown}: is not UTF-8 text`)
    throw new CordonError('NOT_FOUND', `${shown}: cannot be read`, { cause: error })
  }
}
