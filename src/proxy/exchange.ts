// One request of a client, from its head to its end: who, where to, may it, then relay or refuse.
//
// The order is a promise: client network, credentials, target, content, decision. Before the decision no
// byte of the request leaves. States: [holding] -> judging -> relaying | tunnelling | intercepted | refusing
// -> over.

import type { Socket } from 'node:net'
import type { IdSource } from '../base/ids.ts'
import type { Outcome } from '../decision/decide.ts'
import {
  FIELD_STRIDE,
  type FieldList,
  fieldValue,
  NO_LENGTH,
  type RequestHead,
  type ResponseHead,
} from '../http1/message.ts'
import type { Seen, VisibilityReason } from '../model/record.ts'
import type { AccessRequest, RequestContext } from '../model/request.ts'
import { PROBE_EVENTS } from '../setup/probe.ts'
import {
  isWebSocketUpgrade,
  switchFault,
  upgradeFault,
  withoutExtensions,
} from '../websocket/upgrade.ts'
import { AnswerReader } from './answer-reader.ts'
import { FieldMap } from './field-map.ts'
import type { Inspection, Inspector } from './inspector.ts'
import { countedDown } from './max-forwards.ts'
import { MessageJudge } from './message-judge.ts'
import type { OriginConnection } from './origin-connection.ts'
import type { Origins, Way } from './origins.ts'
import type {
  Caller,
  ClientLeg,
  ClientSocket,
  Identifier,
  Interceptor,
  Judge,
  OwnAnswer,
  Pages,
  ParentProxy,
  ProxyMetrics,
  Refusal,
  RequestLog,
  Router,
  Target,
  Tunnels,
  Wording,
} from './ports.ts'
import { OWN_PATH } from './ports.ts'
import { isProbe, startEcho, streamEvents } from './probe.ts'
import { publicPart } from './public-part.ts'
import {
  BAD_UPGRADE,
  NO_MEMORY,
  NO_PAGE,
  NO_TUNNEL_INSIDE,
  NOT_REDACTED,
  ORIGIN_SILENT,
  OTHER_HOST,
  refusalOfFault,
  refusalOfOutcome,
  REQUEST_SLOW,
} from './refusals.ts'
import { type HeldBody, Relay, type RelayOwner } from './relay.ts'
import { isRefusal } from './results.ts'

export interface ExchangeParts {
  readonly ids: IdSource
  readonly callers: Identifier
  readonly judge: Judge
  readonly router: Router
  readonly wording: Wording
  readonly origins: Origins
  readonly inspector: Inspector
  readonly metrics: ProxyMetrics
  readonly log: RequestLog
  readonly tunnels: Tunnels
  readonly parent?: ParentProxy
  readonly interceptor: Interceptor | undefined
  readonly pages?: Pages
  /** Ports to which a CONNECT carries plain HTTP that is judged request by request. */
  readonly plainPorts: ReadonlySet<number>
}

type Identified = Caller & { readonly ok: true }

/** A body that belongs to a refused request is read and forgotten up to here; beyond, the connection ends. */
const DISCARDED_BYTES = 1 << 20
const MAX_WARNING = 1000
const TUNNEL_OPEN = 'HTTP/1.1 200 Connection established\r\n'
const NO_FIELDS: FieldList = []

export class Exchange implements RelayOwner {
  readonly #parts: ExchangeParts
  readonly #client: ClientLeg
  readonly #head: RequestHead
  readonly #startedAt = performance.now()
  #caller: Identified | undefined
  #target: Target | undefined
  #request: AccessRequest | undefined
  #inspection: Inspection | undefined
  /** While the body is read before anything is decided. */
  #holding = false
  #heldTrailers: FieldList | undefined
  #outcome: Outcome | undefined
  #relay: Relay | undefined
  #answer: AnswerReader | undefined
  /** Of a tunnel: why nothing inside it is seen. */
  #unseen: VisibilityReason | undefined
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
    if (this.#holding && !this.#refused) this.#hold(bytes)
    else if (!this.#refused) this.#relay?.requestContent(bytes)
    else if (this.#bytesIn > DISCARDED_BYTES) this.#end(false)
  }

  requestEnd(trailers: FieldList): void {
    this.#requestEnded = true
    if (this.#holding) {
      this.#heldTrailers = trailers
      this.#readHeld(true)
    }
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
        (this.#relay !== undefined || this.#holding) && !this.#requestEnded && this.#hasBody
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
    const { connection } = this.#client
    if (connection === undefined) return
    this.#status = 101
    if (this.#readsMessages) this.#socket(connection, origin.socket, rest)
    else this.#tunnel(connection, origin.socket, rest)
  }

  #known(caller: Caller, own: boolean): void {
    if (this.#over) return
    if (!caller.ok) {
      // Of an unidentified person only the network counts here.
      if (!own || caller.refusal.status === 403) this.#refuse(caller.refusal)
      else this.#refuse(NO_PAGE)
    } else if (own) this.#ownPage(this.#head.target)
    else this.#identified(caller)
  }

  /** Cordon's own pages; nothing of them reaches an origin. */
  #ownPage(target: string): void {
    const { method, host, keepAlive } = this.#head
    const [path = ''] = target.split('?', 1)
    const opened = this.#client.inside?.tls !== undefined
    if (opened && isProbe(path)) {
      this.#probe(path)
      return
    }
    // On an intercepted host the Host names somebody else's server.
    const page = this.#parts.pages?.page(path, opened ? undefined : host, method)
    if (page === undefined) {
      this.#refuse(NO_PAGE)
      return
    }
    const keeps = keepAlive && this.#client.keepAlive && !this.#hasBody
    this.#status = page.status
    const body = method === 'HEAD' ? Buffer.alloc(0) : page.body
    this.#bytesOut = body.length
    this.#client.answer({ ...page, body }, this.#head, keeps)
    this.#end(keeps)
  }

  #probe(path: string): void {
    this.#status = 200
    if (path === PROBE_EVENTS && this.#head.method === 'GET' && !this.#hasBody) {
      this.#cancel = streamEvents(this.#client, this.#head, (keepAlive) => this.#end(keepAlive))
      return
    }
    this.#status = 101
    const finish = (): void => this.#finish()
    if (startEcho(this.#client, this.#head, finish) === undefined) this.#refuse(BAD_UPGRADE)
    else this.#over = true
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
    else if (isConnect) this.#connectTo(target, caller)
    else if (this.#client.inside?.tls !== undefined && isOwn(target))
      this.#ownPage(target.requestTarget)
    else this.#look(target, caller)
  }

  /** TLS that is read inside is judged there, request by request; the rest is judged here. */
  #connectTo(target: Target, caller: Identified): void {
    const { interceptor } = this.#parts
    const plan = interceptor?.plan(target.destination)
    if (plan?.intercept === true) {
      this.#request = this.#accessRequest(target, caller)
      this.#intercept(target, caller)
      return
    }
    this.#unseen = plan === undefined ? 'tunnelled' : plan.reason
    const can = interceptor?.can(target.destination) === true
    const request = this.#accessRequest(target, caller)
    this.#judge(
      can ? { ...request, context: { ...request.context, capabilities: ['inspect'] } } : request,
    )
  }

  /** Reads the body first, where somebody wants to know what it says. */
  #look(target: Target, caller: Identified): void {
    const request = this.#accessRequest(target, caller)
    const foreseen = this.#parts.judge.foresee(request.destination)
    const inspection = this.#parts.inspector.begin(this.#head, request.destination, foreseen)
    this.#inspection = inspection
    this.#request = request
    if (inspection.foretold.holds) {
      this.#holding = true
      if (this.#head.expectContinue) this.#client.interim(CONTINUE)
      this.#client.flush()
      this.#client.readBody()
    } else this.#judge(this.#seenRequest(request, inspection))
  }

  #hold(bytes: Buffer): void {
    const answer = this.#inspection?.push(bytes)
    if (answer === 'more') return
    if (answer === 'full') {
      this.#client.pauseBody()
      this.#readHeld(false)
    } else {
      this.#holding = false
      this.#parts.metrics.limits.inc({ limit: 'inspect_memory' })
      this.#refuse(NO_MEMORY, false)
    }
  }

  #readHeld(complete: boolean): void {
    this.#holding = false
    const inspection = this.#inspection
    const request = this.#request
    if (inspection === undefined || request === undefined) return
    const judge = (): void => this.#judge(this.#seenRequest(request, inspection))
    this.#attempt(() => {
      const reading = inspection.read(complete)
      if (reading === undefined) judge()
      else
        reading.then(
          () => this.#attempt(judge),
          (fault: unknown) => this.#fault(fault),
        )
    })
  }

  /** The request as policies see it once as much of it was read as will be. */
  #seenRequest(request: AccessRequest, inspection: Inspection): AccessRequest {
    const content = inspection.content(this.#head.contentLength)
    const { format, model, action, canRedact } = inspection
    return {
      ...request,
      action,
      destination: {
        ...request.destination,
        ...(format === undefined ? {} : { format }),
        ...(model === undefined ? {} : { model }),
      },
      ...(content === undefined ? {} : { content }),
      context: {
        ...request.context,
        capabilities: canRedact ? ['inspect', 'redact'] : ['inspect'],
      },
    }
  }

  #readTarget(): Target | Refusal {
    const { method, target, host } = this.#head
    const { inside } = this.#client
    const { wording } = this.#parts
    if (inside === undefined) return wording.parseTarget(method, target, host)
    if (method === 'CONNECT') return NO_TUNNEL_INSIDE
    const { destination, authority, tls } = inside
    const scheme = tls === undefined ? 'http' : 'https'
    // HTTP/1.0 needs no Host: the tunnel says where it leads.
    const base = `${scheme}://${host ?? authority}`
    const absolute = target.startsWith('/') ? base + target : target === '*' ? base : target
    const read = wording.parseTarget(method, absolute, host, scheme)
    if (isRefusal(read)) return read
    const same =
      read.destination.host === destination.host && read.destination.port === destination.port
    return same ? read : OTHER_HOST
  }

  /** Plain HTTP inside a tunnel is judged request by request, so the tunnel itself is not. */
  #enter({ destination, authority }: Target, caller: Identified): void {
    const { connection, address } = this.#client
    if (connection === undefined) return
    this.#status = 200
    connection.socket.write(`${TUNNEL_OPEN}\r\n`, 'latin1')
    connection.enter({ destination, authority, caller, address })
    this.#end(true)
  }

  #judge(request: AccessRequest): void {
    this.#request = request
    this.#parts.judge.decide(request).then(
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
    const ja4 = this.#client.inside?.tls?.ja4
    if (ja4 !== undefined) context.ja4 = ja4
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
    this.#client.inside?.tls?.decided()
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
      this.#result = outcome.decision.decision === 'REVIEW' ? 'review' : 'denied'
      const format = this.#inspection?.format
      this.#refuse({
        ...refusalOfOutcome(outcome),
        ...(format === undefined ? {} : { format }),
      })
    } else this.#pass(outcome)
  }

  #pass(outcome: Outcome): void {
    const target = this.#target
    const caller = this.#caller
    if (target === undefined || caller === undefined) return
    if (target.kind === 'connect') {
      const inspects = outcome.decision.obligations.some(({ type }) => type === 'inspect')
      if (inspects && this.#parts.interceptor?.can(target.destination) === true)
        this.#intercept(target, caller)
      else this.#connect(target)
      return
    }
    const head = countedDown(this.#head)
    if (head === undefined) this.#answerOptions()
    else this.#forward(target, head, outcome)
  }

  #forward(target: Target, asked: RequestHead, { warnings, redactions }: Outcome): void {
    const { authority, requestTarget } = target
    const received = this.#withReadableUpgrade(asked)
    if (isRefusal(received)) {
      this.#refuse(received)
      return
    }
    const way = this.#wayTo(target, this.#client.connection === undefined)
    const forwarded = way.parent !== undefined && !way.tunnelled
    const body = this.#bodyToSend(received, redactions)
    if (body === undefined) {
      this.#result = 'failed'
      this.#refuse(NOT_REDACTED, false)
      return
    }
    const format = this.#inspection?.format
    this.#answer = format === undefined ? undefined : new AnswerReader(format)
    this.#relay = new Relay(
      this.#parts,
      this.#client,
      {
        way,
        head: body.head,
        requestTarget: forwarded ? `http://${authority}${requestTarget}` : requestTarget,
        host: authority,
        extraRequest: forwarded ? (way.parent?.credentials ?? NO_FIELDS) : NO_FIELDS,
        extraResponse: warningField(warnings),
        ...(body.held === undefined ? {} : { held: body.held }),
        ...(this.#answer === undefined ? {} : { onAnswer: this.#answer }),
        ...(this.#readsMessages
          ? { faultOfSwitch: (head: ResponseHead) => switchFault(received, head) }
          : {}),
      },
      this,
    )
    this.#relay.start()
  }

  get #readsMessages(): boolean {
    return this.#inspection?.foretold.readsMessages === true
  }

  /** What will be read must not be compressed; where messages are read no other protocol is changed to. */
  #withReadableUpgrade(head: RequestHead): RequestHead | Refusal {
    if (head.upgrade === undefined) return head
    if (this.#readsMessages)
      return upgradeFault(head) === undefined
        ? { ...head, fields: withoutExtensions(head.fields) }
        : BAD_UPGRADE
    const opened = this.#client.inside?.tls !== undefined
    return opened && !isWebSocketUpgrade(head) ? { ...head, upgrade: undefined } : head
  }

  /** The body as it came, or with what had to go replaced; undefined where that cannot be done. */
  #bodyToSend(
    received: RequestHead,
    redactions: Outcome['redactions'],
  ): { readonly head: RequestHead; readonly held?: HeldBody } | undefined {
    const inspection = this.#inspection
    if (inspection === undefined || !inspection.foretold.holds) return { head: received }
    // We have answered the expectation ourselves.
    const head = received.expectContinue ? { ...received, expectContinue: false } : received
    if (redactions.length === 0)
      return { head, held: { parts: inspection.parts, trailers: this.#heldTrailers } }
    const body = inspection.redacted(redactions)
    if (body === undefined) return undefined
    return {
      head: {
        ...head,
        chunked: false,
        contentLength: body.length,
        fields: withoutFields(head.fields, DESCRIBE_BODY),
      },
      held: { parts: [body], trailers: NO_FIELDS },
    }
  }

  /** `streams`: the client speaks HTTP/2, so the origin may. */
  #wayTo({ destination, authority, kind }: Target, streams: boolean): Way {
    const { inside } = this.#client
    const tls = inside?.tls
    const { parent } = this.#parts
    if (inside !== undefined && tls !== undefined)
      return {
        destination: inside.destination,
        authority: inside.authority,
        parent: tls.via,
        tunnelled: true,
        protocols: streams ? ['h2', 'http/1.1'] : ['http/1.1'],
      }
    return {
      destination,
      authority,
      parent: parent?.covers(destination) === true ? parent : undefined,
      tunnelled: kind === 'connect',
      protocols: undefined,
    }
  }

  /** The request has come as far as it may: it is answered as its origin might. */
  #answerOptions(): void {
    const keeps = this.#head.keepAlive && this.#client.keepAlive && !this.#hasBody
    this.#status = 200
    this.#client.answer(NOTHING_TO_SAY, this.#head, keeps)
    this.#end(keeps)
  }

  #connect(target: Target): void {
    const { connection } = this.#client
    if (connection === undefined) return
    this.#cancel = this.#parts.origins.connect(this.#wayTo(target, false), (opened) => {
      this.#cancel = undefined
      if (isRefusal(opened)) {
        this.relayRefused(opened)
        return
      }
      this.#status = 200
      const [name, , value] = warningField(this.#outcome?.warnings ?? [])
      const warning = name === undefined ? '' : `${name}: ${value ?? ''}\r\n`
      connection.socket.write(`${TUNNEL_OPEN}${warning}\r\n`, 'latin1')
      this.#tunnel(connection, opened.socket, opened.rest)
    })
  }

  #tunnel(connection: ClientSocket, origin: Socket, fromOrigin: Buffer): void {
    this.#over = true
    const fromClient = connection.surrender()
    const destination = this.#target?.kind === 'connect' ? this.#target.destination : undefined
    const vet = destination === undefined ? undefined : this.#parts.interceptor?.vet(destination)
    this.#parts.tunnels.open(
      {
        client: connection.socket,
        origin,
        fromClient,
        fromOrigin,
        ...(vet === undefined ? {} : { vet }),
      },
      ({ bytesIn, bytesOut }) => {
        this.#bytesIn = bytesIn
        this.#bytesOut = bytesOut
        this.#finish()
      },
    )
  }

  #socket(connection: ClientSocket, origin: Socket, fromOrigin: Buffer): void {
    const inspection = this.#inspection
    const request = this.#request
    if (inspection === undefined || request === undefined) return
    this.#over = true
    const { ids, judge, wording, tunnels } = this.#parts
    const messages = new MessageJudge(
      { ids, judge, closeReason: (refusal) => wording.closeReason(refusal) },
      request,
      inspection.wire,
    )
    const fromClient = connection.surrender()
    tunnels.openSocket(
      { client: connection.socket, origin, fromClient, fromOrigin },
      messages,
      ({ bytesIn, bytesOut }) => {
        messages.end()
        // What was decided by itself is counted by itself.
        this.#bytesIn = Math.max(0, bytesIn - messages.bytes)
        this.#bytesOut = bytesOut
        this.#finish()
      },
    )
  }

  /** Says that the tunnel stands, and serves the host that it leads to in its place. */
  #intercept({ destination, authority }: Target, caller: Identified): void {
    const { connection, address } = this.#client
    const { interceptor, parent } = this.#parts
    if (connection === undefined || interceptor === undefined) return
    this.#status = 200
    this.#over = true
    const [name, , value] = warningField(this.#outcome?.warnings ?? [])
    const warning = name === undefined ? '' : `${name}: ${value ?? ''}\r\n`
    connection.socket.write(`${TUNNEL_OPEN}${warning}\r\n`, 'latin1')
    interceptor.serve({
      head: connection.surrender(),
      socket: connection.socket,
      inside: { destination, authority, caller, address },
      via: parent?.covers(destination) === true ? parent : undefined,
      ended: (unseen) => {
        this.#unseen = unseen
        if (unseen === undefined || this.#outcome !== undefined) this.#finish()
        else this.#recordUnused()
      },
    })
  }

  /** A tunnel in which no request came to be read is judged, and recorded, by its CONNECT. */
  #recordUnused(): void {
    if (this.#request === undefined) return
    this.#parts.judge.decide(this.#request).then(
      (outcome) => {
        outcome.held?.cancel()
        this.#outcome = outcome
        this.#finish()
      },
      () => this.#finish(),
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
    this.#holding = false
    this.#status = refusal.status
    // Whether a body follows that nobody asked for is unknown after Expect; chunks may never end.
    const readable =
      this.#requestEnded || (!chunked && !expectContinue && contentLength <= DISCARDED_BYTES)
    this.#refusalKeeps = mayKeep && keepAlive && this.#client.keepAlive && readable
    const destination = this.#target?.destination
    this.#bytesOut = this.#client.refuse(refusal, {
      method,
      host: destination?.host ?? host ?? '',
      ...(destination?.path === undefined ? {} : { path: destination.path }),
      header: (name) => fieldValue(this.#head.fields, name.toLowerCase()),
      isConnect: method === 'CONNECT',
      keepAlive: this.#refusalKeeps,
      minor,
    })
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
    this.#client.abort()
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
    this.#inspection?.release()
    this.#finishOutcome()
  }

  /** Inside a tunnel the request line does not name its host, the log does. */
  #loggedTarget(): string {
    const { target } = this.#head
    const { inside } = this.#client
    if (inside === undefined || !target.startsWith('/') || this.#target === undefined) return target
    return `${inside.tls === undefined ? 'http' : 'https'}://${this.#target.authority}${target}`
  }

  #finishOutcome(): void {
    if (this.#outcome === undefined || this.#outcomeFinished) return
    this.#outcomeFinished = true
    const outcome = this.#outcome
    const ending = {
      status: this.#status,
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
      duration_ms: Math.round(performance.now() - this.#startedAt),
      ...this.#seen(),
    }
    const usage = this.#answer?.usage()
    if (!(usage instanceof Promise)) outcome.finish({ ...ending, ...usage })
    else
      usage.then(
        (found) => outcome.finish({ ...ending, ...found }),
        () => outcome.finish(ending),
      )
  }

  /** How much of the exchange could be seen, and why not more. */
  #seen(): Seen {
    if (this.#target?.kind === 'connect') {
      const reason = this.#unseen
      return reason === undefined
        ? { visibility: 'sni' }
        : { visibility: 'sni', visibility_reason: reason }
    }
    const { format, unseen } = this.#inspection ?? {}
    const why = this.#hasBody ? unseen : undefined
    return {
      ...(why === undefined
        ? { visibility: 'content' }
        : { visibility: 'metadata', visibility_reason: why }),
      ...(format === undefined ? {} : { format }),
    }
  }
}

const CONTINUE: ResponseHead = {
  status: 100,
  reason: 'Continue',
  minor: 1,
  fields: NO_FIELDS,
  contentLength: NO_LENGTH,
  chunked: false,
  keepAlive: true,
  upgrade: undefined,
  keepAliveSeconds: undefined,
}
const NOTHING_TO_SAY: OwnAnswer = {
  status: 200,
  fields: [['Content-Length', '0']],
  body: Buffer.alloc(0),
}
/** Fields that describe a body byte by byte: of a changed one they would be wrong. */
const DESCRIBE_BODY: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
])

function withoutFields(fields: FieldList, names: ReadonlySet<string>): FieldList {
  const kept: string[] = []
  for (let index = 0; index < fields.length; index += FIELD_STRIDE) {
    const lower = fields[index + 1] ?? ''
    if (!names.has(lower)) kept.push(fields[index] ?? '', lower, fields[index + 2] ?? '')
  }
  return kept
}

function isOwn({ requestTarget }: Target): boolean {
  return requestTarget.startsWith(OWN_PATH)
}

/** One field that any client can read, or nothing. */
function warningField(warnings: readonly string[]): FieldList {
  if (warnings.length === 0) return NO_FIELDS
  const text = warnings.join('; ').replace(/[^\x20-\x7e]+/g, '?')
  return ['X-Cordon-Warning', 'x-cordon-warning', text.slice(0, MAX_WARNING)]
}
