// Where the configured ledger is: its folder, and the archive where there is one.

import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import { openLog } from '../observe/log.ts'
import { openAsItIs, type Store } from '../store/open.ts'
import type { FolderPlace } from '../verify/folder.ts'
import { Damaged } from '../verify/report.ts'
import type { Common } from './common.ts'
import { configOf, type Io, writeOut } from './io.ts'

/** Throws CordonError NOT_FOUND where nothing was ever recorded. */
export function ledgerPlace(
  io: Io,
  options: Common & { readonly archive?: string },
): { readonly config: Config; readonly place: FolderPlace } {
  const { config } = configOf(io, options)
  const ledger = join(config.data_dir, 'ledger')
  if (!existsSync(join(ledger, 'installation')))
    throw new CordonError(
      'NOT_FOUND',
      `${ledger}: there is no ledger yet; it begins with the first start`,
    )
  const archive =
    options.archive === undefined ? config.ledger.archive.dir : resolve(io.cwd, options.archive)
  return { config, place: { ledger, archive: existsSync(archive) ? archive : undefined } }
}

/** To a file, which must not be there yet, or to stdout. */
export async function putOut(io: Io, out: string | undefined, text: string): Promise<void> {
  if (out === undefined || out === '-') {
    await writeOut(io, text)
    return
  }
  try {
    writeFileSync(resolve(io.cwd, out), text, { flag: 'wx', mode: 0o644 })
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    throw new CordonError(
      isThere ? 'CONFLICT' : 'NOT_FOUND',
      isThere ? `${out}: is there already, and is not overwritten` : `${out}: cannot be written`,
      { cause: error },
    )
  }
}

/** What is damaged cannot be proved: the command says so and ends with 1. */
export function provable<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw provableFailure(error)
  }
}

/** The error to end with. */
export function provableFailure(error: unknown): unknown {
  return error instanceof Damaged
    ? new CordonError('CONFLICT', `the ledger is damaged: ${error.message}`, { cause: error })
    : error
}

/** The configured database, which is not changed. Throws STORE_UNAVAILABLE. */
export async function storeAsItIs(config: Config): Promise<Store> {
  const store = await openAsItIs({
    databaseUrl: config.database_url,
    dataDir: config.data_dir,
    migrationsDir: join(PROGRAM_DIR, 'migrations'),
    log: openLog({ role: 'cli' }, { write: () => undefined }),
  })
  if (store !== undefined) return store
  throw new CordonError(
    'STORE_UNAVAILABLE',
    'the database is not of this release: start Cordon once, which migrates it',
  )
}
