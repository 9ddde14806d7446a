// What may this person use instead? Asked only when somebody is refused, so a walk over the catalogue will do.

import type { AiService } from '../model/service.ts'
import type { Subject } from '../model/subject.ts'
import { effectiveStatus } from './approval.ts'

/** The first approved service of the same kind, in the order of the catalogue, or undefined. */
export function alternativeTo(
  { id, service_type: kind }: Pick<AiService, 'id' | 'service_type'>,
  services: Iterable<AiService>,
  subject: Subject,
): AiService | undefined {
  if (kind === undefined) return undefined
  for (const service of services) {
    const same = service.id !== id && service.service_type === kind
    if (same && effectiveStatus({ service, match: 'domain' }, subject) === 'approved')
      return service
  }
  return undefined
}

/** The same for an input document of policies: `user` and `resource` are as they stand there, odd parts absent. */
export function alternativeFor(
  document: Readonly<Record<string, unknown>>,
  services: Iterable<AiService>,
): AiService | undefined {
  const { user, resource } = document as {
    readonly user?: unknown
    readonly resource?: unknown
  }
  const { id, category, ai } = part(resource)
  const { department, groups } = part(user)
  const { name, path } = part(department)
  const kind = typeof category === 'string' && category !== 'unknown_ai' ? category : 'llm_api'
  if (ai !== true && typeof category !== 'string') return undefined
  return alternativeTo(
    { id: typeof id === 'string' ? id : 'unknown', service_type: kind },
    services,
    {
      user: { known: false },
      allowed_services: new Set(),
      prohibited_services: new Set(),
      units: new Set([...texts(groups), ...texts(path), ...texts([name])]),
    },
  )
}

function part(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {}
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
