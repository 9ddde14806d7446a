// A process that appends numbered records as fast as it can and prints the number of each that was acknowledged.
// Killed by its test.

import { argv, stdout } from 'node:process'
import { Spool, type SpoolOptions } from '../../src/ledger/spool.ts'
import { auditRecord } from './records.ts'

const [, , dir = '', fsync = 'batch'] = argv
const spool = new Spool({
  dir,
  tenant: 'default',
  fsync: fsync as SpoolOptions['fsync'],
  whenFull: 'refuse',
  limitBytes: 1024 ** 3,
  now: Date.now,
})

await spool.ready

async function appendOn(lane: number): Promise<void> {
  for (let number = 0; ; number++) {
    const name = `${lane}-${number}`
    await spool.append(auditRecord(name))
    stdout.write(`${name}\n`)
    if (fsync === 'off') await new Promise((resolve) => setImmediate(resolve))
  }
}

await Promise.all(Array.from({ length: 16 }, (_, lane) => appendOn(lane)))
