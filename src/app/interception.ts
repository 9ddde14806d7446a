// Interception as the processes hand it on: the primary has the authority, the workers serve with it.

import { randomBytes } from 'node:crypto'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { OriginCertificates } from '../config/origins.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { InterceptionRules } from '../proxy/interception.ts'
import type { OriginTrust } from '../proxy/origin-tls.ts'
import type { Catalogue } from '../signatures/catalogue.ts'
import { Interception } from '../signatures/interception.ts'
import { PINNED_HOSTS } from '../signatures/pinned.ts'
import { type Authority, Issuer } from '../tls/issuer.ts'
import { loadAuthority } from './authority.ts'
import type { Environment } from './rules.ts'

/** What a worker needs to intercept; plain data. */
export interface InterceptionBeginning {
  readonly authority: Authority
  /** 48 bytes; whoever has them can read what resumed sessions of TLS 1.2 say. */
  readonly ticketKeys: Uint8Array
}

export interface LoadedInterception extends InterceptionBeginning {
  /** Milliseconds since the epoch: when to load again at the latest. */
  readonly renewAt: number
}

const TICKET_KEY_BYTES = 48

export function newTicketKeys(): Uint8Array {
  return randomBytes(TICKET_KEY_BYTES)
}

/** Undefined where nothing is intercepted. Throws CordonError where it should be and cannot. */
export async function loadInterception(
  config: Config,
  catalogue: Catalogue,
  parts: { readonly env: Environment; readonly log: Log; readonly ticketKeys: Uint8Array },
): Promise<LoadedInterception | undefined> {
  if (!config.proxy.intercept.enabled) return undefined
  const { domains } = selectionOf(config, catalogue)
  const { authority, renewAt, warnings } = await loadAuthority(config, domains, { env: parts.env })
  for (const warning of warnings) parts.log.warn(warning)
  return { authority, renewAt, ticketKeys: parts.ticketKeys }
}

/** What a worker intercepts by, and what it gives to clients to trust. */
export interface OpenedInterception extends InterceptionRules {
  /** PEM: one root, or two while they overlap. */
  readonly roots: string
}

export function openInterception(
  config: Config,
  catalogue: Catalogue,
  { authority, ticketKeys }: InterceptionBeginning,
): OpenedInterception {
  return {
    roots: authority.rootCert,
    selection: selectionOf(config, catalogue),
    issuer: new Issuer(authority),
    ticketKeys: Buffer.from(ticketKeys),
  }
}

function selectionOf({ proxy }: Config, catalogue: Catalogue): Interception {
  return new Interception(proxy.intercept, catalogue, PINNED_HOSTS)
}

/** Authorities and certificates per destination, as files were when this was made. */
export function originTrust({ proxy }: Config, readFile: (path: string) => string): OriginTrust {
  const roots = [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
  const usual = [...roots, ...proxy.trust.map(readFile)]
  const origins = proxy.intercept.origins.toSorted((a, b) => closeness(b) - closeness(a))
  // Some hundred certificates are read: not while a client waits.
  const plain = createSecureContext({ ca: usual })
  const own = new Map<OriginCertificates, SecureContext>()
  return {
    contextFor: (host, port) => {
      const origin = origins.find((each) => concerns(each, host, port))
      if (origin === undefined) return plain
      let context = own.get(origin)
      if (context === undefined) {
        const { ca, cert, key } = origin
        context = createSecureContext({
          ca: ca === undefined ? usual : [...usual, readFile(ca)],
          ...(cert === undefined || key === undefined
            ? {}
            : { cert: readFile(cert), key: readFile(key) }),
        })
        own.set(origin, context)
      }
      return context
    },
  }
}

/** A host before a pattern, the longer pattern before the shorter, and with a port before without. */
function closeness({ host, port }: OriginCertificates): number {
  return (host.startsWith('*.') ? host.length : 1000) * 2 + (port === undefined ? 0 : 1)
}

function concerns(origin: OriginCertificates, host: string, port: number): boolean {
  if (origin.port !== undefined && origin.port !== port) return false
  return origin.host.startsWith('*.') ? host.endsWith(origin.host.slice(1)) : host === origin.host
}
