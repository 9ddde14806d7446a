// Where does a URL lead? URLs are read as browsers read them (WHATWG); `host:port` is accepted for CONNECT.

import { decodeUnreserved } from '../base/canonical-path.ts'
import type { Destination } from '../model/request.ts'

const MAX_URL = 65_536
const AUTHORITY = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\:[\]]+):(\d{1,5})$/
const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['http:', 80],
  ['ws:', 80],
  ['https:', 443],
  ['wss:', 443],
])

export interface Resource {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The destination, or what is wrong with the URL. Userinfo and fragments are dropped. */
export function destinationOf({
  url,
  method,
  headers,
}: Resource): Destination | { readonly error: string } {
  if (url.length > MAX_URL) return { error: `longer than ${MAX_URL} characters` }
  const [, connectPort] = AUTHORITY.exec(url) ?? []
  const text =
    connectPort === undefined ? url : `${Number(connectPort) === 80 ? 'http' : 'https'}://${url}/`
  const parsed = URL.parse(text)
  if (parsed === null) return { error: 'not a URL' }
  const defaultPort = DEFAULT_PORTS.get(parsed.protocol)
  if (defaultPort === undefined) return { error: 'must be http, https, ws or wss, or host:port' }
  const host = canonicalHost(parsed.hostname)
  if (host === '') return { error: 'names no host' }

  const fields =
    headers === undefined
      ? undefined
      : new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const userAgent = fields?.get('user-agent')
  return {
    host,
    port: parsed.port === '' ? defaultPort : Number(parsed.port),
    scheme: defaultPort === 80 ? 'http' : 'https',
    ...(connectPort === undefined ? { path: decodeUnreserved(parsed.pathname) } : {}),
    ...(parsed.search.length > 1 ? { query: parsed.search.slice(1) } : {}),
    ...(method === undefined ? {} : { method: method.toUpperCase() }),
    ...(fields === undefined ? {} : { headers: fields }),
    ...(userAgent === undefined ? {} : { user_agent: userAgent }),
  }
}

/** Without brackets and without the one trailing dot of a fully qualified name. */
function canonicalHost(hostname: string): string {
  if (hostname.startsWith('[')) return hostname.slice(1, -1)
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
}
