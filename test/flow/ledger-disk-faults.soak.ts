// The disk of the spool is full, fails or hangs: what would have to be recorded is refused (or passes, counted),
// everything else goes on, and nothing that was answered is lost or doubled when it works again.

import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { caughtUp, missingFrom } from '../support/ledger-census.ts'
import { Load } from '../support/ledger-load.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { metricOf, processesOf, readiness } from '../support/running.ts'
import { noSmallDisk, SmallDisk } from '../support/small-disk.ts'
import { noStrace, spoil } from '../support/strace.ts'
import { StandIn } from '../support/through-proxy.ts'

const skip = noPostgres()
/** Whatever the disk does, an answer comes within this time. The promise is 2 s, the rest is a busy machine. */
const ANSWER_MS = 3000
const BACK_MS = 5000
const FAULT_MS = 3500

t.setTimeout(600_000)

interface Fault {
  readonly name: string
  readonly skip: string | false
  readonly fsync: 'batch' | 'record'
  /** Returns what ends it. */
  begin(disk: SmallDisk | undefined, running: Running): Promise<() => unknown>
}

const FAULTS: readonly Fault[] = [
  {
    name: 'the disk is full',
    skip: noSmallDisk(),
    fsync: 'batch',
    begin: (disk) => {
      disk?.fill()
      return Promise.resolve(() => disk?.free())
    },
  },
  {
    name: 'every sync fails',
    skip: noStrace(),
    fsync: 'record',
    begin: (_, running) =>
      spoil(processesOf(running), { calls: ['fdatasync', 'fsync'], how: 'error=EIO' }),
  },
  {
    name: 'a sync hangs',
    skip: noStrace(),
    fsync: 'record',
    begin: (_, running) =>
      spoil(processesOf(running), { calls: ['fdatasync'], how: 'delay_enter=60s' }),
  },
]

for (const whenFull of ['refuse', 'drop_counted'] as const) {
  t.test(`when_full: ${whenFull}`, { skip, timeout: 400_000 }, async (t) => {
    const postgres = await startPostgres()
    const database = await postgres.database()
    const standIn = await new StandIn().listen()
    const place = new Place()
    const disk = noSmallDisk() === false ? new SmallDisk(place.dataDir, 160) : undefined
    let running: Running | undefined
    t.teardown(async () => {
      if (!t.passing()) t.comment(running?.said.slice(-4000))
      await running?.stop('SIGKILL')
      standIn.close()
      await postgres.stop()
      disk?.remove()
      place.remove()
    })

    for (const fault of FAULTS) {
      await t.test(fault.name, { skip: fault.skip, timeout: 120_000 }, async (t) => {
        place.configure(
          company(place, standIn.port, {
            database_url: database,
            ledger: { fsync: fault.fsync, when_full: whenFull },
          }),
        )
        const load = new Load(standIn, {
          key: await keyWith(place, 'decisions:write'),
          batch: 5,
        })
        const cordon = await place.start()
        running = cordon
        load.start(cordon)
        await wait(1000)
        const end = await fault.begin(disk, cordon)
        try {
          await during(t, cordon, load, whenFull)
        } finally {
          await end()
        }
        await afterwards(t, cordon, load)
        await load.stop()
        const found = await caughtUp(database, load)
        const missing = missingFrom(found, load)
        if (whenFull === 'refuse') {
          t.same(missing, [], 'nothing that was answered is missing')
        } else {
          const counted = await metricOf(cordon, 'cordon_spool_gap_records_total')
          t.ok(found.told >= missing.length, `${missing.length} are missing, ${found.told} told`)
          t.ok(counted >= missing.length, `and ${counted} counted`)
        }
        t.same(found.doubled, [], 'nothing is there twice')
        t.same(found.holes, [], 'the numbers are without holes')
        t.equal(await cordon.stop(), 0)
      })
    }
  })
}

async function during(t: Test, running: Running, load: Load, whenFull: string): Promise<void> {
  // What was on its way when it began has its answer within the promise, too.
  await wait(ANSWER_MS)
  load.mark()
  await wait(FAULT_MS)
  const { recorded, unlisted } = load
  const slowest = Math.max(...recorded.slowest.values(), 0)
  t.ok(slowest < ANSWER_MS, `the slowest answer took ${Math.round(slowest)} ms`)
  t.same([...unlisted.counts.keys()], [200], 'what nobody records goes on')
  const { status, body } = await readiness(running)
  t.equal(status, 503, `not ready: ${body}`)
  t.match(body, /spool[^}]*"ok":false/, 'and the spool is why')
  if (whenFull === 'refuse') {
    t.same([...recorded.counts.keys()], [503], 'what must be recorded is refused')
    t.equal(recorded.impolite, 0, 'with Retry-After')
  } else {
    t.ok(recorded.of(403) > 0 && recorded.of(200) > 0, 'what must be recorded passes')
    t.equal(recorded.of(503), 0)
    const counted = await metricOf(running, 'cordon_spool_gap_records_total')
    t.ok(counted > 0, 'and is counted')
  }
}

async function afterwards(t: Test, running: Running, load: Load): Promise<void> {
  const ended = Date.now()
  await eventually(
    () => readiness(running),
    ({ status }) => status === 200,
    BACK_MS,
  )
  load.mark()
  await eventually(
    () => Promise.resolve(load.recorded),
    (recorded) => recorded.of(403) > 0 && recorded.of(200) > 0,
    BACK_MS,
  )
  t.ok(Date.now() - ended < BACK_MS, `back after ${Date.now() - ended} ms`)
}
