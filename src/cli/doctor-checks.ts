// What each step of the doctor has to say, in words.

import type { ProxyAnswer, Way } from './doctor-path.ts'
import type { Heard, Stream } from './doctor-streams.ts'

export type State = 'ok' | 'warning' | 'wrong' | 'skipped'

export interface Check {
  readonly check: string
  readonly state: State
  readonly text: string
  readonly fix?: string
}

export const STREAMS = ['event stream', 'websocket'] as const

export function refusedTunnel(
  { host, port, login }: Way,
  { status, details, decisionId }: ProxyAnswer,
): Check {
  const why = details ?? 'no reason given'
  if (status === 407)
    return login?.token === undefined
      ? wrong(
          'tunnel',
          'the proxy asks for name and token',
          '--user NAME:TOKEN, or http://NAME:TOKEN@host:port as HTTPS_PROXY',
        )
      : wrong(
          'tunnel',
          `the proxy does not accept the token of ${login.user}`,
          `cordon token create --user ${login.user}`,
        )
  if (decisionId !== undefined)
    return wrong(
      'tunnel',
      `a policy refuses ${host}: ${why} (decision ${decisionId})`,
      'the path works; try it with --url of a service that is allowed',
    )
  const fix =
    status === 403
      ? 'proxy.clients and proxy.egress say who may go where'
      : `can the proxy itself reach ${host}:${port}?`
  return wrong('tunnel', `CONNECT ${host}:${port} is answered with ${status}: ${why}`, fix)
}

export function ownPages(proxy: string, { status, json }: ProxyAnswer): Check {
  if (typeof json === 'object' && json !== null && 'name' in json && json.name === 'cordon') {
    const version = 'version' in json ? ` ${String(json.version)}` : ''
    const intercepts = 'intercepts' in json && json.intercepts === true
    return ok(
      'proxy',
      `${proxy} is Cordon${version} and ${intercepts ? 'intercepts' : 'tunnels HTTPS'}`,
    )
  }
  if (status === 403)
    return {
      check: 'proxy',
      state: 'wrong',
      text: `${proxy} answers, and does not serve this address`,
      fix: 'add its network to proxy.clients',
    }
  return {
    check: 'proxy',
    state: 'warning',
    text: `${proxy} answers with ${status}, and not as Cordon does`,
    fix: 'is it another proxy?',
  }
}

export function spoken(check: string, heard: Heard): Check {
  if (typeof heard === 'string')
    return wrong(check, `no answer: ${heard}`, 'look at the log of the proxy')
  const { status, decisionId, details } = heard
  if (decisionId !== undefined)
    return ok(check, `answered with ${status}: ${details ?? 'refused'} (decision ${decisionId})`)
  if (status >= 500)
    return wrong(
      check,
      `answered with ${status}${details === undefined ? '' : `: ${details}`}`,
      'can the proxy reach and verify the origin?',
    )
  return ok(check, `answered with ${status}`)
}

export function streamed(stream: Stream): Check {
  const check = STREAMS[0]
  if (stream.kind === 'failed')
    return wrong(check, `it broke: ${stream.message}`, 'look at the log of the proxy')
  if (stream.kind === 'refused')
    return skipped(check, `not tested: the probe is answered with ${stream.answer.status}`)
  if (!stream.complete)
    return wrong(check, 'events are missing', 'is something between this machine and the proxy?')
  if (stream.parts > 1) return ok(check, `events arrive one by one (${stream.parts} parts)`)
  return wrong(
    check,
    'all events arrived at once: something between here and the proxy holds answers back',
    'look for an anti-virus program or another proxy on the way',
  )
}

export function echoed(heard: Heard | undefined): Check {
  const check = STREAMS[1]
  if (heard === undefined) return ok(check, 'a message went and came back')
  if (typeof heard === 'string')
    return wrong(
      check,
      heard,
      'is something between this machine and the proxy that knows no WebSocket?',
    )
  return skipped(check, `not tested: the probe is answered with ${heard.status}`)
}

export function ok(check: string, text: string): Check {
  return { check, state: 'ok', text }
}

export function skipped(check: string, text: string): Check {
  return { check, state: 'skipped', text }
}

export function wrong(check: string, text: string, fix: string): Check {
  return { check, state: 'wrong', text, fix }
}
