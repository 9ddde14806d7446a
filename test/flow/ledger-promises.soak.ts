// What `ledger.fsync` promises, seen in the system calls; clocks that jump; a recorder that dies alone.

import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import t from 'tap'
import { Clock, noClock } from '../support/clock.ts'
import { company, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { Dice } from '../support/dice.ts'
import { caughtUp, missingFrom } from '../support/ledger-census.ts'
import { Load } from '../support/ledger-load.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { childrenOf } from '../support/running.ts'
import { type Call, callsDuring, noStrace } from '../support/strace.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const WRITES = ['write', 'writev', 'sendto', 'sendmsg', 'pwrite64']
const HOUR_S = 3600
/** The promise is 200 ms; the rest is a machine with other things to do. */
const SYNCED_S = 1
const KILLS = 5

t.setTimeout(600_000)

for (const fsync of ['batch', 'record'] as const) {
  t.test(
    `fsync ${fsync}: what leaves the gateway has been kept before`,
    { skip: noStrace(), timeout: 120_000 },
    async (t) => {
      const standIn = await new StandIn().listen()
      const place = await new Place().withStore()
      place.configure(company(place, standIn.port, { ledger: { fsync } }))
      const running = await place.start()
      t.teardown(async () => {
        await running.stop('SIGKILL')
        standIn.close()
        place.remove()
      })
      const once = async (host: string): Promise<readonly Call[]> => {
        await ask(running.proxyPort, `http://${host}/warm`)
        await wait(1000)
        return callsDuring(
          childrenOf(running.child.pid ?? 0),
          [...WRITES, 'fdatasync', 'fsync'],
          async () => {
            await ask(running.proxyPort, `http://${host}/traced`)
            await wait(500)
          },
        )
      }
      for (const [host, leaves] of [
        ['chat.open.test', (target: string) => target.endsWith(`->127.0.0.1:${standIn.port}]`)],
        [
          'openai.bad.test',
          (target: string) => target.includes(`127.0.0.1:${running.proxyPort}->`),
        ],
      ] as const) {
        const calls = await once(host)
        const first = (holds: (call: Call) => boolean): number => calls.findIndex(holds)
        const written = first(({ name, target }) => target.endsWith('.seg') && !/sync/.test(name))
        const synced = first(({ name, target }) => target.endsWith('.seg') && name === 'fdatasync')
        const left = first(({ name, target }) => leaves(target) && !/sync/.test(name))
        const told = JSON.stringify(calls.map(({ name, target }) => `${name} ${target}`))
        t.ok(written >= 0 && left >= 0 && synced >= 0, `${host}: all are seen: ${told}`)
        t.ok(written < left, `${host}: the record is written before the first byte leaves`)
        t.ok(written < synced, `${host}: and synced after it was written`)
        if (fsync === 'record') t.ok(synced < left, `${host}: and before the first byte leaves`)
        else t.ok((calls[synced]?.at ?? 0) - (calls[written]?.at ?? 0) < SYNCED_S, `${host}: soon`)
      }
    },
  )
}

const noDatabase = noPostgres()

t.test(
  'the clock jumps an hour, there and back: order is by number, and the jumps are told',
  { skip: noDatabase === false ? noClock() : noDatabase, timeout: 200_000 },
  async (t) => {
    const postgres = await startPostgres()
    const database = await postgres.database()
    const standIn = await new StandIn().listen()
    const place = new Place()
    place.configure(company(place, standIn.port, { database_url: database }))
    const load = new Load(standIn, { key: await keyWith(place, 'decisions:write'), batch: 5 })
    const clock = new Clock(place.write('clock', ''))
    const running = await place.start({ env: clock.env })
    t.teardown(async () => {
      if (!t.passing()) t.comment(running.said.slice(-3000))
      await running.stop('SIGKILL')
      standIn.close()
      await postgres.stop()
      place.remove()
    })
    load.start(running)
    for (const seconds of [0, HOUR_S, 0, -HOUR_S, 0]) {
      clock.shift(seconds)
      load.mark()
      await wait(1500)
      t.same(
        [...load.recorded.counts.keys()].toSorted((a, b) => a - b),
        [200, 403],
        `served at ${seconds} s`,
      )
    }
    await load.stop()
    const found = await caughtUp(database, load)
    t.same(missingFrom(found, load), [], 'nothing is missing')
    t.same(found.doubled.concat(found.holes), [], 'nothing is there twice')
    t.equal(found.told, 0, 'and nobody speaks of a loss')
    const steps = await eventually(
      () => clockSteps(database),
      (each) => each.length >= 4,
    )
    for (const hours of [1, -1])
      t.ok(
        steps.filter((step) => Math.abs(step - hours * HOUR_S * 1000) < 5000).length >= 2,
        `two steps of ${hours} h: ${steps.join()}`,
      )
    t.equal(await running.stop(), 0)
  },
)

t.test(
  `the recorder alone is killed ${KILLS} times`,
  { skip: noDatabase, timeout: 400_000 },
  async (t) => {
    const dice = new Dice()
    t.comment(`CORDON_SEED=${dice.seed}`)
    const postgres = await startPostgres()
    const database = await postgres.database()
    const standIn = await new StandIn().listen()
    const place = new Place()
    place.configure(company(place, standIn.port, { database_url: database }))
    const load = new Load(standIn, { key: await keyWith(place, 'decisions:write') })
    const gateway = await place.start({ role: 'gateway' })
    let recorder: Running | undefined
    t.teardown(async () => {
      await gateway.stop('SIGKILL')
      await recorder?.stop('SIGKILL')
      standIn.close()
      await postgres.stop()
      place.remove()
    })
    load.start(gateway)
    for (let kill = 1; kill <= KILLS; kill++) {
      recorder = await place.start({ role: 'recorder' })
      if (kill === 1) {
        const second = await place.cordon(['start', '--role', 'recorder'])
        t.equal(second.code, 3, 'two recorders on one folder are refused')
      }
      await wait(dice.between(0, 1500))
      await recorder.stop('SIGKILL')
    }
    await load.stop()
    t.same([...load.unlisted.counts.keys()], [200])
    t.same(
      [...load.recorded.counts.keys()].toSorted((a, b) => a - b),
      [200, 403],
    )
    recorder = await place.start({ role: 'recorder' })
    const found = await caughtUp(database, load)
    t.same(missingFrom(found, load), [], 'nothing is missing')
    t.same(found.doubled.concat(found.holes), [], 'nothing is there twice')
    t.equal(found.told, 0, 'and nobody speaks of a loss')
    t.equal(await recorder.stop(), 0)
    t.equal(await gateway.stop(), 0)
  },
)

/** Milliseconds of each step that the ledger tells. */
async function clockSteps(database: string): Promise<number[]> {
  const client = new Client({ connectionString: database })
  await client.connect()
  try {
    const { rows } = await client.query<{ step: number }>(
      `select (record::jsonb #>> '{data,step_ms}')::float as step from audit_events
       where event_type = 'clock_stepped' order by writer, seq`,
    )
    return rows.map(({ step }) => step)
  } finally {
    await client.end()
  }
}
