// What a connection becomes once it is no HTTP any more: a tunnel, a WebSocket whose messages are judged, or
// TLS that is served in the origin's place. Each of these closes the account of its exchange when it ends.

import type { Socket } from 'node:net'
import type { IdSource } from '../base/ids.ts'
import type { Outcome } from '../decision/decide.ts'
import type { Decision } from '../model/decision.ts'
import type { Destination } from '../model/request.ts'
import type { AccessRequest } from '../model/request.ts'
import type { FrameEnds } from '../websocket/frame-ends.ts'
import type { WireHead } from '../wire/request.ts'
import type { Account } from './account.ts'
import type { Question } from './conversation.ts'
import { warningField } from './forwarded.ts'
import type { Ongoing } from './live.ts'
import { MessageJudge } from './message-judge.ts'
import type {
  Caller,
  ClientSocket,
  Interceptor,
  Judge,
  ParentProxy,
  Refusal,
  Target,
  Tunnels,
  Wording,
} from './ports.ts'
import { refusalOfDecision } from './refusals.ts'

export interface SwitchParts {
  readonly ids: IdSource
  readonly judge: Judge
  readonly wording: Wording
  readonly tunnels: Tunnels
  readonly interceptor: Interceptor | undefined
}

/** An origin's connection, and what was read from it beyond the answer. */
export interface SwitchedOrigin {
  readonly socket: Socket
  readonly rest: Buffer
}

const TUNNEL_OPEN = 'HTTP/1.1 200 Connection established\r\n'

export function sayOpen({ socket }: ClientSocket, warnings: readonly string[]): void {
  const [name, , value] = warningField(warnings)
  const warning = name === undefined ? '' : `${name}: ${value ?? ''}\r\n`
  socket.write(`${TUNNEL_OPEN}${warning}\r\n`, 'latin1')
}

/**
 * Bytes both ways, unread; `destination`: of a CONNECT, whose first bytes are looked at; `frames`: it is a WebSocket, of
 * which only the ends of the frames are looked at.
 */
export function tunnel(
  { tunnels, interceptor, wording }: SwitchParts,
  connection: ClientSocket,
  { socket, rest }: SwitchedOrigin,
  destination: Destination | undefined,
  account: Account,
  ongoing: Ongoing | undefined,
  frames?: FrameEnds,
): void {
  const fromClient = connection.surrender()
  const vet = destination === undefined ? undefined : interceptor?.vet(destination)
  const { running, service } = account.outcome ?? {}
  const opened = tunnels.open(
    {
      client: connection.socket,
      origin: socket,
      fromClient,
      fromOrigin: rest,
      ...(vet === undefined ? {} : { vet }),
      ...(frames === undefined ? {} : { frames }),
      ...(running === undefined
        ? {}
        : { passed: (bytes: number) => running.passed({ tokens: 0, bytes }) }),
    },
    ({ bytesIn, bytesOut }) => {
      ongoing?.end()
      account.bytesIn = bytesIn
      account.bytesOut = bytesOut
      account.finish()
    },
  )
  const cut = (refusal: Refusal): void => {
    account.result = 'denied'
    opened.refuse(POLICY_VIOLATION, wording.closeReason(refusal))
  }
  ongoing?.becomes(cut)
  running?.whenOver((decision) => cut(refusalOfDecision(decision, service)))
}

/** A WebSocket, with each message of the client judged. */
export function judgeMessages(
  { ids, judge, wording, tunnels }: SwitchParts,
  connection: ClientSocket,
  { socket, rest }: SwitchedOrigin,
  upgrade: { readonly request: AccessRequest; readonly wire: WireHead },
  account: Account,
  ongoing: Ongoing | undefined,
): void {
  const cut = (refusal: Refusal): void => {
    account.result = 'denied'
    opened.refuse(POLICY_VIOLATION, wording.closeReason(refusal))
  }
  const ended = (decision: Decision, { service }: Outcome): void =>
    cut(refusalOfDecision(decision, service))
  const messages = new MessageJudge(
    { ids, judge, closeReason: (refusal) => wording.closeReason(refusal), over: ended },
    upgrade.request,
    upgrade.wire,
    questionOf(account, ended),
  )
  const fromClient = connection.surrender()
  const opened = tunnels.openSocket(
    { client: connection.socket, origin: socket, fromClient, fromOrigin: rest },
    messages,
    ({ bytesIn, bytesOut }) => {
      ongoing?.end()
      messages.end()
      // What was decided by itself is counted by itself.
      account.bytesIn = Math.max(0, bytesIn - messages.bytes)
      account.bytesOut = bytesOut
      account.finish()
    },
  )
  ongoing?.becomes(cut)
}

/** The upgrade, where a budget counts it: its account is closed when the connection ends. */
function questionOf(
  account: Account,
  ended: (decision: Decision, outcome: Outcome) => void,
): Question | undefined {
  const { outcome } = account
  const running = outcome?.running
  if (outcome === undefined || running === undefined) return undefined
  running.whenOver((decision) => ended(decision, outcome))
  return {
    running,
    settle: ({ measured_tokens: measured, ...usage }) => {
      account.answer = { measured, usage: () => usage }
    },
  }
}

/** RFC 6455 section 7.4.1. */
const POLICY_VIOLATION = 1008

/** TLS that is served here; where no request inside came to be read, the CONNECT is judged and recorded. */
export function serveTls(
  { judge }: SwitchParts,
  interceptor: Interceptor,
  connection: ClientSocket,
  opening: {
    readonly target: Target
    readonly caller: Caller & { readonly ok: true }
    readonly address: string | undefined
    readonly via: ParentProxy | undefined
    readonly request: AccessRequest
  },
  account: Account,
): void {
  const { target, caller, address, via, request } = opening
  const { destination, authority } = target
  interceptor.serve({
    head: connection.surrender(),
    socket: connection.socket,
    inside: { destination, authority, caller, address },
    via,
    ended: (unseen) => {
      account.unseen = unseen
      if (unseen === undefined || account.outcome !== undefined) account.finish()
      else
        judge.decide(request, false).then(
          (outcome) => {
            account.outcome = outcome
            account.finish()
          },
          () => account.finish(),
        )
    },
  })
}
