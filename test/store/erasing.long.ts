// Files follow an order to erase people once its record is signed, and never a row of the store alone.

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { Erasing } from '../../src/app/erasing.ts'
import { realDisk } from '../../src/ledger/disk.ts'
import { openKeyChain } from '../../src/ledger/ledger-keys.ts'
import { Spool } from '../../src/ledger/spool.ts'
import { ERASURE_APPLIED, PERSON_ERASED } from '../../src/model/erasure.ts'
import { ordersFor } from '../../src/store/erasures.ts'
import type { Store } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { verifyFolder } from '../../src/verify/folder.ts'
import { makeLedger, type TestLedger } from '../support/ledger-folder.ts'
import { auditRecord, ids, recorderOf, silent } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const LATE = Date.UTC(2026, 10, 2)

onEachStore(async (t, store) => {
  const dir = mkdtempSync(join(tmpdir(), 'erasing-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const people = ['person-0', 'person-1']
  const id = randomUUID()
  const before = new Date(LATE).toISOString()
  const data = { erasure_id: id, person_keys: people, before }
  // The order is given on one machine, and there are files of another one.
  const [near, far] = [
    makeLedger(join(dir, 'near'), [{ stretches: [9, 8] }]),
    makeLedger(join(dir, 'far'), [
      {
        stretches: [7, 6],
        each: [{ ...auditRecord('officer', LATE - 1), event_type: PERSON_ERASED, data }],
      },
    ]),
  ]
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
  })
  const ship = ({ ledger }: TestLedger): Promise<void> => recorderOf(ledger, sink).recorder.flush()
  await ship(near)

  await t.test('a row that somebody has inserted erases nothing', async (t) => {
    await sql`insert into erasures (tenant, erasure_id, person_keys, before)
      values ('default', ${randomUUID()}, ${['person-2']}, now())`.execute(store.db)
    const erasing = erasingOf(store, near, {
      announce: () => Promise.reject(new Error('announced')),
    })
    await erasing.look()
    await erasing.look()
    t.same(verified(near), { verdict: 'intact', erased: 0 })
    t.equal((await openIn(store, near)).length, 1, 'and it stays open')
    await sql`delete from erasures`.execute(store.db)
  })

  await t.test(
    'an order that is signed elsewhere is recorded here, signed, and followed',
    async (t) => {
      const { recorder } = recorderOf(far.ledger, sinkWithout(sink))
      await recorder.flush()
      const spool = new Spool({
        dir: near.ledger,
        tenant: 'default',
        fsync: 'batch',
        whenFull: 'refuse',
        limitBytes: 1024 ** 3,
        now: () => LATE,
        disk: realDisk,
      })
      let told = 0
      const erasing = erasingOf(store, near, {
        announce: async () => {
          told += 1
          await spool.append({
            ...auditRecord('recorder', LATE),
            event_type: ERASURE_APPLIED,
            data,
          })
        },
      })
      await erasing.look()
      t.equal(told, 0, 'its checkpoint has not come yet')
      await ship(far)
      await erasing.look()
      await ship(near)
      await erasing.look()
      t.equal(told, 1)
      t.match(verified(near), { erased: 0 }, 'recorded, and not signed yet')
      await spool.close()
      await ship(near)
      await erasing.look()
      t.equal(told, 1)
      const { verdict, erased } = verified(near)
      t.equal(verdict, 'intact', 'a copy of this folder proves itself')
      t.ok(erased > 3)
      t.same(await openIn(store, near), [])
    },
  )

  await t.test('a row that names more than its record does is not followed either', async (t) => {
    await sql`delete from erasure_folders`.execute(store.db)
    await sql`update erasures set person_keys = ${[...people, 'person-3']}`.execute(store.db)
    const { erased } = verified(near)
    await erasingOf(store, near).look()
    t.same(verified(near), { verdict: 'intact', erased })
    t.equal((await openIn(store, near)).length, 1)
  })
})

function erasingOf(
  store: Store,
  { dataDir }: TestLedger,
  more: { readonly announce?: () => Promise<void> } = {},
): Erasing {
  return new Erasing({
    store,
    tenant: 'default',
    dataDir,
    archiveDir: '',
    log: silent,
    ship: () => undefined,
    endSegments: () => undefined,
    withoutArchiving: (act) => act(),
    ...more,
  })
}

/** Records, and none of what proves them. */
function sinkWithout(sink: RecordSink) {
  return {
    cursors: () => sink.cursors(),
    write: sink.write.bind(sink),
    setAside: sink.setAside.bind(sink),
    keepEvidence: () => Promise.resolve(),
  }
}

async function openIn(store: Store, { ledger }: TestLedger): Promise<readonly unknown[]> {
  return ordersFor(store.db, openKeyChain(ledger).installation)
}

function verified({ ledger }: TestLedger): { readonly verdict: string; readonly erased: number } {
  const { verdict, writers } = verifyFolder(
    { ledger, archive: undefined },
    { checkpoints: [], keys: [], onProgress: () => undefined },
  )
  return { verdict, erased: writers.reduce((sum, writer) => sum + writer.erased, 0) }
}
