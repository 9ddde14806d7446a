// The shared tier on Redis: values with a time to live, and invalidation by publish and subscribe.

import { Redis } from 'ioredis'
import type { Log } from '../observe/log.ts'
import type { SharedCache } from './directory.ts'

const PREFIX = 'cordon:subject:'
const CHANNEL = 'cordon:invalidate'

/** Never throws at construction: a Redis that is away is a Redis that is slow. */
export class RedisCache implements SharedCache {
  readonly #client: Redis
  readonly #subscriber: Redis
  readonly #log: Log
  #generation = '0'

  constructor(url: string, log: Log) {
    const options = {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2000,
      commandTimeout: 1000,
      lazyConnect: false,
      retryStrategy: (times: number) => Math.min(times * 200, 5000),
    }
    this.#log = log
    this.#client = new Redis(url, options)
    this.#subscriber = new Redis(url, {
      connectTimeout: options.connectTimeout,
      retryStrategy: options.retryStrategy,
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
    })
    for (const client of [this.#client, this.#subscriber])
      client.on('error', (error: Error) => log.debug({ err: error.message }, 'redis'))
  }

  async get(key: string): Promise<string | null> {
    return this.#client.get(PREFIX + this.#generation + key)
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    await this.#client.set(PREFIX + this.#generation + key, value, 'PX', ttlMs)
  }

  onInvalidate(listener: () => void): void {
    this.#subscriber
      .subscribe(CHANNEL)
      .catch((error: unknown) =>
        this.#log.warn({ err: String(error) }, 'redis subscription failed'),
      )
    this.#subscriber.on('message', (_channel: string, generation: string) => {
      // Old keys are never read again; they run out by themselves.
      this.#generation = generation
      listener()
    })
  }

  async invalidate(): Promise<void> {
    const generation = await this.#client.incr('cordon:generation')
    await this.#client.publish(CHANNEL, String(generation))
  }

  async close(): Promise<void> {
    this.#client.disconnect()
    this.#subscriber.disconnect()
    await Promise.resolve()
  }
}
