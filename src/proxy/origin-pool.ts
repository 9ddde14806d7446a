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

/** Connects to the first address that accepts, within one time limit. */
class Dial implements Expiring {
  readonly #deadlines: Deadlines
  readonly #until: number
  readonly #port: number
  readonly #addresses: { readonly address: string; readonly family: 4 | 6 }[]
  readonly #done: (result: Socket | DialFailure) => void
  #socket: Socket | undefined
  expiresAt = 0

  constructor(
    { address, port, family, others = [] }: Route,
    deadlines: Deadlines,
    connectMs: number,
    done: (result: Socket | DialFailure) => void,
  ) {
    this.#deadlines = deadlines
    this.#until = deadlines.now + connectMs
    this.#port = port
    this.#addresses = [{ address, family }, ...others]
    this.#done = done
    deadlines.add(this)
    this.#next(TIMED_OUT)
  }

  expire(): void {
    this.#next(TIMED_OUT)
  }

  /** Gives up; nothing is called any more. */
  readonly cancel = (): void => {
    this.#deadlines.delete(this)
    this.#drop()
  }

  /** Tries the next address; the failure is that of the one before. */
  #next(failure: DialFailure): void {
    this.#drop()
    const { now } = this.#deadlines
    const target = now < this.#until ? this.#addresses.shift() : undefined
    if (target === undefined) {
      this.#deadlines.delete(this)
      this.#done(failure)
      return
    }
    // A silent address must leave time for those after it.
    this.expiresAt = now + (this.#until - now) / (this.#addresses.length + 1)
    const socket = connect({
      host: target.address,
      port: this.#port,
      family: target.family,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: false,
    })
    this.#socket = socket
    socket.once('connect', () => {
      this.#deadlines.delete(this)
      socket.removeAllListeners()
      this.#done(socket)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => this.#next(failureOf(error.code)))
    socket.once('close', () => this.#next(failureOf(undefined)))
  }

  #drop(): void {
    const socket = this.#socket
    this.#socket = undefined
    if (socket === undefined) return
    socket.removeAllListeners()
    socket.on('error', ignore)
    socket.destroy()
  }
}

const TIMED_OUT: DialFailure = {
  ok: false,
  status: 504,
  error: 'connection_timeout',
  details: 'the origin does not accept the connection in time',
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
