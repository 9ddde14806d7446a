// One contract for budgets counted in memory and in Redis, and what holds only for one of them.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { array, assert, integer, property, record } from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Asked, ListedCounter } from '../../src/context/budget-counter.ts'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import { RedisBudgets } from '../../src/context/budget-redis.ts'
import { silent } from '../support/records.ts'
import { noRedis, startRedis } from '../support/redis.ts'

const PEER = join(import.meta.dirname, '../support/budget-peer.ts')
const PEERS = 4
const HOUR_MS = 3_600_000

let keys = 0
function asking(more: Partial<Asked> = {}): Asked {
  return {
    key: `key-${(keys += 1)}`,
    name: '',
    limit: 3,
    cost: 1,
    window: HOUR_MS,
    kind: 'sliding',
    holds: true,
    ...more,
  }
}

t.test('memory', async (t) => contract(t, new MemoryBudgets(Date.now)))

t.test('Redis', { skip: noRedis() }, async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.kill())
  const open = (): RedisBudgets => {
    const counter = new RedisBudgets(redis.url, 'default', silent)
    t.teardown(() => counter.close())
    return counter
  }
  await contract(t, open())

  await t.test('a count is seen by whoever else counts there', async (t) => {
    const [a, b] = [open(), open()]
    const asked = asking()
    await a.take([asked])
    await b.take([asked])
    t.match(await a.take([asked]), { granted: true, counted: [{ used: 2 }] })
    t.match(await b.take([asked]), { granted: false, counted: [{ used: 3 }] })
  })

  await t.test('processes that race get the limit together, and not one more', async (t) => {
    const limit = 100
    const peers = Array.from({ length: PEERS }, () =>
      fork(PEER, [redis.url, String(limit), '60'], { stdio: 'inherit' }),
    )
    t.teardown(() => {
      for (const peer of peers) peer.disconnect()
    })
    await Promise.all(peers.map((peer) => once(peer, 'message')))
    const answers = peers.map((peer) => once(peer, 'message') as Promise<[{ granted: number }]>)
    for (const peer of peers) peer.send('go')
    const granted = (await Promise.all(answers)).map(([answer]) => answer.granted)
    t.equal(
      granted.reduce((sum, each) => sum + each, 0),
      limit,
    )
  })

  await t.test('counts expire by themselves, and name nobody', async (t) => {
    const counter = open()
    const asked = asking({ window: 1000, kind: 'fixed' })
    await counter.take([asked])
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    const named = asking({ window: 1000, kind: 'fixed', name: '["b"]' })
    await counter.take([named])
    for (const key of [`budget:{default}:${asked.key}`, `budget-name:{default}:${named.key}`]) {
      const left = await admin.pttl(`cordon:${key}`)
      t.ok(left > 0 && left <= 2000, `${key} ${left}`)
    }
    t.equal(await admin.exists(`cordon:budget-name:{default}:${asked.key}`), 0)
  })

  await t.test('a tenant sees its own counts only, whatever else lies there', async (t) => {
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    await admin.mset(
      Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`other:${n}`, 'x'])),
    )
    const [ours, theirs] = ['[*]', '[a]'].map(
      (tenant) => new RedisBudgets(redis.url, tenant, silent),
    )
    if (ours === undefined || theirs === undefined) throw new Error('two of them')
    t.teardown(() => {
      ours.close()
      theirs.close()
    })
    await ours.take([asking({ name: '["ours"]' })])
    await theirs.take([asking({ name: '["theirs"]' })])
    const found: string[] = []
    for await (const page of ours.named()) found.push(...page.map(({ name }) => name))
    t.same(found, ['["ours"]'])
  })

  await t.test('what a process took that died stays taken until the window ends', async (t) => {
    const peer = fork(PEER, [redis.url, '5', '3'], { stdio: 'inherit' })
    await once(peer, 'message')
    peer.send('go')
    await once(peer, 'message')
    peer.kill('SIGKILL')
    await once(peer, 'exit')
    const counter = new RedisBudgets(redis.url, 'racing', silent)
    t.teardown(() => counter.close())
    const asked = asking({ key: 'raced', limit: 1000, cost: 0 })
    const { now, counted } = await counter.take([asked])
    const used = counted[0]?.used ?? 0
    t.ok(used >= 3)
    t.ok((counted[0]?.resets_at ?? 0) > now)
  })

  await t.test('a window that has passed is free, by the clock of Redis', async (t) => {
    const counter = open()
    const asked = asking({ window: 1000, kind: 'fixed', limit: 1 })
    const first = await counter.take([asked])
    const end = first.counted[0]?.resets_at ?? 0
    await new Promise((resolve) => {
      setTimeout(resolve, Math.max(0, end - Date.now()) + 20)
    })
    const next = await counter.take([asked])
    t.match(next, { granted: true, counted: [{ used: 0 }] })
    t.equal(next.counted[0]?.resets_at, end + 1000)
  })

  await t.test(
    'one that is away rejects, soon at once, and counts again when it is back',
    async (t) => {
      const counter = open()
      await redis.kill()
      for (let n = 0; n < 4; n++)
        await t.rejects(counter.take([asking()]), { code: 'STORE_UNAVAILABLE' })
      const began = performance.now()
      await t.rejects(counter.take([asking()]))
      t.ok(performance.now() - began < 100, 'nobody waits')
      await redis.start()
      for (;;) {
        const taken = await counter.take([asking()]).catch(() => undefined)
        if (taken !== undefined) break
        await new Promise((resolve) => {
          setTimeout(resolve, 100)
        })
      }
      t.pass('it counts')
    },
  )
})

t.test('windows of memory, by a clock of ours', async (t) => {
  let now = HOUR_MS * 24 * 365
  const counter = new MemoryBudgets(() => now)
  const fixed = asking({ kind: 'fixed', limit: 2, window: 60_000 })
  now += 59_000
  t.match(counter.take([fixed]), { granted: true })
  t.match(counter.take([fixed]), { granted: true, counted: [{ used: 1, resets_at: now + 1000 }] })
  t.match(counter.take([fixed]), { granted: false })
  now += 1000
  t.match(counter.take([fixed]), { granted: true, counted: [{ used: 0 }] }, 'the next window')

  const sliding = asking({ kind: 'sliding', limit: 2, window: 60_000 })
  counter.take([sliding])
  now += 30_000
  counter.take([sliding])
  now += 29_999
  t.match(counter.take([sliding]), { granted: false }, 'both lie in the last minute')
  const frees = counter.take([sliding]).counted[0]?.resets_at ?? 0
  t.ok(frees > now && frees <= now + 2000, 'late by a sixtieth at most')
  now = frees
  t.match(counter.take([sliding]), { granted: true, counted: [{ used: 1 }] })
})

t.test('no window of any beginning holds more than the limit', async (t) => {
  const steps = array(
    record({ wait: integer({ min: 0, max: 900 }), cost: integer({ min: 1, max: 4 }) }),
    { minLength: 1, maxLength: 200 },
  )
  assert(
    property(steps, integer({ min: 1000, max: 5000 }), (all, window) => {
      let now = 1_000_000_000
      const counter = new MemoryBudgets(() => now)
      const asked = asking({ window, limit: 10 })
      const granted: { at: number; cost: number }[] = []
      for (const { wait, cost } of all) {
        now += wait
        if (counter.take([{ ...asked, cost }]).granted) granted.push({ at: now, cost })
      }
      return granted.every(({ at: end }) => {
        const inside = granted.filter(({ at }) => at > end - window && at <= end)
        return inside.reduce((sum, { cost }) => sum + cost, 0) <= 10
      })
    }),
    { numRuns: 200 },
  )
  t.pass()
})

t.test('memory has an end: a count that runs is never forgotten for a new one', async (t) => {
  let now = 0
  const counter = new MemoryBudgets(() => now, 2)
  const first = asking({ window: 1000, kind: 'fixed' })
  counter.take([first])
  counter.take([asking({ window: 10_000, kind: 'fixed' })])
  t.throws(() => counter.take([asking()]), { code: 'TOO_BUSY' })
  t.throws(() => counter.take([first, asking()]), { code: 'TOO_BUSY' })
  t.match(counter.take([first]), { granted: true, counted: [{ used: 1 }] }, 'all or none')
  now += 5000
  t.match(counter.take([asking()]), { granted: true }, 'what has expired makes room')
})

async function contract(t: Test, counter: ListedCounter): Promise<void> {
  await t.test('counts with a name are told, once something was counted', async (t) => {
    const names = async (): Promise<readonly string[]> => {
      const found: string[] = []
      for await (const page of counter.named())
        for (const { key, name } of page) found.push(`${key} ${name}`)
      return found
    }
    const asked = asking({ name: '["b","requests",60000,"fixed","maya"]' })
    await counter.take([{ ...asked, cost: 0 }])
    await counter.take([asking()])
    t.notOk((await names()).includes(`${asked.key} ${asked.name}`), 'looked at only')
    await counter.take([asked, asking()])
    const all = await names()
    t.ok(all.includes(`${asked.key} ${asked.name}`))
    t.ok(
      all.every((each) => each.includes('["')),
      'nothing without a name',
    )
  })

  await t.test('counts up to the limit, and tells how much there was', async (t) => {
    const asked = asking()
    for (const used of [0, 1, 2])
      t.match(await counter.take([asked]), { granted: true, counted: [{ used }] })
    const over = await counter.take([asked])
    t.match(over, { granted: false, counted: [{ used: 3 }] })
    t.ok((over.counted[0]?.resets_at ?? 0) > Date.now())
    t.match(await counter.take([{ ...asked, cost: 0, holds: false }]), {
      granted: true,
      counted: [{ used: 3 }],
    })
  })

  await t.test('all or nothing', async (t) => {
    const [wide, narrow] = [asking({ limit: 100 }), asking({ limit: 1 })]
    t.match(await counter.take([wide, narrow]), { granted: true })
    t.match(await counter.take([wide, narrow]), {
      granted: false,
      counted: [{ used: 1 }, { used: 1 }],
    })
    t.match(await counter.take([wide]), { counted: [{ used: 1 }] }, 'nothing was added')
  })

  await t.test('what holds nobody back is counted beyond its limit', async (t) => {
    const asked = asking({ limit: 1, holds: false })
    for (const used of [0, 1, 2])
      t.match(await counter.take([asked]), { granted: true, counted: [{ used }] })
  })

  await t.test('amounts are added and given back where they were counted', async (t) => {
    const asked = asking({ limit: 1000, cost: 100 })
    const { counted } = await counter.take([asked])
    const slot = counted[0]?.slot ?? 0
    const used = async (): Promise<number | undefined> =>
      (await counter.take([{ ...asked, cost: 0 }])).counted[0]?.used
    await counter.adjust([{ key: asked.key, slot, by: 30 }])
    t.equal(await used(), 130)
    await counter.adjust([{ key: asked.key, slot, by: -500 }])
    t.equal(await used(), 0, 'never less than nothing')
    await counter.adjust([{ key: asked.key, slot: slot - 1000, by: 7 }])
    t.equal(await used(), 0, 'what is over stays over')
    await counter.adjust([{ key: 'nobody', slot, by: 7 }])
  })

  await t.test('large amounts are exact', async (t) => {
    const asked = asking({ limit: 1e15, cost: 999_999_999_999_999 })
    t.match(await counter.take([asked]), { granted: true })
    t.match(await counter.take([{ ...asked, cost: 1 }]), {
      granted: true,
      counted: [{ used: 999_999_999_999_999 }],
    })
    t.match(await counter.take([{ ...asked, cost: 1 }]), {
      granted: false,
      counted: [{ used: 1e15 }],
    })
  })
}
