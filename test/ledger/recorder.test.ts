// From spool to store: in order, once, whatever is away, damaged or poisonous.

import {
  appendFileSync,
  closeSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import type { Missing } from '../../src/ledger/follower.ts'
import { frameOf, readFrame } from '../../src/ledger/frame.ts'
import { createSegment, SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { makeLedger } from '../support/ledger-folder.ts'
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

/** Puts another text into a frame, with its checksum. */
function rewrite(path: string, change: (text: string) => string, index: number): void {
  const bytes = readFileSync(path)
  const frames: Buffer[] = [bytes.subarray(0, SEGMENT_HEAD)]
  for (let at = SEGMENT_HEAD, count = 0; at < bytes.length; count++) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') break
    const { personal, next } = read
    const record = Buffer.from(change(read.record.toString('utf8')))
    frames.push(count === index ? frameOf({ record, personal }) : bytes.subarray(at, next))
    at = next
  }
  writeFileSync(path, Buffer.concat(frames))
}

function segmentPaths(dir: string, writer: string): string[] {
  return segmentsOf(join(dir, writer)).map(({ path }) => path)
}

t.test('ships several writers, each in order', async (t) => {
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

t.test('what waits is told while there is always more than the store takes', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  writeSegments(dir, writer, [['first']])
  const [path = ''] = segmentPaths(dir, writer)
  const encoder = new RecordEncoder()
  const sink = new MemorySink()
  let seq = 2
  const keep = sink.write.bind(sink)
  sink.write = async (...given) => {
    await wait(10)
    const made = Date.now() - 60_000
    appendFileSync(path, frameOf(encoder.encode(auditRecord('more', made), { writer, seq: seq++ })))
    return keep(...given)
  }
  const { recorder, metrics } = recorderOf(dir, sink)
  recorder.start()
  await until(async () => (await gauge(metrics, 'cordon_recorder_lag_seconds')) >= 60)
  t.equal(await gauge(metrics, 'cordon_spool_records'), 1)
  sink.write = keep
  await recorder.stop()
})

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

t.test('a frame with a number that is not its own is passed over, and hides nothing', async (t) => {
  for (const seq of [9_007_199_254_740_000, 7, 2, 1]) {
    const dir = t.testdir()
    const writer = randomWriter()
    writeSegments(dir, writer, [['a', 'b', 'c', 'd'], ['e']])
    const [first = ''] = segmentPaths(dir, writer)
    const forged = frameOf(new RecordEncoder().encode(auditRecord('forged'), { writer, seq }))
    const bytes = readFileSync(first)
    let at = SEGMENT_HEAD
    for (const _ of ['a', 'b']) {
      const read = readFrame(bytes, at)
      at = read.kind === 'frame' ? read.next : 0
    }
    writeFileSync(first, Buffer.concat([bytes.subarray(0, at), forged, bytes.subarray(at)]))
    const missing: number[] = []
    const sink = new MemorySink()
    const { recorder, metrics } = recorderOf(dir, sink, {
      onMissing: ({ count }) => missing.push(count),
    })
    await recorder.flush()
    t.same(sink.names, ['a', 'b', 'c', 'd', 'e'], String(seq))
    t.same(missing, [])
    t.equal(await gauge(metrics, 'cordon_spool_records'), 0)
  }
})

t.test('a segment with a number that nobody can have come to is left alone', async (t) => {
  const dir = t.testdir()
  const { ledger, writers } = makeLedger(dir, [{ stretches: [3, 2] }])
  const [{ writer, folder } = { writer: '', folder: '' }] = writers
  const far = 9_007_199_254_740_000
  const { path, fd } = createSegment(folder, writer, far)
  const forged = new RecordEncoder().encode(auditRecord('forged'), { writer, seq: far })
  writeSync(fd, frameOf(forged))
  closeSync(fd)
  const sink = new MemorySink()
  const { recorder } = recorderOf(ledger, sink)
  await recorder.flush()
  t.same([...(await sink.cursors())], [[writer, 5]])
  // What is written behind the last record is read on, and the file is there for whoever looks.
  const next = createSegment(folder, writer, 6)
  writeSync(next.fd, frameOf(new RecordEncoder().encode(auditRecord('a'), { writer, seq: 6 })))
  await recorder.flush()
  writeSync(next.fd, frameOf(new RecordEncoder().encode(auditRecord('b'), { writer, seq: 7 })))
  closeSync(next.fd)
  await recorder.flush()
  t.same([...(await sink.cursors())], [[writer, 7]])
  t.same(sink.gaps, [])
  t.ok(existsSync(path))
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

t.test(
  'a record that is of no kind, or of another writer, is told and stops nothing',
  async (t) => {
    const dir = t.testdir()
    const writer = randomWriter()
    writeSegments(dir, writer, [['a', 'b', 'c', 'd']])
    const [path = ''] = segmentPaths(dir, writer)
    // Whole frames, so the checksum is right: another program wrote them.
    rewrite(path, (text) => text.replace(writer, randomWriter()), 1)
    rewrite(path, () => '{"seq":"three"}', 2)
    const missing: number[] = []
    const sink = new MemorySink()
    await recorderOf(dir, sink, { onMissing: ({ count }) => missing.push(count) }).recorder.flush()
    t.same(sink.names, ['a', 'd'])
    t.same(missing, [2])
  },
)

t.test('a store that was restored gets again what it lacks', async (t) => {
  const dir = t.testdir()
  const writer = randomWriter()
  writeSegments(dir, writer, [['a', 'b'], ['c'], ['d']])
  const sink = new MemorySink()
  const { recorder } = recorderOf(dir, sink)
  await recorder.flush()
  await recorder.archive()
  const [first = '', ...others] = readdirSync(join(dir, writer))
  t.match(first, /\.seg\.zst$/)
  t.equal(others.length, 2)
  // Away, and back as it was after its first record; the first segment is compressed by now.
  const older = new MemorySink()
  await older.write(writer, sink.records.slice(0, 1))
  const again = recorderOf(dir, older)
  older.isAway = true
  await t.rejects(again.recorder.flush(), /away/)
  older.isAway = false
  await again.recorder.flush()
  t.same(older.names, ['a', 'b', 'c', 'd'])
})

t.test(
  'writers are shipped side by side, and one that fails does not lose what another has',
  async (t) => {
    const dir = t.testdir()
    const writers = Array.from({ length: 6 }, randomWriter)
    for (const writer of writers) writeSegments(dir, writer, [[`${writer}-1`], [`${writer}-2`]])
    const sink = new MemorySink()
    const write = sink.write.bind(sink)
    let together = 0
    let most = 0
    let refused = 0
    sink.write = async (writer, records) => {
      together += 1
      most = Math.max(most, together)
      await new Promise((resolve) => setTimeout(resolve, 5))
      together -= 1
      if (writer === writers[3] && refused++ === 0)
        throw Object.assign(new Error('deadlock detected'), { code: '40P01' })
      return write(writer, records)
    }
    await recorderOf(dir, sink, { lanes: 3 }).recorder.flush()
    t.equal(most, 3)
    t.equal(refused, 3, 'what another transaction was in the way of is tried again at once')
    for (const writer of writers)
      t.same(
        sink.names.filter((name) => name.startsWith(writer)),
        [`${writer}-1`, `${writer}-2`],
      )
  },
)

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10))
}
