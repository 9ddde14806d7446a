// The proxy as a client of this configuration names it, and what that client has to trust.

import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { getCACertificates } from 'node:tls'
import { loadAuthority } from '../app/authority.ts'
import { CordonError } from '../base/errors.ts'
import type { Loaded } from '../config/load.ts'
import { blocksOf, certificatesOf } from '../setup/pem.ts'
import type { Login } from '../setup/recipe.ts'
import type { Io } from './io.ts'

const ASK_MS = 5000
const MAX_PEM = 256 * 1024

export interface NamedProxy {
  /** `http://host:port`. */
  readonly url: string
  readonly login?: Login
}

/** `--proxy`, else the first address of the configuration; `--user` counts before the URL's own name. */
export function proxyOf(
  { config }: Loaded,
  given: string | undefined,
  user: string | undefined,
  /** What `given` comes from. */
  source = '--proxy',
): NamedProxy {
  const named = given === undefined ? undefined : readProxy(given, source)
  const login = user === undefined ? named?.login : loginOf(user)
  const url = named?.url ?? listenUrl(config.proxy.listen)
  return { url, ...(login === undefined ? {} : { login }) }
}

function readProxy(text: string, source: string): NamedProxy {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (url === null || url.protocol !== 'http:' || url.hostname === '')
    throw new CordonError('INPUT_INVALID', `${source} must be http://host:port`)
  const { hostname: host, port, username, password } = url
  return {
    url: `http://${host}:${port === '' ? '80' : port}`,
    ...(username === ''
      ? {}
      : {
          login: {
            user: decodeURIComponent(username),
            ...(password === '' ? {} : { token: decodeURIComponent(password) }),
          },
        }),
  }
}

/** `NAME` or `NAME:TOKEN`. */
function loginOf(text: string): Login {
  const colon = text.indexOf(':')
  if (colon === -1) return { user: text }
  return { user: text.slice(0, colon), token: text.slice(colon + 1) }
}

/** An address that stands for all of them has the name of the machine. */
function listenUrl(listens: Loaded['config']['proxy']['listen']): string {
  const tcp = listens.find((listen) => listen.kind === 'tcp' && listen.port !== 0)
  if (tcp?.kind !== 'tcp')
    throw new CordonError(
      'INPUT_INVALID',
      'proxy.listen names no address with a fixed port: say with --proxy where the proxy is',
    )
  const host = tcp.host === '0.0.0.0' || tcp.host === '::' ? hostname() : tcp.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${tcp.port}`
}

/**
 * PEM of what clients have to trust, or undefined where HTTPS is tunnelled: the file of `--ca`, what a proxy named
 * by `--proxy` says, or the authority of this configuration.
 */
export async function rootsOf(
  io: Io,
  { config }: Loaded,
  options: { readonly ca?: string; readonly proxy?: string },
  proxy: NamedProxy,
): Promise<string | undefined> {
  if (options.ca !== undefined) return fileOf(resolve(io.cwd, options.ca))
  if (options.proxy !== undefined) return askedOf(proxy.url)
  if (!config.proxy.intercept.enabled) return undefined
  const { authority } = await loadAuthority(config, undefined, { env: io.env, ask: false })
  return authority.rootCert
}

function fileOf(file: string): string {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new CordonError('NOT_FOUND', `${file} cannot be read`, { cause: error })
  }
  if (certificatesOf(text).length === 0)
    throw new CordonError('INPUT_INVALID', `${file} holds no certificate`)
  return text
}

/** `/ca.pem` of a running proxy; 404 there: it tunnels. */
export async function askedOf(proxy: string): Promise<string | undefined> {
  const { hostname: host, port } = new URL(proxy)
  return new Promise((done, fail) => {
    const gone = (error: Error): void =>
      fail(
        new CordonError('NOT_FOUND', `${proxy} does not tell its certificate: ${error.message}`, {
          cause: error,
        }),
      )
    const sent = request(
      {
        host: host.replaceAll(/^\[|\]$/g, ''),
        port: port === '' ? 80 : Number(port),
        path: '/ca.pem',
        agent: false,
        signal: AbortSignal.timeout(ASK_MS),
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          text += part
          if (text.length > MAX_PEM) response.destroy(new Error('its answer is too long'))
        })
        response.on('error', gone)
        response.on('end', () => {
          if (response.statusCode === 200 && certificatesOf(text).length > 0) done(text)
          else if (response.statusCode === 404) done(undefined)
          else gone(new Error(`it answers ${response.statusCode ?? 0}`))
        })
      },
    )
    sent.on('error', gone)
    sent.end()
  })
}

/** Where distributions keep their roots in one file. */
const SYSTEM_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** PEM of what the system trusts, whatever this process has been told to trust by SSL_CERT_FILE. */
export function systemRoots(): readonly string[] {
  if (process.platform === 'darwin' || process.platform === 'win32')
    return getCACertificates('system')
  for (const file of SYSTEM_FILES) {
    const text = readText(file)
    if (text !== undefined) return blocksOf(text)
  }
  return []
}

/** The system's roots and these, each once; where the system has none, those that Node brings. */
export function bundleWith(roots: string): string {
  const system = systemRoots()
  const all = [
    ...(system.length === 0 ? getCACertificates('bundled') : system),
    ...certificatesOf(roots).map(String),
  ]
  return [...new Set(all.map((pem) => `${pem.trim()}\n`))].join('')
}

/** Undefined where there is none that can be read. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
