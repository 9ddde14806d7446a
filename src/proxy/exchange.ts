// One request of a client, from its head to its end: who, where to, may it, then relay or refuse.
//
// The order is a promise: client network, credentials, target, decision. Before the decision no byte of
// the request leaves and no name is resolved. States: judging -> relaying | tunnelling | refusing -> over.

import type { IdSource } from '../base/ids.ts'
import type { Outcome } from '../decision/decide.ts'
import { type FieldList, fieldValue, type RequestHead } from '../http1/message.ts'
import type { AccessRequest, RequestContext } from '../model/request.ts'
import type { Deadlines } from './deadlines.ts'
import { FieldMap } from './field-map.ts'
import { countedDown } from './max-forwards.ts'
import type { OriginConnection } from './origin-connection.ts'
import type { OriginPool } from './origin-pool.ts'
import { ParentConnect } from './parent-connect.ts'
import type {
  Caller,
  ClientLeg,
  Identifier,
  Judge,
  ParentProxy,
  ProxyMetrics,
  Refusal,
  RequestLog,
  Route,
  Router,
  Target,
  Tunnels,
  Wording,
} from './ports.ts'
import {
  NO_PAGE,
  NO_TUNNEL_INSIDE,
  ORIGIN_SILENT,
  OTHER_HOST,
  refusalOfFault,
  REQUEST_SLOW,
  UNRESOLVED,
} from './refusals.ts'
import { Relay, type RelayOwner } from './relay.ts'
import { isRefusal } from './results.ts'

export interface ExchangeParts {
  readonly ids: IdSource
  readonly callers: Identifier
  readonly judge: Judge
  readonly router: Router
  readonly wording: Wording
  readonly pool: OriginPool
  readonly metrics: ProxyMetrics
  readonly log: RequestLog
  readonly tunnels: Tunnels
  readonly deadlines: Deadlines
  readonly connectMs: number
  readonly parent?: ParentProxy
  /** Ports to which a CONNECT carries plain HTTP that is judged request by request. */
  readonly plainPorts: ReadonlySet<number>
}

type Identified = Caller & { readonly ok: true }

/** A body that belongs to a refused request is read and forgotten up to here; beyond, the connection ends. */
const DISCARDED_BYTES = 1 << 20
const MAX_WARNING = 1000
const TUNNEL_OPEN = 'HTTP/1.1 200 Connection established\r\n'
/** Connections to the parent are pooled under a name that no authority has. */
const PARENT = '(parent)'
const NOTHING = Buffer.alloc(0)

export class Exchange implements RelayOwner {
  readonly #parts: ExchangeParts
  readonly #client: ClientLeg
  readonly #head: RequestHead
  readonly #startedAt = performance.now()
  #caller: Identified | undefined
  #target: Target | undefined
  #outcome: Outcome | undefined
  #relay: Relay | undefined
  /** Ends what is being waited for: a reviewer or a connection. */
  #cancel: (() => void) | undefined
  #over = false
  #finished = false
  #outcomeFinished = false
  #refused = false
  #refusalKeeps = false
  #requestEnded = false
  #status = 0
  #bytesIn = 0
  #bytesOut = 0
  #result = 'allowed'

  constructor(parts: ExchangeParts, client: ClientLeg, head: RequestHead) {
    this.#parts = parts
    this.#client = client
    this.#head = head
  }

  start(): void {
    this.#attempt(() => this.#identify())
  }

  #identify(): void {
    const { inside } = this.#client
    const { method, target, proxyAuthorization } = this.#head
    if (inside !== undefined) {
      this.#identified(inside.caller)
      return
    }
    // A page of our own needs no credentials, but the right network.
    const own = method !== 'CONNECT' && (target.startsWith('/') || target === '*')
    const caller = this.#parts.callers.identify(
      own ? undefined : proxyAuthorization,
      this.#client.address,
    )
    if (caller instanceof Promise) {
      caller.then(
        (found) => this.#attempt(() => this.#known(found, own)),
        (fault: unknown) => this.#fault(fault),
      )
    } else this.#known(caller, own)
  }

  /** The request's body, after `readBody`; a refused one is forgotten. */
  requestContent(bytes: Buffer): void {
    this.#bytesIn += bytes.length
    if (!this.#refused) this.#relay?.requestContent(bytes)
    else if (this.#bytesIn > DISCARDED_BYTES) this.#end(false)
  }

  requestEnd(trailers: FieldList): void {
    this.#requestEnded = true
    this.#relay?.requestEnd(trailers)
    if (this.#refused) this.#end(this.#refusalKeeps)
  }

  flushRequest(): void {
    this.#relay?.flushRequest()
  }

  clientWritable(): void {
    this.#relay?.clientWritable()
  }

  /** The body of the request is malformed. */
  requestBroken(refusal: Refusal): void {
    if (this.#refused || this.#relay?.responded === true) this.#abort()
    else {
      this.#relay?.abort()
      this.#refuse(refusal, false)
    }
  }

  /** Nothing has moved for as long as is allowed. */
  expired(): void {
    if (this.#refused || this.#relay?.responded === true) this.#abort()
    else {
      this.#cancel?.()
      this.#relay?.abort()
      this.#refuse(
        this.#relay !== undefined && !this.#requestEnded && this.#hasBody
          ? REQUEST_SLOW
          : ORIGIN_SILENT,
        false,
      )
    }
  }

  /** The client has gone, and with it whoever wanted an answer. */
  clientGone(): void {
    if (this.#over) return
    this.#over = true
    this.#cancel?.()
    this.#relay?.abort()
    this.#status ||= this.#relay?.status ?? 0
    this.#bytesOut ||= this.#relay?.bytesOut ?? 0
    this.#result = 'aborted'
    this.#finish()
  }

  relayRefused(refusal: Refusal): void {
    this.#result = 'failed'
    this.#refuse(refusal)
  }

  relayDone(keepAlive: boolean): void {
    this.#status = this.#relay?.status ?? 0
    this.#bytesOut = this.#relay?.bytesOut ?? 0
    this.#end(keepAlive)
  }

  relayBroken(): void {
    this.#result = 'failed'
    this.#abort()
  }

  relaySwitched(origin: OriginConnection, rest: Buffer): void {
    this.#status = 101
    this.#tunnel(origin, rest)
  }

  #known(caller: Caller, own: boolean): void {
    if (this.#over) return
    if (!caller.ok) {
      // Of an unidentified person only the network counts here.
      if (!own || caller.refusal.status === 403) this.#refuse(caller.refusal)
      else this.#refuse(NO_PAGE)
    } else if (own) this.#refuse(NO_PAGE)
    else this.#identified(caller)
  }

  #identified(caller: Identified): void {
    this.#caller = caller
    const target = this.#readTarget()
    if (isRefusal(target)) {
      this.#refuse(target)
      return
    }
    this.#target = target
    const isConnect = target.kind === 'connect'
    const plain = isConnect && this.#parts.plainPorts.has(target.destination.port)
    const barred = this.#parts.router.check(target.destination, isConnect)
    if (barred !== undefined) {
      this.#refuse(barred)
      return
    }
    if (plain) this.#enter(target, caller)
    else this.#judge(target, caller)
  }

  #readTarget(): Target | Refusal {
    const { method, target, host } = this.#head
    const { inside } = this.#client
    const { wording } = this.#parts
    if (inside === undefined) return wording.parseTarget(method, target, host)
    if (method === 'CONNECT') return NO_TUNNEL_INSIDE
    const { destination, authority } = inside
    // HTTP/1.0 needs no Host: the tunnel says where it leads.
    const base = `http://${host ?? authority}`
    const absolute = target.startsWith('/') ? base + target : target === '*' ? base : target
    const read = wording.parseTarget(method, absolute, host)
    if (isRefusal(read)) return read
    const same =
      read.destination.host === destination.host && read.destination.port === destination.port
    return same ? read : OTHER_HOST
  }

  /** Plain HTTP inside a tunnel is judged request by request, so the tunnel itself is not. */
  #enter({ destination, authority }: Target, caller: Identified): void {
    this.#status = 200
    this.#client.socket.write(`${TUNNEL_OPEN}\r\n`, 'latin1')
    this.#client.enter({ destination, authority, caller })
    this.#end(true)
  }

  #judge(target: Target, caller: Identified): void {
    this.#parts.judge.decide(this.#accessRequest(target, caller)).then(
      (outcome) => this.#attempt(() => this.#decided(outcome)),
      (fault: unknown) => this.#fault(fault),
    )
  }

  #accessRequest({ destination }: Target, caller: Identified): AccessRequest {
    const { fields, method } = this.#head
    const userAgent = fieldValue(fields, 'user-agent')
    const context: { -readonly [K in keyof RequestContext]: RequestContext[K] } = {
      source: 'proxy',
    }
    if (caller.address !== undefined) context.ip_address = caller.address
    if (caller.network !== undefined) context.network = caller.network
    if (userAgent !== undefined) context.user_agent = userAgent
    return {
      request_id: this.#parts.ids.next(),
      principal: caller.principal,
      action: 'access_ai_service',
      destination: {
        ...destination,
        method,
        headers: new FieldMap(fields),
        ...(userAgent === undefined ? {} : { user_agent: userAgent }),
      },
      context,
    }
  }

  #decided(outcome: Outcome): void {
    // Of a held request only the last outcome counts.
    this.#outcome = outcome
    this.#cancel = undefined
    if (this.#over || this.#refused) {
      // The client went while this was being decided; what was decided has an end nevertheless.
      outcome.held?.cancel()
      if (this.#over) this.#finishOutcome()
      return
    }
    const { held } = outcome
    if (held !== undefined) {
      this.#cancel = () => held.cancel()
      held.answer.then(
        (answer) => this.#attempt(() => this.#decided(answer)),
        (fault: unknown) => this.#fault(fault),
      )
    } else if (outcome.refused) {
      const { decision, service, alternative } = outcome
      this.#result = decision.decision === 'REVIEW' ? 'review' : 'denied'
      this.#refuse({
        status: 403,
        error: 'http_request_denied',
        details: decision.reason,
        decision,
        ...(service === undefined ? {} : { service }),
        ...(alternative === undefined ? {} : { alternative }),
      })
    } else this.#pass(outcome)
  }

  #pass({ warnings }: Outcome): void {
    const target = this.#target
    if (target === undefined) return
    const { destination, authority, requestTarget } = target
    const { parent, router } = this.#parts
    const via = parent?.covers(destination) === true ? parent : undefined
    if (target.kind === 'connect') {
      this.#connect(target, via)
      return
    }
    const head = countedDown(this.#head)
    if (head === undefined) {
      this.#answerOptions()
      return
    }
    this.#relay = new Relay(
      this.#parts,
      this.#client,
      {
        head,
        key: via === undefined ? authority : PARENT,
        requestTarget: via === undefined ? requestTarget : `http://${authority}${requestTarget}`,
        host: authority,
        extraRequestLines: via?.authorizationLine ?? '',
        extraResponseLines: warningLine(warnings),
        route: () => (via === undefined ? router.route(destination, false) : via.route()),
      },
      this,
    )
    this.#relay.start()
  }

  /** The request has come as far as it may: it is answered as its origin might. */
  #answerOptions(): void {
    const keeps = this.#head.keepAlive && this.#client.keepAlive && !this.#hasBody
    this.#status = 200
    const connection = !keeps ? 'Connection: close\r\n' : ''
    this.#client.socket.write(`HTTP/1.1 200 OK\r\n${connection}Content-Length: 0\r\n\r\n`)
    this.#end(keeps)
  }

  #connect({ destination, authority }: Target, via: ParentProxy | undefined): void {
    const route = via === undefined ? this.#parts.router.route(destination, true) : via.route()
    const dial = (found: Route | Refusal): void => this.#dial(found, authority, via)
    if (route instanceof Promise)
      route.then(
        (found) => this.#attempt(() => dial(found)),
        () => this.relayRefused(UNRESOLVED),
      )
    else dial(route)
  }

  #dial(route: Route | Refusal, authority: string, via: ParentProxy | undefined): void {
    if (this.#over) return
    if (isRefusal(route)) {
      this.#refuse(route)
      return
    }
    const { pool, deadlines, connectMs } = this.#parts
    this.#cancel = pool.dial(via === undefined ? authority : PARENT, route, (dialled) => {
      this.#cancel = undefined
      if (!dialled.ok) {
        const { status, error, details } = dialled
        this.relayRefused({ status, error, details })
      } else if (via === undefined) {
        dialled.connection.release()
        this.#open(dialled.connection, NOTHING)
      } else {
        const request = new ParentConnect(dialled.connection, authority, via, {
          deadlines,
          waitMs: connectMs,
          opened: (rest) => this.#open(dialled.connection, rest),
          refused: (refusal) => this.relayRefused(refusal),
        })
        this.#cancel = () => request.abort()
      }
    })
  }

  /** Says that the tunnel stands, and becomes it. */
  #open(origin: OriginConnection, rest: Buffer): void {
    this.#cancel = undefined
    this.#status = 200
    const warning = warningLine(this.#outcome?.warnings ?? [])
    this.#client.socket.write(`${TUNNEL_OPEN}${warning}\r\n`, 'latin1')
    this.#tunnel(origin, rest)
  }

  #tunnel(origin: OriginConnection, fromOrigin: Buffer): void {
    this.#over = true
    const fromClient = this.#client.surrender()
    this.#parts.tunnels.open(
      { client: this.#client.socket, origin: origin.socket, fromClient, fromOrigin },
      ({ bytesIn, bytesOut }) => {
        this.#bytesIn = bytesIn
        this.#bytesOut = bytesOut
        this.#finish()
      },
    )
  }

  /** A fault of ours, or of a collaborator, refuses one request and never ends the process. */
  #attempt(step: () => void): void {
    try {
      step()
    } catch (fault) {
      this.#fault(fault)
    }
  }

  #fault(fault: unknown): void {
    if (this.#over) return
    this.#result = 'failed'
    this.#refuse(refusalOfFault(fault))
  }

  #refuse(refusal: Refusal, mayKeep = true): void {
    if (this.#over || this.#refused) return
    const { method, host, minor, contentLength, chunked, expectContinue, keepAlive } = this.#head
    if (this.#result === 'allowed') this.#result = 'refused'
    this.#refused = true
    this.#status = refusal.status
    // Whether a body follows that nobody asked for is unknown after Expect; chunks may never end.
    const readable =
      this.#requestEnded || (!chunked && !expectContinue && contentLength <= DISCARDED_BYTES)
    this.#refusalKeeps = mayKeep && keepAlive && this.#client.keepAlive && readable
    const destination = this.#target?.destination
    const response = this.#parts.wording.renderRefusal(refusal, {
      method,
      host: destination?.host ?? host ?? '',
      ...(destination?.path === undefined ? {} : { path: destination.path }),
      header: (name) => fieldValue(this.#head.fields, name.toLowerCase()),
      isConnect: method === 'CONNECT',
      keepAlive: this.#refusalKeeps,
      minor,
    })
    this.#bytesOut = bodyBytes(response)
    this.#client.socket.write(response)
    this.#client.touch()
    if (!this.#refusalKeeps || this.#requestEnded || !this.#hasBody) this.#end(this.#refusalKeeps)
    else this.#client.readBody()
  }

  get #hasBody(): boolean {
    return this.#head.chunked || this.#head.contentLength > 0
  }

  #abort(): void {
    if (this.#over) return
    this.#status ||= this.#relay?.status ?? 0
    this.#bytesOut ||= this.#relay?.bytesOut ?? 0
    this.#over = true
    this.#cancel?.()
    this.#relay?.abort()
    this.#finish()
    this.#client.socket.destroy()
  }

  #end(keepAlive: boolean): void {
    if (this.#over) return
    this.#over = true
    this.#finish()
    this.#client.done(keepAlive)
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    const { log, metrics } = this.#parts
    metrics.requests.inc({ door: 'proxy', outcome: this.#result })
    const { method, minor, fields } = this.#head
    const referer = fieldValue(fields, 'referer')
    log.write({
      address: this.#client.address,
      login: this.#caller?.principal.login ?? this.#caller?.login,
      method,
      target: publicPart(this.#loggedTarget()),
      minor,
      status: this.#status,
      bytesOut: this.#bytesOut,
      durationMs: performance.now() - this.#startedAt,
      referer: referer === undefined ? undefined : publicPart(referer),
      userAgent: fieldValue(fields, 'user-agent'),
    })
    this.#finishOutcome()
  }

  /** Inside a tunnel the request line does not name its host, the log does. */
  #loggedTarget(): string {
    const { target } = this.#head
    const inside = this.#client.inside !== undefined && target.startsWith('/')
    return inside && this.#target !== undefined
      ? `http://${this.#target.authority}${target}`
      : target
  }

  #finishOutcome(): void {
    if (this.#outcome === undefined || this.#outcomeFinished) return
    this.#outcomeFinished = true
    this.#outcome.finish({
      status: this.#status,
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
      duration_ms: Math.round(performance.now() - this.#startedAt),
    })
  }
}

/** One line that any client can read, or nothing. */
function warningLine(warnings: readonly string[]): string {
  if (warnings.length === 0) return ''
  const text = warnings.join('; ').replace(/[^\x20-\x7e]+/g, '?')
  return `X-Cordon-Warning: ${text.slice(0, MAX_WARNING)}\r\n`
}

/** A URL or authority without query, fragment and user information: those are never kept. */
function publicPart(url: string): string {
  const query = url.search(/[?#]/)
  const bare = query === -1 ? url : url.slice(0, query)
  if (!bare.includes('@') || /^\/(?![/\\])/.test(bare)) return bare
  // However its slashes are written, what a browser would take for a host is kept, and no more before it.
  const read = URL.parse(bare)
  if (read === null || read.host === '') return bare.slice(bare.lastIndexOf('@') + 1)
  return `${read.protocol}//${read.host}${read.pathname}`
}

function bodyBytes(response: Buffer): number {
  const blank = response.indexOf('\r\n\r\n')
  return blank === -1 ? 0 : response.length - blank - 4
}
