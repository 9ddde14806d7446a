// The store dies, stops, stands behind a bad network: clients are served on, and afterwards the store has
// every record once.

import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place } from '../support/cordon.ts'
import { caughtUp, missingFrom } from '../support/ledger-census.ts'
import { Load } from '../support/ledger-load.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { noRedis, startRedis } from '../support/redis.ts'
import { metricOf, readiness, residentMib } from '../support/running.ts'
import { StandIn } from '../support/through-proxy.ts'
import { ToxicRelay } from '../support/toxics.ts'

const skip = noPostgres()
const RESIDENT_MIB = 64
const PATIENT = { timeout: 200_000 }

t.setTimeout(600_000)

if (skip !== false) {
  t.pass(skip, { skip })
} else {
  const postgres = await startPostgres()
  const redis = noRedis() === false ? await startRedis() : undefined
  const relay = await new ToxicRelay({ host: '127.0.0.1', port: postgres.port }).listen()
  const standIn = await new StandIn().listen()
  const database = await postgres.database()
  const place = new Place()
  place.configure(
    company(place, standIn.port, {
      database_url: database.replace(`:${postgres.port}/`, `:${relay.port}/`),
      ...(redis === undefined ? {} : { redis_url: redis.url }),
    }),
  )
  const running = await place.start()
  const load = new Load(standIn, { key: await keyWith(place, 'decisions:write'), batch: 20 })
  t.teardown(async () => {
    relay.set({})
    if (!t.passing()) t.comment(running.said.slice(-4000))
    await running.stop('SIGKILL')
    await relay.close()
    await redis?.kill()
    standIn.close()
    await postgres.stop()
    place.remove()
  })

  /** Under load: a second, then the fault for a while, then a second after it. */
  const underLoad = async (
    t: Test,
    fault: { begin(): unknown; during?(t: Test): Promise<void>; end(): unknown; ms: number },
  ): Promise<void> => {
    load.mark()
    load.start(running)
    await wait(500)
    await fault.begin()
    load.mark()
    await Promise.all([wait(fault.ms), fault.during?.(t)])
    const { recorded, unlisted } = load
    await fault.end()
    await wait(500)
    await load.stop()
    t.equal(running.child.exitCode ?? running.child.signalCode, null, 'it runs on')
    t.ok(recorded.of(403) > 10 && recorded.of(200) > 10, 'clients were answered meanwhile')
    t.same([...unlisted.counts.keys()], [200], 'and so was what nobody records')
    t.same(
      [...recorded.counts.keys()].toSorted((a, b) => a - b),
      [200, 403],
      'nobody was refused for want of a store',
    )
    const found = await caughtUp(database, load)
    t.same(missingFrom(found, load), [], 'nothing is missing')
    t.same(found.doubled, [], 'nothing is there twice')
    t.same(found.holes, [], 'the numbers are without holes')
    t.equal(found.told, 0, 'and nobody speaks of a loss')
  }

  t.test('the store is killed and started again', PATIENT, (t) =>
    underLoad(t, {
      begin: () => postgres.kill(),
      during: async (t) => {
        const { body, status } = await eventually(
          () => readiness(running),
          ({ body }) => /"store"[^}]*away/.test(body),
        )
        t.equal(status, 200, 'ready, because traffic goes on')
        t.match(body, /"name":"store","ok":true,"detail":"away/)
        t.ok((await metricOf(running, 'cordon_spool_records')) > 0, 'what waits is measured')
      },
      end: () => postgres.start(),
      ms: 4000,
    }),
  )

  t.test('the store is stopped in the middle of what it does, and goes on', PATIENT, (t) =>
    underLoad(t, { begin: () => postgres.pause(), end: () => postgres.resume(), ms: 6000 }),
  )

  t.test('the store is slow: a fifth of a second each way', PATIENT, (t) =>
    underLoad(t, {
      begin: () => relay.set({ latencyMs: 200 }),
      end: () => relay.set({}),
      ms: 4000,
    }),
  )

  t.test('the way to the store is narrow', PATIENT, (t) =>
    underLoad(t, {
      begin: () => relay.set({ bandwidth: 64 * 1024 }),
      end: () => relay.set({}),
      ms: 4000,
    }),
  )

  t.test('its connections are cut every few moments', PATIENT, async (t) => {
    const cutting = setInterval(() => relay.reset(), 150)
    await underLoad(t, {
      begin: () => undefined,
      end: () => clearInterval(cutting),
      ms: 5000,
    })
  })

  t.test('nobody listens where the store was', PATIENT, (t) =>
    underLoad(t, { begin: () => relay.close(), end: () => relay.listen(), ms: 3000 }),
  )

  t.test('the network takes everything and passes nothing', PATIENT, (t) =>
    underLoad(t, {
      begin: () => relay.set({ silent: true }),
      end: () => relay.set({}),
      ms: 5000,
    }),
  )

  t.test('store and Redis are away together', { ...PATIENT, skip: redis === undefined }, (t) =>
    underLoad(t, {
      begin: async () => {
        await redis?.kill()
        await relay.close()
      },
      end: async () => {
        await redis?.start()
        await relay.listen()
      },
      ms: 4000,
    }),
  )

  t.test(
    'an hour without a store, in small: what waits costs no memory, and all of it arrives',
    PATIENT,
    async (t) => {
      const before = residentMib(running)
      const owed = load.owed.size
      await underLoad(t, { begin: () => relay.close(), end: () => relay.listen(), ms: 30_000 })
      const grown = residentMib(running) - before
      t.comment(`${load.owed.size - owed} decisions, ${Math.round(grown)} MiB more resident`)
      t.ok(grown < RESIDENT_MIB, `${Math.round(grown)} MiB more than before`)
    },
  )
}
