// Puts the proxy together: callers, egress, wording and log around the relay; and makes it listen.

import { createSecureContext } from 'node:tls'
import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { AccessLog } from '../proxy/access-log.ts'
import { Callers } from '../proxy/caller.ts'
import { Egress, type Lookup } from '../proxy/egress.ts'
import { Htpasswd } from '../proxy/htpasswd.ts'
import type { OriginTrust } from '../proxy/origin-tls.ts'
import { openParent } from '../proxy/parent.ts'
import type { Pages, ParentProxy } from '../proxy/ports.ts'
import { createProxy } from '../proxy/proxy.ts'
import { refusalOf, webSocketReason } from '../proxy/refuse.ts'
import { parseTarget } from '../proxy/target.ts'
import type { Catalogue } from '../signatures/catalogue.ts'
import type { Gateway } from './gateway.ts'
import { type OpenedInterception, originTrust } from './interception.ts'
import { cannotListen, listenOptions, listenText } from './listening.ts'
import { ownPages } from './own-pages.ts'
import { workerCount } from './worker-count.ts'

export interface ProxyDoorParts {
  readonly config: Config
  readonly log: Log
  readonly metrics: Metrics
  readonly gateway: Gateway
  readonly verifyToken: (
    login: string,
    token: string,
  ) => Promise<{ readonly user_id: string } | undefined>
  readonly ownAddresses: readonly string[]
  readonly lookup: Lookup
  readonly readFile: (path: string) => string
  /** Undefined: nothing is intercepted. */
  readonly interception: OpenedInterception | undefined
  readonly catalogue: () => Catalogue
}

export interface OpenProxy {
  /** Where it listens, as people write it. */
  readonly addresses: readonly string[]
  /** Callers, egress and parent by the new settings; listeners and limits stay. */
  reload(config: Config, interception: OpenedInterception | undefined): void
  /** New handshakes go by these. */
  intercept(interception: OpenedInterception): void
  /** Judges again what is open, under the rules in force. */
  rejudge(): void
  reopenLog(): void
  forgetCredentials(): void
  close(graceMs: number): Promise<void>
}

/** What a reload replaces. */
interface Settings {
  readonly callers: Callers
  readonly egress: Egress
  readonly parent: ParentProxy | undefined
  readonly trust: OriginTrust
  readonly contact: string
  readonly inspectBytes: number
}

/** Nobody asks for TLS to an origin while nothing is intercepted. */
const NO_TRUST: OriginTrust = { contextFor: () => createSecureContext() }

export async function openProxy(parts: ProxyDoorParts): Promise<OpenProxy> {
  const { config, metrics, gateway, log } = parts
  const { proxy: options } = config
  let current = config
  let settings = settingsOf(parts, config)
  let pages = pagesOf(parts, config, parts.interception)
  const plainPorts = new Set(plainPortsOf(config))
  const accessLog = new AccessLog({
    to: options.access_log,
    now: Date.now,
    onDropped: () => metrics.accessLogDropped.inc(),
    onError: (error) => log.error({ err: error.message }, 'the access log cannot be written'),
  })
  const parent: ParentProxy = {
    covers: (destination) => settings.parent?.covers(destination) === true,
    route: () =>
      settings.parent?.route() ?? {
        status: 502,
        error: 'proxy_internal_error',
        details: 'there is no parent proxy',
      },
    get credentials() {
      return settings.parent?.credentials ?? []
    },
  }
  const proxy = createProxy(
    {
      ids: gateway.ids,
      callers: {
        identify: (authorization, address) => settings.callers.identify(authorization, address),
      },
      judge: gateway.corridor,
      reader: gateway.reader,
      router: {
        check: (destination, isConnect) => settings.egress.check(destination, isConnect),
        route: (destination, isConnect) => settings.egress.route(destination, isConnect),
      },
      wording: {
        parseTarget,
        refusalOf: (refusal, request) => refusalOf(refusal, request, settings.contact),
        closeReason: webSocketReason,
      },
      metrics,
      log: accessLog,
      parent,
      pages: { page: (path, host, pageMethod) => pages.page(path, host, pageMethod) },
      trust: { contextFor: (host, port) => settings.trust.contextFor(host, port) },
      ...(parts.interception === undefined ? {} : { interception: parts.interception }),
    },
    {
      headerBytes: options.limits.header_bytes,
      headers: options.limits.headers,
      connections: options.limits.connections,
      perClient: options.limits.per_client,
      idleMs: options.limits.idle,
      connectMs: options.limits.connect,
      plainPorts,
      inspectBytes: () => settings.inspectBytes,
      // Each worker has its share.
      inspectMemory: Math.floor(options.limits.inspect_memory / workerCount(config)),
    },
  )
  const addresses: string[] = []
  for (const listen of options.listen) {
    const port = await proxy.listen(listenOptions(listen)).catch((error: unknown) => {
      throw cannotListen('proxy.listen', listen, error)
    })
    addresses.push(
      listen.kind === 'unix'
        ? listenText(listen)
        : `http://${listenText({ ...listen, port: port ?? listen.port })}`,
    )
  }
  return {
    addresses,
    rejudge: () => proxy.rejudge(),
    reopenLog: () => accessLog.reopen(),
    intercept: (interception) => {
      proxy.intercept(interception)
      pages = pagesOf(parts, current, interception)
    },
    reload: (next, interception) => {
      current = next
      settings = settingsOf(parts, next)
      pages = pagesOf(parts, next, interception)
      proxy.intercept(interception)
      plainPorts.clear()
      for (const port of plainPortsOf(next)) plainPorts.add(port)
      proxy.forgetOrigins()
    },
    forgetCredentials: () => settings.callers.forget(),
    close: async (graceMs) => {
      await proxy.close(graceMs)
      await accessLog.close()
    },
  }
}

function pagesOf(
  { catalogue }: ProxyDoorParts,
  config: Config,
  interception: OpenedInterception | undefined,
): Pages {
  return ownPages({ config, catalogue: catalogue(), interception })
}

/** A CONNECT to one of these carries plain HTTP. */
function plainPortsOf({ proxy: { egress } }: Config): readonly number[] {
  return egress.ports.filter((port) => !egress.connect_ports.includes(port))
}

function settingsOf(
  { verifyToken, ownAddresses, lookup, readFile }: ProxyDoorParts,
  config: Config,
): Settings {
  const { proxy, api, observe } = config
  const ownPorts = [...proxy.listen, ...api.listen, ...observe.listen].flatMap((listen) =>
    listen.kind === 'tcp' ? [listen.port] : [],
  )
  const egressOptions = {
    ports: proxy.egress.ports,
    connectPorts: proxy.egress.connect_ports,
    private: proxy.egress.private,
    allow: proxy.egress.allow,
    resolve: proxy.resolve,
    ownAddresses,
    ownPorts,
    lookup,
  }
  return {
    callers: new Callers({
      clients: proxy.clients,
      networks: proxy.networks,
      anonymous: proxy.anonymous,
      htpasswd:
        proxy.htpasswd === ''
          ? undefined
          : Htpasswd.parse(proxy.htpasswd, readFile(proxy.htpasswd)),
      verifyToken,
      now: Date.now,
    }),
    egress: new Egress(egressOptions),
    // The parent is named by the administrator, who may well mean an internal address.
    parent:
      proxy.upstream === ''
        ? undefined
        : openParent(
            proxy.upstream,
            proxy.no_upstream,
            new Egress({ ...egressOptions, private: 'allow' }),
          ),
    trust: proxy.intercept.enabled ? originTrust(config, readFile) : NO_TRUST,
    contact: proxy.contact,
    inspectBytes: proxy.limits.body_inspect_bytes,
  }
}
