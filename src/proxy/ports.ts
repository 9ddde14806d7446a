// What the relay asks of others: who is calling, what becomes of the request, where it may go, who notes it.

import type { Socket } from 'node:net'
import type { Foreseen, Outcome } from '../decision/decide.ts'
import type { FieldList, RequestHead, ResponseHead } from '../http1/message.ts'
import type { Decision } from '../model/decision.ts'
import type { VisibilityReason } from '../model/record.ts'
import type { AccessRequest, Destination, Principal } from '../model/request.ts'
import type { AiService } from '../model/service.ts'
import type { Verdict } from './client-messages.ts'
import type { ClientMessage } from './held-message.ts'
import type { TunnelEnds, TunnelTotals, Vet } from './tunnel.ts'
import type { WebSocketEnds } from './websocket-relay.ts'

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
  /** `asks`: whether a REVIEW opens a review; default true. */
  decide(request: AccessRequest, asks?: boolean): Promise<Outcome>
  foresee(destination: Destination): Foreseen
  /** What was let through already; undefined: it goes on. */
  rejudge(request: AccessRequest): Promise<Outcome | undefined>
}

/** Pages of our own: on the proxy port, and under a path of intercepted hosts that no origin has. */
export interface Pages {
  page(path: string, host: string | undefined, method: string): OwnAnswer | undefined
}

export const OWN_PATH = '/.well-known/cordon/'

/** What becomes of CONNECTs to TLS, and who opens them. */
export interface Interceptor {
  plan(destination: Destination): InterceptPlan
  /** Whether it could be intercepted where a policy asks for it. */
  readonly can: (destination: Destination) => boolean
  /** Takes the client's socket over, which was told that the tunnel stands. */
  serve(opening: InterceptedTunnel): void
  /** Of bytes that pass unread: whether the name that TLS asks for may pass there. */
  vet(destination: Destination): Vet
}

export type InterceptPlan =
  | { readonly intercept: true }
  | { readonly intercept: false; readonly reason: VisibilityReason }

export interface InterceptedTunnel {
  readonly socket: Socket
  /** Read already. */
  readonly head: Buffer
  readonly inside: Inside
  readonly via: ParentProxy | undefined
  /** The tunnel has ended; the reason where no request came to be read. */
  ended(unseen: VisibilityReason | undefined): void
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
  /** Its credentials as a field, or nothing. */
  readonly credentials: FieldList
}

/** The instruments that the proxy moves. */
export interface ProxyMetrics {
  readonly requests: { inc(labels: { door: string; outcome: string }): void }
  readonly limits: { inc(labels: { limit: string }): void }
  readonly interceptions: { inc(labels: { outcome: string; reason: string }): void }
  readonly connections: { set(labels: { door: string }, value: number): void }
  readonly upstreamSeconds: { observe(seconds: number): void }
  readonly rejudged: { inc(labels: { outcome: string }): void }
}

/** The client's side of one exchange: a request on an HTTP/1.1 connection, or a stream of HTTP/2. */
export interface ClientLeg {
  /** Undefined for unix sockets. */
  readonly address: string | undefined
  /** Whether the connection may outlive the exchange, as far as the proxy is concerned. */
  readonly keepAlive: boolean
  /** The origin of a CONNECT whose requests are judged one by one. */
  readonly inside: Inside | undefined
  /** What only a whole connection can do; undefined on a stream. */
  readonly connection: ClientSocket | undefined
  /** Something has moved: the idle time begins anew. */
  touch(): void
  /** Hands over the body of the request, from now on. */
  readBody(): void
  pauseBody(): void
  resumeBody(): void
  /** A 1xx answer. */
  interim(head: ResponseHead): void
  /** Begins the answer; whether the connection may be used again after it. `flush` sends what has gathered. */
  respond(head: ResponseHead, to: AnsweredRequest): boolean
  content(bytes: Buffer): void
  end(trailers: FieldList): void
  /** False where the client should be given no more until `clientWritable`. */
  flush(): boolean
  /** A whole answer of our own; the size of its body in bytes. */
  refuse(refusal: Refusal, request: RefusedRequest): number
  answer(answer: OwnAnswer, request: RequestHead, keepAlive: boolean): void
  /** Breaks the answer off, so that nobody takes it for a whole one. */
  abort(): void
  /** The exchange is over. */
  done(keepAlive: boolean): void
}

/** What decides how an answer is framed. */
export interface AnsweredRequest {
  readonly request: RequestHead
  /** Whether the request has been read whole: before, nobody knows where the next one begins. */
  readonly ended: boolean
  /** Fields to add. */
  readonly extra: FieldList
}

/** An answer that no origin gave; its fields are complete but for the connection. */
export interface OwnAnswer {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

export interface ClientSocket {
  readonly socket: Socket
  /** From now on requests come inside a tunnel to this origin. */
  enter(inside: Inside): void
  /** Stops reading HTTP and hands over the bytes not read; the socket is the caller's. */
  surrender(): Buffer
}

/** A tunnel whose requests are read, and whoever opened it. */
export interface Inside {
  readonly destination: Destination
  readonly authority: string
  readonly caller: Caller & { readonly ok: true }
  /** The client's, undefined for unix sockets. */
  readonly address: string | undefined
  /** Set where the tunnel is TLS that we serve. */
  readonly tls?: InsideTls
}

export interface InsideTls {
  /** Of the client's hello. */
  readonly ja4: string
  /** How the origin is reached, but for what TLS offers there. */
  readonly via: ParentProxy | undefined
  /** A request inside is being decided. */
  decided(): void
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
  /** `scheme`: of the tunnel that the request came through. */
  parseTarget(
    method: string,
    target: string,
    hostHeader: string | undefined,
    scheme?: 'http' | 'https',
  ): Target | Refusal
  refusalOf(refusal: Refusal, request: RefusedRequest): OwnAnswer
  /** Of a WebSocket's close frame. */
  closeReason(refusal: Refusal): string
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

/** Who decides on the messages of a WebSocket client. */
export interface SocketJudging {
  judge(message: ClientMessage): Promise<Verdict>
  /** Bytes of both sides so far, heads of frames included. */
  passed(bytes: number): void
  /** The text of the origin's messages, in pieces as it passes. */
  said(piece: Buffer): void
  saidAll(): void
}

export interface RequestLog {
  write(entry: LogEntry): void
}

/** Keeps the open tunnels, so that a drain can end them. */
export interface Tunnels {
  /** Two sockets that speak WebSocket, with the client's messages judged. */
  openSocket(
    ends: WebSocketEnds,
    judging: SocketJudging,
    ended: (totals: TunnelTotals) => void,
  ): OpenSocket
  open(ends: TunnelEnds, ended: (totals: TunnelTotals) => void): OpenTunnel
}

/** For whoever has to end it before its ends do. */
export interface OpenTunnel {
  /** Ends it; where both speak WebSocket the client is told, as by `OpenSocket`. */
  refuse(code: number, reason: string): void
}

export interface OpenSocket {
  /** Tells both sides, in a close frame each; the reason is at most 123 bytes. */
  refuse(code: number, reason: string): void
}
