// Where does a request's connection come from? The one used last, as long as it is surely alive.
//
// Last in, first out, per origin: the rest grows old and is closed. Connections are shared by all
// requests of this worker, because their bytes are ours alone and proxy credentials never travel on.

import { connect, type Socket } from 'node:net'
import type { Http1Limits } from '../http1/message.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import { OriginConnection } from './origin-connection.ts'
import type { Route } from './ports.ts'

export interface PoolOptions {
  readonly connectMs: number
  /** Idle connections kept in all. */
  readonly maxIdle: number
}

export type Dialled = { readonly ok: true; readonly connection: OriginConnection } | DialFailure

interface DialFailure {
  readonly ok: false
  readonly status: 502 | 504
  /** RFC 9209 error type. */
  readonly error: string
  readonly details: string
}

export class OriginPool {
  readonly #limits: Http1Limits
  readonly #deadlines: Deadlines
  readonly #options: PoolOptions
  readonly #idle = new Map<string, OriginConnection[]>()
  #idleCount = 0
  #closed = false

  constructor(limits: Http1Limits, deadlines: Deadlines, options: PoolOptions) {
    this.#limits = limits
    this.#deadlines = deadlines
    this.#options = options
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
    if (this.#closed || this.#idleCount >= this.#options.maxIdle) {
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

  /** A new connection; `done` is called once, unless the returned function has cancelled the attempt. */
  dial(key: string, route: Route, done: (dialled: Dialled) => void): () => void {
    return new Dial(route, this.#deadlines, this.#options.connectMs, (result) => {
      if ('status' in result) done(result)
      else {
        const connection = new OriginConnection(key, result, this.#limits, this.#deadlines)
        done({ ok: true, connection })
      }
    }).cancel
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

/** One attempt to connect, with its time limit. */
class Dial implements Expiring {
  readonly expiresAt: number
  readonly #expire: () => void
  /** Gives up; nothing is called any more. */
  readonly cancel: () => void

  constructor(
    { address, port, family }: Route,
    deadlines: Deadlines,
    connectMs: number,
    done: (result: Socket | DialFailure) => void,
  ) {
    this.expiresAt = deadlines.now + connectMs
    const socket = connect({
      host: address,
      port,
      family,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: false,
    })
    const settle = (result: Socket | DialFailure): void => {
      deadlines.delete(this)
      socket.removeAllListeners()
      if (result !== socket) {
        socket.on('error', ignore)
        socket.destroy()
      }
      done(result)
    }
    this.#expire = () =>
      settle({
        ok: false,
        status: 504,
        error: 'connection_timeout',
        details: 'the origin does not accept the connection in time',
      })
    this.cancel = () => {
      deadlines.delete(this)
      socket.removeAllListeners()
      socket.on('error', ignore)
      socket.destroy()
    }
    socket.once('connect', () => settle(socket))
    socket.once('error', (error: NodeJS.ErrnoException) => settle(failureOf(error.code)))
    socket.once('close', () => settle(failureOf(undefined)))
    deadlines.add(this)
  }

  expire(): void {
    this.#expire()
  }
}

function failureOf(code: string | undefined): DialFailure {
  if (code === 'ETIMEDOUT') {
    return {
      ok: false,
      status: 504,
      error: 'connection_timeout',
      details: 'the origin does not answer',
    }
  }
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'EADDRNOTAVAIL') {
    return {
      ok: false,
      status: 502,
      error: 'destination_ip_unroutable',
      details: 'there is no route to the origin',
    }
  }
  return {
    ok: false,
    status: 502,
    error: 'connection_refused',
    details: 'the origin refuses the connection',
  }
}

function ignore(): void {
  // A connection that was given up may still fail.
}
