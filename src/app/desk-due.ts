// What time does to exceptions and reviews: what is over expires, what nobody has answered is escalated.

import type { Admin } from '../governance/admin.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'

export interface DeskDueParts {
  readonly admin: Pick<Admin, 'desk' | 'exceptions'>
  readonly metrics: Metrics
  readonly log: Log
}

export async function deskDue({ admin, metrics, log }: DeskDueParts): Promise<void> {
  await admin.exceptions.expire()
  const escalated = await admin.desk.escalate()
  if (escalated > 0) {
    metrics.reviewEscalations.inc(escalated)
    log.warn({ reviews: escalated }, 'reviews were not answered in time and are escalated')
  }
  const [exceptions, reviews] = [await admin.exceptions.count(), await admin.desk.count()]
  metrics.exceptions.set({ status: 'pending' }, exceptions.pending)
  metrics.exceptions.set({ status: 'approved' }, exceptions.approved)
  metrics.reviewsPending.set(reviews.pending)
  metrics.reviewsOverdue.set(reviews.overdue)
}
