// Door 1: the explicit forward proxy. Listens, counts, and ends in order.
//
// A connection beyond the limits is told so and closed. A drain stops accepting, ends idle connections,
// lets running answers finish with `Connection: close`, gives tunnels the grace, then ends them.

import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { IdSource } from '../base/ids.ts'
import type { Http1Limits } from '../http1/message.ts'
import { ClientConnection, type ClientParts, type ConnectionOwner } from './client-connection.ts'
import { Deadlines } from './deadlines.ts'
import { OriginPool } from './origin-pool.ts'
import type {
  Identifier,
  Judge,
  ParentProxy,
  ProxyMetrics,
  Refusal,
  RequestLog,
  Router,
  Tunnels,
  Wording,
} from './ports.ts'
import { TOO_MANY_CONNECTIONS, TOO_MANY_OF_CLIENT } from './refusals.ts'
import { Tunnel, type TunnelEnds, type TunnelTotals } from './tunnel.ts'

export interface ProxyParts {
  readonly ids: IdSource
  readonly callers: Identifier
  readonly judge: Judge
  readonly router: Router
  readonly wording: Wording
  readonly metrics: ProxyMetrics
  readonly log: RequestLog
  readonly parent?: ParentProxy
  /** The clock of all waits; the proxy makes its own where none is given, and closes either. */
  readonly deadlines?: Deadlines
}

export interface ProxyOptions {
  readonly headerBytes: number
  readonly headers: number
  readonly connections: number
  readonly perClient: number
  readonly idleMs: number
  readonly connectMs: number
  /** `egress.ports` without `egress.connect_ports`. */
  readonly plainPorts: ReadonlySet<number>
}

export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }

const HEAD_MS = 30_000
const MAX_WAIT_MS = 60_000
const MAX_IDLE_ORIGINS = 1024

export class Proxy implements ConnectionOwner, Tunnels {
  readonly #parts: ClientParts
  readonly #options: ProxyOptions
  readonly #deadlines: Deadlines
  readonly #pool: OriginPool
  readonly #servers: Server[] = []
  readonly #connections = new Set<ClientConnection>()
  readonly #tunnels = new Set<Tunnel>()
  readonly #perClient = new Map<string, number>()
  #draining = false
  #emptied: (() => void) | undefined

  constructor(parts: ProxyParts, options: ProxyOptions) {
    const limits: Http1Limits = { headerBytes: options.headerBytes, headers: options.headers }
    const waitMs = Math.min(options.idleMs, MAX_WAIT_MS)
    this.#options = options
    this.#deadlines = parts.deadlines ?? new Deadlines()
    this.#pool = new OriginPool(limits, this.#deadlines, {
      connectMs: options.connectMs,
      maxIdle: MAX_IDLE_ORIGINS,
    })
    this.#parts = {
      ...parts,
      limits,
      deadlines: this.#deadlines,
      pool: this.#pool,
      tunnels: this,
      connectMs: options.connectMs,
      plainPorts: options.plainPorts,
      times: { headMs: HEAD_MS, keepAliveMs: waitMs, bodyMs: waitMs, idleMs: options.idleMs },
    }
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Open client connections, tunnels included. */
  get connections(): number {
    return this.#connections.size
  }

  /** Listens there too; resolves with the port, undefined for a unix socket. */
  async listen(address: ListenAddress): Promise<number | undefined> {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, pauseOnConnect: false },
      (socket) => {
        // A peer that has gone already has no address, and without one it would count as local.
        if (socket.remoteAddress === undefined && !('path' in address)) socket.destroy()
        else this.accept(socket)
      },
    )
    server.listen('path' in address ? address.path : { ...address, backlog: 4096 })
    await once(server, 'listening')
    this.#servers.push(server)
    const bound = server.address()
    return bound === null || typeof bound === 'string' ? undefined : bound.port
  }

  /** Serves a connection that was accepted; it must allow half-open. */
  accept(socket: Socket): void {
    const refusal = this.#excess(socket.remoteAddress)
    if (refusal !== undefined || this.#draining) {
      this.#turnAway(socket, refusal ?? TOO_MANY_CONNECTIONS)
      return
    }
    const connection = new ClientConnection(socket, this.#parts, this)
    this.#connections.add(connection)
    const { address } = connection
    if (address !== undefined) this.#perClient.set(address, (this.#perClient.get(address) ?? 0) + 1)
    this.#count()
  }

  closed(connection: ClientConnection): void {
    if (!this.#connections.delete(connection)) return
    const { address } = connection
    if (address !== undefined) {
      const left = (this.#perClient.get(address) ?? 1) - 1
      if (left > 0) this.#perClient.set(address, left)
      else this.#perClient.delete(address)
    }
    this.#count()
    if (this.#connections.size === 0) this.#emptied?.()
  }

  open(ends: TunnelEnds, ended: (totals: TunnelTotals) => void): void {
    const tunnel: Tunnel = new Tunnel(ends, this.#deadlines, this.#options.idleMs, (totals) => {
      this.#tunnels.delete(tunnel)
      ended(totals)
    })
    this.#tunnels.add(tunnel)
  }

  /** Forgets pooled connections: the rules by which they were allowed have changed. */
  forgetOrigins(): void {
    this.#pool.clear()
  }

  /** Drains: resolves when every connection has ended, by itself or after the grace. */
  async close(graceMs: number): Promise<void> {
    this.#draining = true
    for (const server of this.#servers) server.close()
    this.#pool.close()
    for (const connection of this.#connections) connection.drain()
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => this.#destroyAll(), graceMs)
        this.#emptied = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#deadlines.close()
  }

  #destroyAll(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy()
    for (const connection of this.#connections) connection.destroy()
  }

  #excess(address: string | undefined): Refusal | undefined {
    const { connections, perClient } = this.#options
    if (this.#connections.size >= connections) {
      this.#parts.metrics.limits.inc({ limit: 'connections' })
      return TOO_MANY_CONNECTIONS
    }
    if (address !== undefined && (this.#perClient.get(address) ?? 0) >= perClient) {
      this.#parts.metrics.limits.inc({ limit: 'per_client' })
      return TOO_MANY_OF_CLIENT
    }
    return undefined
  }

  /** Says why without reading anything, and keeps nothing of the connection. */
  #turnAway(socket: Socket, refusal: Refusal): void {
    const response = this.#parts.wording.renderRefusal(refusal, {
      method: 'GET',
      host: '',
      header: () => undefined,
      isConnect: false,
      keepAlive: false,
    })
    socket.on('error', () => socket.destroy())
    socket.end(response, () => socket.destroySoon())
    socket.resume()
    socket.on('end', () => socket.destroy())
  }

  #count(): void {
    this.#parts.metrics.connections.set({ door: 'proxy' }, this.#connections.size)
  }
}

/** The proxy over its collaborators; it listens once `listen` or `accept` is called. */
export function createProxy(parts: ProxyParts, options: ProxyOptions): Proxy {
  return new Proxy(parts, options)
}
