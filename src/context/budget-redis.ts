// Budgets counted in Redis: exact for all gateways, by the clock of Redis.
//
// A script is one step: whatever asks at the same moment, in whichever process, sees the count before or after it.
// A count is a hash, slot to amount, that expires by itself; beside it lies its name, for lists. All keys of a tenant lie in
// one slot of a cluster.

import { circuitBreaker, ConsecutiveBreaker, handleAll, type IPolicy } from 'cockatiel'
import { Redis } from 'ioredis'
import { CordonError } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import {
  type Asked,
  type Change,
  type Counted,
  type ListedCounter,
  type NamedCount,
  slotWidth,
  type Taken,
} from './budget-counter.ts'

/** One bounded wait, then Redis is left alone for a while. */
const WAIT_MS = 1000
const BREAK_MS = 5000
const FAILURES = 3
/** Keys, whoever they belong to. */
const LOOKED_AT_ONCE = 1000

/**
 * Keys: of the counts, then of their names. Of each count: limit, cost, window, width of a slot, holds, name. Answers: granted,
 * the time, then used, resets_at, slot of each.
 */
const TAKE = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local granted = 1
local out = { 0, now }
local adds = {}
for i = 1, #KEYS / 2 do
  local key = KEYS[i]
  local at = (i - 1) * 6
  local limit, cost = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local window, width = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local isFixed = width == window
  local slot = math.floor(now / width)
  local oldest = isFixed and slot or math.floor((now - window) / width)
  local used, first = 0, nil
  local fields = redis.call('HGETALL', key)
  for f = 1, #fields, 2 do
    local s, count = tonumber(fields[f]), tonumber(fields[f + 1])
    if s < oldest then
      redis.call('HDEL', key, fields[f])
    else
      used = used + count
      if count > 0 and (first == nil or s < first) then first = s end
    end
  end
  local resets = (slot + 1) * width
  if not isFixed then resets = first and (first + 1) * width + window or now + window end
  if ARGV[at + 5] == '1' and used + cost > limit then granted = 0 end
  if cost > 0 then
    local ends = string.format('%.0f', window + width)
    adds[#adds + 1] = { key, string.format('%.0f', slot), ARGV[at + 2], ends, KEYS[#KEYS / 2 + i], ARGV[at + 6] }
  end
  out[#out + 1] = used
  out[#out + 1] = resets
  out[#out + 1] = slot
end
if granted == 1 then
  for _, add in ipairs(adds) do
    redis.call('HINCRBY', add[1], add[2], add[3])
    redis.call('PEXPIRE', add[1], add[4])
    if add[6] ~= '' then redis.call('SET', add[5], add[6], 'PX', add[4]) end
  end
end
out[1] = granted
return out
`

/** Of each change: slot, difference. A slot that is gone stays gone. */
const ADJUST = `
for i, key in ipairs(KEYS) do
  local slot = ARGV[i * 2 - 1]
  local before = redis.call('HGET', key, slot)
  if before then
    redis.call('HSET', key, slot, string.format('%.0f', math.max(0, tonumber(before) + tonumber(ARGV[i * 2]))))
  end
end
return 0
`

interface Scripts {
  takeBudgets(keys: number, ...rest: (string | number)[]): Promise<number[]>
  adjustBudgets(keys: number, ...rest: (string | number)[]): Promise<number>
}

/** Never throws at construction. `tenant` and the keys make the names in Redis. */
export class RedisBudgets implements ListedCounter {
  readonly #client: Redis & Scripts
  readonly #prefix: string
  readonly #names: string
  readonly #guard: IPolicy = circuitBreaker(handleAll, {
    halfOpenAfter: BREAK_MS,
    breaker: new ConsecutiveBreaker(FAILURES),
  })

  constructor(url: string, tenant: string, log: Log) {
    this.#prefix = `cordon:budget:{${tenant}}:`
    this.#names = `cordon:budget-name:{${tenant}}:`
    const client = new Redis(url, {
      connectTimeout: 2000,
      // What is asked while the connection is on its way waits for it, as long as for an answer.
      commandTimeout: WAIT_MS,
      maxRetriesPerRequest: 0,
      retryStrategy: (times: number) => Math.min(times * 200, 5000),
    })
    client.on('error', (error: Error) => log.debug({ err: error.message }, 'redis: budgets'))
    client.defineCommand('takeBudgets', { lua: TAKE })
    client.defineCommand('adjustBudgets', { lua: ADJUST })
    this.#client = client as Redis & Scripts
  }

  async take(asked: readonly Asked[]): Promise<Taken> {
    const keys = [this.#prefix, this.#names].flatMap((prefix) =>
      asked.map(({ key }) => prefix + key),
    )
    const values = asked.flatMap((each) => [
      each.limit,
      each.cost,
      each.window,
      slotWidth(each),
      each.holds ? 1 : 0,
      each.name,
    ])
    const [granted, now = 0, ...numbers] = await this.#run(() =>
      this.#client.takeBudgets(keys.length, ...keys, ...values),
    )
    const counted = asked.map((_, index): Counted => {
      const [used = 0, resets_at = 0, slot = 0] = numbers.slice(index * 3)
      return { used, resets_at, slot }
    })
    return { granted: granted === 1, now, counted }
  }

  async adjust(changes: readonly Change[]): Promise<void> {
    const keys = changes.map(({ key }) => this.#prefix + key)
    const values = changes.flatMap(({ slot, by }) => [slot, by])
    await this.#run(() => this.#client.adjustBudgets(keys.length, ...keys, ...values))
  }

  async *named(): AsyncGenerator<readonly NamedCount[]> {
    const pattern = `${this.#names.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}*`
    let cursor = '0'
    do {
      const from = cursor
      const [next, keys] = await this.#run(() =>
        this.#client.scan(from, 'MATCH', pattern, 'COUNT', LOOKED_AT_ONCE),
      )
      const names = keys.length === 0 ? [] : await this.#run(() => this.#client.mget(keys))
      yield keys.flatMap((key, index) => {
        const name = names[index]
        return typeof name === 'string' ? [{ key: key.slice(this.#names.length), name }] : []
      })
      cursor = next
    } while (cursor !== '0')
  }

  close(): void {
    this.#client.disconnect()
  }

  async #run<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await this.#guard.execute(command)
    } catch (error) {
      throw new CordonError('STORE_UNAVAILABLE', 'Redis does not count budgets', { cause: error })
    }
  }
}
