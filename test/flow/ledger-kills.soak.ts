// The whole program under load, killed again and again at moments that a seed draws: whatever a client was
// answered is in the ledger once. `CORDON_SEED=<seed>` repeats the choices of a run.

import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { Dice } from '../support/dice.ts'
import { caughtUp, missingFrom } from '../support/ledger-census.ts'
import { Load } from '../support/ledger-load.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { childrenOf } from '../support/running.ts'
import { StandIn } from '../support/through-proxy.ts'

const KILLS = 40
/** Before each kill, at least. */
const ANSWERED = 20
const LOOK_EVERY = 10
const EMBEDDED_KILLS = 6
/** Who is killed with SIGKILL: everything at once, the primary alone, or first one worker and then everything. */
const VICTIMS = ['all', 'primary', 'worker'] as const

t.setTimeout(2_900_000)

t.test(
  `${KILLS} kills under load: nothing answered is missing, nothing is there twice`,
  { skip: noPostgres(), timeout: 2_000_000 },
  async (t) => {
    const dice = new Dice()
    t.comment(`CORDON_SEED=${dice.seed}`)
    const postgres = await startPostgres()
    const database = await postgres.database()
    const standIn = await new StandIn().listen()
    const place = new Place()
    let running: Running | undefined
    t.teardown(async () => {
      await running?.stop('SIGKILL')
      standIn.close()
      await postgres.stop()
      place.remove()
    })
    const configure = (fsync: string): void =>
      place.configure(
        company(place, standIn.port, {
          database_url: database,
          ledger: { fsync },
          proxy: { workers: 2 },
        }),
      )
    configure('batch')
    const load = new Load(standIn, { key: await keyWith(place, 'decisions:write') })

    for (let kill = 1; kill <= KILLS; kill++) {
      configure(dice.of(['batch', 'record']))
      running = await place.start()
      load.start(running)
      await wait(dice.between(100, 1200))
      // However slow the machine is.
      await eventually(
        () => Promise.resolve(load.owed.size),
        (size) => size > ANSWERED * kill,
        60_000,
      )
      await strike(running, dice)
      await load.stop()
      if (kill % LOOK_EVERY !== 0) continue
      running = await place.start()
      const found = await caughtUp(database, load)
      t.same(missingFrom(found, load), [], `after ${kill} kills nothing is missing`)
      t.same(found.doubled, [], 'nothing is there twice')
      t.same(found.holes, [], 'the numbers of every writer are without holes')
      t.equal(found.told, 0, 'and nobody speaks of a loss')
      t.equal(await running.stop(), 0)
    }
    const { code, out, err } = await place.cordon(['ledger', 'verify'])
    t.equal(code, 0, `the folder verifies: ${out}${err}`)
    const stored = await place.cordon(['ledger', 'verify', '--database'])
    t.equal(stored.code, 0, `the store verifies: ${stored.out}${stored.err}`)
    t.comment(`${KILLS} kills, ${load.owed.size} answered, ${load.passed.size} let through`)
    t.ok(load.owed.size > ANSWERED * KILLS, 'there was a load')
  },
)

t.test(`${EMBEDDED_KILLS} kills over the embedded store`, { timeout: 900_000 }, async (t) => {
  const dice = new Dice()
  t.comment(`CORDON_SEED=${dice.seed}`)
  const standIn = await new StandIn().listen()
  const place = await new Place().withStore()
  let running: Running | undefined
  t.teardown(async () => {
    await running?.stop('SIGKILL')
    standIn.close()
    place.remove()
  })
  place.configure(company(place, standIn.port))
  const load = new Load(standIn, { key: await keyWith(place, 'decisions:write'), batch: 10 })
  for (let kill = 1; kill <= EMBEDDED_KILLS; kill++) {
    running = await place.start()
    load.start(running)
    await wait(dice.between(200, 1500))
    await strike(running, dice)
    await load.stop()
  }
  running = await place.start()
  const kept = await eventually(
    () => running?.export() ?? Promise.resolve([]),
    (rows) => rows.length >= load.owed.size,
    120_000,
  )
  const ids = new Set(kept.map((row) => String(row['decision_id'])))
  t.same(
    [...load.owed].filter((id) => !ids.has(id)),
    [],
    'nothing is missing',
  )
  t.equal(kept.length, ids.size, 'nothing is there twice')
  t.equal(await running.stop(), 0)
  const { code, out, err } = await place.cordon(['ledger', 'verify'])
  t.equal(code, 0, `the folder verifies: ${out}${err}`)
})

async function strike(running: Running, dice: Dice): Promise<void> {
  const pid = running.child.pid ?? 0
  const workers = childrenOf(pid)
  const victim = dice.of(VICTIMS)
  if (victim === 'worker') {
    kill(dice.of(workers))
    await wait(dice.between(0, 300))
  }
  // A primary that is gone takes its workers along, in its own time.
  if (victim !== 'primary') for (const worker of childrenOf(pid)) kill(worker)
  await running.stop('SIGKILL')
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
