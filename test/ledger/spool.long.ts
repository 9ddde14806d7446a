// The writing end: what it promises while the disk is sound, slow, full or broken.

import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { getuid } from 'node:process'
import t, { type Test } from 'tap'
import { realDisk } from '../../src/ledger/disk.ts'
import { readFrame } from '../../src/ledger/frame.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { Spool, type SpoolOptions } from '../../src/ledger/spool.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { auditRecord, decisionRecord, MemorySink, recorderOf } from '../support/records.ts'

function open(dir: string, more: Partial<SpoolOptions> = {}): Spool {
  return new Spool({
    dir,
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1024 ** 3,
    now: Date.now,
    // The thread of its own is tried in kill.long.ts; it takes half a second to start under the test runner.
    disk: realDisk,
    ...more,
  })
}

/** As the process dies: nothing more reaches the disk, and its lock is nobody's. */
async function kill(spool: Spool, disk: FaultyDisk): Promise<void> {
  disk.hasDied = true
  await spool.close().catch(() => undefined)
}

async function shippedFrom(dir: string): Promise<MemorySink> {
  const sink = new MemorySink()
  await recorderOf(dir, sink).recorder.flush()
  return sink
}

function newest(dir: string, writer: string): string {
  return segmentsOf(join(dir, writer)).at(-1)?.path ?? ''
}

t.test('two spools on one folder are two writers, and a closed one is taken again', async (t) => {
  const dir = ledgerOf(t)
  const [a, b] = [open(dir), open(dir)]
  t.not(a.writer, b.writer)
  await Promise.all([a.append(auditRecord('a')), b.append(auditRecord('b'))])
  await Promise.all([a.close(), b.close()])
  const again = open(dir)
  t.ok([a.writer, b.writer].includes(again.writer))
  await again.append(auditRecord('c'))
  await again.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names.toSorted(), ['a', 'b', 'c'])
  t.same(sink.gaps, [])
})

t.test('a torn tail is no record and hides none', async (t) => {
  const dir = ledgerOf(t)
  const disk = new FaultyDisk()
  const first = open(dir, { disk })
  await first.append(auditRecord('whole'))
  await first.append(auditRecord('torn'))
  await kill(first, disk)
  const path = newest(dir, first.writer)
  truncateSync(path, readFileSync(path).length - 7)
  const second = open(dir)
  t.equal(second.writer, first.writer)
  await second.append(auditRecord('next'))
  await second.close()
  t.equal(tornBytes(path), 0, 'the torn frame is taken off')
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['whole', 'next'])
  t.same(sink.gaps, [], 'a record that was never acknowledged is no gap')
})

t.test('a damaged end starts a new writer: its numbers may be in the store already', async (t) => {
  const dir = ledgerOf(t)
  const first = open(dir)
  await first.append(auditRecord('one'))
  await first.append(auditRecord('two'))
  await first.close()
  damage(newest(dir, first.writer), 'two')
  const second = open(dir)
  t.not(second.writer, first.writer)
  await second.append(auditRecord('three'))
  await second.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names.toSorted(), ['one', 'three'])
})

t.test('after a power loss a new writer begins, and the old records still arrive', async (t) => {
  const dir = ledgerOf(t)
  const first = open(dir)
  await first.append(auditRecord('one'))
  await first.close()
  // As a machine that went down while the process wrote.
  writeFileSync(join(dir, first.writer, 'open'), 'another boot')
  const second = open(dir)
  t.not(second.writer, first.writer)
  await second.close()
  t.same((await shippedFrom(dir)).names, ['one'])
})

t.test('a record beyond the limit is refused and leaves no hole', async (t) => {
  const dir = ledgerOf(t)
  const spool = open(dir)
  await t.rejects(
    Promise.resolve(spool.append({ ...auditRecord('big'), data: { x: 'x'.repeat(300_000) } })),
    { code: 'SPOOL_FAILED', message: /too large/ },
  )
  await spool.append(auditRecord('small'))
  await spool.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['small'])
  t.equal(sink.records[0]?.seq, 1)
})

t.test('the limit of the spool: refuse, but for what administrators do', async (t) => {
  const dir = ledgerOf(t)
  const spool = open(dir, { limitBytes: 2000 })
  spool.setBacklog(2000)
  await t.rejects(Promise.resolve(spool.append(decisionRecord())), { code: 'SPOOL_FULL' })
  t.match(spool.failure, /spool_limit/)
  await spool.append(auditRecord('mode'))
  t.match(spool.failure, /spool_limit/, 'which does not make it well')
  spool.setBacklog(9 * 1024 ** 2)
  await t.rejects(Promise.resolve(spool.append(auditRecord('a'))), { code: 'SPOOL_FULL' })
  spool.setBacklog(0)
  t.equal(spool.failure, undefined)
  await spool.append(decisionRecord())
  await spool.close()
  t.same((await shippedFrom(dir)).names, ['mode'])
})

t.test('the limit of the spool: drop_counted tells how many in a gap record', async (t) => {
  const dir = ledgerOf(t)
  let lost = 0
  const spool = open(dir, {
    limitBytes: 2000,
    whenFull: 'drop_counted',
    onLost: (count) => (lost += count),
  })
  spool.setBacklog(2000)
  for (let count = 0; count < 3; count++)
    t.equal(spool.append(decisionRecord()), undefined, 'nobody waits for what is dropped')
  t.equal(lost, 3)
  spool.setBacklog(0)
  await spool.append(auditRecord('d'))
  await spool.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['d'])
  t.same(sink.gaps, [{ reason: 'spool_full', count: 3 }])
})

t.test('a gap is told at the end, too, where no record follows', async (t) => {
  const dir = ledgerOf(t)
  const spool = open(dir, { limitBytes: 2000 })
  spool.setBacklog(2000)
  spool.note(decisionRecord())
  spool.setBacklog(0)
  await spool.close()
  t.same((await shippedFrom(dir)).gaps, [{ reason: 'spool_full', count: 1 }])
})

t.test('after its close a spool refuses', async (t) => {
  const spool = open(ledgerOf(t))
  await spool.close()
  await t.rejects(Promise.resolve(spool.append(auditRecord('late'))), { code: 'SPOOL_FAILED' })
})

/** Syncs of segments that fail, so many in a row. */
function failSyncs(disk: FaultyDisk, times: number): void {
  disk.faults.push({ operation: 'sync', path: '.seg', fails: 'EIO', times })
}

for (const fsync of ['record', 'batch'] as const) {
  t.test(`fsync ${fsync}: after a failed sync everything goes into a new file`, async (t) => {
    const dir = ledgerOf(t)
    const disk = new FaultyDisk()
    const spool = open(dir, { fsync, disk })
    failSyncs(disk, 1)
    await Promise.all(['a', 'b', 'c'].map(async (name) => spool.append(auditRecord(name))))
    await until(() => disk.faults.length === 0)
    t.match(
      segmentsOf(join(dir, spool.writer)),
      [{ firstSeq: 1, edition: 1 }],
      'the same first number, once more, and nothing is left in the first file',
    )
    await spool.append(auditRecord('d'))
    await spool.close()
    const sink = await shippedFrom(dir)
    t.same(sink.names, ['a', 'b', 'c', 'd'], 'all of them, once')
    t.same(
      sink.records.map(({ seq }) => seq),
      [1, 2, 3, 4],
    )
  })
}

t.test('what a failed sync covered stands in the new file alone', async (t) => {
  const dir = ledgerOf(t)
  const disk = new FaultyDisk()
  const spool = open(dir, { fsync: 'record', disk })
  await spool.append(auditRecord('kept'))
  failSyncs(disk, 1)
  await spool.append(auditRecord('moved'))
  await spool.append(auditRecord('last'))
  await spool.close()
  const texts = segmentsOf(join(dir, spool.writer)).map(({ path }) => readFileSync(path, 'latin1'))
  t.same(
    texts.map((text) => text.match(/"name":"\w+"/g)),
    [['"name":"kept"'], ['"name":"moved"', '"name":"last"']],
  )
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['kept', 'moved', 'last'])
  t.same(sink.gaps, [])
})

t.test(
  'a second failure refuses, and the frames are tried until the disk takes them',
  async (t) => {
    const dir = ledgerOf(t)
    const disk = new FaultyDisk()
    const spool = open(dir, { fsync: 'record', disk })
    failSyncs(disk, 3)
    await t.rejects(Promise.resolve(spool.append(auditRecord('a'))), { code: 'SPOOL_FAILED' })
    await t.rejects(Promise.resolve(spool.append(auditRecord('b'))), { code: 'SPOOL_FAILED' })
    t.match(spool.failure, /cannot be synced/)
    await until(() => spool.failure === undefined)
    t.equal(segmentsOf(join(dir, spool.writer)).length, 1, 'what the last file repeats is gone')
    await spool.append(auditRecord('c'))
    await spool.close()
    const sink = await shippedFrom(dir)
    t.same(sink.names, ['a', 'c'], 'the first was written, so its number is not given again')
    t.same(
      sink.records.map(({ seq }) => seq),
      [1, 2],
    )
  },
)

const skip = noDisk()

t.test(
  'a disk that fills up refuses, keeps what was acknowledged, and comes back',
  { skip },
  async (t) => {
    const dir = diskOf(t, '80m')
    const spool = open(join(dir, 'ledger'))
    const ballast = join(dir, 'ballast')
    await spool.append(auditRecord('before'))
    fill(ballast)
    const kept: string[] = []
    const refused: string[] = []
    const record = decisionRecord({ userAgent: 'x'.repeat(9000) })
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const name = `${round}-${index}`
          try {
            await spool.append({ ...record, person_key: name })
            kept.push(name)
          } catch (error) {
            t.match(error, { code: 'SPOOL_FULL' })
            refused.push(name)
          }
        }),
      )
    }
    t.ok(refused.length > 0, 'some were refused')
    rmSync(ballast)
    await until(() => spool.failure === undefined)
    await spool.append(auditRecord('after'))
    await spool.close()
    const sink = await shippedFrom(join(dir, 'ledger'))
    t.equal(tornBytes(newest(join(dir, 'ledger'), spool.writer)), 0, 'no torn frame is left behind')
    const people = sink.records.flatMap(({ record: { kind, ...rest } }) =>
      kind === 'decision' && 'person_key' in rest ? [rest.person_key] : [],
    )
    t.same(people, kept, 'exactly what was acknowledged, in order')
    t.same(sink.names, ['before', 'after'])
    t.same(
      sink.records.map(({ seq }) => seq),
      sink.records.map((_, index) => index + 1),
    )
  },
)

t.test('a nearly full disk is left alone, but for what administrators do', { skip }, async (t) => {
  const dir = diskOf(t, '32m')
  const spool = open(join(dir, 'ledger'))
  await t.rejects(Promise.resolve(spool.append(decisionRecord())), { code: 'SPOOL_FULL' })
  await spool.append(auditRecord('mode'))
  await spool.close()
  t.same((await shippedFrom(join(dir, 'ledger'))).names, ['mode'])
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** The ledger folder of a data directory. */
function ledgerOf(t: Test): string {
  return join(t.testdir(), 'ledger')
}

/** Bytes between and behind frames. */
function tornBytes(path: string): number {
  const bytes = readFileSync(path)
  let at = SEGMENT_HEAD
  let torn = 0
  while (at < bytes.length) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') torn += 1
    at = read.kind === 'frame' ? read.next : at + 1
  }
  return torn
}

function damage(path: string, word: string): void {
  const bytes = readFileSync(path)
  const at = bytes.indexOf(`"name":"${word}"`)
  bytes.write('#', at)
  writeFileSync(path, bytes)
}

function fill(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const chunk = Buffer.alloc(64 * 1024)
  try {
    for (;;) appendFileSync(path, chunk)
  } catch {
    // Full, as it should be; the last bytes are left to what is tested.
  }
  truncateSync(path, readFileSync(path).length - 32 * 1024)
}

/** Why no file system of a given size can be had here; false where it can. */
function noDisk(): string | false {
  if (getuid?.() !== 0) return 'a file system of a given size needs root to mount it'
  try {
    unmount(mount('1m'))
    return false
  } catch {
    return 'no file system can be mounted here'
  }
}

function mount(size: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir], { stdio: 'ignore' })
    return dir
  } catch (error) {
    rmSync(dir, { recursive: true })
    throw error
  }
}

function unmount(dir: string): void {
  execFileSync('umount', [dir], { stdio: 'ignore' })
  rmSync(dir, { recursive: true })
}

function diskOf(t: Test, size: string): string {
  const dir = mount(size)
  t.teardown(() => unmount(dir))
  return dir
}
