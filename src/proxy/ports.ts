// What the relay asks of others: who is calling, what becomes of the request, where it may go, who notes it.

import type { Socket } from 'node:net'
import type { Outcome } from '../decision/decide.ts'
import type { Decision } from '../model/decision.ts'
import type { AccessRequest, Destination, Principal } from '../model/request.ts'
import type { AiService } from '../model/service.ts'
import type { TunnelEnds, TunnelTotals } from './tunnel.ts'

/** Why a request is not passed on, and how the client is told. */
export interface Refusal {
  readonly status: number
  /** Error type of RFC 9209. */
  readonly error: string
  readonly details: string
  readonly retryAfterSeconds?: number
  readonly decision?: Decision
  readonly service?: AiService
  /** The wire format that was seen (an id of the known formats); without one the service's own counts. */
  readonly format?: string
  /** An approved service of the same kind. */
  readonly alternative?: string
  /** 407: credentials are asked for. */
  readonly challenge?: boolean
}

/** Where a request goes, as its first line says. */
export interface Target {
  readonly kind: 'absolute' | 'connect' | 'origin'
  readonly destination: Destination
  /** The Host value to send. */
  readonly authority: string
  /** Path and query as received. */
  readonly requestTarget: string
}

/** Who is calling, or why nobody is served. */
export type Caller =
  | {
      readonly ok: true
      readonly principal: Principal
      /** What the access log calls the person, where the principal has no login. */
      readonly login?: string
      readonly network?: string
      readonly address?: string
    }
  | { readonly ok: false; readonly refusal: Refusal }

/** The address that will be dialled, checked and pinned. */
export interface Route {
  readonly address: string
  readonly port: number
  readonly family: 4 | 6
  /** Further addresses of the same name, tried where the first one does not accept. */
  readonly others?: readonly { readonly address: string; readonly family: 4 | 6 }[]
}

export interface Identifier {
  /** The address is undefined for unix sockets, whose peers count as local. */
  identify(
    proxyAuthorization: string | undefined,
    clientAddress: string | undefined,
  ): Caller | Promise<Caller>
}

export interface Judge {
  decide(request: AccessRequest): Promise<Outcome>
}

export interface Router {
  /** What can be refused without resolving a name: then no decision is made. */
  check(destination: Destination, isConnect: boolean): Refusal | undefined
  route(destination: Destination, isConnect: boolean): Route | Refusal | Promise<Route | Refusal>
}

/** A proxy above this one, through which some destinations are reached; resolution is its own. */
export interface ParentProxy {
  covers(destination: Destination): boolean
  route(): Route | Refusal | Promise<Route | Refusal>
  /** Its credentials as a whole line with CRLF, or nothing. */
  readonly authorizationLine: string
}

/** The instruments that the proxy moves. */
export interface ProxyMetrics {
  readonly requests: { inc(labels: { door: string; outcome: string }): void }
  readonly limits: { inc(labels: { limit: string }): void }
  readonly connections: { set(labels: { door: string }, value: number): void }
  readonly upstreamSeconds: { observe(seconds: number): void }
}

/** The client's connection, as the exchange at hand may use it. */
export interface ClientLeg {
  readonly socket: Socket
  /** Undefined for unix sockets. */
  readonly address: string | undefined
  /** Whether the connection may outlive the exchange, as far as the proxy is concerned. */
  readonly keepAlive: boolean
  /** The origin of a CONNECT whose plain HTTP is judged request by request. */
  readonly inside: Inside | undefined
  /** Something has moved: the idle time begins anew. */
  touch(): void
  /** Hands over the body of the request, from now on. */
  readBody(): void
  pauseBody(): void
  resumeBody(): void
  /** The exchange is over. */
  done(keepAlive: boolean): void
  /** From now on requests come inside a tunnel to this origin. */
  enter(inside: Inside): void
  /** Stops reading HTTP and hands over the bytes not read; the socket is the caller's. */
  surrender(): Buffer
}

/** A tunnel to a plain port, and whoever opened it. */
export interface Inside {
  readonly destination: Destination
  readonly authority: string
  readonly caller: Caller & { readonly ok: true }
}

/** What a refusal's text depends on. */
export interface RefusedRequest {
  readonly method: string
  readonly host: string
  readonly path?: string
  header(name: string): string | undefined
  readonly isConnect: boolean
  readonly keepAlive: boolean
  /** Of HTTP/1: a client of 1.0 must be told that the connection stays. Default 1. */
  readonly minor?: 0 | 1
}

/** How requests are read and refusals worded. */
export interface Wording {
  parseTarget(method: string, target: string, hostHeader: string | undefined): Target | Refusal
  /** A complete HTTP/1.1 response. */
  renderRefusal(refusal: Refusal, request: RefusedRequest): Buffer
}

/** One line of the access log, before it is written. */
export interface LogEntry {
  readonly address: string | undefined
  readonly login: string | undefined
  readonly method: string
  /** Without query, fragment and user information. */
  readonly target: string
  readonly minor: number
  /** 0 where the client got no status. */
  readonly status: number
  readonly bytesOut: number
  readonly durationMs: number
  readonly referer: string | undefined
  readonly userAgent: string | undefined
}

export interface RequestLog {
  write(entry: LogEntry): void
}

/** Keeps the open tunnels, so that a drain can end them. */
export interface Tunnels {
  open(ends: TunnelEnds, ended: (totals: TunnelTotals) => void): void
}
