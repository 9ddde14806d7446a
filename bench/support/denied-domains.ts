// An ACL for Squid that is as long as Cordon's catalogue.

import { readCatalogue } from '../../src/app/rules.ts'
import { loadConfig } from '../../src/config/load.ts'
import { AI_HOST } from './servers.ts'

/** As many domains as the catalogue has, none of these hosts asked for here nor below another. */
export function otherAiDomains(
  file: string,
  dir: string,
  asked: readonly string[] = [AI_HOST],
): string[] {
  const { config } = loadConfig({ file, env: {}, cwd: dir })
  const domains = new Set(
    readCatalogue(config, {}).services.flatMap((service) => service.domains.map(plain)),
  )
  const isBelow = (domain: string): boolean =>
    domain.split('.').some((_, at, parts) => at > 0 && domains.has(parts.slice(at).join('.')))
  const isAsked = (domain: string): boolean =>
    asked.some((host) => host === domain || host.endsWith(`.${domain}`))
  return [...domains]
    .filter((domain) => !isBelow(domain) && !isAsked(domain))
    .map((domain) => `.${domain}`)
}

function plain(domain: string): string {
  return domain.replace(/^[*.]+/, '')
}
