// An API key as an option of commands: in a file, because arguments are seen by everybody on the machine.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CordonError } from '../base/errors.ts'
import type { Io } from './io.ts'

/** The key in the file of `--key`; undefined where the option is absent. Throws INPUT_INVALID. */
export function keyIn(io: Io, file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  let text: string
  try {
    text = readFileSync(resolve(io.cwd, file), 'utf8').trim()
  } catch (error) {
    throw new CordonError(
      'INPUT_INVALID',
      `--key: ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  if (text === '' || /\s/.test(text))
    throw new CordonError('INPUT_INVALID', `--key: ${file} must hold one API key and nothing else`)
  return text
}
