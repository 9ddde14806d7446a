// How a client is told no: in the dialect of the service it meant, with a reason, an id, and no way to mistake it
// for an answer of the origin (INTERFACES section 3, "On the wire").

import { PAGE_POLICY } from '../base/html.ts'
import { denialPage } from './denial-page.ts'
import type { Refusal, RefusedRequest } from './ports.ts'

const MAX_DETAIL = 400
/** RFC 6455 section 5.5.1: a control frame holds 125 bytes, two of them the code. */
const MAX_CLOSE_REASON = 123
/** What an origin looks like (RFC 6454 section 7); anything else is not repeated. */
const ORIGIN = /^(?:null|[a-z][a-z0-9+.-]{0,30}:\/\/[a-z0-9._[\]:-]{1,270})$/i

/** A refusal for any HTTP version. Of a HEAD the body is empty, its length as of a GET. */
export interface RenderedRefusal {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** `contact`: whom a refused person may ask; a mail address, an https URL, or nothing. */
export function refusalOf(
  refusal: Refusal,
  request: RefusedRequest,
  contact: string = '',
): RenderedRefusal {
  const { status, decision, error, details } = refusal
  const isPage = !request.isConnect && isNavigation(request)
  const body = Buffer.from(
    isPage ? denialPage(refusal, request.host, contact) : JSON.stringify(jsonOf(refusal)),
  )
  const fields: (readonly [string, string])[] = [
    ['Proxy-Status', `cordon; error=${error}; details="${quoted(decision?.reason ?? details)}"`],
  ]
  if (refusal.challenge === true)
    fields.push(['Proxy-Authenticate', 'Basic realm="Cordon", charset="UTF-8"'])
  if (decision !== undefined) fields.push(['X-Cordon-Decision-Id', decision.decision_id])
  if (decision?.review_id != null) fields.push(['X-Cordon-Review-Id', decision.review_id])
  if (!mayHelpToRetry(status)) fields.push(['x-should-retry', 'false'])
  if (refusal.retryAfterSeconds !== undefined)
    fields.push(['Retry-After', String(refusal.retryAfterSeconds)])
  fields.push(['Content-Type', isPage ? 'text/html; charset=utf-8' : 'application/json'])
  if (isPage)
    fields.push(['Content-Security-Policy', PAGE_POLICY], ['X-Content-Type-Options', 'nosniff'])
  if (decision !== undefined && !request.isConnect) fields.push(...sharedWith(request))
  fields.push(['Cache-Control', 'no-store'], ['Content-Length', String(body.length)])
  return { status, fields, body: request.method === 'HEAD' ? Buffer.alloc(0) : body }
}

/** The event, or the line, that ends a stream in the middle: the error that the service's own clients can read. */
export function lastEventOf(refusal: Refusal, form: 'events' | 'lines'): Buffer {
  const { format, service } = refusal
  const spoken = format ?? service?.protocol
  if (form === 'lines') {
    const line = spoken === 'ollama' ? { error: messageOf(refusal) } : jsonOf(refusal)
    return Buffer.from(`${JSON.stringify(line)}\n`)
  }
  const name = spoken === 'anthropic' || spoken === 'anthropic-legacy' ? 'event: error\n' : ''
  return Buffer.from(`${name}data: ${JSON.stringify(jsonOf(refusal))}\n\n`)
}

/** The reason of a close frame (1008): it fits, and ends with the decision id. */
export function webSocketReason(refusal: Refusal): string {
  const { decision, details } = refusal
  const end = decision === undefined ? '' : `; decision ${decision.decision_id}`
  const room = MAX_CLOSE_REASON - Buffer.byteLength(end)
  const reason = (decision?.reason ?? details).toWellFormed()
  if (Buffer.byteLength(reason) <= room) return reason + end
  let kept = ''
  let left = room - 3
  for (const character of reason) {
    left -= Buffer.byteLength(character)
    if (left < 0) break
    kept += character
  }
  return `${kept}...${end}`
}

/** With credentials, or once the origin, the store or the limit is better: the SDKs know when. */
function mayHelpToRetry(status: number): boolean {
  return status === 407 || status === 408 || status === 429 || status >= 500
}

function messageOf({ decision, details }: Refusal): string {
  if (decision === undefined) return details
  return `${decision.reason} (decision ${decision.decision_id})`
}

/** The error body that the service's own clients can read. */
function jsonOf(refusal: Refusal): unknown {
  const { decision, service, status, format } = refusal
  const message = messageOf(refusal)
  if (decision === undefined)
    return { error: { message, type: 'proxy_error', param: null, code: `proxy_${status}` } }
  // What was spoken counts more than to whom: one service takes several formats.
  switch (format ?? service?.protocol) {
    case 'anthropic':
    case 'anthropic-legacy':
      return { type: 'error', error: { type: 'permission_error', message } }
    case 'gemini':
    case 'gemini-live':
      return { error: { code: 403, message, status: 'PERMISSION_DENIED' } }
    default:
      return { error: { message, type: 'policy_violation', param: null, code: 'policy_denied' } }
  }
}

/** Without these a page sees only that its fetch failed. A denied preflight stays 403: an invented permission
 *  would speak for an origin that might refuse. */
function sharedWith(request: RefusedRequest): readonly (readonly [string, string])[] {
  const origin = request.header('origin')
  if (origin === undefined || !ORIGIN.test(origin)) return []
  return [
    ['Access-Control-Allow-Origin', origin],
    ['Access-Control-Allow-Credentials', 'true'],
    [
      'Access-Control-Expose-Headers',
      'Proxy-Status, X-Cordon-Decision-Id, X-Cordon-Review-Id, x-should-retry',
    ],
    ['Vary', 'Origin'],
  ]
}

function isNavigation(request: RefusedRequest): boolean {
  if (request.header('sec-fetch-dest') === 'document') return true
  return request.header('accept')?.toLowerCase().includes('text/html') === true
}

/** RFC 8941 section 3.3.3: printable ASCII, with quotes and backslashes escaped. */
function quoted(text: string): string {
  return text
    .slice(0, MAX_DETAIL)
    .normalize('NFKD')
    .replaceAll(/[^\u0020-\u007E]/g, (character) => (/\p{M}/u.test(character) ? '' : '?'))
    .replaceAll(/["\\]/g, String.raw`\$&`)
}
