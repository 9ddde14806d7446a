// Door 1: the explicit forward proxy. Listens, counts, and ends in order.
//
// A connection beyond the limits is told so and closed. A drain stops accepting, ends idle connections,
// lets running answers finish with `Connection: close`, gives tunnels the grace, then ends them.

import { once } from 'node:events'
import { STATUS_CODES } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import type { IdSource } from '../base/ids.ts'
import type { Http1Limits } from '../http1/message.ts'
import { ownHead } from '../http1/write.ts'
import { readRequest } from '../wire/request.ts'
import type { BodyReader } from './body-reader.ts'
import {
  ClientConnection,
  type ClientParts,
  type ConnectionOwner,
  type CountedConnection,
} from './client-connection.ts'
import { Deadlines } from './deadlines.ts'
import { Inspector } from './inspector.ts'
import { type InterceptionRules, Interceptions } from './interception.ts'
import { Live } from './live.ts'
import type { OriginTrust } from './origin-tls.ts'
import { Origins } from './origins.ts'
import type {
  Identifier,
  Interceptor,
  Judge,
  OpenSocket,
  OpenTunnel,
  OwnAnswer,
  Pages,
  ParentProxy,
  ProxyMetrics,
  Refusal,
  RequestLog,
  Router,
  SocketJudging,
  Tunnels,
  Wording,
} from './ports.ts'
import { TOO_MANY_CONNECTIONS, TOO_MANY_OF_CLIENT } from './refusals.ts'
import { Tunnel, type TunnelEnds, type TunnelTotals } from './tunnel.ts'
import { type WebSocketEnds, WebSocketRelay } from './websocket-relay.ts'

export interface ProxyParts {
  readonly ids: IdSource
  readonly callers: Identifier
  readonly judge: Judge
  readonly router: Router
  readonly wording: Wording
  readonly metrics: ProxyMetrics
  readonly log: RequestLog
  readonly parent?: ParentProxy
  readonly trust: OriginTrust
  readonly pages?: Pages
  /** Absent: bodies are read at once, however large. */
  readonly reader?: BodyReader
  /** Absent: TLS is never opened. */
  readonly interception?: InterceptionRules
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
  /** Of one body, as much as is searched; read anew for every request. */
  readonly inspectBytes: () => number
  /** Of all bodies held at one moment. */
  readonly inspectMemory: number
  /** `egress.ports` without `egress.connect_ports`. */
  readonly plainPorts: ReadonlySet<number>
}

export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }

const HEAD_MS = 30_000
const MAX_WAIT_MS = 60_000

export class Proxy implements ConnectionOwner, Tunnels {
  readonly #parts: ClientParts
  readonly #options: ProxyOptions
  readonly #deadlines: Deadlines
  readonly #origins: Origins
  readonly #live: Live
  /** Kept when interception ends: what was opened by then is still drained and destroyed by it. */
  #interceptions: Interceptions | undefined
  #intercepts = false
  readonly #servers: Server[] = []
  readonly #connections = new Set<CountedConnection>()
  readonly #tunnels = new Set<{ destroy(): void }>()
  readonly #perClient = new Map<string, number>()
  #draining = false
  #emptied: (() => void) | undefined

  constructor(parts: ProxyParts, options: ProxyOptions) {
    const limits: Http1Limits = { headerBytes: options.headerBytes, headers: options.headers }
    const waitMs = Math.min(options.idleMs, MAX_WAIT_MS)
    this.#options = options
    this.#deadlines = parts.deadlines ?? new Deadlines()
    const { router, trust } = parts
    const { connectMs, inspectBytes, inspectMemory, plainPorts } = options
    this.#live = new Live(parts)
    this.#origins = new Origins({ router, trust, deadlines: this.#deadlines, limits, connectMs })
    const interceptor = (): Interceptor | undefined =>
      this.#intercepts ? this.#interceptions : undefined
    this.#parts = {
      ...parts,
      limits,
      deadlines: this.#deadlines,
      origins: this.#origins,
      inspector: new Inspector({
        maxBytes: inspectBytes,
        memory: inspectMemory,
        reader: parts.reader ?? AT_ONCE,
      }),
      tunnels: this,
      live: this.#live,
      get interceptor(): Interceptor | undefined {
        return interceptor()
      },
      plainPorts,
      times: { headMs: HEAD_MS, keepAliveMs: waitMs, bodyMs: waitMs, idleMs: options.idleMs },
    }
    this.intercept(parts.interception)
  }

  /** What is opened from now on; undefined: nothing. Connections that are open stay. */
  intercept(rules: InterceptionRules | undefined): void {
    this.#intercepts = rules !== undefined
    if (rules === undefined) return
    if (this.#interceptions === undefined)
      this.#interceptions = new Interceptions(this.#parts, () => this.#draining, rules)
    else this.#interceptions.replace(rules)
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

  closed(connection: CountedConnection): void {
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

  open(ends: TunnelEnds, ended: (totals: TunnelTotals) => void): OpenTunnel {
    const tunnel: Tunnel = new Tunnel(ends, this.#deadlines, this.#options.idleMs, (totals) => {
      this.#tunnels.delete(tunnel)
      ended(totals)
    })
    this.#tunnels.add(tunnel)
    tunnel.start()
    return tunnel
  }

  openSocket(
    ends: WebSocketEnds,
    judging: SocketJudging,
    ended: (totals: TunnelTotals) => void,
  ): OpenSocket {
    const { inspector } = this.#parts
    const relay: WebSocketRelay = new WebSocketRelay(ends, {
      deadlines: this.#deadlines,
      idleMs: this.#options.idleMs,
      maxMessageBytes: inspector.maxBytes,
      memory: inspector,
      judge: (message) => judging.judge(message),
      onBytes: (bytes) => judging.passed(bytes),
      onServerText: (piece) => judging.said(piece),
      onServerTextEnd: () => judging.saidAll(),
      fault: () => this.#parts.metrics.limits.inc({ limit: 'websocket' }),
      ended: (totals) => {
        this.#tunnels.delete(relay)
        ended(totals)
      },
    })
    this.#tunnels.add(relay)
    relay.start()
    return relay
  }

  /** Judges again what is open, under the rules that are in force now. */
  rejudge(): void {
    this.#live.rejudge()
  }

  /** Forgets pooled connections: the rules by which they were allowed have changed. */
  forgetOrigins(): void {
    this.#origins.clear()
  }

  /** Drains: resolves when every connection has ended, by itself or after the grace. */
  async close(graceMs: number): Promise<void> {
    this.#draining = true
    for (const server of this.#servers) server.close()
    this.#origins.close()
    for (const connection of this.#connections) connection.drain()
    this.#interceptions?.drain()
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => this.#destroyAll(), graceMs)
        this.#emptied = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#live.close()
    this.#deadlines.close()
  }

  #destroyAll(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy()
    this.#interceptions?.destroy()
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
    socket.on('error', () => socket.destroy())
    socket.end(turnedAway(this.#parts.wording, refusal), () => socket.destroySoon())
    socket.resume()
    socket.on('end', () => socket.destroy())
  }

  #count(): void {
    this.#parts.metrics.connections.set({ door: 'proxy' }, this.#connections.size)
  }
}

function turnedAway(wording: Wording, refusal: Refusal): Buffer {
  const { status, fields, body }: OwnAnswer = wording.refusalOf(refusal, {
    method: 'GET',
    host: '',
    header: () => undefined,
    isConnect: false,
    keepAlive: false,
  })
  const head = ownHead(status, STATUS_CODES[status] ?? 'Refused', fields, 'close')
  return Buffer.concat([Buffer.from(head), body])
}

const AT_ONCE: BodyReader = {
  read: ({ head, bytes, truncated }) => readRequest(head, bytes, truncated),
}

/** The proxy over its collaborators; it listens once `listen` or `accept` is called. */
export function createProxy(parts: ProxyParts, options: ProxyOptions): Proxy {
  return new Proxy(parts, options)
}
