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
