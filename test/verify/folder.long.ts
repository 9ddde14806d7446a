// Whatever is done to a ledger's files is found, and the record named; and what Cordon itself does to them is no damage.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { erasedPersonal, RecordEncoder } from '../../src/ledger/encode.ts'
import { frameOf } from '../../src/ledger/frame.ts'
import { openLedgerKeys, rotateKey } from '../../src/ledger/ledger-keys.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { KEPT_FILE, keptText } from '../../src/proof/kept.ts'
import { keyName, successionNote } from '../../src/proof/key-chain.ts'
import { generateKey, openNote, readVkey, signNote, vkeyOf } from '../../src/proof/note.ts'
import { readRosterEntry, rosterHead, rosterText } from '../../src/proof/roster.ts'
import { verifyFolder } from '../../src/verify/folder.ts'
import type { Report } from '../../src/verify/report.ts'
import {
  checkpointOf,
  makeLedger,
  type TestLedger,
  type TestWriter,
} from '../support/ledger-folder.ts'
import { auditRecord } from '../support/records.ts'
import {
  changed,
  copyOf,
  duplicate,
  editFrames,
  filesOf,
  framesIn,
  fitFrontiers,
  fitLeaves,
  placeOf,
  putFrames,
  renumberAll,
  signAnew,
  signWholeAnew,
} from '../support/tamper.ts'

const SIZES = [6, 9, 7]
const dir = t.testdir()
const sound = makeLedger(join(dir, 'sound'), [
  { stretches: SIZES },
  { stretches: [4, 5], beyond: 3 },
  { stretches: SIZES },
])
let copies = 0

function spoiled(ledger: TestLedger = sound): TestLedger {
  return copyOf(ledger, join(dir, `copy-${copies++}`))
}

interface Kept {
  readonly checkpoints?: readonly string[]
  readonly keys?: readonly string[]
}

function verify({ ledger }: TestLedger, { checkpoints = [], keys = [] }: Kept = {}): Report {
  return verifyFolder(
    { ledger, archive: undefined },
    {
      checkpoints: checkpoints.map((note, index) => ({ file: `kept-${index}`, note })),
      keys: keys
        .map((key) => readVkey(key) ?? t.fail(key))
        .filter((key) => typeof key === 'object'),
      onProgress: () => undefined,
    },
  )
}

function first({ writers }: TestLedger, index = 0): TestWriter {
  const writer = writers[index]
  if (writer === undefined) throw new Error('there is no such writer')
  return writer
}

/** First, middle and last records of segments and of the whole. */
const TARGETS = [1, 2, 6, 7, 11, 15, 16, 22]
const LAST = 22

interface Attack {
  readonly does: (writer: TestWriter, seq: number) => void
  /** The number that is told; undefined where only a range of records can be. */
  readonly tells?: (seq: number) => number | undefined
  readonly at?: readonly number[]
}

const same = (seq: number): number => seq

const ATTACKS: Readonly<Record<string, Attack>> = {
  'a changed field': {
    does: (writer, seq) => {
      const { path, index } = placeOf(writer, seq)
      const bytes = readFileSync(path)
      let at = 0
      for (let frame = 0; frame <= index; frame++) at = bytes.indexOf('{"v":1,"kind":', at + 1)
      bytes[bytes.indexOf('"tenant":"default"', at) + 12] = 0x58
      writeFileSync(path, bytes)
    },
    tells: same,
  },
  'a changed field, checksum repaired': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) =>
        frames.splice(index, 1, changed(pick(frames, index))),
      ),
    tells: same,
  },
  'a changed field, checksum and leaves repaired': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) =>
        frames.splice(index, 1, changed(pick(frames, index))),
      )
      fitLeaves(writer)
    },
  },
  'a changed field, everything but signatures repaired': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) =>
        frames.splice(index, 1, changed(pick(frames, index))),
      )
      fitLeaves(writer)
      fitFrontiers(writer)
    },
  },
  'a removed record': {
    does: (writer, seq) => editFrames(writer, seq, (frames, index) => frames.splice(index, 1)),
    tells: same,
  },
  'a removed record, the others renumbered': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) => frames.splice(index, 1))
      renumberAll(writer)
    },
    tells: () => undefined,
  },
  'an inserted record': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) =>
        frames.splice(index, 0, changed(pick(frames, index))),
      ),
  },
  'a record that is there twice': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => frames.splice(index, 0, pick(frames, index))),
    tells: (seq) => seq + 1,
  },
  'an inserted record, the others renumbered': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) => frames.splice(index, 0, pick(frames, index)))
      renumberAll(writer)
    },
    tells: () => undefined,
    // What is put behind the newest checkpoint is a record that no checkpoint covers yet.
    at: [1, 2, 6, 7, 11, 15, 16, 21],
  },
  'a reordered pair': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => {
        const [one, two] = [pick(frames, index), pick(frames, index + 1)]
        frames.splice(index, 2, two, one)
      }),
    tells: same,
    at: [1, 2, 8, 12, 16, 21],
  },
  'a reordered pair, renumbered': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) => {
        const [one, two] = [pick(frames, index), pick(frames, index + 1)]
        frames.splice(index, 2, two, one)
      })
      renumberAll(writer)
    },
    tells: same,
    at: [1, 2, 8, 12, 16, 21],
  },
  'another personal part': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => {
        const frame = pick(frames, index)
        frame.personal = Buffer.concat([frame.personal, Buffer.from(' ')])
      }),
    tells: same,
  },
  'a personal part that was taken away': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => {
        pick(frames, index).personal = Buffer.alloc(0)
      }),
    tells: same,
    at: [1, 2, 6, 7, 15, 16, 22],
  },
  'a personal part that nobody ordered to be erased': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => {
        const frame = pick(frames, index)
        frame.personal = erasedPersonal(frame.personal.length)
      }),
    tells: same,
    at: [1, 2, 6, 7, 15, 16, 22],
  },
  'a tail that is cut below the checkpoint': {
    does: (writer, seq) =>
      editFrames(writer, seq, (frames, index) => {
        frames.splice(index)
      }),
    tells: same,
    at: [16, 19, 22],
  },
  'a tail that is cut, with its leaves': {
    does: (writer, seq) => {
      editFrames(writer, seq, (frames, index) => {
        frames.splice(index)
      })
      fitLeaves(writer)
    },
    tells: same,
    at: [16, 19, 22],
  },
  'a tail that is cut inside a frame': {
    does: (writer, seq) => {
      const { path } = placeOf(writer, seq)
      writeFileSync(path, readFileSync(path).subarray(0, -5))
    },
    tells: () => LAST,
    at: [LAST],
  },
  'a segment twice, as another edition': {
    does: (writer, seq) => duplicate(writer, seq, (file) => file.replace('.seg', '-1.seg')),
    at: [1, 7, 16],
  },
  'a segment twice, under another number': {
    does: (writer, seq) =>
      duplicate(writer, seq, (file) => file.replace(/^\d{16}/, '0000000000000004')),
    at: [1, 7, 16],
  },
  'a segment twice, compressed, with other content': {
    does: (writer, seq) => {
      const { path } = placeOf(writer, seq)
      const bytes = readFileSync(path)
      writeFileSync(`${path}.zst`, zstdCompressSync(bytes.subarray(0, -3)))
    },
    at: [1, 7, 16],
  },
  'a removed segment': {
    does: (writer, seq) => rmSync(placeOf(writer, seq).path),
    at: [1, 7, 16],
  },
  'a removed segment, with leaves and seal': {
    does: (writer, seq) => {
      const { path } = placeOf(writer, seq)
      for (const ending of ['seg', 'leaves', 'seal'])
        rmSync(path.replace(/seg$/, ending), { force: true })
    },
    at: [1, 7, 16],
  },
  'removed segments from the first on': {
    does: (writer, seq) => {
      for (const { path, firstSeq } of segmentsOf(writer.folder)) {
        if (firstSeq > seq) continue
        rmSync(path)
        rmSync(path.replace(/seg$/, 'leaves'))
      }
    },
    at: [1, 7, 16],
  },
  'a removed seal': {
    does: (writer, seq) => rmSync(placeOf(writer, seq).path.replace(/seg$/, 'seal')),
    at: [1, 7],
  },
  'the seal of another segment': {
    does: (writer, seq) => {
      const other = placeOf(writer, seq === 1 ? 7 : 1).path.replace(/seg$/, 'seal')
      writeFileSync(placeOf(writer, seq).path.replace(/seg$/, 'seal'), readFileSync(other))
    },
    at: [1, 7],
  },
  'removed leaves': {
    does: (writer, seq) => rmSync(placeOf(writer, seq).path.replace(/seg$/, 'leaves')),
    at: [1, 7, 16],
  },
  'replaced leaves': {
    does: (writer, seq) => {
      const { path, index } = placeOf(writer, seq)
      const leaves = readFileSync(path.replace(/seg$/, 'leaves'))
      leaves.fill(7, index * 32, index * 32 + 32)
      writeFileSync(path.replace(/seg$/, 'leaves'), leaves)
    },
    tells: same,
  },
  'a removed checkpoint': { does: ({ folder }) => rmSync(join(folder, 'checkpoint')), at: [1] },
  'an older checkpoint': {
    does: (writer) => {
      const path = join(writer.folder, filesOf(writer, '.seal')[0] ?? '')
      const { checkpoint } = JSON.parse(readFileSync(path, 'utf8')) as { checkpoint: string }
      writeFileSync(join(writer.folder, 'checkpoint'), checkpoint)
    },
    at: [1],
  },
  'a file that does not belong here': {
    does: ({ folder }) => writeFileSync(join(folder, 'notes.txt'), 'x'),
    at: [1],
  },
}

function pick<T>(list: readonly T[], index: number): T {
  const found = list[index]
  if (found === undefined) throw new Error('there is no such frame')
  return found
}

t.test('a ledger that nobody touched is intact', async (t) => {
  const report = verify(sound)
  t.equal(report.verdict, 'intact')
  t.same(report.damage, [])
  t.equal(report.records, 22 + 12 + 22)
  t.match(
    report.writers.find(({ writer }) => writer === first(sound, 1).writer),
    { records: 12, checkpoint: { size: 9 }, beyond_checkpoint: 3, first_seq: 1, last_seq: 12 },
  )
  t.equal(verify(sound, { checkpoints: sound.writers.map(checkpointOf) }).verdict, 'intact')
})

for (const [name, { does, tells, at = TARGETS }] of Object.entries(ATTACKS)) {
  t.test(`${name} is found`, async (t) => {
    for (const seq of at) {
      const ledger = spoiled()
      const writer = first(ledger, seq % 2 === 0 ? 0 : 2)
      does(writer, seq)
      const { verdict, damage } = verify(ledger)
      t.equal(verdict, 'damaged', `record ${seq}`)
      t.match(damage[0], { writer: writer.writer }, `record ${seq}: the writer is named`)
      const told = tells?.(seq)
      if (told !== undefined) t.equal(damage[0]?.seq, told, `record ${seq}: ${damage[0]?.what}`)
      rmSync(ledger.dataDir, { recursive: true })
    }
  })
}

t.test('changes in several writers are all told, one each', async (t) => {
  const ledger = spoiled()
  for (const writer of [first(ledger), first(ledger, 2)])
    editFrames(writer, 7, (frames, index) => frames.splice(index, 1, changed(pick(frames, index))))
  t.same(
    verify(ledger).damage.map(({ writer, seq }) => [writer, seq]),
    [first(ledger).writer, first(ledger, 2).writer].toSorted().map((writer) => [writer, 7]),
  )
})

t.test('a removed writer is found', async (t) => {
  const folderGone = spoiled()
  rmSync(first(folderGone).folder, { recursive: true })
  t.match(verify(folderGone).damage, [{ writer: first(folderGone).writer }])

  // The entries of the list from the last one on, and the folders that they name.
  for (const count of [1, 2]) {
    const ledger = spoiled()
    const folder = join(ledger.ledger, 'writers')
    for (const name of readdirSync(folder).toSorted().slice(-count)) {
      const [, writer = ''] = /begun (\S+)/.exec(readFileSync(join(folder, name), 'utf8')) ?? []
      rmSync(join(folder, name))
      rmSync(join(ledger.ledger, writer), { recursive: true })
    }
    const { verdict, damage } = verify(ledger)
    t.equal(verdict, 'damaged')
    t.match(damage[0]?.what, /entries were removed/)
  }

  const middle = spoiled()
  rmSync(join(middle.ledger, 'writers', '00000002.note'))
  t.match(verify(middle).damage, [{ what: /entry 2 .* is missing/ }])
  const none = spoiled()
  rmSync(join(none.ledger, 'writers'), { recursive: true })
  t.equal(verify(none).verdict, 'damaged')
})

t.test('a segment of another writer, and a folder of nobody, are found', async (t) => {
  const foreign = spoiled()
  const [one, other] = [first(foreign), first(foreign, 2)]
  writeFileSync(placeOf(one, 7).path, readFileSync(placeOf(other, 7).path))
  t.match(verify(foreign).damage[0], { writer: one.writer, what: /of writer/ })
  const unknown = spoiled()
  renameSync(first(unknown).folder, join(unknown.ledger, '00000000-0000-4000-8000-000000000000'))
  t.match(verify(unknown).damage[0]?.what, /does not know it/)
})

t.test('a segment that is signed anew is found', async (t) => {
  const change = (ledger: TestLedger): TestWriter => {
    const writer = first(ledger)
    editFrames(writer, 8, (frames, index) => frames.splice(index, 1, changed(pick(frames, index))))
    return writer
  }
  const alone = spoiled()
  const installation = readFileSync(join(alone.ledger, 'installation'), 'utf8').trim()
  const key = generateKey(keyName(installation))
  signAnew(change(alone), key)
  t.match(verify(alone).damage[0]?.what, /not signed by a key of this ledger/)

  // With the key put among those of the ledger, vouched for by nobody, by itself, by another one.
  for (const note of [
    undefined,
    signNote('x\n', key),
    successionNote({ installation, number: 2, time: 0 }, generateKey(key.name), key),
  ]) {
    const ledger = spoiled()
    signAnew(change(ledger), key)
    writeFileSync(join(ledger.ledger, 'keys', '0002.vkey'), `${vkeyOf(key)}\n`)
    if (note !== undefined) writeFileSync(join(ledger.ledger, 'keys', '0002.note'), note)
    t.match(verify(ledger).damage, [{ file: 'keys/0002.vkey' }])
  }
})

t.test('a ledger that is wholly made anew is found by what was kept elsewhere', async (t) => {
  const ledger = spoiled()
  const vkey = readFileSync(join(sound.ledger, 'keys', '0001.vkey'), 'utf8')
  editFrames(first(ledger), 8, (frames, index) => frames.splice(index, 1))
  renumberAll(first(ledger))
  const key = signWholeAnew(ledger)
  t.match(verify(ledger).writers.filter(({ state }) => state === 'intact').length >= 2, true)

  const same = spoiled()
  signWholeAnew(same)
  t.equal(verify(same).verdict, 'intact', 'by itself it tells nothing')
  t.match(verify(same, { keys: [vkey] }).damage[0]?.what, /none of the keys/)
  t.match(
    verify(same, { checkpoints: [checkpointOf(first(sound))] }).damage[0]?.what,
    /not signed by a key of this ledger/,
  )
  t.equal(verify(sound, { keys: [vkey] }).verdict, 'intact')
  t.match(verify(sound, { keys: [vkeyOf(key)] }).verdict, 'damaged')
})

t.test(
  'a ledger that was rolled back is found by a checkpoint that was kept elsewhere',
  async (t) => {
    const data = join(dir, 'growing')
    const before = makeLedger(data, [{ stretches: [5] }])
    const older = spoiled(before)
    const kept = checkpointOf(first(before))
    const after = makeLedger(data, [{ stretches: [3] }])
    t.equal(first(after).writer, first(before).writer, 'the same writer goes on')
    t.equal(verify(after, { checkpoints: [kept] }).verdict, 'intact', 'it has grown since')
    t.equal(verify(older).verdict, 'intact', 'by itself it tells nothing')
    t.match(verify(older, { checkpoints: [checkpointOf(first(after))] }).damage, [
      { writer: first(before).writer, seq: 6, what: /is missing/ },
    ])
  },
)

t.test('what Cordon itself does to the files is no damage', async (t) => {
  const compressed = spoiled()
  for (const { path } of segmentsOf(first(compressed).folder)) {
    writeFileSync(`${path}.zst`, zstdCompressSync(readFileSync(path)))
    // A process that died in between has left both.
    if (!path.includes('0000000000000007')) rmSync(path)
  }
  t.equal(verify(compressed).verdict, 'intact')
  t.equal(verify(compressed).records, verify(sound).records)

  const torn = spoiled()
  const { path } = placeOf(first(torn), LAST)
  const bytes = readFileSync(path)
  writeFileSync(path, Buffer.concat([bytes, bytes.subarray(SEGMENT_HEAD, SEGMENT_HEAD + 40)]))
  t.match(verify(torn), { verdict: 'intact', damage: [] })
  t.match(
    verify(torn).writers.find(({ writer }) => writer === first(torn).writer),
    { torn_bytes: 40, records: LAST },
  )
})

t.test(
  'segments that were pruned or moved are no damage where a signed note says so',
  async (t) => {
    const ledger = spoiled()
    const writer = first(ledger)
    const archive = join(ledger.dataDir, 'archive')
    const away = join(archive, writer.writer)
    mkdirSync(away, { recursive: true })
    for (const ending of ['seg', 'leaves'])
      renameSync(
        join(writer.folder, `0000000000000001.${ending}`),
        join(away, `0000000000000001.${ending}`),
      )
    copyFileSync(join(writer.folder, '0000000000000001.seal'), join(away, '0000000000000001.seal'))
    t.match(verify(ledger).damage, [{ writer: writer.writer, seq: 1, last_seq: 6 }])
    const { signing } = openLedgerKeys(ledger.dataDir)
    const kept = (from: number, older: 'removed' | 'archived' = 'removed'): string =>
      signNote(keptText({ writer: writer.writer, from, older, time: 0 }), signing)
    writeFileSync(join(writer.folder, KEPT_FILE), kept(7, 'archived'))
    t.match(verify(ledger), {
      verdict: 'unknown',
      records: 56 - 6,
      unjudged: [/were moved to an archive, which was not given/],
    })
    const together = { archive, ledger: ledger.ledger }
    const options = { checkpoints: [], keys: [], onProgress: () => undefined }
    t.match(verifyFolder(together, options), { verdict: 'intact', records: 56 })
    rmSync(join(away, '0000000000000001.seg'))
    t.match(verifyFolder(together, options).damage, [
      { writer: writer.writer, seq: 1, last_seq: 6 },
    ])
    rmSync(join(away, '0000000000000001.leaves'))
    writeFileSync(join(away, KEPT_FILE), kept(7))
    t.match(verifyFolder({ ...together, archive: `${archive}-gone` }, options).verdict, 'damaged')
    t.match(verifyFolder(together, options), { verdict: 'intact', records: 56 - 6 })
    // The note of the ledger explains nothing in the archive.
    copyFileSync(join(writer.folder, KEPT_FILE), join(away, KEPT_FILE))
    t.match(verifyFolder(together, options).damage, [{ writer: writer.writer, file: /kept$/ }])
    writeFileSync(join(away, KEPT_FILE), kept(7))

    // What was kept elsewhere of the part that is gone is compared where a seal tells its root.
    const sealed = (seq: number): string => {
      const path = join(first(sound).folder, `${String(seq).padStart(16, '0')}.seal`)
      return (JSON.parse(readFileSync(path, 'utf8')) as { checkpoint: string }).checkpoint
    }
    t.match(
      verifyFolder(together, {
        ...options,
        checkpoints: [sealed(1), sealed(7)].map((note) => ({ file: 'kept', note })),
      }).verdict,
      'intact',
    )
    // The folder in the ledger is gone, and what is in the archive is not all of it.
    renameSync(writer.folder, `${ledger.dataDir}/away`)
    t.match(verifyFolder(together, options).damage, [
      { writer: writer.writer, what: /folder is missing/ },
    ])
    renameSync(`${ledger.dataDir}/away`, writer.folder)
    rmSync(join(writer.folder, '0000000000000007.seg'))
    rmSync(join(writer.folder, '0000000000000007.leaves'))
    t.match(verify(ledger).damage, [{ writer: writer.writer, seq: 7, last_seq: 15 }])
    writeFileSync(join(writer.folder, KEPT_FILE), kept(16))
    t.equal(verify(ledger, { checkpoints: [sealed(1)] }).verdict, 'intact')
    rmSync(join(writer.folder, '0000000000000001.seal'))
    t.equal(verify(ledger).verdict, 'damaged', 'seals stay')
  },
)

t.test('a person who was erased is no damage where a record orders it', async (t) => {
  const data = join(dir, 'erased')
  const erased = {
    ...auditRecord('x'),
    event_type: 'person_erased',
    data: {
      erasure_id: '00000000-0000-4000-8000-000000000001',
      person_keys: ['person-1'],
      before: '2026-11-02T00:00:00.000Z',
    },
  }
  const ledger = makeLedger(data, [{ stretches: [9, 4] }, { stretches: [2], each: [erased] }])
  const writer = first(ledger)
  const erase = (seq: number): void =>
    editFrames(writer, seq, (frames, index) => {
      const frame = pick(frames, index)
      frame.personal = erasedPersonal(frame.personal.length)
    })
  erase(1)
  erase(6)
  t.match(verify(ledger), { verdict: 'intact', damage: [] })
  t.equal(verify(ledger).writers.find((each) => each.writer === writer.writer)?.erased, 2)
  erase(2)
  t.match(verify(ledger).damage, [
    { writer: writer.writer, seq: 2, what: /no record of an erasure/ },
  ])

  // An order is for one tenant, and for what was there before it; and one that nobody has signed may be anybody's.
  for (const [name, order, verdict] of [
    [
      'earlier',
      { ...erased, data: { ...erased.data, before: '2026-10-01T00:00:00.000Z' } },
      'damaged',
    ],
    ['tenant', { ...erased, tenant: 'other' }, 'damaged'],
    ['unsigned', undefined, 'unknown'],
  ] as const) {
    const other = makeLedger(join(dir, name), [
      { stretches: [9, 4] },
      { stretches: [2], each: order === undefined ? [] : [order] },
    ])
    if (order === undefined) {
      const [, last] = other.writers
      const bytes = readFileSync(join(last?.folder ?? '', '0000000000000001.seg'))
      const made = new RecordEncoder().encode(erased, { writer: last?.writer ?? '', seq: 3 })
      writeFileSync(
        join(last?.folder ?? '', '0000000000000001.seg'),
        Buffer.concat([bytes, frameOf(made)]),
      )
    }
    editFrames(first(other), 1, (frames, index) => {
      const frame = pick(frames, index)
      frame.personal = erasedPersonal(frame.personal.length)
    })
    t.equal(verify(other).verdict, verdict, name)
  }
})

t.test('a record of a gap is told', async (t) => {
  const gap = {
    kind: 'gap',
    tenant: 'default',
    time: 5000,
    from: 1000,
    to: 4000,
    count: 12,
  } as const
  const ledger = makeLedger(join(dir, 'gap'), [
    { stretches: [3], each: [{ ...gap, reason: 'spool_full' }] },
  ])
  t.match(verify(ledger).writers, [
    { records: 4, gaps: [{ reason: 'spool_full', records: 12, from: '1970-01-01T00:00:01.000Z' }] },
  ])
})

t.test('evidence that was rolled back proves nothing of the records behind it', async (t) => {
  for (const [index, count] of SIZES.slice(0, 1).entries()) {
    const ledger = spoiled()
    const writer = first(ledger)
    const seals = filesOf(writer, '.seal')
    const path = join(writer.folder, seals[index] ?? '')
    const { checkpoint } = JSON.parse(readFileSync(path, 'utf8')) as { checkpoint: string }
    writeFileSync(join(writer.folder, 'checkpoint'), checkpoint)
    for (const file of [...seals, ...filesOf(writer, '.leaves')])
      if (Number.parseInt(file, 10) > Number.parseInt(seals[index] ?? '', 10))
        rmSync(join(writer.folder, file))
    editFrames(writer, 17, (frames, at) => frames.splice(at, 1, changed(pick(frames, at))))
    t.match(
      verify(ledger),
      {
        verdict: 'unknown',
        damage: [],
        unjudged: [/records \d+ to 22, .* covered by no checkpoint/],
      },
      `behind ${count} records`,
    )
  }
})

t.test('a kill while segments go or are repeated is no damage', async (t) => {
  // Two segments of one stretch, of which the first has gone.
  const leaving = spoiled()
  const writer = first(leaving)
  const { signing } = openLedgerKeys(leaving.dataDir)
  const { path } = placeOf(writer, 1)
  const frames = framesIn(path)
  const later = path.replace('0000000000000001', '0000000000000004')
  const head = readFileSync(path).subarray(0, SEGMENT_HEAD)
  head.writeBigUInt64LE(4n, SEGMENT_HEAD - 8)
  writeFileSync(later, head)
  putFrames(later, frames.slice(3))
  putFrames(path, frames.slice(0, 3))
  t.equal(verify(leaving).verdict, 'intact')
  rmSync(path)
  t.equal(verify(leaving).verdict, 'damaged')
  const note = keptText({ writer: writer.writer, from: 7, older: 'removed', time: 0 })
  writeFileSync(join(writer.folder, KEPT_FILE), signNote(note, signing))
  t.match(verify(leaving), { verdict: 'intact', damage: [] })

  // The tail was written again because it could not be synced, and not yet cut off where it was.
  const repeated = spoiled()
  const second = first(repeated, 1)
  const tail = placeOf(second, 10).path
  writeFileSync(tail.replace('.seg', '-1.seg'), readFileSync(tail))
  t.match(verify(repeated), { verdict: 'intact', damage: [] })
})

t.test('what is no file of a ledger is told, and neither read nor waited for', async (t) => {
  for (const [name, put] of Object.entries({
    'a pipe': (path: string) => execFileSync('mkfifo', [path]),
    'a device': (path: string) => symlinkSync('/dev/zero', path),
    'a link': (path: string) => {
      copyFileSync(join(first(sound).folder, 'checkpoint'), join(dir, 'elsewhere'))
      symlinkSync(join(dir, 'elsewhere'), path)
    },
    'a hole': (path: string) => {
      writeFileSync(path, '')
      truncateSync(path, 3 * 1024 ** 3)
    },
  })) {
    const ledger = spoiled()
    const { folder, writer } = first(ledger)
    rmSync(join(folder, 'checkpoint'))
    put(join(folder, 'checkpoint'))
    const { damage, writers } = verify(ledger)
    t.match(damage, [{ writer, file: 'checkpoint' }], name)
    t.equal(writers.filter(({ state }) => state === 'intact').length, 2, name)
    rmSync(ledger.dataDir, { recursive: true })
  }
})

t.test('bytes behind what was compressed are found', async (t) => {
  const ledger = spoiled()
  const { path } = placeOf(first(ledger), 1)
  const packed = zstdCompressSync(readFileSync(path))
  rmSync(path)
  writeFileSync(`${path}.zst`, packed)
  t.equal(verify(ledger).verdict, 'intact')
  for (const more of [Buffer.from('x'), zstdCompressSync(Buffer.from('x'))]) {
    writeFileSync(`${path}.zst`, Buffer.concat([packed, more]))
    t.match(verify(ledger).damage, [{ writer: first(ledger).writer, file: /zst$/ }])
  }
})

t.test('what a key signs that is no longer in force counts for nothing', async (t) => {
  const ledger = makeLedger(join(dir, 'rotated'), [{ stretches: [3] }, { stretches: [2] }])
  const { signing: leaked } = openLedgerKeys(ledger.dataDir)
  rotateKey(ledger.dataDir, Date.now())
  makeLedger(ledger.dataDir, [{ stretches: [2] }, { stretches: [2] }, { stretches: [2] }])
  t.equal(verify(ledger).verdict, 'intact')
  const folder = join(ledger.ledger, 'writers')
  const last = readdirSync(folder).toSorted().at(-1) ?? ''
  const known = readRosterEntry(openNote(readFileSync(join(folder, last), 'utf8'), [])?.text ?? '')
  const number = (known?.number ?? 0) + 1
  const { writer } = first(ledger)
  const ended = rosterText({
    installation: known?.installation ?? '',
    number,
    previous: rosterHead(number - 1, readFileSync(join(folder, last), 'utf8')).hash,
    time: Date.now(),
    event: 'ended',
    writer,
    size: 3,
    root: Buffer.alloc(32),
  })
  writeFileSync(join(folder, `${String(number).padStart(8, '0')}.note`), signNote(ended, leaked))
  rmSync(join(ledger.ledger, writer), { recursive: true })
  t.match(verify(ledger).damage[0]?.what, /is signed with key 1, after key 2 was in force/)
})

t.test(
  'a key that is no longer in force lets nothing go that a later one has sealed',
  async (t) => {
    const data = join(dir, 'pruned')
    const before = makeLedger(data, [{ stretches: [3, 4, 2] }])
    const { signing: retired } = openLedgerKeys(data)
    rotateKey(data, Date.now())
    const ledger = makeLedger(data, [{ stretches: [2] }])
    const { writer, folder } = first(ledger)
    t.equal(writer, first(before).writer, 'the same writer goes on')
    const { signing } = openLedgerKeys(data)
    // As if the key had changed between the two seals.
    const path = join(folder, '0000000000000004.seal')
    const seal = JSON.parse(readFileSync(path, 'utf8')) as { checkpoint: string }
    const checkpoint = signNote(openNote(seal.checkpoint, [])?.text ?? '', signing)
    writeFileSync(path, `${JSON.stringify({ ...seal, checkpoint })}\n`)
    t.equal(verify(ledger).verdict, 'intact')
    for (const [from, name] of [
      [4, '0000000000000001'],
      [8, '0000000000000004'],
    ] as const) {
      for (const ending of ['seg', 'leaves']) rmSync(join(folder, `${name}.${ending}`))
      const kept = keptText({ writer, from, older: 'removed', time: 0 })
      writeFileSync(join(folder, KEPT_FILE), signNote(kept, retired))
      if (from === 4) t.equal(verify(ledger).verdict, 'intact', 'it went before the change')
      else t.match(verify(ledger).damage, [{ writer, file: KEPT_FILE, what: /with key 1, and/ }])
      writeFileSync(join(folder, KEPT_FILE), signNote(kept, signing))
      t.equal(verify(ledger).verdict, 'intact')
    }
  },
)

t.test('a record that is nested without end is none', async (t) => {
  const ledger = spoiled()
  const writer = first(ledger)
  // An event, which is read whole.
  editFrames(writer, 3, (frames, index) => {
    const frame = frames[index]
    if (frame === undefined) throw new Error('there is no such frame')
    const text = frame.record.toString('utf8')
    const deep = `${'['.repeat(450_000)}${']'.repeat(450_000)}`
    frame.record = Buffer.from(`${text.slice(0, -1)},"deep":${deep}}`)
  })
  t.match(verify(ledger).damage, [
    { writer: writer.writer, seq: 3, what: /is not JSON in the form/ },
  ])
})
