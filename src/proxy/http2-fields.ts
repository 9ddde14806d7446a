// Fields between HTTP/2 as node:http2 has them and the lists that the rest of the proxy speaks.

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { isAll, HOST, TARGET, TOKEN } from '../http1/characters.ts'
import { BAD_LENGTH, TRACE_REFUSED, UNKNOWN_METHOD } from '../http1/failures.ts'
import { requestKind, responseKind } from '../http1/field-kinds.ts'
import {
  type Failure,
  FIELD_STRIDE,
  type FieldList,
  type Http1Limits,
  NO_LENGTH,
  type RequestHead,
  type ResponseHead,
} from '../http1/message.ts'
import { readPairs, readTrailerPairs } from '../http1/pairs.ts'
import { METHODS } from '../http1/request-reader.ts'

const BAD_PSEUDO: Failure = { status: 400, reason: 'the pseudo-fields are no request' }
const OTHER_SCHEME: Failure = {
  status: 400,
  reason: 'the request names another scheme than the tunnel it came through',
}
const OTHER_HOSTS: Failure = { status: 400, reason: ':authority and Host name two hosts' }

/** A request of HTTP/2, or what is wrong with it. `ends`: no body follows. */
export function requestOf(
  headers: IncomingHttpHeaders,
  pairs: readonly string[],
  ends: boolean,
  limits: Http1Limits,
): RequestHead | Failure {
  const method = headers[':method'] ?? ''
  if (method === 'TRACE') return TRACE_REFUSED
  if (!METHODS.has(method)) return isAll(method, TOKEN) ? UNKNOWN_METHOD : BAD_PSEUDO
  if (method !== 'CONNECT' && headers[':scheme'] !== 'https') return OTHER_SCHEME
  const fields = readPairs(pairs, limits, requestKind)
  if ('status' in fields) return fields
  const target = headers[':path'] ?? (method === 'CONNECT' ? '/' : '')
  const authority = headers[':authority']
  if (!isAll(target, TARGET) || (!target.startsWith('/') && target !== '*')) return BAD_PSEUDO
  if (authority !== undefined && !isAll(authority, HOST)) return BAD_PSEUDO
  if (authority !== undefined && fields.host !== undefined && fields.host !== authority)
    return OTHER_HOSTS
  const host = authority ?? fields.host
  if (host === undefined) return BAD_PSEUDO
  const { contentLength } = fields
  if (ends && contentLength > 0) return BAD_LENGTH
  return {
    method,
    target,
    minor: 1,
    fields: fields.list,
    host,
    contentLength,
    chunked: !ends && contentLength === NO_LENGTH,
    keepAlive: true,
    upgrade: undefined,
    expectContinue: fields.expectContinue && !ends,
    teTrailers: fields.teTrailers,
    proxyAuthorization: undefined,
  }
}

/** A response of HTTP/2, or what is wrong with it. */
export function responseOf(
  headers: IncomingHttpHeaders,
  pairs: readonly string[],
  limits: Http1Limits,
): ResponseHead | Failure {
  const fields = readPairs(pairs, limits, responseKind)
  if ('status' in fields) return fields
  const status = Number(headers[':status'])
  if (!Number.isInteger(status) || status < 100 || status > 999) return BAD_PSEUDO
  return {
    status,
    reason: '',
    minor: 1,
    fields: fields.list,
    contentLength: fields.contentLength,
    chunked: fields.contentLength === NO_LENGTH,
    keepAlive: true,
    upgrade: undefined,
    keepAliveSeconds: undefined,
  }
}

export function requestTrailers(pairs: readonly string[], limits: Http1Limits): FieldList {
  return readTrailerPairs(pairs, limits, requestKind)
}

export function responseTrailers(pairs: readonly string[], limits: Http1Limits): FieldList {
  return readTrailerPairs(pairs, limits, responseKind)
}

/** As node:http2 sends them: names in lower case, repeated ones as a list. */
export function headersOf(...lists: readonly FieldList[]): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null) as Record<
    string,
    string | string[]
  >
  for (const list of lists) {
    for (let index = 0; index < list.length; index += FIELD_STRIDE) {
      const name = list[index + 1] ?? ''
      const value = list[index + 2] ?? ''
      const known = headers[name]
      if (known === undefined) headers[name] = value
      else if (Array.isArray(known)) known.push(value)
      else headers[name] = [known, value]
    }
  }
  return headers
}

/** The raw list that node:http2 hands over beside the object, or what the object still tells. */
export function pairsOf(headers: IncomingHttpHeaders, raw: unknown): readonly string[] {
  if (Array.isArray(raw)) return raw as string[]
  return Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value ?? '']).flatMap((each) => [name, each]),
  )
}
