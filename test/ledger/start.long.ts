// Several processes that begin with an empty data directory at the same moment.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { execPath } from 'node:process'
import t from 'tap'
import { realDisk } from '../../src/ledger/disk.ts'
import { openKeyChain, openLedgerKeys } from '../../src/ledger/ledger-keys.ts'
import { rosterNotes } from '../../src/ledger/roster-folder.ts'
import { writersIn } from '../../src/ledger/writer-folder.ts'
import { openNote } from '../../src/proof/note.ts'
import { NO_ENTRY, readRosterEntry, rosterHead } from '../../src/proof/roster.ts'
import { MemorySink, recorderOf } from '../support/records.ts'

const STARTER = join(import.meta.dirname, '../support/starter.ts')

t.test(
  'four processes that start at once: one key, one list of writers, one writer each',
  async (t) => {
    const dataDir = t.testdir()
    const children = Array.from({ length: 4 }, () =>
      spawn(execPath, [STARTER, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    // They have loaded what they need, and begin with the same word.
    await Promise.all(children.map(({ stdout }) => once(stdout, 'data')))
    for (const { stdin } of children) stdin.end('go\n')
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]))
    t.same(codes, [0, 0, 0, 0])
    const ledgerDir = join(dataDir, 'ledger')
    const { installation, keys } = openKeyChain(ledgerDir)
    t.equal(keys.length, 1)
    t.equal(openLedgerKeys(dataDir).signing.id, keys[0]?.id)
    const notes = rosterNotes(ledgerDir)
    let head = NO_ENTRY
    for (const [index, note] of notes.entries()) {
      const opened = openNote(note, keys)
      t.equal(opened?.signedBy.length, 1)
      t.match(readRosterEntry(opened?.text ?? ''), {
        installation,
        number: index + 1,
        previous: head.hash,
      })
      head = rosterHead(index + 1, note)
    }
    t.equal(notes.length, writersIn(ledgerDir).length)
    t.same(
      realDisk.list(ledgerDir).filter((name) => name.endsWith('.part')),
      [],
    )
    const sink = new MemorySink()
    await recorderOf(ledgerDir, sink).recorder.flush()
    t.equal(new Set(sink.names).size, 4)
  },
)
