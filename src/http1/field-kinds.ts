// Which fields belong to one connection only, or decide framing (RFC 9110 section 7.6.1)?
//
// Everything else is end to end and travels on as received. Common spellings are looked up as they
// stand, so that a usual head needs no lower-casing.

export const END_TO_END = 0
export const HOST_FIELD = 1
export const CONTENT_LENGTH = 2
export const TRANSFER_ENCODING = 3
export const CONNECTION = 4
export const PROXY_CONNECTION = 5
export const KEEP_ALIVE = 6
export const UPGRADE = 7
export const TE = 8
export const EXPECT = 9
export const PROXY_AUTHORIZATION = 10
export const PROXY_STATUS = 11
/** Never sent on. */
export const DROPPED = 12

interface FieldKind {
  readonly lower: string
  readonly kind: number
  /** May be sent on in a trailer section (RFC 9110 section 6.5.1). */
  readonly inTrailer: boolean
}

const HOP_BY_HOP: readonly (readonly [string, number])[] = [
  ['content-length', CONTENT_LENGTH],
  ['transfer-encoding', TRANSFER_ENCODING],
  ['connection', CONNECTION],
  ['proxy-connection', PROXY_CONNECTION],
  ['keep-alive', KEEP_ALIVE],
  ['upgrade', UPGRADE],
  ['http2-settings', DROPPED],
]

const ONLY_IN_REQUESTS: readonly (readonly [string, number])[] = [
  ['host', HOST_FIELD],
  ['te', TE],
  ['expect', EXPECT],
  ['proxy-authorization', PROXY_AUTHORIZATION],
  // Programs behind a gateway interface read it as the environment variable HTTP_PROXY.
  ['proxy', DROPPED],
]

const ONLY_IN_RESPONSES: readonly (readonly [string, number])[] = [
  // Says something in requests only, and HTTP/2 forbids most of its values.
  ['te', DROPPED],
  ['proxy-authenticate', DROPPED],
  ['proxy-authentication-info', DROPPED],
  // A list that every intermediary adds to (RFC 9209 section 2): sent on unless it speaks in our name.
  ['proxy-status', PROXY_STATUS],
]

const USUAL = [
  'accept accept-charset accept-datetime accept-encoding accept-language accept-ranges age allow alt-svc',
  'anthropic-beta anthropic-version api-key authorization cache-control cf-ray content-disposition',
  'content-encoding content-language content-location content-range content-security-policy',
  'content-type cookie date dnt etag expires forwarded from if-match if-modified-since if-none-match',
  'if-range if-unmodified-since last-modified link location max-forwards openai-organization',
  'openai-processing-ms openai-project openai-version origin pragma priority range referer',
  'referrer-policy retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest',
  'sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-extensions',
  'sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing set-cookie',
  'strict-transport-security trailer upgrade-insecure-requests user-agent vary via www-authenticate',
  'x-api-key x-content-type-options x-forwarded-for x-frame-options x-goog-api-client x-goog-api-key',
  'x-powered-by x-request-id x-requested-with x-stainless-arch x-stainless-async x-stainless-lang',
  'x-stainless-os x-stainless-package-version x-stainless-retry-count x-stainless-runtime',
  'x-stainless-runtime-version x-stainless-timeout',
].flatMap((line) => line.split(' '))

/** Fields that are processed before the content, or that route, authenticate or describe it. */
const NOT_IN_TRAILERS = new Set(
  [
    'authorization cache-control content-disposition content-encoding content-language content-location',
    'content-range content-type cookie date expect expires forwarded from host if-match if-modified-since',
    'if-none-match if-range if-unmodified-since location max-forwards origin pragma range referer',
    'retry-after set-cookie strict-transport-security te trailer vary via www-authenticate x-forwarded-for',
    'access-control-allow-credentials access-control-allow-origin content-security-policy',
    'x-api-key api-key x-goog-api-key x-forwarded-host x-forwarded-proto age user-agent',
  ].flatMap((line) => line.split(' ')),
)

/** What a field is, by its name as received; the name must be a token. */
export type KindOf = (name: string) => FieldKind

export const requestKind: KindOf = kindsOf(ONLY_IN_REQUESTS)
export const responseKind: KindOf = kindsOf(ONLY_IN_RESPONSES)

function kindsOf(special: readonly (readonly [string, number])[]): KindOf {
  const kinds = new Map<string, FieldKind>()
  for (const lower of USUAL) add(lower, END_TO_END)
  for (const [lower, kind] of HOP_BY_HOP) add(lower, kind)
  for (const [lower, kind] of special) add(lower, kind)
  return (name) => kinds.get(name) ?? unusual(name.toLowerCase())

  function add(lower: string, kind: number): void {
    const entry = {
      lower,
      kind,
      inTrailer: kind === END_TO_END && !NOT_IN_TRAILERS.has(lower),
    }
    kinds.set(lower, entry)
    kinds.set(
      lower.replace(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()),
      entry,
    )
  }

  function unusual(lower: string): FieldKind {
    const known = kinds.get(lower)
    if (known !== undefined) return known
    // Cordon's own names and those of the proxy leg are not for the other side, in either direction.
    const own = lower.startsWith('x-cordon-') || lower.startsWith('proxy-')
    return {
      lower,
      kind: own ? DROPPED : END_TO_END,
      inTrailer: !own && !NOT_IN_TRAILERS.has(lower),
    }
  }
}
