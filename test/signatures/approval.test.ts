import t from 'tap'
import type { Subject } from '../../src/model/subject.ts'
import { effectiveMode, effectiveStatus } from '../../src/signatures/approval.ts'
import { aService } from '../support/services.ts'

const subject = (
  units: readonly string[] = [],
  allowed: readonly string[] = [],
  prohibited: readonly string[] = [],
): Subject => ({
  user: { known: true },
  units: new Set(units),
  allowed_services: new Set(allowed),
  prohibited_services: new Set(prohibited),
})

t.test('prohibited for one wins over approved for one wins over the own status', async (t) => {
  const service = aService({
    id: 's',
    approval_status: 'review_required',
    approved_for: ['Engineering'],
    prohibited_for: ['Interns'],
  })
  const cases: readonly (readonly [Subject, string])[] = [
    [subject(), 'review_required'],
    [subject(['Sales']), 'review_required'],
    [subject(['Engineering']), 'approved'],
    [subject(['Engineering', 'Interns']), 'prohibited'],
    [subject([], ['s']), 'approved'],
    [subject([], ['s'], ['s']), 'prohibited'],
    [subject(['Interns'], ['s']), 'prohibited'],
    [subject(['Engineering'], [], ['s']), 'prohibited'],
  ]
  for (const [who, status] of cases)
    t.equal(effectiveStatus({ service, match: 'domain' }, who), status)
})

t.test('where only a header chose a child the stricter of child and parent holds', async (t) => {
  const statuses = ['prohibited', 'review_required', 'unknown', 'approved'] as const
  for (const [strict, above] of statuses.entries()) {
    for (const [other, own] of statuses.entries()) {
      const service = aService({ id: 'c', approval_status: own })
      const parent = aService({ id: 'p', approval_status: above })
      t.equal(
        effectiveStatus({ service, parent, match: 'header' }, subject()),
        statuses[Math.min(strict, other)],
      )
    }
  }
  const child = aService({ id: 'c', mode: 'monitor' })
  const parent = aService({ id: 'p' })
  t.equal(effectiveMode({ service: child, parent, match: 'header' }), 'enforce')
  t.equal(effectiveMode({ service: child, match: 'domain' }), 'monitor')
})
