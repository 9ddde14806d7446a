// `cordon doctor`: the path as a client sees it, a step at a time; what is wrong is named, with what to change.

import type { X509Certificate } from 'node:crypto'
import { CordonError } from '../base/errors.ts'
import { environmentFindings } from '../setup/environment.ts'
import { certificatesOf } from '../setup/pem.ts'
import { askedOf, type NamedProxy, proxyOf, readText, systemRoots } from './client-place.ts'
import type { Common } from './common.ts'
import { certificateChecks } from './doctor-certificate.ts'
import {
  echoed,
  ok,
  ownPages,
  type Check,
  refusedTunnel,
  skipped,
  spoken,
  type State,
  streamed,
  STREAMS,
  wrong,
} from './doctor-checks.ts'
import { askProxy, openTunnel, secure, type Secured, type Way } from './doctor-path.ts'
import { eventStream, overHttp1, overHttp2, webSocket } from './doctor-streams.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'

export interface DoctorOptions extends Common {
  readonly proxy?: string
  readonly user?: string
  readonly url: string
}

/** Served by Cordon itself, and never passed on. */
const OWN_PAGE = '/.well-known/cordon/'
export async function doctor(io: Io, options: DoctorOptions): Promise<ExitCode> {
  const url = URL.parse(options.url)
  if (url === null || url.protocol !== 'https:')
    throw new CordonError('INPUT_INVALID', '--url must be https://host/...')
  const proxy = proxyOfClient(io, options)
  const checks: Check[] = []
  for await (const check of examine(io, proxy, url)) {
    checks.push(check)
    if (options.json !== true) tell(io, check)
  }
  const isWell = checks.every(({ state }) => state !== 'wrong')
  if (options.json === true) printJson(io, { ok: isWell, proxy: proxy.url, url: url.href, checks })
  else
    io.out.write(
      isWell
        ? 'all well\n'
        : `${checks.filter(({ state }) => state === 'wrong').length} wrong, see above\n`,
    )
  return isWell ? 0 : 1
}

/** A client has its proxy from its environment; without one the configuration says where it should be. */
function proxyOfClient(io: Io, options: DoctorOptions): NamedProxy {
  const loaded = configOf(io, options)
  if (options.proxy !== undefined) return proxyOf(loaded, options.proxy, options.user)
  const name = ['HTTPS_PROXY', 'https_proxy'].find((each) => (io.env[each] ?? '') !== '')
  return proxyOf(loaded, name === undefined ? undefined : io.env[name], options.user, name)
}

async function* examine(io: Io, proxy: NamedProxy, url: URL): AsyncGenerator<Check> {
  const port = url.port === '' ? 443 : Number(url.port)
  const host = url.hostname.replaceAll(/^\[|\]$/g, '')
  const way: Way = { proxy: proxy.url, login: proxy.login, host, port }

  const about = await askProxy(way, OWN_PAGE)
  if (typeof about === 'string') {
    yield wrong(
      'proxy',
      `${proxy.url} cannot be reached: ${about}`,
      'is "cordon start" running, and does proxy.listen name this address?',
    )
    return
  }
  yield ownPages(proxy.url, about)
  const roots = await rootsOf(proxy)
  for (const finding of environmentFindings({
    env: io.env,
    proxy: proxy.url,
    host,
    roots: roots.map(({ fingerprint256 }) => fingerprint256),
    read: readText,
  }))
    yield { check: 'environment', ...finding }

  const first = await open(way, ['h2', 'http/1.1'])
  if ('check' in first) {
    yield first
    return
  }
  yield ok('tunnel', `CONNECT ${host}:${port} is open`)
  const { chain, trustError, socket } = first
  const isOurs = chain.some((each) => roots.some((root) => isIssuedBy(each, root)))
  yield* certificateChecks({
    host,
    chain,
    trustError,
    roots,
    isOurs,
    system: systemRoots,
    now: Date.now(),
  })

  const path = isOurs ? OWN_PAGE : url.pathname
  if (socket.alpnProtocol === 'h2') yield spoken('http/2', await overHttp2(socket, url.host, path))
  else {
    socket.destroy()
    yield skipped('http/2', `${host} chose HTTP/1.1`)
  }
  yield* inside(way, url.host, path, isOurs)
}

/** A connection each: a stream or a socket takes the whole of it. */
async function* inside(
  way: Way,
  authority: string,
  path: string,
  isOurs: boolean,
): AsyncGenerator<Check> {
  const http1 = await open(way, ['http/1.1'])
  if ('check' in http1) {
    yield http1
    return
  }
  yield spoken('http/1.1', await overHttp1(http1.socket, authority, path))
  http1.socket.destroy()
  if (!isOurs) {
    for (const name of STREAMS)
      yield skipped(
        name,
        `${way.host} is not intercepted, so its server is not bothered with a probe`,
      )
    return
  }
  const forEvents = await open(way, ['http/1.1'])
  if ('check' in forEvents) yield forEvents
  else {
    yield streamed(await eventStream(forEvents.socket, authority))
    forEvents.socket.destroy()
  }
  const forSocket = await open(way, ['http/1.1'])
  if ('check' in forSocket) yield forSocket
  else {
    yield echoed(await webSocket(forSocket.socket, authority))
    forSocket.socket.destroy()
  }
}

async function open(
  way: Way,
  alpn: readonly string[],
): Promise<(Secured & { kind: 'tls' }) | Check> {
  const opened = await openTunnel(way)
  if (opened.kind === 'failed')
    return wrong(
      'tunnel',
      `CONNECT ended without an answer: ${opened.message}`,
      'look at the log of the proxy',
    )
  if (opened.kind === 'refused') return refusedTunnel(way, opened.answer)
  const secured = await secure(opened.socket, way.host, alpn)
  if (secured.kind === 'tls') return secured
  return wrong(
    'tls',
    `no TLS with ${way.host}: ${secured.message}`,
    'is something between this machine and the proxy, or is the host pinned (proxy.intercept.never)?',
  )
}

async function rootsOf({ url }: NamedProxy): Promise<readonly X509Certificate[]> {
  const pem = await askedOf(url).catch(() => undefined)
  return pem === undefined ? [] : certificatesOf(pem)
}

/** Names alone would do for anybody who takes the same one. */
function isIssuedBy(certificate: X509Certificate, root: X509Certificate): boolean {
  return (
    certificate.raw.equals(root.raw) ||
    (certificate.checkIssued(root) && certificate.verify(root.publicKey))
  )
}

const SHOWN: Readonly<Record<State, string>> = {
  ok: 'ok',
  warning: 'warning',
  wrong: 'WRONG',
  skipped: '-',
}

function tell(io: Io, { check, state, text, fix }: Check): void {
  io.out.write(`${SHOWN[state].padEnd(8)} ${check}: ${text}\n`)
  if (fix !== undefined) io.out.write(`${' '.repeat(11)}${fix}\n`)
}
