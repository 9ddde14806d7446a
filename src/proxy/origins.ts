// Connections to origins, however they are reached: directly or through the parent, bare or over TLS,
// HTTP/1.1 or HTTP/2. Who needs one takes an idle one, or has one opened.
//
// Opening: route -> dial -> [CONNECT to the parent] -> [TLS, verified] -> a leg. Every step can refuse.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Http1Limits } from '../http1/message.ts'
import type { Destination } from '../model/request.ts'
import type { Deadlines } from './deadlines.ts'
import { dial } from './dial.ts'
import { OriginConnection } from './origin-connection.ts'
import type { OriginLeg } from './origin-leg.ts'
import { OriginPool } from './origin-pool.ts'
import { OriginSession } from './origin-session.ts'
import { OriginTls, type OriginTrust, type Protocol } from './origin-tls.ts'
import { ParentConnect } from './parent-connect.ts'
import type { ParentProxy, Refusal, Route, Router } from './ports.ts'
import { refusalOfFault, UNRESOLVED } from './refusals.ts'
import { isRefusal } from './results.ts'

/** How an origin is reached. */
export interface Way {
  readonly destination: Destination
  /** `host:port`. */
  readonly authority: string
  readonly parent: ParentProxy | undefined
  /** Whether the parent is asked for a tunnel; otherwise requests are forwarded to it. */
  readonly tunnelled: boolean
  /** What TLS offers, in order; undefined: no TLS. */
  readonly protocols: readonly Protocol[] | undefined
}

/** An open connection that nothing was sent on. */
export interface Opened {
  readonly socket: Socket
  /** Read already, where a parent sent on at once; never with TLS. */
  readonly rest: Buffer
  /** What TLS agreed on. */
  readonly protocol: Protocol
}

export interface OriginsParts {
  readonly router: Router
  readonly deadlines: Deadlines
  readonly limits: Http1Limits
  readonly connectMs: number
  readonly trust: OriginTrust
}

const MAX_IDLE = 1024
/** Connections to the parent are pooled under a name that no authority has. */
const PARENT = '(parent)'
const NOTHING = Buffer.alloc(0)

type Waiting = (leg: OriginLeg | Refusal) => void

export class Origins {
  readonly #parts: OriginsParts
  readonly #pool: OriginPool
  readonly #tls: OriginTls
  readonly #sessions = new Map<string, OriginSession>()
  /** Whoever waits for a session that is being opened. */
  readonly #awaited = new Map<string, Set<Waiting>>()
  #closed = false

  constructor(parts: OriginsParts) {
    this.#parts = parts
    this.#pool = new OriginPool(parts.deadlines, MAX_IDLE)
    this.#tls = new OriginTls(parts.trust, parts.deadlines, parts.connectMs)
  }

  get idle(): number {
    return this.#pool.idle
  }

  /** Something that was opened before, or undefined. */
  take(way: Way): OriginLeg | undefined {
    const key = keyOf(way)
    if (way.protocols?.includes('h2') === true) {
      const session = this.#sessions.get(key)
      if (session?.usable === true) return session.leg()
    }
    return this.#pool.take(key)
  }

  /** Opens a new one; `done` is called once, unless the returned function has cancelled it. */
  open(way: Way, done: Waiting): () => void {
    const key = keyOf(way)
    if (way.protocols?.includes('h2') !== true) return this.#openLeg(way, key, done)
    // One session serves all who wait for it.
    let waiting = this.#awaited.get(key)
    if (waiting === undefined) {
      const fresh = new Set<Waiting>()
      waiting = fresh
      this.#awaited.set(key, fresh)
      this.#openShared(way, key, fresh)
    }
    waiting.add(done)
    return () => waiting.delete(done)
  }

  /** A connection on which the caller speaks whatever it likes. */
  connect(way: Way, done: (opened: Opened | Refusal) => void): () => void {
    return new Opening(this.#parts, this.#tls, way, done).cancel
  }

  /** Takes an open connection over, to be used by whoever comes next. */
  adopt(way: Way, { socket, protocol }: Opened): void {
    const key = keyOf(way)
    if (protocol === 'h2') this.#session(key, socket)
    else this.#pool.give(this.#connection(key, socket))
  }

  /** Closes what is idle, for instance because the rules of egress have changed. */
  clear(): void {
    this.#tls.forget()
    this.#pool.clear()
    for (const session of this.#sessions.values()) session.retire()
    this.#sessions.clear()
  }

  /** Closes what is idle and keeps nothing from now on. */
  close(): void {
    this.#closed = true
    this.clear()
    this.#pool.close()
  }

  #openLeg(way: Way, key: string, done: Waiting): () => void {
    return this.connect(way, (opened) => {
      done(isRefusal(opened) ? opened : this.#connection(key, opened.socket))
    })
  }

  /** Where the origin speaks no HTTP/2, whoever waits gets a connection of their own. */
  #openShared(way: Way, key: string, waiting: Set<Waiting>): void {
    this.connect(way, (opened) => {
      this.#awaited.delete(key)
      if (isRefusal(opened)) {
        for (const done of waiting) done(opened)
      } else if (opened.protocol === 'h2') {
        const session = this.#session(key, opened.socket)
        for (const done of waiting) done(session.leg())
      } else {
        const [first, ...others] = waiting
        const connection = this.#connection(key, opened.socket)
        if (first === undefined) this.#pool.give(connection)
        else first(connection)
        for (const done of others) this.#openLeg(way, key, done)
      }
    })
  }

  #connection(key: string, socket: Socket): OriginConnection {
    const { limits, deadlines } = this.#parts
    return new OriginConnection(key, socket, {
      limits,
      deadlines,
      keep: (connection) => this.#pool.give(connection),
    })
  }

  #session(key: string, socket: Socket): OriginSession {
    const { limits, deadlines } = this.#parts
    const session = new OriginSession(socket, limits, deadlines, () => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key)
    })
    if (this.#closed) session.retire()
    else this.#sessions.set(key, session)
    return session
  }
}

/** Connections of one key serve each other's requests. */
function keyOf({ authority, parent, tunnelled, protocols }: Way): string {
  if (parent !== undefined && !tunnelled) return PARENT
  if (protocols === undefined) return authority
  return `${protocols.includes('h2') ? 'h2' : 'h1'} ${authority}`
}

class Opening {
  readonly #parts: OriginsParts
  readonly #tls: OriginTls
  readonly #way: Way
  readonly #done: (opened: Opened | Refusal) => void
  #over = false
  #cancel: (() => void) | undefined

  constructor(
    parts: OriginsParts,
    tls: OriginTls,
    way: Way,
    done: (opened: Opened | Refusal) => void,
  ) {
    this.#parts = parts
    this.#tls = tls
    this.#way = way
    this.#done = done
    this.#route()
  }

  readonly cancel = (): void => {
    this.#over = true
    this.#cancel?.()
  }

  #route(): void {
    const { parent, destination, protocols, tunnelled } = this.#way
    const isConnect = protocols !== undefined || tunnelled
    try {
      const route =
        parent === undefined ? this.#parts.router.route(destination, isConnect) : parent.route()
      if (route instanceof Promise)
        route.then(
          (found) => this.#dial(found),
          () => this.#settle(UNRESOLVED),
        )
      else this.#dial(route)
    } catch (fault) {
      this.#settle(refusalOfFault(fault))
    }
  }

  #dial(route: Route | Refusal): void {
    if (this.#over) return
    if (isRefusal(route)) {
      this.#settle(route)
      return
    }
    const { deadlines, connectMs } = this.#parts
    this.#cancel = dial(route, deadlines, connectMs, (socket) => {
      if (isRefusal(socket)) this.#settle(socket)
      else if (this.#way.parent !== undefined && this.#way.tunnelled)
        this.#askParent(socket, this.#way.parent)
      else this.#secure(socket, NOTHING)
    })
  }

  #askParent(socket: Socket, parent: ParentProxy): void {
    const { limits, deadlines, connectMs } = this.#parts
    const connection = new OriginConnection(PARENT, socket, { limits, deadlines })
    const request = new ParentConnect(connection, this.#way.authority, parent, {
      deadlines,
      waitMs: connectMs,
      opened: (rest) => this.#secure(socket, rest),
      refused: (refusal) => this.#settle(refusal),
    })
    this.#cancel = () => request.abort()
  }

  #secure(socket: Socket, rest: Buffer): void {
    const { protocols, destination } = this.#way
    if (protocols === undefined) {
      this.#settle({ socket, rest, protocol: 'http/1.1' })
      return
    }
    if (rest.length > 0) socket.unshift(rest)
    const { host, port } = destination
    this.#cancel = this.#tls.secure(socket, { host, port, protocols }, (secured) => {
      if (!(secured instanceof TLSSocket)) this.#settle(secured)
      else {
        const protocol = secured.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
        this.#settle({ socket: secured, rest: NOTHING, protocol })
      }
    })
  }

  #settle(result: Opened | Refusal): void {
    if (this.#over) return
    this.#over = true
    this.#cancel = undefined
    this.#done(result)
  }
}
