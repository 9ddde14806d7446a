// A process that opens a spool when it is told to, keeps one record and ends. Started by its test, with others.

import { once } from 'node:events'
import { join } from 'node:path'
import { argv, pid, stdin, stdout } from 'node:process'
import { Spool } from '../../src/ledger/spool.ts'
import { auditRecord } from './records.ts'

stdout.write('loaded\n')
await once(stdin, 'data')
const spool = new Spool({
  dir: join(argv[2] ?? '', 'ledger'),
  tenant: 'default',
  fsync: 'batch',
  whenFull: 'refuse',
  limitBytes: 1024 ** 3,
  now: Date.now,
})
await spool.append(auditRecord(`of ${pid}`))
await spool.close()
