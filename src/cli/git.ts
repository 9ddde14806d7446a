// Which commit a file is of, as git says.

import { execFile } from 'node:child_process'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { CordonError } from '../base/errors.ts'
import type { Io } from './io.ts'

const run = promisify(execFile)
const TIMEOUT_MS = 30_000

export interface GitState {
  readonly commit: string
  /** Absent where no branch is checked out. */
  readonly branch?: string
}

/** Throws INPUT_INVALID where the file is not as it was committed: a commit that has another text proves nothing. */
export async function gitStateOf(
  io: Io,
  file: string,
  paths: readonly string[] = [basename(file)],
): Promise<GitState> {
  const git = async (...args: readonly string[]): Promise<string> => {
    try {
      const { stdout } = await run(
        'git',
        // Nothing that a working copy configures is run, and nothing is written.
        ['-c', 'core.fsmonitor=false', '--no-optional-locks', ...args],
        { cwd: dirname(file), env: { ...io.env }, timeout: TIMEOUT_MS, encoding: 'utf8' },
      )
      return stdout.trim()
    } catch (error) {
      throw cannot(file, error)
    }
  }
  const changes = await git('status', '--porcelain', '--ignored', '--', ...paths)
  if (changes !== '')
    throw new CordonError(
      'INPUT_INVALID',
      `--git: ${file} is not as it was committed (${changes.slice(0, 2).trim()}): commit it first`,
    )
  const commit = await git('rev-parse', '--verify', 'HEAD')
  const branch = await git('rev-parse', '--abbrev-ref', 'HEAD')
  return { commit, ...(branch === 'HEAD' ? {} : { branch }) }
}

function cannot(file: string, error: unknown): CordonError {
  const { code, stderr } = error as { code?: unknown; stderr?: unknown }
  const why =
    code === 'ENOENT'
      ? 'git is not installed, or the folder is not there'
      : typeof stderr === 'string' && stderr.trim() !== ''
        ? (stderr.trim().split('\n', 1)[0] ?? '')
        : 'git does not answer'
  return new CordonError('INPUT_INVALID', `--git: ${file}: ${why}`, { cause: error })
}
