// Where does a request line lead? Strict reading of absolute-form and authority-form (RFC 9112 section 3.2).
//
// Plain ASCII names take the fast way; anything odd is read as browsers read it (WHATWG), and what is then
// neither a DNS name nor an address is refused. Nothing ambiguous is forwarded.

import { isIP } from 'node:net'
import { canonicalPath } from '../base/canonical-path.ts'
import type { Destination } from '../model/request.ts'
import type { Refusal, Target } from './ports.ts'

const MAX_TARGET = 16_384
const PLAIN_HOST =
  /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i
const DNS_NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.|$))+(?<!\.)$/
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s/?#@\\:[\]]+))(?::([1-9]\d{0,4}))?$/
/** Printable ASCII without blanks and the backslash, which some servers read as a slash. */
const SAFE_TARGET = /^[!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~|^`{}"<>]*$/

export function parseTarget(
  method: string,
  target: string,
  hostHeader: string | undefined,
  scheme: 'http' | 'https' = 'http',
): Target | Refusal {
  if (target.length > MAX_TARGET)
    return { status: 414, error: 'http_request_error', details: 'the request target is too long' }
  if (method === 'CONNECT') return connectTarget(target)
  return absoluteTarget(method, target, hostHeader, scheme)
}

function connectTarget(text: string): Target | Refusal {
  const authority = parseAuthority(text)
  if (authority === undefined || authority.port === undefined) return bad('CONNECT needs host:port')
  const { host, port } = authority
  const destination: Destination = {
    host,
    port,
    scheme: port === 80 ? 'http' : 'https',
    method: 'CONNECT',
  }
  return { kind: 'connect', destination, authority: authorityText(host, port), requestTarget: '' }
}

function absoluteTarget(
  method: string,
  text: string,
  hostHeader: string | undefined,
  scheme: 'http' | 'https',
): Target | Refusal {
  if (!SAFE_TARGET.test(text))
    return bad('the request target holds characters that do not belong there')
  const prefix = `${scheme}://`
  const usual = scheme === 'http' ? 80 : 443
  const rest = text.slice(prefix.length)
  if (text.slice(0, prefix.length).toLowerCase() !== prefix) {
    return scheme === 'https'
      ? bad('the request target names another scheme than the tunnel it came through')
      : /^https:\/\//i.test(text)
        ? bad('https is reached through CONNECT, not through an absolute request target')
        : bad('the request target must be http://host/... or host:port with CONNECT')
  }
  if (rest.includes('#')) return bad('a request target has no fragment')
  const end = /[/?]/.exec(rest)?.index ?? rest.length
  const authorityPart = rest.slice(0, end)
  if (authorityPart.includes('@')) return bad('a request target has no user information')
  const authority = parseAuthority(authorityPart)
  if (authority === undefined) return bad('the host of the request target is not valid')
  const { host, port = usual } = authority
  if (hostHeader !== undefined && !sameAuthority(hostHeader, host, port, usual))
    return bad('the Host field names another host than the request target')

  const received = rest.slice(end)
  const requestTarget = received.startsWith('/') ? received : `/${received}`
  if (/%(?![0-9A-Fa-f]{2})|%00/.test(requestTarget))
    return bad('the request target is not properly encoded')
  const query = requestTarget.indexOf('?')
  const path = query === -1 ? requestTarget : requestTarget.slice(0, query)
  const destination: Destination = {
    host,
    port,
    scheme,
    path: canonicalPath(path),
    method,
    ...(query === -1 ? {} : { query: requestTarget.slice(query + 1) }),
  }
  // OPTIONS with an empty path asks about the server as a whole (RFC 9112 section 3.2.4).
  const forwarded = method === 'OPTIONS' && received === '' ? '*' : requestTarget
  return {
    kind: 'absolute',
    destination,
    authority: port === usual ? hostText(host) : authorityText(host, port),
    requestTarget: forwarded,
  }
}

interface Authority {
  /** Canonical: lower case, punycode, no trailing dot, no brackets. */
  readonly host: string
  readonly port: number | undefined
}

export function parseAuthority(text: string): Authority | undefined {
  const [, v6, name, digits] = AUTHORITY.exec(text) ?? []
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && port > 65_535) return undefined
  const host = v6 === undefined ? canonicalName(name ?? '') : canonicalV6(v6)
  return host === undefined ? undefined : { host, port }
}

/** A DNS name or an IPv4 address however it is spelt; undefined for everything else. */
function canonicalName(name: string): string | undefined {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  if (bare === '' || bare.endsWith('.') || bare.length > 253) return undefined
  if (PLAIN_HOST.test(bare)) return bare.toLowerCase()
  if (isIP(bare) === 4) return bare
  if (bare.includes('%')) return undefined
  // 0x7f.1, 2130706433, 0177.0.0.1, full-width digits: one reading, that of browsers.
  const url = URL.parse(`http://${bare}/`)
  const read = url === null || url.username !== '' || url.port !== '' ? '' : url.hostname
  const ascii = read.endsWith('.') ? read.slice(0, -1) : read
  if (isIP(ascii) === 4) return ascii
  return DNS_NAME.test(ascii) ? ascii : undefined
}

function canonicalV6(text: string): string | undefined {
  if (isIP(text) !== 6) return undefined
  const url = URL.parse(`http://[${text}]/`)
  return url === null ? undefined : url.hostname.slice(1, -1)
}

function sameAuthority(header: string, host: string, port: number, usual: number): boolean {
  const authority = parseAuthority(header.trim())
  return authority !== undefined && authority.host === host && (authority.port ?? usual) === port
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function authorityText(host: string, port: number): string {
  return `${hostText(host)}:${port}`
}

function bad(details: string): Refusal {
  return { status: 400, error: 'http_request_error', details }
}
