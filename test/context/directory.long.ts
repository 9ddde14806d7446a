// One contract for the directory with and without Redis, and what a Redis that is slow or away costs.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { RedisCache } from '../../src/context/redis-cache.ts'
import type { SharedCache } from '../../src/context/shared-cache.ts'
import type { Subject } from '../../src/model/subject.ts'
import { directoryOver, type TestDirectory } from '../support/directory.ts'
import { silent } from '../support/records.ts'
import { noRedis, startRedis } from '../support/redis.ts'

const PEER = join(import.meta.dirname, '../support/directory-peer.ts')

t.test('memory alone', async (t) => contract(t, () => undefined))

t.test('with Redis', { skip: noRedis() }, async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.kill())
  const open = (): RedisCache => {
    const cache = new RedisCache(redis.url, silent)
    t.teardown(() => cache.close())
    return cache
  }

  await contract(t, open)

  await t.test('what one process looked up, another one finds in Redis', async (t) => {
    const [a, b] = [directoryOver(await ready(open())), directoryOver(await ready(open()))]
    a.source.people.set('shared', 'Engineer')
    a.source.devices.set('lap-1', true)
    t.equal(await a.title('shared'), 'Engineer')
    t.match(await a.directory.asset(device('LAP-1')), { document: { crown_jewel: true } })
    await until(() => b.title('shared'), 'Engineer')
    b.directory.forget()
    const before = b.source.looks
    const found = await b.directory.find({ login: 'shared' })
    t.same(found.allowed_services, new Set(['chatgpt']))
    t.same(found.units, new Set(['Engineering']))
    t.match(await b.directory.asset(device('lap-1')), { data_classification: ['pii'] })
    t.equal(b.source.looks, before, 'without its database')
  })

  await t.test('a change is seen by the cache of another process', async (t) => {
    const here = open()
    const mine = directoryOver(await ready(here))
    const peer = fork(PEER, [redis.url], { stdio: 'inherit' })
    t.teardown(() => peer.disconnect())
    const ask = async (knows: Record<string, string>, asks: string) => {
      peer.send({ knows, asks })
      const [reply] = (await once(peer, 'message')) as [{ answer?: string; looks: number }]
      return reply
    }
    t.match(await ask({ maya: 'old' }, 'maya'), { answer: 'old', looks: 1 })
    t.match(await ask({ maya: 'new' }, 'maya'), { answer: 'old', looks: 1 }, 'it remembers')
    await here.invalidate()
    await until(async () => (await ask({}, 'maya')).answer, 'new')
    mine.source.people.set('maya', 'from my own database')
    t.equal(await mine.title('maya'), 'new', 'its new answer came through Redis')
  })

  await t.test('an own risk that moves is heard by others, of their tenant', async (t) => {
    const [here, there] = [await ready(open()), await ready(open())]
    const { directory } = directoryOver(there)
    const of = (id: string): Subject => ({
      user: { id, known: true },
      allowed_services: new Set(),
      prohibited_services: new Set(),
      units: new Set(),
      own_risk: { points: 3, as_of: 1000 },
    })
    const own = { points: 20, as_of: 1000 }
    await until(async () => {
      await here.tellRisk([
        { tenant: 'default', user_id: 'u-1', own },
        { tenant: 'other', user_id: 'u-2', own },
        { tenant: 'default', user_id: 'u-3', own: { points: 90, as_of: 0 } },
      ])
      return directory.ownRisk(of('u-1'))?.points
    }, 20)
    t.same(directory.ownRisk(of('u-1')), own)
    t.equal(directory.ownRisk(of('u-2'))?.points, 3)
    t.equal(directory.ownRisk(of('u-3'))?.points, 3, 'what was read is of a later day')
    directory.forget()
    t.equal(directory.ownRisk(of('u-1'))?.points, 3)
  })

  await t.test('a process that starts after a change reads no old keys', async (t) => {
    const first = open()
    const a = directoryOver(await ready(first))
    a.source.people.set('late', 'old')
    await a.title('late')
    await first.invalidate()
    await first.invalidate()
    const b = directoryOver(await ready(open()))
    b.source.people.set('late', 'new')
    t.equal(await b.title('late'), 'new')
  })

  await t.test('an answer that was read before a change is not shared after it', async (t) => {
    const cache = open()
    const { directory, source, title } = directoryOver(await ready(cache))
    let release = (): void => undefined
    source.gate = new Promise((resolve) => (release = resolve))
    source.people.set('racing', 'old')
    const reading = title('racing')
    await until(() => source.looks, 1)
    source.people.set('racing', 'new')
    await cache.invalidate()
    directory.forget()
    release()
    source.gate = undefined
    t.equal(await reading, 'old', 'whoever asked before may get the old one')
    t.equal(await title('racing'), 'new')
    const other = directoryOver(await ready(open()))
    other.source.people.set('racing', 'new')
    t.equal(await other.title('racing'), 'new')
  })

  await t.test('a connection that broke catches up with what it missed', async (t) => {
    const missing = open()
    const a = directoryOver(await ready(missing))
    a.source.people.set('missed', 'old')
    t.equal(await a.title('missed'), 'old')
    const admin = new Redis(redis.url)
    // Everything at once, so that nobody hears the message: connections gone, and a new generation.
    await admin
      .multi([
        ['incr', 'cordon:generation'],
        ['client', 'KILL', 'TYPE', 'pubsub'],
        ['client', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'],
      ])
      .exec()
    admin.disconnect()
    a.source.people.set('missed', 'new')
    await until(() => a.title('missed'), 'new')
    t.pass('it asked again')
  })

  await t.test('a paused Redis costs one bounded wait, is told, and comes back', async (t) => {
    const { source, title, metrics } = directoryOver(await ready(open()))
    source.people.set('p1', 'x')
    await title('p1')
    redis.pause()
    t.teardown(() => redis.resume())
    for (const name of ['p2', 'p3', 'p4', 'p5']) {
      source.people.set(name, name)
      t.equal(await title(name), name)
    }
    t.ok(metrics.of('redis error') >= 4, 'a metric says so')
    t.equal(await title('p1'), 'x', 'memory serves')
    redis.resume()
    let number = 0
    await until(async () => {
      await title(`fresh-${number++}`)
      return metrics.of('redis miss') > 1
    }, true)
    t.pass('it is asked again')
  })

  await t.test(
    'a Redis that died: answers go on, and what changed meanwhile is told when it is back',
    async (t) => {
      const [one, two] = [open(), open()]
      const a = directoryOver(await ready(one))
      const b = directoryOver(await ready(two))
      b.source.people.set('d1', 'old')
      t.equal(await b.title('d1'), 'old')
      await redis.kill()
      a.source.people.set('d2', 'x')
      t.equal(await a.title('d2'), 'x')
      t.ok(a.metrics.of('redis error') > 0)
      b.source.people.set('d1', 'new')
      await t.rejects(one.invalidate())
      await redis.start()
      await until(() => b.title('d1'), 'new')
      t.pass('the other one heard of it')
    },
  )
})

async function contract(t: Test, open: () => SharedCache | undefined): Promise<void> {
  const fresh = async (): Promise<TestDirectory> => directoryOver(await ready(open()))

  await t.test('a hit costs no look-up, a miss one, however many ask', async (t) => {
    const { source, title, metrics } = await fresh()
    source.people.set('hit', 'Engineer')
    t.same(await Promise.all([title('hit'), title('hit'), title('HIT')]), [
      'Engineer',
      'Engineer',
      'Engineer',
    ])
    t.equal(source.looks, 1)
    t.equal(await title('hit'), 'Engineer')
    t.equal(source.looks, 1)
    t.equal(metrics.of('memory hit'), 1)
    t.equal(metrics.of('memory miss'), 3)
  })

  await t.test('somebody unknown is an answer, and remembered', async (t) => {
    const { source, directory } = await fresh()
    t.match(await directory.find({ login: 'stranger' }), {
      user: { known: false, name: 'stranger' },
      person: 'stranger',
    })
    await directory.find({ login: 'stranger' })
    t.equal(source.looks, 1)
    t.match(directory.find({}), { user: { known: false } }, 'nobody by name is told at once')
  })

  await t.test('devices are remembered, too', async (t) => {
    const { source, directory } = await fresh()
    source.devices.set('lap-9', false)
    await directory.asset(device('Lap-9'))
    t.match(await directory.asset(device('LAP-9')), { document: { crown_jewel: false } })
    t.equal(await directory.asset(device('lap-0')), undefined)
    t.equal(await directory.asset({ source: 'proxy' }), undefined)
    t.equal(source.looks, 2)
  })

  await t.test('after a change everybody is asked for again', async (t) => {
    const cache = open()
    const { source, title, directory } = directoryOver(await ready(cache))
    for (const name of ['c1', 'c2', 'c3']) source.people.set(name, 'old')
    for (const name of ['c1', 'c2', 'c3']) t.equal(await title(name), 'old')
    for (const name of ['c1', 'c2', 'c3']) source.people.set(name, 'new')
    await cache?.invalidate()
    directory.forget()
    for (const name of ['c1', 'c2', 'c3']) t.equal(await title(name), 'new')
  })

  await t.test(
    'without a database memory serves what it knew, and only a new face fails',
    async (t) => {
      const { source, title, directory, metrics } = await fresh()
      source.people.set('seen', 'Engineer')
      await title('seen')
      directory.forget()
      source.isAway = true
      // Redis may know, too; then nobody notices.
      t.equal(await title('seen'), 'Engineer')
      await t.rejects(title('never-seen'), /away/)
      t.ok(metrics.of('database error') > 0)
      source.isAway = false
      t.equal(await title('never-seen'), undefined)
    },
  )
}

/** Connected, and the generation is known. */
async function ready<C extends SharedCache | undefined>(cache: C): Promise<C> {
  if (cache === undefined) return cache
  const probe = `probe-${Math.random()}`
  await until(async () => {
    try {
      await cache.set(probe, 'x', 10_000)
      return await cache.get(probe)
    } catch {
      return undefined
    }
  }, 'x')
  return cache
}

function device(hostname: string): { source: 'proxy'; device: { hostname: string } } {
  return { source: 'proxy', device: { hostname } }
}

async function until<T>(look: () => T | Promise<T>, wanted: T): Promise<void> {
  while ((await look()) !== wanted) await new Promise((resolve) => setTimeout(resolve, 10))
}
