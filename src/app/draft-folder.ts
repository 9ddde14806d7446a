// Files of a draft as a folder of their own, for as long as it is tried.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import type { StoredFile } from '../model/stored-policy.ts'

/** Folders without a dot, so that none has the name of a file. */
const PATH = /^(?:[A-Za-z0-9_][A-Za-z0-9_-]*\/){0,8}[A-Za-z0-9_][A-Za-z0-9._-]*$/
const MAX_PATH = 200

/** The folder; whoever asked for it removes it. Throws INPUT_INVALID for a path that is none. */
export function writeDraft(files: readonly StoredFile[]): string {
  const odd = files.find(({ path }) => path.length > MAX_PATH || !PATH.test(path))
  if (odd !== undefined)
    throw new CordonError(
      'INPUT_INVALID',
      `${JSON.stringify(odd.path.slice(0, MAX_PATH))} is no path of a policy file: it is relative, of letters, digits and . _ -`,
    )
  const folder = mkdtempSync(join(tmpdir(), 'cordon-draft-'))
  try {
    for (const { path, text } of files) {
      const file = join(folder, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
    return folder
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}
