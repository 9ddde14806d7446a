// Signed notes: what is signed is read, what is not is refused.

import t from 'tap'
import { checkpointText, readCheckpoint } from '../../src/proof/checkpoint.ts'
import { generateKey, openNote, readVkey, signNote, vkeyOf } from '../../src/proof/note.ts'
import { NO_ENTRY, readRosterEntry, rosterText } from '../../src/proof/roster.ts'
import { emptyRoot } from '../../src/proof/tree.ts'

const WRITER = '00000000-0000-4000-8000-000000000001'

t.test('a note is read with the key that signed it', async (t) => {
  const key = generateKey('cordon/test')
  const other = generateKey('cordon/test')
  const note = signNote('a text\n\nof two parts\n', key)
  t.same(openNote(note, [key]), { text: 'a text\n\nof two parts\n', signedBy: [key.id] })
  t.same(openNote(note, [other])?.signedBy, [], 'an unknown key vouches for nothing')
  t.equal(openNote(note.replace('two', 'few'), [key]), undefined, 'a changed text')
  const read = readVkey(vkeyOf(key))
  t.equal(read?.id, key.id)
  t.same(read === undefined ? [] : openNote(note, [read])?.signedBy, [key.id])
  t.equal(readVkey(vkeyOf(key).replace(/\+\w{8}\+/, '+00000000+')), undefined)
  t.same(openNote(signNote('both\n', key, other), [key, other])?.signedBy, [key.id, other.id])
})

t.test('checkpoints and entries of the list are read as they are written', async (t) => {
  const checkpoint = { writer: WRITER, size: 7, root: emptyRoot(), time: 1000, roster: NO_ENTRY }
  t.same(readCheckpoint(checkpointText(checkpoint)), checkpoint)
  t.equal(readCheckpoint(`${checkpointText(checkpoint)}more\n`), undefined)
  const head = { installation: WRITER, number: 1, previous: NO_ENTRY.hash, time: 1000 }
  for (const entry of [
    { ...head, event: 'begun', writer: WRITER } as const,
    { ...head, event: 'ended', writer: WRITER, size: 3, root: emptyRoot() } as const,
  ])
    t.same(readRosterEntry(rosterText(entry)), entry)
})
