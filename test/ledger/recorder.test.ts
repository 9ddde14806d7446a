// From spool to store: in order, once, whatever is away, damaged or poisonous.

import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import type { Missing } from '../../src/ledger/follower.ts'
import { frameOf } from '../../src/ledger/frame.ts'
import { createSegment, segmentsOf } from '../../src/ledger/segment.ts'
import { auditRecord, gauge, MemorySink, randomWriter, recorderOf } from '../support/records.ts'

/** A writer's folder with one segment a list of names; numbers go on from segment to segment. */
function writeSegments(
  dir: string,
  writer: string,
  segments: readonly (readonly string[])[],
): void {
  const encoder = new RecordEncoder()
  let seq = 1
  for (const names of segments) {
    const { path } = createSegment(join(dir, writer), writer, seq)
    const frames = names.map((name) =>
      frameOf(encoder.encode(auditRecord(name, 1000 * seq), { writer, seq: seq++ })),
    )
    writeFileSync(path, Buffer.concat([readFileSync(path), ...frames]))
  }
}

function edit(path: string, word: string, change: (bytes: Buffer, at: number) => Buffer): void {
  const bytes = readFileSync(path)
  writeFileSync(path, change(bytes, bytes.indexOf(`"name":"${word}"`)))
}

function segmentPaths(dir: string, writer: string): string[] {
  return segmentsOf(join(dir, writer)).map(({ path }) => path)
}

t.test('ships several writers, each in order, and keeps only their newest segment', async (t) => {
  const dir = t.testdir()
  const [one, two] = [randomWriter(), randomWriter()]
  writeSegments(dir, one, [['a', 'b'], ['c'], ['d']])
  writeSegments(dir, two, [['x'], ['y', 'z']])
  const sink = new MemorySink()
  await recorderOf(dir, sink).recorder.flush()
  t.same(
    sink.names.filter((name) => name < 'e'),
    ['a', 'b', 'c', 'd'],
  )
  t.same(
    sink.names.filter((name) => name > 'e'),
    ['x', 'y', 'z'],
  )
  t.equal(segmentPaths(dir, one).length, 1)
  t.equal(segmentPaths(dir, two).length, 1)
})

t.test('a recorder that starts anew ships nothing twice', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  const sink = new MemorySink()
  writeSegments(dir, writer, [['a', 'b']])
  await recorderOf(dir, sink).recorder.flush()
  await recorderOf(dir, sink).recorder.flush()
  t.same(sink.names, ['a', 'b'])
})

t.test(
  'a store that is away costs lag and backlog, exact to the record, and nothing else',
  async (t) => {
    const dir = t.testdir()
    const writer = randomWriter()
    const names = Array.from({ length: 2500 }, (_, index) => `r${index}`)
    writeSegments(dir, writer, [names.slice(0, 1200), names.slice(1200)])
    const sink = new MemorySink()
    const { recorder, metrics } = recorderOf(dir, sink, { now: () => 10_000_000 })
    const seen: number[] = []
    // Away after the first batch, as a store that goes down in the middle.
    const write = sink.write.bind(sink)
    sink.write = async (id, records) => {
      if (seen.length > 0) throw new Error('away')
      seen.push(records.length)
      return write(id, records)
    }
    recorder.start()
    await until(async () => (await gauge(metrics, 'cordon_spool_records')) === 1500)
    t.same(seen, [1000])
    t.equal(await gauge(metrics, 'cordon_recorder_lag_seconds'), 10_000 - 1001, 'of record 1001')
    t.ok((await gauge(metrics, 'cordon_spool_bytes')) > 100_000)
    seen.length = 0
    sink.write = write
    await until(async () => (await gauge(metrics, 'cordon_spool_records')) === 0)
    t.same(sink.names, names)
    t.equal(await gauge(metrics, 'cordon_spool_bytes'), 0)
    await recorder.stop()
  },
)

t.test('a damaged middle is passed over and told as a gap of exactly what it hid', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  writeSegments(dir, writer, [
    ['a', 'b', 'c', 'd'],
    ['e', 'f'],
  ])
  const [first = ''] = segmentPaths(dir, writer)
  edit(first, 'b', (bytes, at) => {
    bytes.fill(0xff, at, at + 300)
    return bytes
  })
  const missing: Missing[] = []
  const sink = new MemorySink()
  const { recorder, metrics } = recorderOf(dir, sink, { onMissing: (gap) => missing.push(gap) })
  await recorder.flush()
  t.same(sink.names, ['a', 'd', 'e', 'f'])
  t.same(missing, [{ writer, from: 1000, to: 4000, count: 2 }])
  t.equal(await gauge(metrics, 'cordon_spool_gap_records_total'), 2)
})

t.test('a segment that was taken away, and one that was cut short, are gaps', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  writeSegments(dir, writer, [['a', 'b'], ['c'], ['d', 'e', 'f'], ['g']])
  const [, second = '', third = ''] = segmentPaths(dir, writer)
  rmSync(second)
  edit(third, 'e', (bytes, at) => bytes.subarray(0, at))
  const missing: number[] = []
  const sink = new MemorySink()
  await recorderOf(dir, sink, { onMissing: ({ count }) => missing.push(count) }).recorder.flush()
  t.same(sink.names, ['a', 'b', 'd', 'g'])
  t.same(missing, [1, 2])
})

t.test('a large damaged stretch does not stop the reader', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  writeSegments(dir, writer, [['a', 'b'], ['c']])
  const [first = ''] = segmentPaths(dir, writer)
  edit(first, 'b', (bytes) => Buffer.concat([bytes, Buffer.alloc(9 * 1024 * 1024)]))
  const sink = new MemorySink()
  await recorderOf(dir, sink).recorder.flush()
  t.same(sink.names, ['a', 'b', 'c'])
})

t.test('a poison record is set aside and the others arrive', async (t) => {
  const dir = t.testdir()
  writeSegments(dir, randomWriter(), [['a', 'b', 'poison', 'c', 'd', 'poison', 'e']])
  const sink = new MemorySink()
  sink.refuses = ({ record }) => record.kind === 'audit' && record.actor.name === 'poison'
  await recorderOf(dir, sink).recorder.flush()
  t.same(sink.names, ['a', 'b', 'c', 'd', 'e'])
  t.same(
    sink.aside.map(({ seq }) => seq),
    [3, 6],
  )
})

t.test('segments go to the archive when the store has them, within its bounds', async (t) => {
  const root = t.testdir({ ledger: {}, archive: {} })
  const [dir, archiveDir] = [join(root, 'ledger'), join(root, 'archive')]
  const writer = randomWriter()
  writeSegments(dir, writer, [['a'], ['b'], ['c'], ['d']])
  await recorderOf(dir, new MemorySink(), { archiveDir }).recorder.flush()
  t.same(
    readdirSync(join(archiveDir, writer)),
    [1, 2, 3].map((seq) => `${String(seq).padStart(16, '0')}.seg`),
  )
  t.equal(segmentPaths(dir, writer).length, 1)

  const other = randomWriter()
  writeSegments(dir, other, [['x'], ['y']])
  const old = join(archiveDir, writer, '0000000000000001.seg')
  utimesSync(old, new Date(0), new Date(0))
  await recorderOf(dir, new MemorySink(), { archiveDir, archiveKeepMs: 3_600_000 }).recorder.flush()
  t.notOk(existsSync(old), 'older than is kept')
  t.equal(segmentPaths(archiveDir, other).length, 1)

  const third = randomWriter()
  writeSegments(dir, third, [['p'], ['q']])
  await recorderOf(dir, new MemorySink(), { archiveDir, archiveLimitBytes: 1 }).recorder.flush()
  t.same(readdirSync(archiveDir), [], 'more than is kept')
})

t.test('an archive that takes nothing stops no record', async (t) => {
  const root = t.testdir({ ledger: {}, archive: 'a file where a folder should be' })
  const [dir, archiveDir] = [join(root, 'ledger'), join(root, 'archive')]
  const writer = randomWriter()
  writeSegments(dir, writer, [['a'], ['b'], ['c']])
  const sink = new MemorySink()
  const { recorder, metrics } = recorderOf(dir, sink, { archiveDir })
  await recorder.flush()
  t.same(sink.names, ['a', 'b', 'c'])
  t.equal(await gauge(metrics, 'cordon_spool_bytes'), 0, 'what is in the store does not wait')
  t.equal(segmentPaths(dir, writer).length, 3, 'nothing was thrown away')
  rmSync(archiveDir)
  await recorder.flush()
  t.equal(segmentPaths(dir, writer).length, 1)
  t.equal(segmentPaths(archiveDir, writer).length, 2)
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10))
}
