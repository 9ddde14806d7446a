// A ledger folder that was put back from a backup is told from one that is as it was left.

import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { realDisk } from '../../src/ledger/disk.ts'
import { refuseOlder } from '../../src/ledger/rolled-back.ts'
import { Spool } from '../../src/ledger/spool.ts'
import { writersIn } from '../../src/ledger/writer-folder.ts'
import { auditRecord } from '../support/records.ts'

const open = (dir: string): Spool =>
  new Spool({
    dir,
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1024 ** 3,
    now: Date.now,
    disk: realDisk,
  })

/** One spool that appends so many records and ends well; its writer. */
async function record(dir: string, count: number): Promise<string> {
  const spool = open(dir)
  for (let n = 0; n < count; n++) await spool.append(auditRecord(String(n)))
  await spool.close()
  return spool.writer
}

const storeWith = (cursors: Readonly<Record<string, number>>, entries: number) => ({
  cursors: new Map(Object.entries(cursors)),
  entries: () => Promise.resolve(entries),
})

t.test('a folder that has all that the store has is gone on with', async (t) => {
  const dir = join(t.testdir(), 'ledger')
  await refuseOlder(dir, storeWith({}, 0))
  const writer = await record(dir, 5)
  await refuseOlder(dir, storeWith({}, 0))
  await refuseOlder(dir, storeWith({ [writer]: 5, another: 9 }, 1))
})

t.test('one that was put back is refused, and what to do is said', async (t) => {
  const dir = join(t.testdir(), 'ledger')
  const writer = await record(dir, 5)
  const backup = `${dir}.backup`
  cpSync(dir, backup, { recursive: true })
  await record(dir, 3)
  const store = storeWith({ [writer]: 8 }, 1)
  await refuseOlder(dir, store)
  rmSync(dir, { recursive: true })
  cpSync(backup, dir, { recursive: true })
  await t.rejects(refuseOlder(dir, store), {
    code: 'LEDGER_OLDER',
    message:
      /ledger is an older copy: the records of writer .* end with 5, the store has .* to 8\. Move/,
  })
  rmSync(dir, { recursive: true })
  await refuseOlder(dir, store)
  t.not(await record(dir, 1), writer, 'without it a new ledger begins')
})

t.test('so is one that lacks a writer of the list', async (t) => {
  const dir = join(t.testdir(), 'ledger')
  await record(dir, 5)
  await t.rejects(refuseOlder(dir, storeWith({}, 2)), {
    code: 'LEDGER_OLDER',
    message: /its list of writers has 1 entries, the store knows 2/,
  })
})

t.test(
  'after a power loss the store may have more: no copy, and another writer begins',
  async (t) => {
    const dir = join(t.testdir(), 'ledger')
    const writer = await record(dir, 5)
    writeFileSync(join(dir, writer, 'open'), 'another boot')
    await refuseOlder(dir, storeWith({ [writer]: 7 }, 1))
    t.not(await record(dir, 1), writer)
    t.equal(writersIn(dir).length, 2)
    t.ok(readdirSync(join(dir, writer)).includes('left'))
    await refuseOlder(dir, storeWith({ [writer]: 7 }, 2))
  },
)
