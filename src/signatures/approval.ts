// May this person use that service? The catalogue's own status, and the lists of groups and departments, united.

import type { AiService, ApprovalStatus, ServiceMatch } from '../model/service.ts'
import type { Subject } from '../model/subject.ts'

/** The stricter first. */
const STRICTNESS: readonly ApprovalStatus[] = [
  'prohibited',
  'review_required',
  'unknown',
  'approved',
]

/**
 * Prohibited for any of their groups or departments > approved for any > the service's own status.
 * Where only a header or user agent chose a child service the stricter of child and parent holds:
 * anyone can send a header.
 */
export function effectiveStatus(
  { service, parent }: ServiceMatch,
  subject: Subject,
): ApprovalStatus {
  const own = statusFor(service, subject)
  if (parent === undefined) return own
  const above = statusFor(parent, subject)
  return STRICTNESS.indexOf(own) <= STRICTNESS.indexOf(above) ? own : above
}

/** Whether the catalogue lets this service be enforced upon. */
export function effectiveMode({ service, parent }: ServiceMatch): 'enforce' | 'monitor' {
  return service.mode === 'enforce' || parent?.mode === 'enforce' ? 'enforce' : 'monitor'
}

function statusFor(
  service: AiService,
  { units, allowed_services: allowed, prohibited_services: prohibited }: Subject,
): ApprovalStatus {
  if (prohibited.has(service.id) || service.prohibited_for.some((unit) => units.has(unit)))
    return 'prohibited'
  if (allowed.has(service.id) || service.approved_for.some((unit) => units.has(unit)))
    return 'approved'
  return service.approval_status
}
