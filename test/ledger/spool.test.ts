// The writing end: what it promises while the disk is sound, slow, full or broken.

import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  fdatasyncSync,
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
import { readFrame } from '../../src/ledger/frame.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { Spool, type SpoolOptions } from '../../src/ledger/spool.ts'
import type { Syncer } from '../../src/ledger/syncer.ts'
import { writersIn } from '../../src/ledger/writer-folder.ts'
import { auditRecord, decisionRecord, MemorySink, recorderOf } from '../support/records.ts'

function open(dir: string, more: Partial<SpoolOptions> = {}): Spool {
  return new Spool({
    dir,
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1024 ** 3,
    now: Date.now,
    // The thread of its own is tried in kill.test.ts; it takes half a second to start under the test runner.
    syncer: new FailingSync(),
    ...more,
  })
}

async function shippedFrom(dir: string): Promise<MemorySink> {
  const sink = new MemorySink()
  await recorderOf(dir, sink).recorder.flush()
  return sink
}

function newest(dir: string, writer: string): string {
  return segmentsOf(join(dir, writer)).at(-1)?.path ?? ''
}

/** Syncs for real until it is told to fail, as a disk does. */
class FailingSync implements Syncer {
  fails = 0
  readonly synced: number[] = []
  readonly failed: number[] = []

  sync(fd: number): Promise<void> {
    if (this.fails > 0) {
      this.fails -= 1
      this.failed.push(fd)
      return Promise.reject(new Error('EIO'))
    }
    fdatasyncSync(fd)
    this.synced.push(fd)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

t.test('two spools on one folder are two writers, and a closed one is taken again', async (t) => {
  const dir = t.testdir()
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
  const dir = t.testdir()
  const first = open(dir)
  await first.append(auditRecord('whole'))
  await first.append(auditRecord('torn'))
  await first.close()
  const path = newest(dir, first.writer)
  truncateSync(path, readFileSync(path).length - 7)
  const second = open(dir)
  t.equal(second.writer, first.writer)
  await second.append(auditRecord('next'))
  await second.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['whole', 'next'])
  t.same(sink.gaps, [], 'a record that was never acknowledged is no gap')
})

t.test('a damaged end starts a new writer: its numbers may be in the store already', async (t) => {
  const dir = t.testdir()
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
  t.same(writersIn(dir), [second.writer], 'the drained folder of the old one is gone')
})

t.test('after a power loss a new writer begins, and the old records still arrive', async (t) => {
  const dir = t.testdir()
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
  const dir = t.testdir()
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

t.test('the limit of the spool: refuse', async (t) => {
  const spool = open(t.testdir(), { limitBytes: 2000 })
  spool.setBacklog(2000)
  await t.rejects(Promise.resolve(spool.append(auditRecord('a'))), { code: 'SPOOL_FULL' })
  t.match(spool.failure, /spool_limit/)
  spool.setBacklog(0)
  t.equal(spool.failure, undefined)
  await spool.append(auditRecord('b'))
  await spool.close()
})

t.test('the limit of the spool: drop_counted tells how many in a gap record', async (t) => {
  const dir = t.testdir()
  let lost = 0
  const spool = open(dir, {
    limitBytes: 2000,
    whenFull: 'drop_counted',
    onLost: (count) => (lost += count),
  })
  spool.setBacklog(2000)
  for (const name of ['a', 'b', 'c'])
    t.equal(spool.append(auditRecord(name)), undefined, 'nobody waits for what is dropped')
  t.equal(lost, 3)
  spool.setBacklog(0)
  await spool.append(auditRecord('d'))
  await spool.close()
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['d'])
  t.same(sink.gaps, [{ reason: 'spool_full', count: 3 }])
})

t.test('a gap is told at the end, too, where no record follows', async (t) => {
  const dir = t.testdir()
  const spool = open(dir, { limitBytes: 2000 })
  spool.setBacklog(2000)
  spool.note(auditRecord('a'))
  spool.setBacklog(0)
  await spool.close()
  t.same((await shippedFrom(dir)).gaps, [{ reason: 'spool_full', count: 1 }])
})

t.test('after its close a spool refuses', async (t) => {
  const spool = open(t.testdir())
  await spool.close()
  await t.rejects(Promise.resolve(spool.append(auditRecord('late'))), { code: 'SPOOL_FAILED' })
})

for (const fsync of ['record', 'batch'] as const) {
  t.test(`fsync ${fsync}: after a failed sync everything goes into a new file`, async (t) => {
    const dir = t.testdir()
    const syncer = new FailingSync()
    const spool = open(dir, { fsync, syncer })
    syncer.fails = 1
    await Promise.all(['a', 'b', 'c'].map(async (name) => spool.append(auditRecord(name))))
    await untilSynced(syncer)
    t.equal(syncer.failed.length, 1)
    t.equal(segmentsOf(join(dir, spool.writer)).length, 2, 'the same first number, twice')
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

t.test('the records of the failed file can rot: the new file has them', async (t) => {
  const dir = t.testdir()
  const syncer = new FailingSync()
  const spool = open(dir, { fsync: 'record', syncer })
  await spool.append(auditRecord('kept'))
  syncer.fails = 1
  await spool.append(auditRecord('moved'))
  await spool.append(auditRecord('last'))
  await spool.close()
  const [failed] = segmentsOf(join(dir, spool.writer))
  damage(failed?.path ?? '', 'moved')
  const sink = await shippedFrom(dir)
  t.same(sink.names, ['kept', 'moved', 'last'])
  t.same(sink.gaps, [])
})

t.test(
  'a second failure refuses, and the frames are tried until the disk takes them',
  async (t) => {
    const dir = t.testdir()
    const syncer = new FailingSync()
    const spool = open(dir, { fsync: 'record', syncer })
    syncer.fails = 3
    await t.rejects(Promise.resolve(spool.append(auditRecord('a'))), { code: 'SPOOL_FAILED' })
    await t.rejects(Promise.resolve(spool.append(auditRecord('b'))), { code: 'SPOOL_FAILED' })
    t.match(spool.failure, /cannot be/)
    await untilSynced(syncer)
    await spool.append(auditRecord('c'))
    t.equal(spool.failure, undefined)
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
    const spool = open(join(dir, 'ledger'), { now: nextSecond() })
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

t.test('a nearly full disk is left alone', { skip }, async (t) => {
  const dir = diskOf(t, '32m')
  const spool = open(join(dir, 'ledger'))
  await t.rejects(Promise.resolve(spool.append(auditRecord('a'))), { code: 'SPOOL_FULL' })
  await spool.close()
})

async function untilSynced(syncer: FailingSync): Promise<void> {
  while (syncer.fails > 0 || syncer.synced.length === 0)
    await new Promise((resolve) => setTimeout(resolve, 10))
}

/** A clock in which every look is a second later, so that a failure is always old enough to try again. */
function nextSecond(): () => number {
  let now = Date.now()
  return () => (now += 1000)
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
