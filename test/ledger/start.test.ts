// How a process begins with a ledger folder: alone or with others, with its key or without, with what was changed.

import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { realDisk } from '../../src/ledger/disk.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import { frameEnd, frameOf, sealFrame } from '../../src/ledger/frame.ts'
import { openKeyChain, openLedgerKeys, pemPath, rotateKey } from '../../src/ledger/ledger-keys.ts'
import { rosterNotes } from '../../src/ledger/roster-folder.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { Spool } from '../../src/ledger/spool.ts'
import { auditRecord, MemorySink, recorderOf } from '../support/records.ts'

/** A spool, and what it told of folders that it left. */
function open(dataDir: string, now = Date.now): { spool: Spool; left: string[] } {
  const left: string[] = []
  const log = { error: ({ why }: { why: string }) => left.push(why) }
  const spool = new Spool({
    dir: join(dataDir, 'ledger'),
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1024 ** 3,
    now,
    disk: realDisk,
    log: log as never,
  })
  return { spool, left }
}

async function written(dataDir: string, ...names: string[]): Promise<string> {
  const { spool } = open(dataDir)
  for (const name of names) await spool.append(auditRecord(name))
  await spool.close()
  return spool.writer
}

t.test('a ledger whose private key is gone, or another one, begins no writer', async (t) => {
  const dataDir = join(t.testdir(), 'one')
  await written(dataDir, 'a')
  const pem = readFileSync(pemPath(dataDir))
  rmSync(pemPath(dataDir))
  t.throws(() => open(dataDir), { code: 'LEDGER_KEY', message: /is missing.*from a backup/ })
  t.notOk(realDisk.has(pemPath(dataDir)), 'no other key is made in its place')
  const other = join(dataDir, '..', 'other')
  openLedgerKeys(other)
  cpSync(pemPath(other), pemPath(dataDir))
  t.throws(() => open(dataDir), { code: 'LEDGER_KEY', message: /is not the key/ })
  writeFileSync(pemPath(dataDir), pem.subarray(0, 40))
  t.throws(() => open(dataDir), { code: 'LEDGER_KEY', message: /cannot be read/ })
  writeFileSync(pemPath(dataDir), pem)
  await written(dataDir, 'b')
})

t.test('a change of the key that was broken off anywhere is finished, or never was', async (t) => {
  const broken = ['0002.vkey', 'ledger.pem'] as const
  for (const last of broken)
    t.test(`before ${last}`, async (t) => {
      const dataDir = t.testdir()
      await written(dataDir, 'a')
      const former = readFileSync(pemPath(dataDir))
      const { signing } = rotateKey(dataDir, Date.now())
      // Back to where it was, with what had been made by then.
      const next = readFileSync(pemPath(dataDir))
      writeFileSync(join(dataDir, 'keys', 'ledger.next.pem'), next)
      writeFileSync(pemPath(dataDir), former)
      if (last === '0002.vkey') rmSync(join(dataDir, 'ledger/keys/0002.vkey'))
      const opened = openLedgerKeys(dataDir)
      t.equal(opened.signing.id === signing.id, last === 'ledger.pem')
      await written(dataDir, 'b')
      rotateKey(dataDir, Date.now())
      await written(dataDir, 'c')
      t.equal(openKeyChain(join(dataDir, 'ledger')).keys.length, last === 'ledger.pem' ? 3 : 2)
    })
})

t.test('what does not fit what was signed is left, and another writer begins', async (t) => {
  const changes: Record<string, (path: string, folder: string) => void> = {
    'a changed record': (path) => {
      const bytes = readFileSync(path)
      bytes.write('#', bytes.indexOf('"name":"b"'))
      writeFileSync(path, bytes)
    },
    'a record that was written anew, with its checksum': (path) => {
      const bytes = readFileSync(path)
      bytes.write('#', bytes.indexOf('"name":"b"'))
      for (let at = SEGMENT_HEAD; at < bytes.length; at = frameEnd(bytes, at)) sealFrame(bytes, at)
      writeFileSync(path, bytes)
    },
    'a tail that is shorter than the checkpoint says': (path) => {
      truncateSync(path, readFileSync(path).length - 20)
    },
    'a segment that is gone': (path) => rmSync(path),
    'a checkpoint that is gone': (_, folder) => rmSync(join(folder, 'checkpoint')),
    'a changed checkpoint': (_, folder) => {
      const path = join(folder, 'checkpoint')
      writeFileSync(path, readFileSync(path, 'utf8').replace('\n3\n', '\n2\n'))
    },
  }
  for (const [what, change] of Object.entries(changes))
    t.test(what, async (t) => {
      const dataDir = t.testdir()
      const ledgerDir = join(dataDir, 'ledger')
      const writer = await written(dataDir, 'a', 'b', 'c')
      const folder = join(ledgerDir, writer)
      change(segmentsOf(folder)[0]?.path ?? '', folder)
      const { spool, left } = open(dataDir)
      t.equal(left.length, 1, left.join())
      t.not(spool.writer, writer)
      t.ok(realDisk.has(join(folder, 'left')))
      await spool.append(auditRecord('d'))
      await spool.close()
      t.equal(await written(dataDir, 'e'), spool.writer)
      t.equal(rosterNotes(ledgerDir).length, 2)
    })
})

t.test('what was added after a writer had ended is signed by nobody', async (t) => {
  const dataDir = t.testdir()
  const ledgerDir = join(dataDir, 'ledger')
  const writer = await written(dataDir, 'a', 'b')
  const folder = join(ledgerDir, writer)
  const path = segmentsOf(folder)[0]?.path ?? ''
  const forged = new RecordEncoder().encode(auditRecord('forged'), { writer, seq: 3 })
  appendFileSync(path, frameOf(forged))
  const { spool, left } = open(dataDir)
  await spool.close()
  t.match(left, [/^records beyond 2 were added/])
  t.not(spool.writer, writer)
  t.match(readFileSync(join(folder, 'checkpoint'), 'utf8'), '\n2\n', 'its checkpoint is as it was')
})

t.test('a damaged head takes no record with it: the segment stays as it is', async (t) => {
  const dataDir = t.testdir()
  const { spool } = open(dataDir)
  await spool.append(auditRecord('a'))
  const folder = join(dataDir, 'ledger', spool.writer)
  // As after a kill: nothing is signed yet.
  const killed = join(t.testdirName, 'killed')
  cpSync(folder, killed, { recursive: true })
  await spool.close()
  rmSync(folder, { recursive: true })
  cpSync(killed, folder, { recursive: true })
  rmSync(killed, { recursive: true })
  rmSync(join(folder, 'lock'))
  const path = segmentsOf(folder)[0]?.path ?? ''
  const bytes = readFileSync(path)
  bytes[0] = 0x42
  writeFileSync(path, bytes)
  const next = open(dataDir)
  await next.spool.close()
  t.match(next.left, [/is damaged at byte 0/])
  t.not(next.spool.writer, spool.writer)
  t.ok(readFileSync(path).equals(bytes))
})

t.test('who could not sign its last records is gone on with', async (t) => {
  const dataDir = t.testdir()
  const { spool } = open(dataDir)
  await spool.append(auditRecord('a'))
  const checkpoint = join(dataDir, 'ledger', spool.writer, 'checkpoint.part')
  mkdirSync(checkpoint)
  await spool.close()
  rmdirSync(checkpoint)
  const next = open(dataDir)
  t.same(next.left, [])
  t.equal(next.spool.writer, spool.writer)
  await next.spool.close()
})

t.test('a tail that looks torn is judged soon, whatever is in it', async (t) => {
  for (const [what, tail, isLeft] of [
    ['torn', Buffer.concat([Buffer.from([0, 4, 0, 0]), Buffer.alloc(600, 7)]), false],
    ['longer than any frame', Buffer.concat([Buffer.from([0, 0, 16, 0]), Buffer.alloc(3e6)]), true],
  ] as const)
    t.test(what, async (t) => {
      const dataDir = t.testdir()
      const writer = await written(dataDir, 'a')
      const folder = join(dataDir, 'ledger', writer)
      appendFileSync(segmentsOf(folder)[0]?.path ?? '', tail)
      const { spool, left } = open(dataDir)
      await spool.close()
      t.equal(spool.writer !== writer, isLeft)
      t.equal(left.length, isLeft ? 1 : 0)
    })
})

t.test('a clock that steps is recorded, one that is drawn is not', async (t) => {
  const dataDir = t.testdir()
  let ahead = 0
  const { spool } = open(dataDir, () => Date.now() + ahead)
  await spool.append(auditRecord('before'))
  for (let step = 0; step < 3; step++) {
    ahead += 1500
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  ahead -= 3_600_000
  await new Promise((resolve) => setTimeout(resolve, 300))
  await spool.append(auditRecord('after'))
  await spool.close()
  const sink = new MemorySink()
  await recorderOf(join(dataDir, 'ledger'), sink).recorder.flush()
  t.same(sink.names, ['before', 'clock', 'after'])
  t.same(
    sink.records.map(({ seq }) => seq),
    [1, 2, 3],
  )
  const { record } = sink.records[1] ?? {}
  t.match(record, { kind: 'audit', event_type: 'clock_stepped', severity: 'warning' })
  const { step_ms: stepMs = 0 } =
    record?.kind === 'audit' ? (record.data as { step_ms?: number }) : {}
  t.ok(Math.abs(stepMs + 3_600_000) < 500)
})
