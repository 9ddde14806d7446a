// Cordon's own pages, made from the settings and the authority in force.

import type { Config } from '../config/schema.ts'
import type { OwnAnswer, Pages } from '../proxy/ports.ts'
import { proxyUrlOf } from '../setup/facts.ts'
import { pacHostsOf } from '../setup/pac.ts'
import { fieldsOf, OwnPages } from '../setup/pages.ts'
import type { Catalogue } from '../signatures/catalogue.ts'
import type { OpenedInterception } from './interception.ts'
import { listenText } from './listening.ts'
import { version } from './version.ts'

export interface OwnPagesParts {
  readonly config: Config
  readonly catalogue: Catalogue
  /** Undefined: nothing is intercepted. */
  readonly interception: OpenedInterception | undefined
}

export function ownPages({ config, catalogue, interception }: OwnPagesParts): Pages {
  const { proxy } = config
  const listen = proxy.listen.find(({ kind }) => kind === 'tcp')
  const own = `http://${listen === undefined ? 'localhost:3128' : listenText(listen)}`
  const pages = new OwnPages({
    proxyUrl: (host) => proxyUrlOf(host, own),
    roots: () => interception?.roots,
    interceptedHosts: () => interception && hostsOf(interception),
    aiHosts: () => pacHostsOf([...catalogue.all()]),
    needsLogin: proxy.anonymous === 'deny',
    contact: proxy.contact,
    version: version(),
  })
  return {
    page: (path, host, method) => {
      const page = pages.page(path, host, method)
      if (page === undefined) return undefined
      const body = Buffer.from(page.body)
      const fields = [...fieldsOf(page), ['Content-Length', String(body.length)] as const]
      return { status: page.status, fields, body } satisfies OwnAnswer
    },
  }
}

function hostsOf({ selection: { selection } }: OpenedInterception): readonly string[] {
  return [...selection.hosts.map(({ name }) => name), ...selection.patterns]
}
