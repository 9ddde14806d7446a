// `cordon ledger keys` and `cordon ledger rotate-key`: what checks the ledger's signatures, and a new key to sign with.

import { existsSync } from 'node:fs'
import { CordonError } from '../base/errors.ts'
import { pemPath, rotateKey } from '../ledger/ledger-keys.ts'
import { readSuccession } from '../proof/key-chain.ts'
import { vkeyOf } from '../proof/note.ts'
import { keysIn, trustIn } from '../verify/folder-trust.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { type ExitCode, type Io, printJson, printRows } from './io.ts'
import { ledgerPlace, provable } from './ledger-place.ts'

export async function ledgerKeys(io: Io, options: Common): Promise<ExitCode> {
  const { place } = ledgerPlace(io, options)
  const keys = provable(() => {
    const { keys: chain } = trustIn(place.ledger)
    const { kept } = keysIn(place.ledger)
    return chain.map((key, index) => {
      const since = readSuccession(kept[index]?.note ?? '')?.time
      return {
        number: index + 1,
        since: since === undefined ? null : new Date(since).toISOString(),
        in_force: index === chain.length - 1,
        vkey: vkeyOf(key),
        pem: key.key.export({ format: 'pem', type: 'spki' }).toString(),
      }
    })
  })
  if (options.json === true) printJson(io, keys)
  else printRows(io, false, ['number', 'since', 'in_force', 'vkey'], keys)
  return Promise.resolve(0)
}

export async function ledgerRotateKey(io: Io, options: Common): Promise<ExitCode> {
  const { config, place } = ledgerPlace(io, options)
  if (!existsSync(pemPath(config.data_dir)))
    throw new CordonError(
      'LEDGER_KEY',
      `${pemPath(config.data_dir)} is missing: only whoever has the key in force can vouch for the next one`,
    )
  const { signing } = rotateKey(config.data_dir, Date.now())
  const rotated = { number: keysIn(place.ledger).kept.length, vkey: vkeyOf(signing) }
  if (options.json === true) printJson(io, rotated)
  else io.out.write(`${rotated.vkey}\n`)
  io.err.write(
    `key ${rotated.number} is in force; running processes take it within ten seconds, and what earlier keys signed stays valid\n`,
  )
  try {
    await withAdmin(io, config, (commands) => commands.ledgerKeyRotated(rotated))
  } catch (error) {
    // The key is in force all the same, and its note tells when and by which key.
    const why = error instanceof Error ? error.message : 'unknown error'
    io.err.write(`warning: the change could not be recorded as an event: ${why}\n`)
  }
  return 0
}
