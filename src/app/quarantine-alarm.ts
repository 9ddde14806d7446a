// Policies that take too long again and again are not asked for a while: nobody should have to find that out.

import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { PolicySet } from '../policy/policy-set.ts'

/** For every set of policies that is taken into force; what the former one held is forgotten. */
export function alarmQuarantine(policies: PolicySet, log: Log, metrics: Metrics): void {
  metrics.policyQuarantined.reset()
  policies.onQuarantine((policy, held) => {
    metrics.countQuarantined(policy, held === undefined ? -1 : 1)
    if (held === undefined) log.warn({ policy }, 'a policy is asked again after its quarantine')
    else
      log.error(
        { policy, reason: held.reason, until: new Date(held.until).toISOString() },
        'a policy takes too long and is quarantined: until then it counts as failing',
      )
  })
}
