// What does providers.aws.sign_req answer? The request with the headers of AWS Signature Version 4.

import { createHash, createHmac } from 'node:crypto'
import { isNumber, RegoObject, type RegoValue } from '../value.ts'
import { writeJson } from './json-text.ts'
import { type BuiltinTable, fail, integerAt, objectAt, type Operands } from './operands.ts'
import { parseUri } from './uri.ts'

export const AWS_BUILTINS: BuiltinTable = { 'providers.aws.sign_req': signRequest }

const REQUIRED = ['aws_service', 'aws_access_key', 'aws_secret_access_key', 'aws_region']
/** The fields of a request for http.send. */
const REQUEST_FIELDS = new Set(
  (
    'method url body enable_redirect force_json_decode force_yaml_decode headers raw_body ' +
    'tls_use_system_certs tls_ca_cert tls_ca_cert_file tls_ca_cert_env_variable tls_client_cert ' +
    'tls_client_cert_file tls_client_cert_env_variable tls_client_key tls_client_key_file ' +
    'tls_client_key_env_variable tls_insecure_skip_verify tls_server_name timeout cache ' +
    'force_cache force_cache_duration_seconds raise_error caching_mode max_retry_attempts ' +
    'cache_ignored_headers follow_redirects enable_compression'
  ).split(' '),
)
/** Headers that a proxy may change. */
const UNSIGNED = new Set(['authorization', 'user-agent', 'x-amzn-trace-id'])

function signRequest(operands: Operands): RegoValue {
  const request = objectAt(operands, 0)
  const config = objectAt(operands, 1)
  const setting = (name: string): string => {
    const value = config.get(name)
    return typeof value === 'string' ? value : fail(`${name} must be a string`)
  }
  const [service = '', accessKey = '', secret = '', region = ''] = REQUIRED.map(setting)
  const time = isNumber(operands[2] ?? null) ? integerAt(operands, 2) : fail('no time')
  for (const [key] of request.entries)
    if (typeof key !== 'string' || !REQUEST_FIELDS.has(key)) fail('an unknown field of a request')
  const url = request.get('url')
  const method = request.get('method')
  if (typeof url !== 'string' || typeof method !== 'string') return fail('url and method are texts')
  const unsigned = config.get('disable_payload_signing') ?? false
  if (typeof unsigned !== 'boolean') return fail('disable_payload_signing must be a boolean')

  const contentHash = unsigned ? 'UNSIGNED-PAYLOAD' : sha256(bodyOf(request))
  const stamp = stampOf(time)
  const date = stamp.slice(0, 8)
  const { host, path, query } = target(url)
  const added = new Map([
    ['host', host],
    ['x-amz-date', stamp],
  ])
  if (service === 's3' || service === 'glacier') added.set('x-amz-content-sha256', contentHash)
  const token = config.get('aws_session_token')
  if (typeof token === 'string' && token !== '') added.set('x-amz-security-token', token)

  const own = headersOf(request)
  const signed = new Map(added)
  for (const [name, value] of own)
    if (!UNSIGNED.has(name.toLowerCase())) signed.set(name.toLowerCase(), value)
  const names = [...signed.keys()].toSorted()
  const canonical = [
    method,
    path,
    query,
    ...names.map((name) => `${name}:${signed.get(name) ?? ''}`),
    '',
    names.join(';'),
    contentHash,
  ].join('\n')
  const scope = `${date}/${region}/${service}/aws4_request`
  const key = [date, region, service, 'aws4_request'].reduce<Buffer | string>(
    (known, part) => createHmac('sha256', known).update(part).digest(),
    `AWS4${secret}`,
  )
  const signature = createHmac('sha256', key)
    .update(`AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`)
    .digest('hex')
  const headers = new Map<string, RegoValue>(own)
  headers.set(
    'Authorization',
    `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}`,
  )
  for (const [name, value] of added) headers.set(name, value)
  return new RegoObject([
    ...request.entries.filter(([name]) => name !== 'headers'),
    ['headers', new RegoObject(headers)],
  ])
}

function headersOf(request: RegoObject): Map<string, string> {
  const headers = request.get('headers')
  if (headers === undefined) return new Map()
  if (!(headers instanceof RegoObject)) return fail('headers must be an object')
  return new Map(
    headers.entries.map(([name, value]): [string, string] => [
      typeof name === 'string' ? name : '',
      typeof value === 'string' ? value : '',
    ]),
  )
}

function bodyOf(request: RegoObject): string {
  const raw = request.get('raw_body')
  if (raw !== undefined) return typeof raw === 'string' ? raw : ''
  const body = request.get('body')
  return body === undefined ? '' : writeJson(body)
}

/** Host, escaped path and query as Go's url.URL gives them. */
function target(url: string): { host: string; path: string; query: string } {
  if (parseUri(url) === undefined && url !== '') fail('no URL')
  const [, authority = '', path = '', query = ''] =
    /^(?:[a-zA-Z][\w+.-]*:)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?/.exec(url) ?? []
  const escaped = /^[\w$\-.+!*'(),:@&=;~/%[\]]*$/.test(path) ? path : encodeURI(decodeURI(path))
  return { host: authority.replace(/^.*@/, ''), path: escaped, query }
}

/** 20060102T150405Z */
function stampOf(time: bigint): string {
  const milliseconds = Number(
    (time - (((time % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n,
  )
  return new Date(milliseconds).toISOString().replaceAll(/[-:]|\.\d+/g, '')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
