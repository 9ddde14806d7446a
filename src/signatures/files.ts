// Which files belong to a folder of signatures? All of its YAML, by name, however deep, within bounds.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'

const MAX_FILES = 5000
const MAX_FILE_BYTES = 8 * 1024 * 1024
const MAX_TOTAL_BYTES = 256 * 1024 * 1024
const MAX_DEPTH = 16

export interface SourceFile {
  readonly file: string
  readonly source: string
}

/** Throws NOT_FOUND for a folder that cannot be read, SIGNATURE_INVALID for a file that cannot, or is too large. */
export function readSources(dir: string): SourceFile[] {
  let total = 0
  return yamlFiles(dir).map((file) => {
    let source
    try {
      const { size } = statSync(file)
      total += size
      if (size > MAX_FILE_BYTES) throw invalid(file, `larger than ${MAX_FILE_BYTES} bytes`)
      if (total > MAX_TOTAL_BYTES) throw invalid(dir, `more than ${MAX_TOTAL_BYTES} bytes`)
      source = readFileSync(file, 'utf8')
    } catch (error) {
      if (error instanceof CordonError) throw error
      throw invalid(file, 'cannot be read', error)
    }
    return { file, source }
  })
}

function yamlFiles(dir: string): string[] {
  const found: string[] = []
  const walk = (folder: string, depth: number): void => {
    let entries
    try {
      entries = readdirSync(folder, { withFileTypes: true })
    } catch (error) {
      throw new CordonError('NOT_FOUND', `${folder}: cannot be read as a folder of signatures`, {
        cause: error,
      })
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = join(folder, entry.name)
      if (entry.name.startsWith('.')) continue
      if (entry.isDirectory()) {
        if (depth === MAX_DEPTH) throw invalid(file, `deeper than ${MAX_DEPTH} folders`)
        walk(file, depth + 1)
      } else if (/\.ya?ml$/.test(entry.name)) {
        found.push(file)
        if (found.length > MAX_FILES) throw invalid(dir, `more than ${MAX_FILES} files`)
      }
    }
  }
  walk(dir, 0)
  return found
}

function invalid(file: string, message: string, cause?: unknown): CordonError {
  return new CordonError('SIGNATURE_INVALID', `${file}: ${message}`, {
    cause,
    problems: [{ file, message }],
  })
}
