// Cordon's own pages: on the proxy port in origin form, and under /.well-known/cordon/ on an intercepted host.
// They need no credentials, so they hold nothing that a stranger of the client networks may not read.

import { PAGE_POLICY } from '../base/html.ts'
import type { SetupFacts } from './facts.ts'
import { type PacHosts, pacScript } from './pac.ts'
import { certificatesOf } from './pem.ts'
import { setupPage } from './setup-page.ts'

export const WELL_KNOWN = '/.well-known/cordon/'

export interface PageAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
  readonly disposition?: string
}

export class OwnPages {
  readonly #facts: SetupFacts

  constructor(facts: SetupFacts) {
    this.#facts = facts
  }

  /**
   * The page at this path (without a query), or undefined where there is none. On an intercepted host the Host
   * names somebody else's server, so there `hostHeader` is undefined.
   */
  page(path: string, hostHeader: string | undefined, method = 'GET'): PageAnswer | undefined {
    const name = path.startsWith(WELL_KNOWN) ? path.slice(WELL_KNOWN.length) : path.slice(1)
    const isKnown = name === '' ? path === WELL_KNOWN : PAGES.has(name)
    if (!isKnown || !path.startsWith('/')) return undefined
    if (method !== 'GET' && method !== 'HEAD')
      return plain(405, 'This page is only read: GET or HEAD.\n')
    const proxy = this.#facts.proxyUrl(hostHeader)
    switch (name) {
      case 'setup':
        return {
          status: 200,
          contentType: 'text/html; charset=utf-8',
          body: setupPage(this.#facts, proxy),
        }
      case 'proxy.pac':
      case 'wpad.dat':
        return this.#pac(proxy, undefined)
      case 'proxy-ai.pac':
        return this.#pac(proxy, this.#facts.aiHosts())
      case 'ca.pem':
      case 'ca.cer':
        return this.#certificate(name)
      default:
        return {
          status: 200,
          contentType: 'application/json',
          body: `${JSON.stringify(this.#discovery(proxy))}\n`,
        }
    }
  }

  #pac(proxy: string, hosts: PacHosts | undefined): PageAnswer {
    return {
      status: 200,
      contentType: 'application/x-ns-proxy-autoconfig',
      // Also where it is 80, which a URL leaves out.
      body: pacScript(proxy.replace('http://', ''), hosts),
    }
  }

  /** PEM has every root, while two overlap; a DER file can hold one, the newest. */
  #certificate(name: 'ca.pem' | 'ca.cer'): PageAnswer {
    const roots = this.#facts.roots()
    const [first] = roots === undefined ? [] : certificatesOf(roots)
    if (roots === undefined || first === undefined)
      return plain(404, 'This proxy tunnels HTTPS: there is no certificate to trust.\n')
    if (name === 'ca.pem')
      return {
        status: 200,
        contentType: 'application/x-pem-file',
        body: roots,
        disposition: 'attachment; filename="cordon-ca.pem"',
      }
    return {
      status: 200,
      contentType: 'application/x-x509-ca-cert',
      body: first.raw,
      disposition: 'attachment; filename="cordon-ca.cer"',
    }
  }

  /** What a program needs to set itself up. */
  #discovery(proxy: string): Readonly<Record<string, unknown>> {
    const roots = this.#facts.roots()
    return {
      name: 'cordon',
      version: this.#facts.version,
      proxy,
      pac: `${proxy}/proxy.pac`,
      setup: `${proxy}/setup`,
      intercepts: roots !== undefined,
      credentials: this.#facts.needsLogin ? 'basic' : 'optional',
      ...(roots === undefined
        ? {}
        : {
            ca: `${proxy}/ca.pem`,
            ca_sha256: certificatesOf(roots).map(({ fingerprint256 }) => fingerprint256),
          }),
      ...(this.#facts.contact === '' ? {} : { contact: this.#facts.contact }),
    }
  }
}

/** Every field of the answer; the lengths and the connection are the server's. */
export function fieldsOf(answer: PageAnswer): readonly (readonly [string, string])[] {
  return [
    ['Content-Type', answer.contentType],
    ...(answer.disposition === undefined
      ? []
      : ([['Content-Disposition', answer.disposition]] as const)),
    ...(answer.status === 405 ? ([['Allow', 'GET, HEAD']] as const) : []),
    ['Content-Security-Policy', PAGE_POLICY],
    ['X-Content-Type-Options', 'nosniff'],
    ['Referrer-Policy', 'no-referrer'],
    ['Cache-Control', 'no-store'],
  ]
}

const PAGES = new Set(['setup', 'proxy.pac', 'wpad.dat', 'proxy-ai.pac', 'ca.pem', 'ca.cer'])

function plain(status: number, body: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}
