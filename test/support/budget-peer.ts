// A process of its own that takes from one budget in Redis as fast as it can, and tells how often it was let.

import { argv } from 'node:process'
import { RedisBudgets } from '../../src/context/budget-redis.ts'
import { silent } from './records.ts'

const [, , url = '', limit = '0', tries = '0'] = argv
const counter = new RedisBudgets(url, 'racing', silent)
const asked = {
  key: 'raced',
  name: '',
  limit: Number(limit),
  cost: 1,
  window: 3_600_000,
  kind: 'sliding',
  holds: true,
} as const

process.on('message', () => {
  void (async () => {
    const all = await Promise.all(
      Array.from({ length: Number(tries) }, () => counter.take([asked])),
    )
    process.send?.({ granted: all.filter(({ granted }) => granted).length })
  })()
})
process.on('disconnect', () => counter.close())
await counter.take([{ ...asked, cost: 0 }])
process.send?.({ ready: true })
