// Records arrive once, in whatever order, with their leaves and what proves them.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { sql } from 'kysely'
import { deliver, type Delivery } from '../../src/ledger/deliver.ts'
import { replay, type ReplayOptions } from '../../src/ledger/replay.ts'
import type { ShippedRecord } from '../../src/model/record.ts'
import type { Store } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { makeLedger } from '../support/ledger-folder.ts'
import { auditRecord, decisionRecord, ids, recorderOf, shippedOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

onEachStore(async (t, store) => {
  const sink = sinkOf(store)
  const records = shippedOf(
    Array.from({ length: 70 }, (_, index) => decisionRecord({ violation: index % 10 === 0 })),
  )
  const writer = records[0]?.writer ?? ''

  await t.test('two recorders with the same records, newer ones first', async (t) => {
    const [newer, older] = [records.slice(40), records.slice(0, 40)]
    const told = await Promise.all([
      sink.write(writer, newer),
      sinkOf(store).write(writer, newer),
      sinkOf(store).write(writer, older),
      sink.write(writer, older),
    ])
    t.equal(told.flatMap(({ fresh }) => fresh).length, 70, 'each is new once')
    t.same((await sink.write(writer, records)).fresh, [], 'and never again')
    t.equal(
      await countOf(store, sql`select count(*) as n from decisions where writer = ${writer}`),
      70,
    )
    t.equal(await countOf(store, sql`select sum(count) as n from violations`), 7)
    t.equal(
      await countOf(
        store,
        sql`select count(*) as n from violation_facts f
      join violations v on v.tenant = f.tenant and v.violation_id = f.violation_id`,
      ),
      7,
    )
    t.same(await leavesOf(store, writer), Buffer.concat(records.map(({ leaf }) => leaf)))
    t.equal((await sink.cursors()).get(writer), 70)
  })

  await t.test('another record under a number that is taken is kept and told', async (t) => {
    const [other] = shippedOf([decisionRecord()])
    const forged = { ...other, writer, seq: 5 } as ShippedRecord
    const { fresh, clashing } = await sink.write(writer, [forged])
    t.same(fresh, [])
    t.same(
      clashing.map(({ seq }) => seq),
      [5],
    )
    t.equal(
      await countOf(
        store,
        sql`select count(*) as n from dead_letters where writer = ${writer} and seq = 5`,
      ),
      1,
    )
    t.same(await leavesOf(store, writer), Buffer.concat(records.map(({ leaf }) => leaf)))
  })

  await t.test('what a part that is replayed leaves out, the recorder fills', async (t) => {
    const ledger = makeLedger(join(t.testdir(), 'data'), [{ stretches: [6, 9, 7, 8] }])
    const [one] = ledger.writers
    const writerOf = one?.writer ?? ''
    const replayed = (more: Partial<ReplayOptions>): ReturnType<typeof replay> =>
      replay(sink, {
        dirs: [ledger.ledger],
        from: undefined,
        to: undefined,
        signal: new AbortController().signal,
        onProgress: () => undefined,
        onMissing: () => t.fail('nothing is missing'),
        onSetAside: () => t.fail('nothing is refused'),
        ...more,
      })
    const cursor = async (): Promise<number | undefined> => (await sink.cursors()).get(writerOf)
    const rows = (): Promise<number> =>
      countOf(
        store,
        sql`select (select count(*) from decisions where writer = ${writerOf})
          + (select count(*) from audit_events where writer = ${writerOf}) as n`,
      )
    // A stretch is eleven minutes.
    const minute = (count: number): number => Date.UTC(2026, 10, 1) + count * 60_000
    await replayed({ from: minute(30) })
    t.equal(await rows(), 8)
    t.equal(await cursor(), undefined, 'to be read from its beginning')
    await replayed({ to: minute(10) })
    t.equal(await cursor(), 6)
    await replayed({ from: minute(10), to: minute(20) })
    t.equal(await cursor(), 15)
    await recorderOf(ledger.ledger, sink).recorder.flush()
    t.equal(await rows(), 30)
    t.equal(await cursor(), 30)
    t.equal(
      await countOf(store, sql`select count(*) as n from writers where joined is not null`),
      0,
      'nothing is open any more',
    )
    t.equal((await leavesOf(store, writerOf)).length, 30 * 32)
  })

  await t.test(
    'numbers that do not ascend are refused as a batch, and stored one by one',
    async (t) => {
      const [first, second, third] = shippedOf(['a', 'b', 'c'].map((name) => auditRecord(name)))
      const batch = [third, first, second] as ShippedRecord[]
      const by = first?.writer ?? ''
      await t.rejects(sink.write(by, batch), { code: '22000' })
      await deliver(sink, by, batch, () => undefined)
      const leaves = [first, second, third].map((each) => each?.leaf ?? Buffer.alloc(0))
      t.same(await leavesOf(store, by), Buffer.concat(leaves))
    },
  )

  await t.test(
    'what no row can be made of is set aside with its leaf, the others arrive',
    async (t) => {
      const batch = shippedOf(['a', 'b', 'c', 'd', 'e'].map((name) => auditRecord(name)))
      const [, b, c, d] = batch
      Object.assign(b?.record ?? {}, { actor: null })
      Object.assign(c?.record ?? {}, { kind: 'from a later release' })
      Object.assign(d?.record ?? {}, { time: 8.65e15 })
      const told: Delivery[] = []
      await deliver(sink, b?.writer ?? '', batch, (delivery) => told.push(delivery))
      const aside = told.flatMap((each) => (each.outcome === 'set_aside' ? [each.record.seq] : []))
      t.same(aside, [2, 3, 4])
      t.equal(
        await countOf(
          store,
          sql`select count(*) as n from audit_events where writer = ${b?.writer}`,
        ),
        2,
      )
      t.same(await leavesOf(store, b?.writer ?? ''), Buffer.concat(batch.map(({ leaf }) => leaf)))
      t.equal((await sink.cursors()).get(b?.writer ?? ''), 5)
    },
  )

  await t.test(
    'a checkpoint comes once the store has what it covers, and never goes back',
    async (t) => {
      const installation = randomUUID()
      const bring = (size: number, isSeal = false): Promise<void> =>
        sink.keepEvidence({
          installation,
          keys: [{ number: 1, vkey: 'key', note: undefined }],
          roster: [{ number: 1, note: 'entry' }],
          checkpoints: [
            {
              writer,
              size,
              time: size,
              isSeal,
              frontier: isSeal ? Buffer.alloc(32) : undefined,
              note: `${size}`,
            },
          ],
        })
      for (const size of [40, 70, 71, 60, 70]) await bring(size)
      await bring(50, true)
      await bring(50, true)
      const { rows } = await sql<{ size: string; is_seal: boolean }>`
      select size, is_seal from ledger_checkpoints where writer = ${writer} order by is_seal`.execute(
        store.db,
      )
      t.same(rows, [
        { size: '70', is_seal: false },
        { size: '50', is_seal: true },
      ])
      t.equal(
        await countOf(
          store,
          sql`select count(*) as n from ledger_roster where installation = ${installation}`,
        ),
        1,
      )
    },
  )
})

function sinkOf({ db }: Store): RecordSink {
  return new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
}

async function countOf({ db }: Store, query: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await (query as ReturnType<typeof sql<{ n: string }>>).execute(db)
  return Number(rows[0]?.n)
}

async function leavesOf({ db }: Store, writer: string): Promise<Buffer> {
  const { rows } = await sql<{ hashes: Buffer }>`
    select hashes from ledger_leaves where writer = ${writer} order by tile`.execute(db)
  return Buffer.concat(rows.map(({ hashes }) => hashes))
}
