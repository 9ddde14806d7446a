// The keys and the list of writers of a ledger's folder.

import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { WRITER } from '../ledger/writer-folder.ts'
import type { KeptKey } from '../proof/key-chain.ts'
import { Damaged } from './report.ts'
import { readSmall } from './small-file.ts'
import { Trust } from './trust.ts'

const VKEY_FILE = /^(\d{4})\.(vkey|note)$/
const ROSTER_FILE = /^(\d{8})\.note$/
/** Being written under that name, and renamed when it is whole. */
export const DRAFT = /\.part$/
const MAX_FILE_BYTES = 1024 * 1024

/** Throws Damaged; CordonError NOT_FOUND where there is no key to check anything with. */
export function trustIn(ledger: string): Trust {
  const { installation, kept } = keysIn(ledger)
  const trust = new Trust(installation, kept, (number) => ({
    file: `keys/${String(number).padStart(4, '0')}.vkey`,
  }))
  const entries = namesIn(join(ledger, 'writers'), ROSTER_FILE).toSorted()
  for (const [index, name] of entries.entries()) {
    const file = `writers/${name}`
    if (Number.parseInt(name, 10) !== index + 1)
      throw new Damaged({
        file,
        what: `entry ${index + 1} of the list of writers is missing before this one`,
      })
    trust.enrol(textIn(join(ledger, file)) ?? '', { file })
  }
  return trust
}

/** The keys as they are kept, whoever vouches for them. Throws as `trustIn`. */
export function keysIn(ledger: string): {
  readonly installation: string
  readonly kept: readonly KeptKey[]
} {
  const names = namesIn(join(ledger, 'keys'), VKEY_FILE)
  const numbers = names.filter((name) => name.endsWith('.vkey')).toSorted()
  if (numbers.length === 0)
    throw new CordonError(
      'NOT_FOUND',
      `${join(ledger, 'keys')} has no key: there is nothing that signatures could be checked with`,
    )
  const installation = textIn(join(ledger, 'installation'))?.trim() ?? ''
  if (!WRITER.test(installation))
    throw new Damaged({ file: 'installation', what: 'is missing, or no UUID' })
  const kept = numbers.map((name, index) => {
    if (Number.parseInt(name, 10) !== index + 1)
      throw new Damaged({ file: `keys/${name}`, what: `key ${index + 1} is missing before it` })
    return {
      vkey: textIn(join(ledger, 'keys', name))?.trim() ?? '',
      note: textIn(join(ledger, 'keys', name.replace('.vkey', '.note'))),
    }
  })
  // Of a change of keys that is under way the note is there first.
  const stray = names.find(
    (name) => name.endsWith('.note') && Number.parseInt(name, 10) > kept.length + 1,
  )
  if (stray !== undefined)
    throw new Damaged({ file: `keys/${stray}`, what: 'vouches for a key that is not there' })
  return { installation, kept }
}

function namesIn(folder: string, form: RegExp): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (DRAFT.test(entry.name)) return []
    if (!form.test(entry.name) || !entry.isFile())
      throw new Damaged({
        file: `${basename(folder)}/${entry.name}`,
        what: 'does not belong into a ledger',
      })
    return [entry.name]
  })
}

function textIn(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  return readSmall(path, MAX_FILE_BYTES).toString('utf8')
}
