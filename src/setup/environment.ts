// What a client's environment says, and where it contradicts itself. Pure: files are read by whoever asks.

import { certificatesOf } from './pem.ts'

export interface Finding {
  readonly state: 'ok' | 'warning' | 'wrong'
  readonly text: string
  readonly fix?: string
}

export interface EnvironmentFacts {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The proxy that is meant, `http://host:port`. */
  readonly proxy: string
  /** Reached through it. */
  readonly host: string
  /** SHA-256 fingerprints of the roots to trust; none: nothing has to be. */
  readonly roots: readonly string[]
  /** Undefined where the file cannot be read. */
  readonly read: (path: string) => string | undefined
}

/** Fewer certificates are no store of a system, so other sites would not be trusted. */
const FEW = 20
/** Variables that replace a client's own roots, and whose they are. */
const REPLACING: readonly (readonly [string, string])[] = [
  ['SSL_CERT_FILE', 'httpx, the Python SDKs, Go, OpenSSL'],
  ['REQUESTS_CA_BUNDLE', 'requests'],
  ['CURL_CA_BUNDLE', 'curl'],
  ['GIT_SSL_CAINFO', 'git'],
  ['PIP_CERT', 'pip'],
  ['AWS_CA_BUNDLE', 'boto3'],
  ['CODEX_CA_CERTIFICATE', 'Codex'],
]

export function environmentFindings(facts: EnvironmentFacts): readonly Finding[] {
  const { env } = facts
  if (!PROXY_NAMES.some((name) => isSet(env[name])))
    return [
      ...switchedOff(facts),
      {
        state: 'warning',
        text: 'no proxy variable is set here: tools that read the environment go past the proxy',
        fix: 'eval "$(cordon setup env)"',
      },
    ]
  const findings = [...proxies(facts), ...direct(facts), ...switchedOff(facts), ...trust(facts)]
  if (findings.length > 0) return findings
  return [{ state: 'ok', text: 'the variables agree with each other and with the proxy' }]
}

const PROXY_NAMES = [
  'HTTPS_PROXY',
  'https_proxy',
  'HTTP_PROXY',
  'http_proxy',
  'ALL_PROXY',
  'all_proxy',
]

function* proxies({ env, proxy }: EnvironmentFacts): Generator<Finding> {
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'ALL_PROXY']) {
    const [upper, lower] = [env[name], env[name.toLowerCase()]]
    if (isSet(upper) && isSet(lower) && upper !== lower)
      yield {
        state: 'wrong',
        text: `${name} and ${name.toLowerCase()} differ: some tools read one, some the other`,
        fix: 'give both the same value',
      }
  }
  for (const name of PROXY_NAMES) {
    const value = env[name]
    if (!isSet(value)) continue
    const problem = proxyProblem(value, proxy)
    if (problem !== undefined)
      yield {
        state: 'wrong',
        text: `${name} ${problem}`,
        fix: `${name}=${proxy}, with name and token where they are asked for`,
      }
  }
  if (!isSet(env['HTTPS_PROXY'] ?? env['https_proxy']))
    yield {
      state: 'warning',
      text: 'HTTPS_PROXY is not set: HTTPS goes past the proxy',
      fix: `HTTPS_PROXY=${proxy}`,
    }
  if (isSet(env['HTTP_PROXY']) && !isSet(env['http_proxy']))
    yield {
      state: 'warning',
      text: 'http_proxy is not set: curl reads it in small letters only',
      fix: `http_proxy=${proxy}`,
    }
  if (env['NODE_USE_ENV_PROXY'] !== '1')
    yield {
      state: 'warning',
      text: 'NODE_USE_ENV_PROXY is not 1: fetch of Node, and the SDKs on it, go past the proxy',
      fix: 'NODE_USE_ENV_PROXY=1',
    }
  if (!isSet(env['WSS_PROXY']))
    yield {
      state: 'warning',
      text: 'WSS_PROXY is not set: WebSockets of aiohttp (Python) go past the proxy',
      fix: `WSS_PROXY=${proxy} WS_PROXY=${proxy}`,
    }
}

/** The value is not repeated: it may hold a token. */
function proxyProblem(value: string, proxy: string): string | undefined {
  if (!value.includes('://')) return 'has no scheme, which some tools need'
  const url = URL.parse(value)
  if (url === null) return 'is no URL'
  if (url.protocol !== 'http:') return `begins with ${url.protocol}//, which many tools do not take`
  const port = url.port === '' ? '80' : url.port
  if (`http://${url.hostname}:${port}` === proxy) return undefined
  return `names another proxy (${url.hostname}:${port})`
}

function* direct({ env, host }: EnvironmentFacts): Generator<Finding> {
  const value = env['NO_PROXY'] ?? env['no_proxy'] ?? ''
  const entries = value
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '')
  if (entries.includes('*')) {
    yield {
      state: 'wrong',
      text: 'NO_PROXY is *: nothing goes through the proxy',
      fix: 'NO_PROXY=localhost,127.0.0.1,::1',
    }
    return
  }
  const covering = entries.find((each) => covers(each, host))
  if (covering !== undefined)
    yield {
      state: 'wrong',
      text: `NO_PROXY has ${covering}: ${host} goes past the proxy`,
      fix: `take ${covering} out of NO_PROXY`,
    }
  if (!entries.includes('localhost') || !entries.includes('127.0.0.1'))
    yield {
      state: 'warning',
      text: 'NO_PROXY lacks localhost or 127.0.0.1: local servers are asked through the proxy, which refuses them',
      fix: 'NO_PROXY=localhost,127.0.0.1,::1',
    }
}

/** As most tools read it: a whole name, or a suffix. */
function covers(entry: string, host: string): boolean {
  const suffix = entry.replace(/^\*?\./, '').replace(/:\d+$/, '')
  return host === suffix || host.endsWith(`.${suffix}`)
}

function* switchedOff({ env }: EnvironmentFacts): Generator<Finding> {
  for (const [name, value] of [
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
    ['PYTHONHTTPSVERIFY', '0'],
    ['GIT_SSL_NO_VERIFY', undefined],
  ] as const)
    if (isSet(env[name]) && (value === undefined || env[name] === value))
      yield {
        state: 'wrong',
        text: `${name} switches the checking of certificates off: anybody can read along`,
        fix: `unset ${name}`,
      }
}

function* trust(facts: EnvironmentFacts): Generator<Finding> {
  const { env, roots } = facts
  if (roots.length === 0) return
  const extra = env['NODE_EXTRA_CA_CERTS']
  if (!isSet(extra)) {
    if (env['NODE_USE_SYSTEM_CA'] !== '1')
      yield {
        state: 'warning',
        text: 'NODE_EXTRA_CA_CERTS is not set: Node does not trust intercepted hosts',
        fix: 'cordon setup node',
      }
  } else yield* held(facts, 'NODE_EXTRA_CA_CERTS', extra, 'Node', false)
  for (const [name, whose] of REPLACING) {
    const file = env[name]
    if (isSet(file)) yield* held(facts, name, file, whose, true)
  }
  const [forHttpx, forRequests] = [env['SSL_CERT_FILE'], env['REQUESTS_CA_BUNDLE']]
  if (isSet(forRequests) && !isSet(forHttpx))
    yield {
      state: 'wrong',
      text: 'REQUESTS_CA_BUNDLE is set and SSL_CERT_FILE is not: requests trusts, httpx and the SDKs do not',
      fix: `SSL_CERT_FILE=${forRequests}`,
    }
  else if (isSet(forHttpx) && !isSet(forRequests))
    yield {
      state: 'warning',
      text: 'SSL_CERT_FILE is set and REQUESTS_CA_BUNDLE is not: requests trusts by certifi alone',
      fix: `REQUESTS_CA_BUNDLE=${forHttpx}`,
    }
  else if (!isSet(forHttpx))
    yield {
      state: 'warning',
      text: 'SSL_CERT_FILE is not set: Python and Go trust what the system or certifi trusts',
      fix: 'cordon setup python',
    }
}

function* held(
  { read, roots }: EnvironmentFacts,
  name: string,
  file: string,
  whose: string,
  replaces: boolean,
): Generator<Finding> {
  const text = read(file)
  if (text === undefined) {
    yield {
      state: 'wrong',
      text: `${name} names ${file}, which cannot be read`,
      fix: 'cordon setup env --out DIR writes the files',
    }
    return
  }
  const fingerprints = certificatesOf(text).map(({ fingerprint256 }) => fingerprint256)
  if (!roots.some((root) => fingerprints.includes(root)))
    yield {
      state: 'wrong',
      text: `${name} names ${file}, which lacks the root of this proxy: ${whose} will not trust it`,
      fix: 'cordon setup env --out DIR writes a bundle that has it',
    }
  else if (replaces && fingerprints.length < FEW)
    yield {
      state: 'wrong',
      text: `${name} names ${file}, which has little but the root of this proxy: ${whose} will trust no site that is not intercepted`,
      fix: 'name ca-bundle.pem instead (cordon setup env --out DIR)',
    }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}
