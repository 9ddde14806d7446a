// One request of a client, from its head to its end: who, where to, may it, then relay or refuse.
//
// The order is a promise: client network, credentials, target, content, decision. Before the decision no
// byte of the request leaves. States: [holding] -> judging -> relaying | tunnelling | intercepted | refusing
// -> over.

import type { IdSource } from '../base/ids.ts'
import type { Outcome } from '../decision/decide.ts'
import {
  type FieldList,
  fieldValue,
  NO_LENGTH,
  type RequestHead,
  type ResponseHead,
} from '../http1/message.ts'
import type { AccessRequest } from '../model/request.ts'
import { PROBE_EVENTS } from '../setup/probe.ts'
import { FrameEnds } from '../websocket/frame-ends.ts'
import { switchFault } from '../websocket/upgrade.ts'
import { accessRequest, seenRequest } from './access-request.ts'
import { Account } from './account.ts'
import { AnswerReader } from './answer-reader.ts'
import {
  bodyToSend,
  type BodyToSend,
  NO_FIELDS,
  readableUpgrade,
  warningField,
  wayTo,
} from './forwarded.ts'
import type { Inspector } from './inspector.ts'
import type { Live, Ongoing } from './live.ts'
import { countedDown } from './max-forwards.ts'
import type { OriginConnection } from './origin-connection.ts'
import type { Origins } from './origins.ts'
import type {
  Caller,
  ClientLeg,
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
import {
  BAD_UPGRADE,
  NO_MEMORY,
  NO_PAGE,
  NO_TUNNEL_INSIDE,
  NOT_REDACTED,
  ORIGIN_SILENT,
  OTHER_HOST,
  refusalOfDecision,
  refusalOfFault,
  refusalOfOutcome,
  REQUEST_SLOW,
} from './refusals.ts'
import { lastEventOf } from './refuse.ts'
import { Relay, type RelayOwner } from './relay.ts'
import { isRefusal } from './results.ts'
import { judgeMessages, sayOpen, serveTls, tunnel } from './switched.ts'

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
  readonly live: Live
  readonly parent?: ParentProxy
  readonly interceptor: Interceptor | undefined
  readonly pages?: Pages
  /** Ports to which a CONNECT carries plain HTTP that is judged request by request. */
  readonly plainPorts: ReadonlySet<number>
}

type Identified = Caller & { readonly ok: true }

/** A body that belongs to a refused request is read and forgotten up to here; beyond, the connection ends. */
const DISCARDED_BYTES = 1 << 20

export class Exchange implements RelayOwner {
  readonly #parts: ExchangeParts
  readonly #client: ClientLeg
  readonly #head: RequestHead
  readonly #account: Account
  #request: AccessRequest | undefined
  /** While the body is read before anything is decided. */
  #holding = false
  #heldTrailers: FieldList | undefined
  #relay: Relay | undefined
  /** Ends what is being waited for: a reviewer or a connection. */
  #cancel: (() => void) | undefined
  /** From when it is let through: it may be judged again. */
  #ongoing: Ongoing | undefined
  #judgedAt = 0
  #isCut = false
  #over = false
  #refused = false
  #refusalKeeps = false
  #requestEnded = false

  constructor(parts: ExchangeParts, client: ClientLeg, head: RequestHead) {
    this.#parts = parts
    this.#client = client
    this.#head = head
    this.#account = new Account(parts, client, head)
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
    this.#account.bytesIn += bytes.length
    if (this.#holding && !this.#refused) this.#hold(bytes)
    else if (!this.#refused) this.#relay?.requestContent(bytes)
    else if (this.#account.bytesIn > DISCARDED_BYTES) this.#end(false)
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
    this.#ongoing?.end()
    this.#cancel?.()
    this.#relay?.abort()
    this.#account.status ||= this.#relay?.status ?? 0
    this.#account.bytesOut ||= this.#relay?.bytesOut ?? 0
    this.#account.result = 'aborted'
    this.#account.finish()
  }

  relayRefused(refusal: Refusal): void {
    this.#account.result = 'failed'
    this.#refuse(refusal)
  }

  relayDone(keepAlive: boolean): void {
    if (this.#isCut) this.#account.result = 'denied'
    this.#account.status = this.#relay?.status ?? 0
    this.#account.bytesOut = this.#relay?.bytesOut ?? 0
    this.#end(keepAlive)
  }

  relayBroken(): void {
    this.#account.result = this.#isCut ? 'denied' : 'failed'
    this.#abort()
  }

  relaySwitched(origin: OriginConnection, rest: Buffer): void {
    const { connection } = this.#client
    if (connection === undefined) return
    const { inspection } = this.#account
    this.#account.status = 101
    this.#over = true
    const switched = { socket: origin.socket, rest }
    if (this.#readsMessages && inspection !== undefined && this.#request !== undefined) {
      const upgrade = { request: this.#request, wire: inspection.wire }
      judgeMessages(this.#parts, connection, switched, upgrade, this.#account, this.#ongoing)
    } else {
      const speaks = this.#head.upgrade?.toLowerCase() === 'websocket'
      tunnel(
        this.#parts,
        connection,
        switched,
        undefined,
        this.#account,
        this.#ongoing,
        speaks ? new FrameEnds() : undefined,
      )
    }
  }

  /** It was let through, and may not go on: by another judgement, or by a budget. */
  #cut(refusal: Refusal): void {
    if (this.#over || this.#refused) return
    const format = this.#account.inspection?.format
    const told = { ...refusal, ...(format === undefined ? {} : { format }) }
    this.#isCut = true
    this.#account.result = 'denied'
    if (this.#relay?.responded === true) {
      this.#relay.cut((form) => lastEventOf(told, form))
      return
    }
    this.#cancel?.()
    this.#relay?.abort()
    this.#refuse(told, false)
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
    const tls = this.#client.inside?.tls
    const opened = tls !== undefined
    // The tunnel was of use, though nothing was decided in it.
    tls?.decided()
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
    this.#account.status = page.status
    const body = method === 'HEAD' ? Buffer.alloc(0) : page.body
    this.#account.bytesOut = body.length
    this.#client.answer({ ...page, body }, this.#head, keeps)
    this.#end(keeps)
  }

  #probe(path: string): void {
    this.#account.status = 200
    if (path === PROBE_EVENTS && this.#head.method === 'GET' && !this.#hasBody) {
      this.#cancel = streamEvents(this.#client, this.#head, (keepAlive) => this.#end(keepAlive))
      return
    }
    this.#account.status = 101
    const finish = (): void => this.#account.finish()
    if (startEcho(this.#client, this.#head, finish) === undefined) this.#refuse(BAD_UPGRADE)
    else this.#over = true
  }

  #identified(caller: Identified): void {
    this.#account.caller = caller
    const target = this.#readTarget()
    if (isRefusal(target)) {
      this.#refuse(target)
      return
    }
    this.#account.target = target
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
      this.#ownPage(target.destination.path ?? '')
    else this.#look(target, caller)
  }

  /** TLS that is read inside is judged there, request by request; the rest is judged here. */
  #connectTo(target: Target, caller: Identified): void {
    const { interceptor } = this.#parts
    const plan = interceptor?.plan(target.destination)
    if (interceptor !== undefined && plan?.intercept === true) {
      this.#request = this.#accessRequest(target, caller)
      this.#intercept(target, caller, interceptor)
      return
    }
    this.#account.unseen = plan?.intercept === false ? plan.reason : 'tunnelled'
    const can = interceptor?.can(target.destination) === true
    const request = this.#accessRequest(target, caller)
    this.#judge(
      can ? { ...request, context: { ...request.context, capabilities: ['inspect'] } } : request,
    )
  }

  #accessRequest(target: Target, caller: Identified): AccessRequest {
    return accessRequest(this.#parts.ids.next(), this.#head, target, caller, this.#client.inside)
  }

  /** Reads the body first, where somebody wants to know what it says. */
  #look(target: Target, caller: Identified): void {
    const request = this.#accessRequest(target, caller)
    const foreseen = this.#parts.judge.foresee(request.destination)
    const inspection = this.#parts.inspector.begin(this.#head, request.destination, foreseen)
    this.#account.inspection = inspection
    this.#request = request
    if (inspection.foretold.holds) {
      this.#holding = true
      if (this.#head.expectContinue) this.#client.interim(CONTINUE)
      this.#client.flush()
      this.#client.readBody()
    } else this.#judge(seenRequest(request, inspection, this.#head.contentLength))
  }

  #hold(bytes: Buffer): void {
    const answer = this.#account.inspection?.push(bytes)
    if (answer === 'more') return
    if (answer === 'full') {
      this.#client.pauseBody()
      this.#readHeld(false)
    } else this.#refuseHeld()
  }

  /** Too much is held already. */
  #refuseHeld(): void {
    this.#holding = false
    this.#parts.metrics.limits.inc({ limit: 'inspect_memory' })
    this.#refuse(NO_MEMORY, false)
  }

  #readHeld(complete: boolean): void {
    this.#holding = false
    const inspection = this.#account.inspection
    const request = this.#request
    if (inspection === undefined || request === undefined) return
    const judge = (): void => {
      if (inspection.exhausted) this.#refuseHeld()
      else this.#judge(seenRequest(request, inspection, this.#head.contentLength))
    }
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
    this.#account.status = 200
    sayOpen(connection, [])
    connection.enter({ destination, authority, caller, address })
    this.#end(true)
  }

  #judge(request: AccessRequest): void {
    this.#request = request
    // Recorded from here on, though the client may go before it is known how: its tunnel needs no record.
    this.#client.inside?.tls?.decided()
    this.#judgedAt = performance.now()
    this.#parts.judge.decide(request).then(
      (outcome) => this.#attempt(() => this.#decided(outcome)),
      (fault: unknown) => this.#fault(fault),
    )
  }

  #decided(outcome: Outcome): void {
    // Of a held request only the last outcome counts.
    this.#account.outcome = outcome
    this.#cancel = undefined
    if (this.#over || this.#refused) {
      // The client went while this was being decided; what was decided has an end nevertheless.
      outcome.held?.cancel()
      if (this.#over) this.#account.finishOutcome()
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
      this.#account.result = outcome.decision.decision === 'REVIEW' ? 'review' : 'denied'
      const format = this.#account.inspection?.format
      this.#refuse({
        ...refusalOfOutcome(outcome),
        ...(format === undefined ? {} : { format }),
      })
    } else this.#pass(outcome)
  }

  #pass(outcome: Outcome): void {
    const { target, caller } = this.#account
    if (target === undefined || caller === undefined || this.#request === undefined) return
    this.#ongoing = this.#parts.live.add(this.#request, this.#judgedAt, (refusal) =>
      this.#attempt(() => this.#cut(refusal)),
    )
    if (target.kind === 'connect') {
      const inspects = outcome.decision.obligations.some(({ type }) => type === 'inspect')
      const { interceptor } = this.#parts
      if (inspects && interceptor?.can(target.destination) === true)
        this.#intercept(target, caller, interceptor)
      else this.#connect(target)
      return
    }
    const head = countedDown(this.#head)
    if (head === undefined) this.#answerOptions()
    else this.#forward(target, head, outcome)
  }

  #forward(target: Target, asked: RequestHead, outcome: Outcome): void {
    const { inside } = this.#client
    const received = readableUpgrade(asked, this.#readsMessages, inside)
    if (isRefusal(received)) {
      this.#refuse(received)
      return
    }
    const { inspection } = this.#account
    const body = bodyToSend(received, inspection, this.#heldTrailers, outcome.redactions)
    if (!(body instanceof Promise)) this.#send(target, body, outcome)
    else
      body.then(
        (found) => this.#attempt(() => this.#send(target, found, outcome)),
        (fault: unknown) => this.#fault(fault),
      )
  }

  #send(target: Target, body: BodyToSend | undefined, outcome: Outcome): void {
    if (this.#over) return
    const { warnings } = outcome
    const { authority, requestTarget } = target
    const { inside, connection } = this.#client
    const { inspection } = this.#account
    const way = wayTo(target, inside, this.#parts.parent, connection === undefined)
    const forwarded = way.parent !== undefined && !way.tunnelled
    if (body === undefined) {
      this.#account.result = 'failed'
      this.#refuse(NOT_REDACTED, false)
      return
    }
    // Only what is decided later looks at it again.
    if (!this.#readsMessages) this.#request = undefined
    const format = inspection?.format
    const answer = answerReader(format, outcome)
    this.#account.answer = answer
    outcome.running?.whenOver((decision) =>
      this.#attempt(() => this.#cut(refusalOfDecision(decision, outcome.service))),
    )
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
        opened: inside?.tls !== undefined,
        ...(body.held === undefined ? {} : { held: body.held }),
        ...(answer === undefined ? {} : { onAnswer: answer }),
        ...(this.#readsMessages
          ? { faultOfSwitch: (head: ResponseHead) => switchFault(body.head, head) }
          : {}),
      },
      this,
    )
    this.#relay.start()
  }

  get #readsMessages(): boolean {
    return this.#account.inspection?.foretold.readsMessages === true
  }

  /** The request has come as far as it may: it is answered as its origin might. */
  #answerOptions(): void {
    const keeps = this.#head.keepAlive && this.#client.keepAlive && !this.#hasBody
    this.#account.status = 200
    this.#client.answer(NOTHING_TO_SAY, this.#head, keeps)
    this.#end(keeps)
  }

  #connect(target: Target): void {
    const { connection, inside } = this.#client
    if (connection === undefined) return
    const way = wayTo(target, inside, this.#parts.parent, false)
    this.#cancel = this.#parts.origins.connect(way, (opened) => {
      this.#cancel = undefined
      if (isRefusal(opened)) {
        this.relayRefused(opened)
        return
      }
      const account = this.#account
      account.status = 200
      this.#over = true
      sayOpen(connection, account.outcome?.warnings ?? [])
      tunnel(this.#parts, connection, opened, target.destination, account, this.#ongoing)
    })
  }

  /** Says that the tunnel stands, and serves the host that it leads to in its place. */
  #intercept(target: Target, caller: Identified, interceptor: Interceptor): void {
    const { connection, address } = this.#client
    const request = this.#request
    if (connection === undefined || request === undefined) return
    const account = this.#account
    account.status = 200
    this.#over = true
    // Whatever passes inside is judged by itself.
    this.#ongoing?.end()
    sayOpen(connection, account.outcome?.warnings ?? [])
    const via = wayTo(target, undefined, this.#parts.parent, false).parent
    const opening = { target, caller, address, via, request }
    serveTls(this.#parts, interceptor, connection, opening, account)
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
    this.#account.result = 'failed'
    this.#refuse(refusalOfFault(fault))
  }

  #refuse(refusal: Refusal, mayKeep = true): void {
    if (this.#over || this.#refused) return
    const { method, host, minor, contentLength, chunked, expectContinue, keepAlive } = this.#head
    if (this.#account.result === 'allowed') this.#account.result = 'refused'
    this.#refused = true
    this.#holding = false
    this.#ongoing?.end()
    this.#account.status = refusal.status
    // Whether a body follows that nobody asked for is unknown after Expect; chunks may never end.
    const readable =
      this.#requestEnded || (!chunked && !expectContinue && contentLength <= DISCARDED_BYTES)
    this.#refusalKeeps = mayKeep && keepAlive && this.#client.keepAlive && readable
    const destination = this.#account.target?.destination
    this.#account.bytesOut = this.#client.refuse(refusal, {
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
    this.#account.status ||= this.#relay?.status ?? 0
    this.#account.bytesOut ||= this.#relay?.bytesOut ?? 0
    this.#over = true
    this.#ongoing?.end()
    this.#cancel?.()
    this.#relay?.abort()
    this.#account.finish()
    this.#client.abort()
  }

  #end(keepAlive: boolean): void {
    if (this.#over) return
    this.#over = true
    this.#ongoing?.end()
    this.#account.finish()
    this.#client.done(keepAlive)
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
/** Undefined where nobody wants to know what the answer costs. */
function answerReader(format: string | undefined, { running }: Outcome): AnswerReader | undefined {
  if (running === undefined && format === undefined) return undefined
  return new AnswerReader(format ?? '', running)
}

function isOwn({ destination }: Target): boolean {
  return destination.path?.startsWith(OWN_PATH) === true
}
