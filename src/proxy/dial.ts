// Opens a TCP connection to an origin: the first of its addresses that accepts, within one time limit.

import { connect, type Socket } from 'node:net'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { Refusal, Route } from './ports.ts'

/** `done` is called once, unless the returned function has cancelled the attempt. */
export function dial(
  route: Route,
  deadlines: Deadlines,
  connectMs: number,
  done: (result: Socket | Refusal) => void,
): () => void {
  return new Dial(route, deadlines, connectMs, done).cancel
}

/** Connects to the first address that accepts, within one time limit. */
class Dial implements Expiring {
  readonly #deadlines: Deadlines
  readonly #until: number
  readonly #port: number
  readonly #addresses: { readonly address: string; readonly family: 4 | 6 }[]
  readonly #done: (result: Socket | Refusal) => void
  #socket: Socket | undefined
  expiresAt = 0

  constructor(
    { address, port, family, others = [] }: Route,
    deadlines: Deadlines,
    connectMs: number,
    done: (result: Socket | Refusal) => void,
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
  #next(failure: Refusal): void {
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

const TIMED_OUT: Refusal = {
  status: 504,
  error: 'connection_timeout',
  details: 'the origin does not accept the connection in time',
}

function failureOf(code: string | undefined): Refusal {
  if (code === 'ETIMEDOUT') {
    return {
      status: 504,
      error: 'connection_timeout',
      details: 'the origin does not answer',
    }
  }
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'EADDRNOTAVAIL') {
    return {
      status: 502,
      error: 'destination_ip_unroutable',
      details: 'there is no route to the origin',
    }
  }
  return {
    status: 502,
    error: 'connection_refused',
    details: 'the origin refuses the connection',
  }
}

function ignore(): void {
  // A connection that was given up may still fail.
}
