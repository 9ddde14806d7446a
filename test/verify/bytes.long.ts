// Any byte of any file of a ledger, changed: found, or harmless for a reason that is named here.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constantFrom, integer, property, assert, tuple } from 'fast-check'
import t from 'tap'
import { verifyFolder } from '../../src/verify/folder.ts'
import { makeLedger } from '../support/ledger-folder.ts'

const dir = t.testdir()
const { ledger } = makeLedger(join(dir, 'data'), [{ stretches: [6, 9, 7] }, { stretches: [4] }])
const files = readdirSync(ledger, { recursive: true, encoding: 'utf8' }).filter(
  (name) => statSync(join(ledger, name)).isFile() && statSync(join(ledger, name)).size > 0,
)

function isIntact(): boolean {
  const options = { checkpoints: [], keys: [], onProgress: () => undefined }
  return verifyFolder({ ledger, archive: undefined }, options).verdict === 'intact'
}

/** Of such a file a change says nothing about the records. */
function isHarmless(name: string, before: Buffer, at: number): boolean {
  if (/(?:^|\/)(?:open|left|lock|reserve)$/.test(name)) return true
  // The line end behind an id or a key.
  if (/installation$|\.vkey$/.test(name)) return before[at] === 10
  // Times of a seal bound those of its records, and may be wider.
  if (!name.endsWith('.seal')) return false
  const text = before.toString('latin1')
  return /"time_(?:from|to)":\d*$/.test(text.slice(0, at)) && /\d/.test(text[at] ?? '')
}

t.test('a changed byte is found', async (t) => {
  t.ok(isIntact())
  assert(
    property(
      tuple(
        constantFrom(...files),
        integer({ min: 0, max: 2 ** 30 }),
        integer({ min: 1, max: 255 }),
      ),
      ([name, place, change]) => {
        const path = join(ledger, name)
        const before = readFileSync(path)
        const at = place % before.length
        const after = Buffer.from(before)
        after[at] = (before[at] ?? 0) ^ change
        writeFileSync(path, after)
        try {
          return !isIntact() || isHarmless(name, before, at)
        } finally {
          writeFileSync(path, before)
        }
      },
    ),
    { numRuns: 2000 },
  )
  t.ok(isIntact())
})
