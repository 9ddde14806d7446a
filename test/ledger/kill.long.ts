// What was acknowledged survives the death of its process, and the next one goes on behind it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { createInterface } from 'node:readline'
import t from 'tap'
import { Spool } from '../../src/ledger/spool.ts'
import { writersIn } from '../../src/ledger/writer-folder.ts'
import { auditRecord, MemorySink, recorderOf } from '../support/records.ts'

const APPENDER = join(import.meta.dirname, '../support/appender.ts')
const ENOUGH = 2000

for (const fsync of ['batch', 'record', 'off'] as const) {
  t.test(`fsync ${fsync}: kill -9 under load loses no acknowledged record`, async (t) => {
    const dir = join(t.testdir(), 'ledger')
    const sink = new MemorySink()
    const acknowledged = await appendAndKill(dir, fsync)
    const spool = new Spool({
      dir,
      tenant: 'default',
      fsync,
      whenFull: 'refuse',
      limitBytes: 1024 ** 3,
      now: Date.now,
    })
    t.equal(writersIn(dir).length, 1, 'the next process goes on with the same writer')
    await spool.append(auditRecord('after'))
    await spool.close()
    const { recorder } = recorderOf(dir, sink)
    await recorder.flush()
    const names = new Set(sink.names)
    const lost = acknowledged.filter((name) => !names.has(name))
    // `off` promises nothing for what was not written yet.
    if (fsync === 'off') t.ok(names.size > ENOUGH / 2, 'most records are there')
    else t.same(lost, [], 'every acknowledged record is there')
    t.ok(names.has('after'), 'the record of the next process is there')
    t.equal(names.size, sink.names.length, 'none is there twice')
    t.same(sink.gaps, [], 'nothing is missing in between')
    t.same(
      sink.records.map(({ seq }) => seq),
      sink.records.map((_, index) => index + 1),
      'the numbers are without holes',
    )
  })
}

async function appendAndKill(dir: string, fsync: string): Promise<string[]> {
  const child = spawn(execPath, [APPENDER, dir, fsync], { stdio: ['ignore', 'pipe', 'inherit'] })
  const names: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    names.push(line)
    if (names.length === ENOUGH) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  // The pipe may have been cut in the middle of the last line.
  return names.slice(0, -1)
}
