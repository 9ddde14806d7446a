// Where does a request's connection come from? The one used last, as long as it is surely alive.
//
// Last in, first out, per origin: the rest grows old and is closed. Connections are shared by all
// requests of this worker, because their bytes are ours alone and proxy credentials never travel on.

import type { Deadlines } from './deadlines.ts'
import type { OriginConnection } from './origin-connection.ts'

export class OriginPool {
  readonly #deadlines: Deadlines
  readonly #maxIdle: number
  readonly #idle = new Map<string, OriginConnection[]>()
  #idleCount = 0
  #closed = false

  /** `maxIdle`: idle connections kept in all. */
  constructor(deadlines: Deadlines, maxIdle: number) {
    this.#deadlines = deadlines
    this.#maxIdle = maxIdle
  }

  get idle(): number {
    return this.#idleCount
  }

  /** A connection that was used before, or undefined. */
  take(key: string): OriginConnection | undefined {
    const list = this.#idle.get(key)
    if (list === undefined) return undefined
    for (let found = list.pop(); found !== undefined; found = list.pop()) {
      this.#leave(key, list, found)
      if (found.usable && found.expiresAt > this.#deadlines.now) return found
      found.destroy()
    }
    return undefined
  }

  /** Keeps a connection whose response has ended, if it can be used again. */
  give(connection: OriginConnection): void {
    if (!connection.usable) return
    if (this.#closed || this.#idleCount >= this.#maxIdle) {
      connection.destroy()
      return
    }
    const { key } = connection
    const list = this.#idle.get(key)
    if (list === undefined) this.#idle.set(key, [connection])
    else list.push(connection)
    this.#idleCount += 1
    connection.rest()
    connection.onClosed = () => this.#forget(connection)
    this.#deadlines.add(connection)
  }

  /** Closes what is idle and keeps nothing from now on. */
  close(): void {
    this.#closed = true
    this.clear()
  }

  /** Closes what is idle, for instance because the rules of egress have changed. */
  clear(): void {
    for (const list of this.#idle.values()) {
      // Each takes itself out of the list.
      for (let last = list.at(-1); last !== undefined; last = list.at(-1)) last.destroy()
    }
  }

  #forget(connection: OriginConnection): void {
    const list = this.#idle.get(connection.key)
    const index = list?.lastIndexOf(connection) ?? -1
    if (list === undefined || index === -1) return
    list.splice(index, 1)
    this.#leave(connection.key, list, connection)
  }

  #leave(key: string, list: readonly OriginConnection[], connection: OriginConnection): void {
    this.#idleCount -= 1
    this.#deadlines.delete(connection)
    connection.onClosed = undefined
    if (list.length === 0) this.#idle.delete(key)
  }
}
