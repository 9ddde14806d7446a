// What the writing end does by itself: seals, checkpoints, keys, the list of writers, room on the disk.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import type { Seal } from '../../src/ledger/evidence.ts'
import { putFrame } from '../../src/ledger/frame.ts'
import { openKeyChain, openLedgerKeys, rotateKey } from '../../src/ledger/ledger-keys.ts'
import { enterRoster, rosterNotes } from '../../src/ledger/roster-folder.ts'
import { segmentsOf } from '../../src/ledger/segment.ts'
import { claimWriter, type Ending, type WriterFolder } from '../../src/ledger/writer-folder.ts'
import { type Fsync, type News, WritingEnd, type Written } from '../../src/ledger/writing-end.ts'
import { type Checkpoint, readCheckpoint } from '../../src/proof/checkpoint.ts'
import { openNote } from '../../src/proof/note.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { auditRecord, decisionRecord } from '../support/records.ts'

const SECOND = 1000
const MIB = 1024 ** 2

/** One writing end with a clock of its own. */
class Rig {
  readonly dataDir: string
  readonly disk = new FaultyDisk()
  readonly folder: WriterFolder
  readonly news: News[] = []
  readonly #end: WritingEnd
  readonly #encoder = new RecordEncoder()
  #now = 1_700_000_000_000
  #seq: number

  constructor(t: Test, fsync: Fsync = 'batch') {
    this.dataDir = t.testdir()
    const now = (): number => this.#now
    const { dataDir, ledgerDir, disk } = this
    this.folder = claimWriter({ dataDir, ledgerDir, disk, now, onLeft: () => undefined })
    const { folder: place, disk: under } = this
    this.#seq = place.progress.size
    this.#end = new WritingEnd({
      disk: under,
      place,
      progress: place.progress,
      fsync,
      now,
      steady: now,
      tell: (news) => this.news.push(news),
    })
  }

  get ledgerDir(): string {
    return join(this.dataDir, 'ledger')
  }

  write(size = 0, isUrgent = false): Written {
    const area = Buffer.alloc(300 * 1024)
    const record = isUrgent ? auditRecord('a') : decisionRecord({ userAgent: 'x'.repeat(size) })
    const prepared = this.#encoder.prepare(record, this.folder.writer)
    const bytes = putFrame(area, 0, prepared, this.#seq + 1) ?? 0
    const times = { from: this.#now, to: this.#now }
    const written = this.#end.write({ frames: area.subarray(0, bytes), times, isUrgent })
    this.#seq += written.kept
    return written
  }

  pass(ms: number): void {
    this.#now += ms
    this.#end.tick()
  }

  close(): Ending {
    const ending = this.#end.close()
    this.folder.release(ending)
    return ending
  }

  /** What the newest checkpoint says, where a key of the ledger has signed it. */
  checkpoint(): (Checkpoint & { readonly key: string }) | undefined {
    const note = readFileSync(join(this.folder.folder, 'checkpoint'), 'utf8')
    const opened = openNote(note, openKeyChain(this.ledgerDir).keys)
    const said = readCheckpoint(opened?.text ?? '')
    return said === undefined ? undefined : { ...said, key: opened?.signedBy[0] ?? '' }
  }

  seals(): Seal[] {
    return this.disk
      .list(this.folder.folder)
      .filter((name) => name.endsWith('.seal'))
      .toSorted()
      .map((name) => JSON.parse(readFileSync(join(this.folder.folder, name), 'utf8')) as Seal)
  }

  syncs(): number {
    return this.disk.done.filter((each) => /^sync \d+(-\d+)?\.seg$/.test(each)).length
  }
}

t.test(
  'batch syncs within 200 ms, record before it answers, off before a checkpoint',
  async (t) => {
    for (const fsync of ['batch', 'record', 'off'] as const)
      t.test(fsync, async (t) => {
        const rig = new Rig(t, fsync)
        rig.write()
        t.equal(rig.syncs(), fsync === 'record' ? 1 : 0)
        rig.pass(200)
        t.equal(rig.syncs(), fsync === 'off' ? 0 : 1)
        rig.write()
        rig.pass(10 * SECOND)
        t.equal(rig.checkpoint()?.size, 2)
        t.equal(rig.syncs(), fsync === 'off' ? 1 : 2)
        rig.close()
      })
  },
)

t.test('after a quiet time the first record is signed at once', async (t) => {
  const rig = new Rig(t)
  // That the list of writers has an entry is signed first.
  rig.pass(60 * SECOND)
  rig.pass(60 * SECOND)
  rig.write()
  rig.pass(0)
  t.equal(
    rig.checkpoint()?.size,
    1,
    'so that no record is older than ten seconds without a checkpoint',
  )
  rig.write()
  rig.pass(5 * SECOND)
  t.equal(rig.checkpoint()?.size, 1, 'those that follow wait for each other')
  rig.pass(5 * SECOND)
  t.equal(rig.checkpoint()?.size, 2)
  rig.close()
})

t.test('a segment ends with its size, and with its age', async (t) => {
  const rig = new Rig(t)
  for (let written = 0; written < 17 * MIB;) written += rig.write(200_000).bytes
  const [first] = rig.seals()
  t.equal(first?.first_seq, 1)
  t.ok((first?.last_seq ?? 0) > 70)
  t.equal(segmentsOf(rig.folder.folder).length, 2)
  rig.pass(11 * SECOND)
  t.equal(rig.seals().length, 1)
  rig.pass(10 * 60 * SECOND)
  const [, second] = rig.seals()
  t.equal(second?.first_seq, (first?.last_seq ?? 0) + 1)
  t.equal(second?.last_seq, rig.checkpoint()?.size)
  rig.pass(20 * 60 * SECOND)
  t.equal(rig.seals().length, 2, 'what has no records has no seal')
  const leaves = readFileSync(join(rig.folder.folder, `${'1'.padStart(16, '0')}.leaves`))
  t.equal(leaves.length, 32 * (first?.last_seq ?? 0))
  rig.close()
})

t.test(
  'an entry in the list of writers is signed by an idle writer within ten seconds',
  async (t) => {
    const rig = new Rig(t)
    rig.pass(10 * SECOND)
    t.equal(rig.checkpoint()?.roster.count, 1)
    const before = rig.disk.done.length
    rig.pass(10 * SECOND)
    t.notOk(
      rig.disk.done.slice(before).some((each) => each.startsWith('rename checkpoint')),
      'nothing new, nothing signed',
    )
    const writer = '00000000-0000-4000-8000-000000000000'
    const keys = openLedgerKeys(rig.dataDir)
    const head = enterRoster(rig.ledgerDir, keys, { event: 'begun', writer, time: 0 })
    rig.pass(10 * SECOND)
    t.same(rig.checkpoint()?.roster, head)
    t.equal(head.count, 2)
    rig.close()
  },
)

t.test('a key that was changed signs the next checkpoint, a damaged one is told', async (t) => {
  const rig = new Rig(t)
  rig.write()
  rig.pass(10 * SECOND)
  const first = rig.checkpoint()?.key
  const { signing } = rotateKey(rig.dataDir, 0)
  rig.write()
  rig.pass(10 * SECOND)
  t.not(signing.id, first)
  t.equal(rig.checkpoint()?.key, signing.id)
  rig.disk.faults.push({ operation: 'identity', path: 'ledger.pem', fails: 'EIO' })
  rig.write()
  rig.pass(10 * SECOND)
  t.equal(rig.checkpoint()?.size, 3, 'the former key goes on')
  t.match(
    rig.news.find(({ kind }) => kind === 'problem'),
    { message: /goes on signing/ },
  )
  rig.close()
})

t.test('below the floor only what is urgent is written; full, it has the reserve', async (t) => {
  const rig = new Rig(t)
  rig.pass(10 * SECOND)
  t.equal(readFileSync(join(rig.ledgerDir, 'reserve')).length, 8 * MIB)
  rig.write()
  rig.disk.freeBytes = 63 * MIB
  rig.pass(SECOND)
  t.match(rig.write(), { kept: 0, refused: { reason: 'spool_full' } })
  t.match(rig.write(0, true), { kept: 1 })
  t.ok(rig.disk.has(join(rig.ledgerDir, 'reserve')))
  rig.disk.faults.push({
    operation: 'write',
    path: '.seg',
    fails: 'ENOSPC',
    times: 1,
    keepsBytes: 9,
  })
  t.match(rig.write(0, true), { kept: 1 }, 'in the room that the reserve gave')
  t.notOk(rig.disk.has(join(rig.ledgerDir, 'reserve')))
  rig.disk.freeBytes = undefined
  rig.pass(10 * SECOND)
  t.ok(rig.disk.has(join(rig.ledgerDir, 'reserve')), 'made again')
  t.match(rig.write(), { kept: 1 })
  t.equal(rig.close(), 'proved')
})

t.test('what proves records may be late and stops none of them', async (t) => {
  for (const path of [/\.leaves(?:\.part)?$/, /checkpoint\.part$/])
    t.test(path.source, async (t) => {
      const rig = new Rig(t)
      rig.write()
      rig.pass(10 * SECOND)
      rig.disk.faults.push({ operation: 'write', path, fails: 'EIO', times: 2, keepsBytes: 20 })
      rig.write()
      rig.pass(10 * SECOND)
      t.equal(rig.checkpoint()?.size, 1)
      t.match(rig.write(), { kept: 1 })
      rig.pass(30 * SECOND)
      rig.pass(30 * SECOND)
      t.equal(rig.checkpoint()?.size, 3)
      t.equal(rig.news.filter(({ kind }) => kind === 'problem').length, 1, 'told once')
      const leaves = readFileSync(join(rig.folder.folder, `${'1'.padStart(16, '0')}.leaves`))
      t.equal(leaves.length, 3 * 32)
      rig.close()
    })
})

t.test('no sync is repeated on a descriptor', async (t) => {
  const rig = new Rig(t, 'record')
  rig.disk.faults.push({ operation: 'sync', path: '.seg', fails: 'EIO', times: 5 })
  t.match(rig.write(), { kept: 1, unsafe: { reason: 'spool_failed' } })
  t.match(rig.write(), { kept: 0, refused: { reason: 'spool_failed' } })
  for (let second = 0; second < 10; second++) rig.pass(SECOND)
  t.match(rig.write(), { kept: 1 })
  const steps = rig.disk.done.filter((each) => /^(?:open|sync|close) \d+(?:-\d+)?\.seg$/.test(each))
  const failed = steps.slice(0, 3 * 5)
  t.same(
    failed.map((each) => each.split(' ')[0]),
    Array.from({ length: 5 }, () => ['open', 'sync', 'close']).flat(),
    'each is closed after its only sync',
  )
  t.equal(segmentsOf(rig.folder.folder).length, 1, 'what was moved is not there twice')
  rig.close()
})

t.test('a torn frame that cannot be cut off ends its segment', async (t) => {
  const rig = new Rig(t)
  rig.write()
  rig.disk.faults.push(
    { operation: 'write', path: '.seg', fails: 'EIO', times: 1, keepsBytes: 50 },
    { operation: 'truncate', path: '.seg', fails: 'EIO', times: 1 },
  )
  t.match(rig.write(), { kept: 0, refused: { reason: 'spool_failed' } })
  t.match(rig.write(), { kept: 1 })
  t.equal(segmentsOf(rig.folder.folder).length, 2)
  t.equal(rig.close(), 'proved')
})

t.test(
  'who ends in trouble leaves each frame once, sealed, and nobody goes on with it',
  async (t) => {
    const rig = new Rig(t, 'off')
    rig.write()
    rig.write()
    rig.disk.faults.push({ operation: 'sync', path: '.seg', fails: 'EIO', times: 2 })
    t.equal(rig.close(), 'unsafe')
    t.equal(segmentsOf(rig.folder.folder).length, 2, 'its frames stand in two files')
    const left: string[] = []
    const { ledgerDir } = rig
    const next = claimWriter({
      dataDir: rig.dataDir,
      ledgerDir,
      disk: new FaultyDisk(),
      now: Date.now,
      onLeft: (_, why) => left.push(why),
    })
    t.not(next.writer, rig.folder.writer)
    t.match(left, [/^not all that was written/])
    t.equal(segmentsOf(rig.folder.folder).length, 1)
    t.equal(rig.checkpoint()?.size, 2, 'and it is proved')
    next.release('proved')
  },
)

t.test('the list of writers names each of them once', async (t) => {
  const dataDir = t.testdir()
  const ledgerDir = join(dataDir, 'ledger')
  const claim = (): WriterFolder =>
    claimWriter({
      dataDir,
      ledgerDir,
      disk: new FaultyDisk(),
      now: Date.now,
      onLeft: () => t.fail(),
    })
  const [a, b] = [claim(), claim()]
  a.release('proved')
  b.release('proved')
  const again = claim()
  t.ok([a.writer, b.writer].includes(again.writer))
  again.release('proved')
  t.equal(rosterNotes(ledgerDir).length, 2)
})
