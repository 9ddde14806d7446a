// The shared tier on Redis: values with a time to live, and invalidation by publish and subscribe.
//
// Every key holds a generation, a counter in Redis; to invalidate is to count it up, and old keys run out by
// themselves. The number is read whenever a connection comes (back), because what was published meanwhile
// was not heard. Until it is known there are no hits.

import { Redis } from 'ioredis'
import type { Log } from '../observe/log.ts'
import type { MovedRisk, SharedCache } from './shared-cache.ts'

const PREFIX = 'cordon:directory:'
const CHANNEL = 'cordon:invalidate'
const GENERATION = 'cordon:generation'
const RISK_CHANNEL = 'cordon:risk'

/** Never throws at construction: a Redis that is away is a Redis that is slow. */
export class RedisCache implements SharedCache {
  readonly #client: Redis
  readonly #subscriber: Redis
  readonly #log: Log
  readonly #listeners: (() => void)[] = []
  readonly #riskListeners: ((moved: readonly MovedRisk[]) => void)[] = []
  #generation: number | undefined
  /** The last that was known, to see a Redis that came back older than it went. */
  #highest = 0
  /** Somebody changed something while Redis was away. */
  #owesInvalidation = false

  constructor(url: string, log: Log) {
    const shared = {
      connectTimeout: 2000,
      retryStrategy: (times: number) => Math.min(times * 200, 5000),
    }
    this.#log = log
    this.#client = new Redis(url, {
      ...shared,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: 1000,
    })
    this.#subscriber = new Redis(url, {
      ...shared,
      autoResubscribe: false,
      maxRetriesPerRequest: null,
    })
    for (const client of [this.#client, this.#subscriber])
      client.on('error', (error: Error) => log.debug({ err: error.message }, 'redis'))
    this.#client.on('close', () => {
      this.#generation = undefined
    })
    this.#client.on('ready', () => this.#catchUp())
    this.#subscriber.on('ready', () => {
      // First hear, then ask: nothing falls in between.
      this.#subscriber.subscribe(CHANNEL, RISK_CHANNEL).then(
        () => this.#catchUp(),
        (error: unknown) => this.#log.warn({ err: String(error) }, 'redis subscription failed'),
      )
    })
    this.#subscriber.on('message', (channel: string, message: string) => {
      if (channel === CHANNEL) this.#learn(Number(message))
      else this.#hearRisk(message)
    })
  }

  async get(key: string): Promise<string | null> {
    if (this.#client.status !== 'ready') throw new Error('redis is away')
    if (this.#generation === undefined) return null
    return this.#client.get(this.#key(key, this.#generation))
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    if (this.#generation === undefined) return
    await this.#client.set(this.#key(key, this.#generation), value, 'PX', ttlMs)
  }

  onInvalidate(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Rejects while Redis is away; others are told when it is back. */
  async invalidate(): Promise<void> {
    this.#owesInvalidation = true
    const generation = await this.#client.incr(GENERATION)
    this.#owesInvalidation = false
    this.#learn(generation)
    await this.#client.publish(CHANNEL, String(generation))
  }

  onRisk(listener: (moved: readonly MovedRisk[]) => void): void {
    this.#riskListeners.push(listener)
  }

  async tellRisk(moved: readonly MovedRisk[]): Promise<void> {
    await this.#client.publish(RISK_CHANNEL, JSON.stringify(moved))
  }

  async close(): Promise<void> {
    this.#client.disconnect()
    this.#subscriber.disconnect()
    await Promise.resolve()
  }

  #hearRisk(message: string): void {
    try {
      const moved = JSON.parse(message) as readonly MovedRisk[]
      for (const listener of this.#riskListeners) listener(moved)
    } catch (error) {
      this.#log.debug({ err: String(error) }, 'redis: an own risk that cannot be read')
    }
  }

  #key(key: string, generation: number): string {
    return `${PREFIX}${generation}:${key}`
  }

  #catchUp(): void {
    if (this.#client.status !== 'ready') return
    this.#read().catch((error: unknown) =>
      this.#log.debug({ err: String(error) }, 'redis: the generation could not be read'),
    )
  }

  async #read(): Promise<void> {
    const generation = Number((await this.#client.get(GENERATION)) ?? 0)
    // A Redis that lost its last writes may hold keys that were invalid already.
    if (this.#owesInvalidation || generation < this.#highest) await this.invalidate()
    else this.#learn(generation)
  }

  /** What memory knows stays where nothing has changed, for instance after a short break. */
  #learn(generation: number): void {
    if (!Number.isSafeInteger(generation)) return
    const isNew = generation !== this.#highest
    this.#generation = generation
    this.#highest = Math.max(this.#highest, generation)
    if (isNew) for (const listener of this.#listeners) listener()
  }
}
