// A person is taken out of segments: whole or not at all, and nothing else in them changes.

import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { tryLock } from '../../src/base/process-lock.ts'
import { erasedPersonal, isErased, readPersonal, RecordEncoder } from '../../src/ledger/encode.ts'
import { askToEnd, countInFolders, eraseInFolders } from '../../src/ledger/erase-folder.ts'
import { frameOf, readFrame, SEGMENT_MAGIC } from '../../src/ledger/frame.ts'
import { SEGMENT_HEAD } from '../../src/ledger/segment.ts'
import type { ErasureOrder } from '../../src/model/erasure.ts'
import type { LedgerRecord } from '../../src/model/record.ts'
import { auditRecord, decisionRecord, randomWriter } from '../support/records.ts'

const HERS = 'a'.repeat(64)
const HIS = 'b'.repeat(64)
const order: ErasureOrder = {
  tenant: 'default',
  erasure_id: '01a21fdd-e624-749b-bd63-e398a87f21fa',
  person_keys: [HERS],
  before: 5000,
}
const hers = (time: number): LedgerRecord => decisionRecord({ time, person: HERS, user: 'zelda' })
const his = (time: number): LedgerRecord => decisionRecord({ time, person: HIS, user: 'ben' })

/** A segment of these records, and where it is. */
function segmentOf(dir: string, records: readonly LedgerRecord[], name = 'seg'): string {
  const writer = randomWriter()
  const encoder = new RecordEncoder()
  const head = Buffer.alloc(SEGMENT_HEAD)
  SEGMENT_MAGIC.copy(head)
  const frames = records.map((record, index) =>
    frameOf(encoder.encode(record, { writer, seq: index + 1 })),
  )
  const bytes = Buffer.concat([head, ...frames])
  const path = join(t.testdirName, dir, writer, `0000000000000001.${name}`)
  t.testdir({ [dir]: { [writer]: {} } })
  writeFileSync(path, name.endsWith('.zst') ? zstdCompressSync(bytes) : bytes)
  return path
}

function bytesOf(path: string): Buffer {
  const bytes = readFileSync(path)
  return path.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes
}

/** Text and personal part of each whole frame. */
function framesOf(bytes: Buffer): { readonly text: string; readonly personal: Buffer }[] {
  const frames = []
  for (let at = SEGMENT_HEAD; at < bytes.length;) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') break
    frames.push({ text: read.record.toString('utf8'), personal: read.personal })
    at = read.next
  }
  return frames
}

const dirOf = (path: string): string => join(path, '../..')

for (const name of ['seg', 'seg.zst'])
  t.test(`${name}: her personal parts go, all else stays byte for byte`, async (t) => {
    const path = segmentOf(name, [hers(1), his(2), auditRecord('x', 3), hers(4), hers(6000)], name)
    utimesSync(path, 1000, 1000)
    const before = framesOf(bytesOf(path))
    t.equal(await countInFolders([dirOf(path)], [order]), 1)
    t.match(await eraseInFolders([dirOf(path)], [order]), { records: 2, segments: 1, waiting: [] })
    const bytes = bytesOf(path)
    const after = framesOf(bytes)
    t.same(
      after.map(({ text }) => text),
      before.map(({ text }) => text),
      'whole frames with the same texts',
    )
    t.same(
      after.map(({ personal }) => isErased(personal)),
      [true, false, false, true, false],
      'not what was made after the order',
    )
    t.same(
      after.map(({ personal }) => personal.length),
      before.map(({ personal }) => personal.length),
    )
    t.same(after[1], before[1])
    t.equal(readPersonal(after[0]?.personal ?? Buffer.alloc(0)), undefined)
    t.equal(statSync(path).mtimeMs, 1_000_000, 'as old as it was')
    t.match(await eraseInFolders([dirOf(path)], [order]), { records: 0, segments: 0 }, 'once')
    t.equal(await countInFolders([dirOf(path)], [order]), 0)
  })

t.test('what is erased is not what is damaged, nor what is short', async (t) => {
  for (const length of [1, 7, 8, 9, 18, 500]) {
    const bytes = erasedPersonal(length)
    t.ok(isErased(bytes), String(length))
    const changed = Buffer.from(bytes)
    changed[length - 1] = 1
    t.notOk(isErased(changed))
  }
  t.notOk(isErased(Buffer.alloc(0)))
  t.notOk(isErased(Buffer.alloc(20)))
})

t.test('another tenant, and another person, are not meant', async (t) => {
  const path = segmentOf('others', [hers(1), his(2)])
  const before = readFileSync(path)
  for (const other of [
    { ...order, tenant: 'another' },
    { ...order, person_keys: ['c'.repeat(64)] },
    { ...order, before: 1 },
    { ...order, person_keys: [] },
  ])
    t.match(await eraseInFolders([dirOf(path)], [other]), { records: 0 })
  t.ok(readFileSync(path).equals(before))
})

t.test('a damaged frame stays damaged, without her', async (t) => {
  const path = segmentOf('damaged', [his(1), hers(2), his(3), hers(4), his(5)])
  const bytes = readFileSync(path)
  // A byte of a personal part, and the length of a record.
  bytes[bytes.indexOf('zelda@acme')] = 0x5a
  const last = bytes.lastIndexOf(HERS)
  const start = bytes.lastIndexOf('{"v":', last)
  bytes.writeUInt32LE(0xffff, start - 4)
  writeFileSync(path, bytes)
  t.match(await eraseInFolders([dirOf(path)], [order]), { records: 2, segments: 1 })
  const after = readFileSync(path)
  t.equal(after.length, bytes.length)
  t.notOk(after.includes('"name":"zelda"'), 'no name')
  t.notOk(after.includes('elda@acme.example'), 'no mail')
  t.equal(after.toString('latin1').split('ben@acme.example').length, 4, 'his are all there')
  t.equal(framesOf(after).length, 1, 'the damage is still told')
})

t.test('a torn tail stays one, without her', async (t) => {
  const path = segmentOf('torn', [his(1), hers(2)])
  const bytes = readFileSync(path)
  for (const cut of [1, 60]) {
    writeFileSync(path, bytes.subarray(0, bytes.length - cut))
    t.match(await eraseInFolders([dirOf(path)], [order]), { records: 1, segments: 1 })
    const after = readFileSync(path)
    t.equal(after.length, bytes.length - cut)
    t.notOk(after.includes(HERS))
    t.notOk(after.includes('zelda'))
    const [first] = framesOf(after)
    const end = readFrame(after, SEGMENT_HEAD)
    t.equal(first?.text.includes(HIS), true)
    t.equal(readFrame(after, end.kind === 'frame' ? end.next : 0).kind, 'end', 'torn, not damaged')
  }
})

t.test('a segment that is being written waits; once it is sealed it has its turn', async (t) => {
  const path = segmentOf('living', [hers(1)])
  const folder = join(path, '..')
  const lock = tryLock(join(folder, 'lock'))
  const before = readFileSync(path)
  t.match(await eraseInFolders([dirOf(path)], [order]), { records: 0, waiting: [path] })
  t.ok(readFileSync(path).equals(before))
  askToEnd([path])
  t.ok(existsSync(join(folder, 'end-wanted')))
  writeFileSync(join(folder, '0000000000000001.seal'), JSON.stringify({ last_seq: 1 }))
  t.match(await eraseInFolders([dirOf(path)], [order]), { records: 1, waiting: [] })
  lock?.release()
})

t.test('what an interrupted erasure left is taken away', async (t) => {
  const path = segmentOf('interrupted', [hers(1)])
  writeFileSync(`${path}.erased.part`, 'half of zelda')
  await eraseInFolders([dirOf(path), join(t.testdirName, 'absent')], [order])
  t.notOk(existsSync(`${path}.erased.part`))
  t.notOk(readFileSync(path).includes('"name":"zelda"'))
})
