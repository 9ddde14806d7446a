// A disk that does not answer: nobody waits for it, and when it is back nothing is lost and nothing doubled.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { Spool, type SpoolOptions } from '../../src/ledger/spool.ts'
import { auditRecord, decisionRecord, MemorySink, recorderOf } from '../support/records.ts'

const HANGING = pathToFileURL(join(import.meta.dirname, '../support/hanging-disk.ts'))
const MOST_MS = 2000

function open(
  dir: string,
  hangs: { readonly file: string; readonly operation: string },
  more: Partial<SpoolOptions> = {},
): Spool {
  const disk = new URL(HANGING)
  disk.searchParams.set('while', hangs.file)
  disk.searchParams.set('operation', hangs.operation)
  return new Spool({
    dir,
    tenant: 'default',
    fsync: 'batch',
    whenFull: 'refuse',
    limitBytes: 1024 ** 3,
    now: Date.now,
    disk,
    ...more,
  })
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10))
}

async function shippedFrom(dir: string): Promise<MemorySink> {
  const sink = new MemorySink()
  await recorderOf(dir, sink).recorder.flush()
  return sink
}

for (const [operation, fsync] of [
  ['write', 'batch'],
  ['sync', 'batch'],
  ['sync', 'record'],
] as const) {
  t.test(`${operation} hangs, fsync ${fsync}: refused within two seconds`, async (t) => {
    const dir = join(t.testdir(), 'ledger')
    const file = join(dir, '..', 'hangs')
    const spool = open(dir, { file, operation }, { fsync })
    await spool.ready
    await spool.append(auditRecord('before'))
    writeFileSync(file, '')
    const kept: string[] = []
    const refused: string[] = []
    const codes = new Set<string>()
    let slowest = 0
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      const end = performance.now() + 4000
      for (let number = 0; performance.now() < end; number++) {
        const name = `${lane}-${number}`
        const start = performance.now()
        try {
          await spool.append(auditRecord(name))
          kept.push(name)
        } catch (error) {
          codes.add(String((error as { code?: string }).code))
          refused.push(name)
        }
        slowest = Math.max(slowest, performance.now() - start)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })
    await until(() => spool.failure !== undefined)
    t.match(spool.failure, /does not answer/)
    await Promise.all(lanes)
    t.ok(slowest <= MOST_MS, `nobody waits for longer than two seconds: ${Math.round(slowest)} ms`)
    t.ok(refused.length > 0)
    t.same([...codes], ['SPOOL_FAILED'])
    rmSync(file)
    await until(() => spool.failure === undefined)
    await spool.append(auditRecord('after'))
    await spool.close()
    const sink = await shippedFrom(dir)
    const names = new Set(sink.names)
    t.equal(names.size, sink.names.length, 'none is there twice')
    t.same(
      ['before', ...kept, 'after'].filter((name) => !names.has(name)),
      [],
      'what was acknowledged is there',
    )
    t.same(
      sink.records.map(({ seq }) => seq),
      sink.records.map((_, index) => index + 1),
    )
  })
}

t.test('drop_counted: each record is there, or counted in a gap record, never both', async (t) => {
  const dir = join(t.testdir(), 'ledger')
  const file = join(dir, '..', 'hangs')
  let lost = 0
  const spool = open(
    dir,
    { file, operation: 'write' },
    { whenFull: 'drop_counted', onLost: (count) => (lost += count) },
  )
  await spool.ready
  writeFileSync(file, '')
  let asked = 0
  let slowest = 0
  const end = performance.now() + 3000
  while (performance.now() < end) {
    const start = performance.now()
    asked += 1
    await spool.append(decisionRecord())
    slowest = Math.max(slowest, performance.now() - start)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  rmSync(file)
  await until(() => spool.failure === undefined)
  await spool.close()
  const sink = await shippedFrom(dir)
  const decisions = sink.records.filter(({ record }) => record.kind === 'decision').length
  const told = sink.gaps.reduce((sum, { count }) => sum + count, 0)
  t.ok(lost > 0)
  t.ok(slowest <= MOST_MS)
  t.equal(told, lost)
  t.equal(decisions + told, asked)
})

t.test('a process ends although its disk does not answer', async (t) => {
  const dir = join(t.testdir(), 'ledger')
  const file = join(dir, '..', 'hangs')
  const spool = open(dir, { file, operation: 'write' })
  await spool.ready
  await spool.append(auditRecord('kept'))
  writeFileSync(file, '')
  const under = spool.append(auditRecord('hangs'))
  const start = performance.now()
  await Promise.all([spool.close(), t.rejects(Promise.resolve(under))])
  t.ok(performance.now() - start < 15_000)
  rmSync(file)
  // The thread goes on where it hung; the folder is not taken away under it.
  await new Promise((resolve) => setTimeout(resolve, 2000))
})
