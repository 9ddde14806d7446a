// How a client is told no: in the dialect of the service it meant, with a reason, an id, and no way to mistake it
// for an answer of the origin (INTERFACES section 3, "On the wire").

import { STATUS_CODES } from 'node:http'
import type { Refusal, RefusedRequest } from './ports.ts'

const MAX_DETAIL = 400

/** A complete HTTP/1.1 response. */
export function renderRefusal(refusal: Refusal, request: RefusedRequest): Buffer {
  const { status, decision } = refusal
  const message = messageOf(refusal)
  const isPage = !request.isConnect && isNavigation(request)
  const body = isPage ? pageOf(refusal) : JSON.stringify(jsonOf(refusal, message))
  const fields = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    `Proxy-Status: cordon; error=${refusal.error}; details="${quoted(decision === undefined ? refusal.details : decision.reason)}"`,
    ...(refusal.challenge === true
      ? ['Proxy-Authenticate: Basic realm="Cordon", charset="UTF-8"']
      : []),
    ...(decision === undefined ? [] : [`X-Cordon-Decision-Id: ${decision.decision_id}`]),
    ...(decision?.review_id == null ? [] : [`X-Cordon-Review-Id: ${decision.review_id}`]),
    ...(mayHelpToRetry(status) ? [] : ['x-should-retry: false']),
    ...(refusal.retryAfterSeconds === undefined
      ? []
      : [`Retry-After: ${refusal.retryAfterSeconds}`]),
    `Content-Type: ${isPage ? 'text/html; charset=utf-8' : 'application/json'}`,
    ...(isPage
      ? [
          "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
          'X-Content-Type-Options: nosniff',
        ]
      : []),
    'Cache-Control: no-store',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(request.keepAlive
      ? request.minor === 0
        ? ['Connection: keep-alive']
        : []
      : ['Connection: close']),
  ]
  return Buffer.from(`${fields.join('\r\n')}\r\n\r\n${request.method === 'HEAD' ? '' : body}`)
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
function jsonOf({ decision, service, status }: Refusal, message: string): unknown {
  if (decision === undefined)
    return { error: { message, type: 'proxy_error', param: null, code: `proxy_${status}` } }
  switch (service?.protocol) {
    case 'anthropic':
      return { type: 'error', error: { type: 'permission_error', message } }
    case 'gemini':
      return { error: { code: 403, message, status: 'PERMISSION_DENIED' } }
    default:
      return { error: { message, type: 'policy_violation', param: null, code: 'policy_denied' } }
  }
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

function pageOf({ status, details, decision, service, alternative }: Refusal): string {
  const waits = decision?.decision === 'REVIEW'
  const title =
    decision === undefined
      ? `This page cannot be reached (${status})`
      : waits
        ? 'This needs a review first'
        : 'This is not allowed here'
  const reason = decision?.reason ?? details
  const facts = [
    ...(service === undefined ? [] : [['Service', service.name]]),
    ...(decision === undefined ? [] : [['Decision', decision.decision_id]]),
    ...(decision?.review_id == null ? [] : [['Review', decision.review_id]]),
  ] as [string, string][]
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(title)}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;color:#1d2430;background:#f5f6f8;margin:0}main{max-width:36rem;margin:12vh auto;padding:2rem;background:#fff;border-radius:8px;border-top:4px solid #b3261e}h1{font-size:1.4rem;margin:0 0 1rem}dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;color:#5a6473;font-size:.9rem}dd{margin:0;overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6e9ee}main{background:#1d232d}dl{color:#a4adbb}}</style></head>
<body><main><h1>${escape(title)}</h1><p>${escape(capital(reason))}.</p>
${alternative === undefined ? '' : `<p>You can use <strong>${escape(alternative)}</strong> instead.</p>`}
${waits ? '<p>Somebody has been asked. Try again once it is approved.</p>' : ''}
<p>If you need this for your work, give your security team the decision id below.</p>
<dl>${facts.map(([name, value]) => `<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`).join('')}</dl></main></body></html>
`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, '')
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
