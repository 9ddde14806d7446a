// The proxy's own refusals: those that no policy makes.

import { CordonError } from '../base/errors.ts'
import type { Outcome } from '../decision/decide.ts'
import type { Failure } from '../http1/message.ts'
import type { Decision } from '../model/decision.ts'
import type { Refusal } from './ports.ts'

export const UNRESOLVED: Refusal = {
  status: 502,
  error: 'dns_error',
  details: 'the name of the origin cannot be resolved',
}
export const ORIGIN_GONE: Refusal = {
  status: 502,
  error: 'connection_terminated',
  details: 'the origin closed the connection before it answered',
}
export const ORIGIN_SILENT: Refusal = {
  status: 504,
  error: 'http_response_timeout',
  details: 'the origin does not answer in time',
}
export const PARENT_CREDENTIALS: Refusal = {
  status: 502,
  error: 'proxy_configuration_error',
  details: 'the next proxy does not accept the credentials of this one',
}
export const PARENT_SILENT: Refusal = {
  status: 504,
  error: 'connection_timeout',
  details: 'the next proxy does not open the tunnel in time',
}
export const REQUEST_SLOW: Refusal = {
  status: 408,
  error: 'http_request_error',
  details: 'the request did not arrive in time',
}
export const NO_PAGE: Refusal = {
  status: 404,
  error: 'http_request_error',
  details: 'this is a proxy, and it has no such page; its own begin at /setup',
}
export const NO_MEMORY: Refusal = {
  status: 503,
  error: 'proxy_internal_error',
  details: 'too many bodies are being searched at the moment',
  retryAfterSeconds: 2,
}
export const NOT_REDACTED: Refusal = {
  status: 502,
  error: 'proxy_internal_error',
  details: 'what has to be removed from the request cannot be removed',
}
export const OTHER_HOST: Refusal = {
  status: 421,
  error: 'http_request_error',
  details: 'the request is for another host than the tunnel it came through',
}
export const BAD_UPGRADE: Refusal = {
  status: 400,
  error: 'http_request_error',
  details: 'the WebSocket handshake is malformed',
}
export const NO_TUNNEL_INSIDE: Refusal = {
  status: 400,
  error: 'http_request_error',
  details: 'a tunnel inside a tunnel is not accepted',
}
export const TOO_MANY_CONNECTIONS: Refusal = {
  status: 503,
  error: 'connection_limit_reached',
  details: 'too many connections',
  retryAfterSeconds: 5,
}
export const TOO_MANY_OF_CLIENT: Refusal = {
  status: 503,
  error: 'connection_limit_reached',
  details: 'too many connections from this address',
  retryAfterSeconds: 5,
}

/** The next proxy did not open a tunnel. */
export function refusalOfParent(status: number): Refusal {
  if (status === 407) return PARENT_CREDENTIALS
  return {
    status: status === 504 ? 504 : status === 403 ? 403 : 502,
    error: 'destination_unavailable',
    details: `the next proxy answered ${status}`,
  }
}

export function refusalOfMalformed(reason: string): Refusal {
  return {
    status: 502,
    error: 'http_protocol_error',
    details: `the origin's answer is malformed: ${reason}`,
  }
}

/** What policies refused, or a budget. */
export function refusalOfOutcome({
  decision,
  service,
  alternative,
  retryAfterSeconds,
}: Outcome): Refusal {
  return {
    ...refusalOfDecision(decision, service),
    ...(alternative === undefined ? {} : { alternative }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  }
}

export function refusalOfDecision(decision: Decision, service: Outcome['service']): Refusal {
  return {
    status: 403,
    error: 'http_request_denied',
    details: decision.reason,
    decision,
    ...(service === undefined ? {} : { service }),
  }
}

/** Bytes of a client that are no acceptable request. */
export function refusalOfFailure({ status, reason }: Failure): Refusal {
  return { status, error: 'http_request_error', details: reason }
}

const SPOOL_RETRY_SECONDS = 10

/** A step that threw: nothing passes. What may not pass unrecorded is a matter of time. */
export function refusalOfFault(fault: unknown): Refusal {
  if (
    fault instanceof CordonError &&
    (fault.code === 'SPOOL_FULL' || fault.code === 'SPOOL_FAILED')
  )
    return {
      status: 503,
      error: 'proxy_internal_error',
      details: 'the decision cannot be recorded at the moment',
      retryAfterSeconds: SPOOL_RETRY_SECONDS,
    }
  if (fault instanceof CordonError && fault.code === 'TOO_BUSY') return NO_MEMORY
  const unavailable = fault instanceof CordonError && fault.code === 'STORE_UNAVAILABLE'
  return {
    status: unavailable ? 503 : 500,
    error: 'proxy_internal_error',
    details: 'a fault of the proxy itself',
    ...(unavailable ? { retryAfterSeconds: SPOOL_RETRY_SECONDS } : {}),
  }
}
