// What becomes of segments that the store has, and what a process leaves that dies in the middle of it.

import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Archive } from '../../src/ledger/archive.ts'
import { openLedgerKeys } from '../../src/ledger/ledger-keys.ts'
import { enterRoster } from '../../src/ledger/roster-folder.ts'
import { readKept } from '../../src/proof/kept.ts'
import { readRosterEntry } from '../../src/proof/roster.ts'
import { verifyFolder } from '../../src/verify/folder.ts'
import { makeLedger, type TestLedger } from '../support/ledger-folder.ts'
import { MemorySink, recorderOf, type TestRecorderMore } from '../support/records.ts'

/** The clock of `makeLedger` begins here; a stretch is eleven minutes. */
const START = Date.UTC(2026, 10, 1)
const MINUTE = 60_000

function intact(t: Test, { ledger }: TestLedger, archive: string | undefined, name: string): void {
  const { verdict, damage } = verifyFolder(
    { ledger, archive },
    { checkpoints: [], keys: [], onProgress: () => undefined },
  )
  t.same({ verdict, damage }, { verdict: 'intact', damage: [] }, name)
}

/** Ships all and archives it. */
async function archived(
  { ledger }: TestLedger,
  more: TestRecorderMore = {},
  sink = new MemorySink(),
): Promise<MemorySink> {
  const { recorder } = recorderOf(ledger, sink, more)
  await recorder.flush()
  await recorder.archive()
  return sink
}

function names(folder: string, ending: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(ending))
        .map((name) => String(Number(name.slice(0, 16))))
    : []
}

function keptFrom(folder: string): number | undefined {
  const note = readFileSync(join(folder, 'kept'), 'utf8')
  return readKept(note.slice(0, note.lastIndexOf('\n\n') + 1))?.from
}

function ledgerOf(t: Test): TestLedger {
  return makeLedger(join(t.testdir(), 'data'), [{ stretches: [5, 4, 3, 2] }, { stretches: [6, 1] }])
}

t.test(
  'without an archive folder, what is sealed and in the store is compressed where it is',
  async (t) => {
    const ledger = ledgerOf(t)
    const [one, two] = ledger.writers
    const sink = await archived(ledger)
    t.equal(sink.records.length, 21)
    t.same(names(one?.folder ?? '', '.seg.zst'), ['1', '6', '10'])
    t.same(names(one?.folder ?? '', '.seg'), ['13'], 'the newest one is still written to')
    t.same(names(one?.folder ?? '', '.seal'), ['1', '6', '10'])
    t.same(names(two?.folder ?? '', '.seg.zst'), ['1'])
    intact(t, ledger, undefined, 'and verifies')
    // A new store gets all of it from there.
    const again = await archived(ledger)
    t.equal(again.records.length, 21)
  },
)

t.test('what the store does not have is not archived', async (t) => {
  const ledger = ledgerOf(t)
  const [one] = ledger.writers
  const sink = new MemorySink()
  const write = sink.write.bind(sink)
  sink.write = (writer, records) => {
    if (writer === one?.writer) throw new Error('away')
    return write(writer, records)
  }
  const { recorder } = recorderOf(ledger.ledger, sink)
  await t.rejects(recorder.flush(), /away/)
  await recorder.archive()
  t.same(names(one?.folder ?? '', '.seg'), ['1', '6', '10', '13'])
})

t.test('with an archive folder they move there, and a signed note stays', async (t) => {
  const ledger = ledgerOf(t)
  const archiveDir = join(ledger.dataDir, 'archive')
  const [one] = ledger.writers
  const [from, to] = [one?.folder ?? '', join(archiveDir, one?.writer ?? '')]
  const sink = await archived(ledger, { archiveDir })
  for (const ending of ['.seg.zst', '.leaves', '.seal'])
    t.same(names(to, ending), ['1', '6', '10'], ending)
  t.same(names(from, '.seg'), ['13'])
  t.same(names(from, '.leaves'), ['13'])
  t.same(names(from, '.seal'), ['1', '6', '10'], 'seals stay in both')
  t.equal(keptFrom(from), 13)
  intact(t, ledger, archiveDir, 'together they verify')
  await archived(ledger, { archiveDir }, sink)
  t.equal(sink.records.length, 21, 'nothing is shipped again')
  const again = await archived(ledger, { archiveDir })
  t.equal(again.records.length, 21, 'a new store gets all of it')
})

t.test('beyond age and size the oldest goes, a stretch at a time', async (t) => {
  for (const place of ['', 'archive']) {
    const ledger = ledgerOf(t)
    const archiveDir = place === '' ? '' : join(ledger.dataDir, place)
    const folderOf = (index: number): string => {
      const { writer = '', folder = '' } = ledger.writers[index] ?? {}
      return place === '' ? folder : join(archiveDir, writer)
    }
    const verified = (name: string): void =>
      intact(t, ledger, place === '' ? undefined : archiveDir, `${place}: ${name}`)
    // The first stretch of the first writer ends at the beginning, its second one eleven minutes later.
    const sink = await archived(ledger, {
      archiveDir,
      archiveKeepMs: 5 * MINUTE,
      now: () => START + 6 * MINUTE,
    })
    t.same(names(folderOf(0), '.seg.zst'), ['6', '10'], place)
    t.same(names(folderOf(0), '.seal'), ['1', '6', '10'], 'seals stay')
    t.same(names(folderOf(1), '.seg.zst'), ['1'])
    t.equal(keptFrom(folderOf(0)), 6)
    verified('older ones are gone')
    const bytes = readFileSync(join(folderOf(1), '0000000000000001.seg.zst')).length
    const past = [{ from: undefined, to: START - MINUTE }]
    await archived(
      ledger,
      { archiveDir, archiveLimitBytes: bytes, held: () => Promise.resolve(past) },
      sink,
    )
    t.same(names(folderOf(0), '.seg.zst'), [])
    t.same(names(folderOf(1), '.seg.zst'), ['1'], 'as many as are kept, the newest')
    verified('and what is more')
    const now = [{ from: START + 30 * MINUTE, to: undefined }]
    await archived(
      ledger,
      { archiveDir, archiveLimitBytes: 0, held: () => Promise.resolve(now) },
      sink,
    )
    t.same(names(folderOf(1), '.seg.zst'), ['1'], 'what is held stays')
    await archived(ledger, { archiveDir, archiveLimitBytes: 0 }, sink)
    t.same(names(folderOf(1), '.seg.zst'), [])
    verified('nothing is left but the newest')
  }
})

t.test('a hold that cannot be asked for keeps everything', async (t) => {
  const ledger = ledgerOf(t)
  const [one] = ledger.writers
  await archived(ledger, {
    archiveLimitBytes: 0,
    held: () => Promise.reject(new Error('the store is away')),
  })
  t.same(names(one?.folder ?? '', '.seg.zst'), ['1', '6', '10'])
})

t.test(
  'whatever a process leaves that dies on the way, nothing is lost and the next one finishes',
  async (t) => {
    const whole = ledgerOf(t)
    const [first] = whole.writers
    const name = '0000000000000001'
    const zst = zstdCompressSync(readFileSync(join(first?.folder ?? '', `${name}.seg`)))
    type Left = (folder: string, away: string, done: TestLedger) => void
    const moments: Readonly<Record<string, Left>> = {
      'half a copy': (folder, away) => {
        writeFileSync(join(folder, `${name}.seg.zst.part`), zst.subarray(0, 100))
        writeFileSync(join(away, `${name}.seg.zst.part`), zst.subarray(0, 100))
      },
      'compressed, the first one not yet removed': (folder) =>
        writeFileSync(join(folder, `${name}.seg.zst`), zst),
      'a copy in the archive, and no leaves': (_, away) =>
        writeFileSync(join(away, `${name}.seg.zst`), zst),
      'all in the archive, nothing gone': (folder, away) => {
        writeFileSync(join(away, `${name}.seg.zst`), zst)
        for (const ending of ['leaves', 'seal'])
          copyFileSync(join(folder, `${name}.${ending}`), join(away, `${name}.${ending}`))
      },
      'the note written, nothing gone': (folder, away, done) => {
        cpSync(join(done.dataDir, 'archive', basename(folder)), away, { recursive: true })
        copyFileSync(join(done.ledger, basename(folder), 'kept'), join(folder, 'kept'))
      },
      'the segment gone, its leaves not': (folder, away, done) => {
        cpSync(join(done.dataDir, 'archive', basename(folder)), away, { recursive: true })
        copyFileSync(join(done.ledger, basename(folder), 'kept'), join(folder, 'kept'))
        rmSync(join(folder, `${name}.seg`))
      },
    }
    const copy = (to: string): TestLedger => {
      cpSync(whole.dataDir, to, { recursive: true })
      const ledger = join(to, 'ledger')
      const writers = whole.writers.map((each) => ({ ...each, folder: join(ledger, each.writer) }))
      return { dataDir: to, ledger, writers }
    }
    const done = copy(join(t.testdirName, 'done'))
    await archived(done, { archiveDir: join(done.dataDir, 'archive') })
    for (const [index, [moment, leave]] of Object.entries(moments).entries()) {
      const ledger = copy(join(t.testdirName, String(index)))
      const archiveDir = join(ledger.dataDir, 'archive')
      const [one] = ledger.writers
      const away = join(archiveDir, one?.writer ?? '')
      mkdirSync(away, { recursive: true })
      leave(one?.folder ?? '', away, done)
      intact(t, ledger, archiveDir, `${moment}: verifies as it is`)
      const sink = await archived(ledger, { archiveDir })
      t.equal(sink.records.length, 21, `${moment}: everything arrives, once`)
      t.same(names(away, '.seg.zst'), ['1', '6', '10'], moment)
      t.same(names(one?.folder ?? '', '.seg'), ['13'], moment)
      t.same(names(one?.folder ?? '', '.seg.zst'), [], moment)
      intact(t, ledger, archiveDir, `${moment}: and so does what is made of it`)
    }
  },
)

t.test(
  'a writer that is gone and of which nothing is kept ends in the list of writers',
  async (t) => {
    const ledger = makeLedger(t.testdir(), [{ stretches: [5, 4, 0] }, { stretches: [6, 1] }])
    const [one, two] = ledger.writers
    writeFileSync(join(one?.folder ?? '', 'left'), '')
    const sink = await archived(ledger)
    t.ok(existsSync(one?.folder ?? ''), 'it is kept as long as its segments are')
    await archived(ledger, { archiveLimitBytes: 0 }, sink)
    t.notOk(existsSync(one?.folder ?? ''))
    t.ok(existsSync(two?.folder ?? ''), 'the other one may go on')
    const entries = readdirSync(join(ledger.ledger, 'writers')).toSorted()
    t.match(
      readFileSync(join(ledger.ledger, 'writers', entries.at(-1) ?? ''), 'utf8'),
      `\nended ${one?.writer} 9 `,
    )
    intact(t, ledger, undefined, 'and the ledger verifies')
  },
)

t.test(
  'whoever dies while a writer ends leaves a sound ledger, and the next one finishes',
  async (t) => {
    t.testdir()
    for (const place of ['', 'archive']) {
      const whole = makeLedger(join(t.testdirName, `whole${place}`), [
        { stretches: [5, 4, 0] },
        { stretches: [6, 1] },
      ])
      const [one] = whole.writers
      const writer = one?.writer ?? ''
      writeFileSync(join(one?.folder ?? '', 'left'), '')
      const archiveIn = (dataDir: string): string => (place === '' ? '' : join(dataDir, place))
      const archiveDir = archiveIn(whole.dataDir)
      const sink = await archived(whole, { archiveDir })
      const foldersIn = (dataDir: string): string[] =>
        [join(dataDir, 'ledger'), archiveIn(dataDir)].flatMap((dir) =>
          dir === '' ? [] : [join(dir, writer)],
        )
      // All segments are gone, and the writer is still there.
      const before = join(t.testdirName, `before${place}`)
      const keeping = [{ from: undefined, to: undefined }]
      await archived(
        whole,
        { archiveDir, archiveLimitBytes: 0, held: () => Promise.resolve(keeping) },
        sink,
      )
      const pruned = new Archive({
        ledgerDir: whole.ledger,
        dir: archiveDir,
        keepMs: 0,
        limitBytes: 0,
        now: () => START + 99 * MINUTE,
      })
      pruned.prune(() => 9, [])
      cpSync(whole.dataDir, before, { recursive: true })
      t.ok(pruned.end(writer, 9))
      for (const folder of foldersIn(whole.dataDir)) t.notOk(existsSync(folder))
      const entries = readdirSync(join(whole.ledger, 'writers')).length
      const moments: Readonly<Record<string, (dataDir: string) => void>> = {
        'entered, nothing gone': () => undefined,
        'its folder half gone': (dataDir) => {
          const [folder = ''] = foldersIn(dataDir)
          renameSync(folder, `${folder}.part`)
          rmSync(join(`${folder}.part`, 'checkpoint'))
        },
        'only its folder gone': (dataDir) =>
          rmSync(foldersIn(dataDir)[0] ?? '', { recursive: true }),
      }
      for (const [index, [moment, leave]] of Object.entries(moments).entries()) {
        const dataDir = join(t.testdirName, `${place}${index}`)
        cpSync(before, dataDir, { recursive: true })
        cpSync(join(whole.ledger, 'writers'), join(dataDir, 'ledger/writers'), { recursive: true })
        leave(dataDir)
        const ledger = { ...whole, dataDir, ledger: join(dataDir, 'ledger') }
        const archive = place === '' ? undefined : archiveIn(dataDir)
        intact(t, ledger, archive, `${place}: ${moment}: verifies as it is`)
        await archived(ledger, { archiveDir: archiveIn(dataDir), archiveLimitBytes: 0 }, sink)
        for (const folder of foldersIn(dataDir))
          t.same([existsSync(folder), existsSync(`${folder}.part`)], [false, false], moment)
        t.equal(readdirSync(join(ledger.ledger, 'writers')).length, entries, 'entered once')
        intact(t, ledger, archive, `${place}: ${moment}: and what is made of it`)
      }
      // Of a release that entered it again.
      const keys = openLedgerKeys(whole.dataDir, whole.ledger)
      const note = readFileSync(
        join(whole.ledger, 'writers', `${String(entries).padStart(8, '0')}.note`),
        'utf8',
      )
      const entry = readRosterEntry(note.slice(0, note.lastIndexOf('\n\n') + 1))
      if (entry?.event !== 'ended') throw new Error('the last entry is no end')
      const { event, size, root, time } = entry
      enterRoster(whole.ledger, keys, { event, writer, size, root, time })
      t.equal(readdirSync(join(whole.ledger, 'writers')).length, entries + 1)
      intact(t, whole, place === '' ? undefined : archiveDir, 'an end that is told twice')
    }
  },
)

t.test('an archive that takes nothing stops no record', async (t) => {
  const ledger = ledgerOf(t)
  const archiveDir = join(ledger.dataDir, 'archive')
  writeFileSync(archiveDir, 'a file where a folder should be')
  const sink = new MemorySink()
  const { recorder } = recorderOf(ledger.ledger, sink, { archiveDir })
  await recorder.flush()
  await recorder.archive()
  t.equal(sink.records.length, 21)
  t.same(names(ledger.writers[0]?.folder ?? '', '.seg'), ['1', '6', '10', '13'])
  rmSync(archiveDir)
  await recorder.archive()
  t.same(names(ledger.writers[0]?.folder ?? '', '.seg'), ['13'])
})
