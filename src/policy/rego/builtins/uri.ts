// What does uri.parse answer? Go's net/url reading of a URI, which differs from the browsers'.

export type UriParts = Readonly<Record<string, string>>

const SCHEME = /^([a-z][a-z0-9+.-]*):/i
const HOST_OK = /^[^\s"<>\\^`{|}\p{Cc}]*$/u

/** undefined where Go's url.Parse fails. */
export function parseUri(text: string): UriParts | undefined {
  // oxlint-disable-next-line no-control-regex -- Go refuses exactly these
  if (/[\u0000-\u001f\u007f]/.test(text)) return undefined
  const hash = text.indexOf('#')
  const before = hash === -1 ? text : text.slice(0, hash)
  const fragment = hash === -1 ? '' : unescapePath(text.slice(hash + 1))
  if (fragment === undefined) return undefined
  if (before === '*') return { path: '*', raw_path: '*', ...given({ fragment }) }
  if (before.startsWith(':')) return undefined
  const scheme = SCHEME.exec(before)?.[1] ?? ''
  let rest = scheme === '' ? before : before.slice(scheme.length + 1)
  const question = rest.indexOf('?')
  const query = question === -1 ? '' : rest.slice(question + 1)
  if (question !== -1) rest = rest.slice(0, question)
  if (!rest.startsWith('/')) {
    // An opaque part (`mailto:a@b`) has neither host nor path.
    if (scheme !== '') return given({ scheme: scheme.toLowerCase(), raw_query: query, fragment })
    const [segment = ''] = rest.split('/', 1)
    if (segment.includes(':')) return undefined
  }
  let authority = ''
  if ((scheme !== '' || !rest.startsWith('///')) && rest.startsWith('//')) {
    const slash = rest.indexOf('/', 2)
    authority = slash === -1 ? rest.slice(2) : rest.slice(2, slash)
    rest = slash === -1 ? '' : rest.slice(slash)
  }
  const host = hostOf(authority)
  const path = unescapePath(rest)
  if (host === undefined || path === undefined) return undefined
  return given({
    scheme: scheme.toLowerCase(),
    hostname: host.name,
    port: host.port,
    path,
    raw_path: path === '' ? '' : isDefaultEncoding(rest, path) ? path : rest,
    raw_query: query,
    fragment,
  })
}

function given(parts: UriParts): UriParts {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''))
}

function hostOf(authority: string): { name: string; port: string } | undefined {
  const at = authority.lastIndexOf('@')
  if (at !== -1 && !/^[\w\-.~!$&'()*+,;=:%@]*$/.test(authority.slice(0, at))) return undefined
  if (at !== -1 && unescapePath(authority.slice(0, at)) === undefined) return undefined
  const host = authority.slice(at + 1)
  if (host.startsWith('[')) {
    const close = host.lastIndexOf(']')
    const port = host.slice(close + 1)
    if (close === -1 || !/^(?::\d*)?$/.test(port)) return undefined
    const name = unescapePath(host.slice(1, close))
    return name === undefined ? undefined : { name, port: port.slice(1) }
  }
  const colon = host.lastIndexOf(':')
  const port = colon === -1 ? '' : host.slice(colon + 1)
  if (!/^\d*$/.test(port)) return undefined
  const raw = colon === -1 ? host : host.slice(0, colon)
  if (raw.includes(':')) return undefined
  // Only bytes beyond ASCII may be escaped in a host name.
  if (!HOST_OK.test(raw) || /%(?![89a-f][0-9a-f])/i.test(raw)) return undefined
  const name = unescapePath(raw)
  return name === undefined ? undefined : { name, port }
}

function unescapePath(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined
  if (!text.includes('%')) return text
  const bytes: Buffer[] = []
  for (const part of text.split(/(%[0-9a-f]{2})/i))
    bytes.push(part.startsWith('%') ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))
  return Buffer.concat(bytes).toString()
}

/** Go keeps the raw path only where its own escaping of the path would give another text. */
function isDefaultEncoding(raw: string, path: string): boolean {
  const escaped = encodeURIComponent(path.toWellFormed())
    .replaceAll(/%(?:24|26|2B|2C|2F|3A|3B|3D|40)/g, decodeURIComponent)
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
  return raw === escaped
}
