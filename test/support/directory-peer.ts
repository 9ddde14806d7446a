// A second process with a directory of its own over the same Redis. It is told what its source knows and asked.

import { argv } from 'node:process'
import { RedisCache } from '../../src/context/redis-cache.ts'
import { directoryOver } from './directory.ts'
import { silent } from './records.ts'

const [, , url = ''] = argv
const shared = new RedisCache(url, silent)
const { source, title, metrics } = directoryOver(shared)

process.on('message', ({ knows, asks }: { knows: Record<string, string>; asks: string }) => {
  for (const [name, job] of Object.entries(knows)) source.people.set(name, job)
  void title(asks).then((answer) =>
    process.send?.({ answer, looks: source.looks, hits: metrics.of('redis hit') }),
  )
})
process.on('disconnect', () => void shared.close())
