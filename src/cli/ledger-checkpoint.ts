// `cordon ledger checkpoint`: one signed note of how far all writers have come, to keep elsewhere.

import { existsSync } from 'node:fs'
import { CordonError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { openLedgerKeys, pemPath } from '../ledger/ledger-keys.ts'
import { signNote } from '../proof/note.ts'
import { statementText } from '../proof/statement.ts'
import type { FolderPlace } from '../verify/folder.ts'
import { standingOf } from '../verify/prove.ts'
import type { Common } from './common.ts'
import type { ExitCode, Io } from './io.ts'
import { ledgerPlace, provable, putOut } from './ledger-place.ts'

export async function ledgerCheckpoint(
  io: Io,
  options: Common & { readonly out?: string },
): Promise<ExitCode> {
  const { config, place } = ledgerPlace(io, options)
  const { note, newest, records } = statementNote(config, place)
  await putOut(io, options.out, note)
  if (newest !== undefined) {
    const seconds = Math.max(0, Math.round((Date.now() - newest) / 1000))
    io.err.write(
      `covers ${records} records; the newest checkpoint in it was signed ${seconds} s ago\n`,
    )
  }
  return 0
}

/** The signed note, when the newest checkpoint in it was signed, and how many records it covers. */
export function statementNote(
  config: Config,
  place: FolderPlace,
): {
  readonly note: string
  readonly newest: number | undefined
  readonly records: number
} {
  if (!existsSync(pemPath(config.data_dir)))
    throw new CordonError(
      'LEDGER_KEY',
      `${pemPath(config.data_dir)} is missing: a statement can be signed only where the ledger is written`,
    )
  const { writers, installation, roster } = provable(() => standingOf(place))
  const { signing } = openLedgerKeys(config.data_dir, place.ledger)
  const text = statementText({ installation, time: Date.now(), roster, writers })
  const times = writers.map(({ time }) => time)
  return {
    note: signNote(text, signing),
    newest: times.length === 0 ? undefined : Math.max(...times),
    records: writers.reduce((sum, { size }) => sum + size, 0),
  }
}
