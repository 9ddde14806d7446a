// Keys of the API while the store answers, and while it does not.

import Fastify from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { type ApiKey, type KeyFinder, KeyRing, requires } from '../../src/api/key.ts'
import { problemHandler } from '../../src/api/problem.ts'
import { draw } from '../support/draw.ts'

class Finder implements KeyFinder {
  readonly keys = new Map<string, ApiKey>()
  asked = 0
  fails: 'at once' | 'never answers' | undefined

  findKey(token: string): Promise<ApiKey | undefined> {
    this.asked += 1
    if (this.fails === 'at once') return Promise.reject(new Error('connection refused'))
    if (this.fails === 'never answers') return new Promise(() => undefined)
    return Promise.resolve(this.keys.get(token))
  }
}

interface Asked {
  readonly ask: (token: string) => Promise<number>
  /** Lets time pass. */
  readonly advance: (ms: number) => void
}

function appOver(finder: Finder): Asked {
  const app = Fastify()
  let now = 1000
  const ring = new KeyRing(finder, () => now)
  app.decorateRequest('apiKey', null)
  app.setErrorHandler(problemHandler(pino({ level: 'silent' })))
  app.get('/', { onRequest: requires(ring, 'decisions:read') }, () => 'in')
  const ask = async (token: string): Promise<number> => {
    const answer = await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    if (answer.statusCode === 503 && answer.headers['retry-after'] === undefined) return 0
    return answer.statusCode
  }
  return {
    ask,
    advance: (ms) => {
      now += ms
    },
  }
}

t.test('a key is asked for once in ten seconds, and one that is gone stops working', async (t) => {
  const finder = new Finder()
  const { ask, advance } = appOver(finder)
  const token = draw('alnum', 20)
  t.equal(await ask(token), 401)
  finder.keys.set(token, { id: '1', name: 'one', scopes: ['decisions:read'] })
  t.same(await Promise.all([ask(token), ask(token), ask(token)]), [200, 200, 200])
  t.equal(finder.asked, 2, 'those that come together ask together')
  finder.keys.delete(token)
  t.equal(await ask(token), 200, 'remembered')
  advance(10_001)
  t.equal(await ask(token), 401)
})

t.test('while the store is away a known key works, an unknown one gets 503', async (t) => {
  const finder = new Finder()
  const { ask, advance } = appOver(finder)
  const token = draw('alnum', 20)
  finder.keys.set(token, { id: '1', name: 'one', scopes: ['decisions:read'] })
  t.equal(await ask(token), 200)
  finder.fails = 'at once'
  advance(10_001)
  t.equal(await ask(token), 200)
  t.equal(finder.asked, 2)
  t.equal(await ask(token), 200)
  t.equal(finder.asked, 2, 'and the store is not asked for every request')
  t.equal(await ask(draw('alnum', 20)), 503, 'with Retry-After')
  finder.fails = 'never answers'
  t.equal(await ask(draw('alnum', 20)), 503, 'one that hangs is not waited for')
  advance(3_600_001)
  t.equal(await ask(token), 503, 'an hour later nobody vouches for it any more')
  finder.fails = undefined
  t.equal(await ask(token), 200)
})
