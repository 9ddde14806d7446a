// What two policies say together that no algorithm puts in order.

import { type Obligation, SEVERITIES, type Severity } from '../../model/decision.ts'
import { canonical } from '../combine.ts'
import type { PolicyOutcome } from '../engine.ts'
import type { Pair } from './severity.ts'

export interface Ambiguity {
  readonly severity: Severity
  /** What the two do, as the end of a sentence. */
  readonly says: string
}

/** Of each there can be one: which message is shown, which length is asked for. */
const ONCE = new Set(['coach', 'justify', 'restrict_tenant', 'inspect', 'step_up', 'cut_stream'])
/** What the person has to do, or is told, before the request passes. */
const ASKING = new Set(['coach', 'justify', 'step_up'])
/** Several are all carried out. */
const ADDING = new Set(['notify'])

/** The gravest; undefined where what they say fits together. */
export function ambiguityBetween(
  { a, b }: Pair,
  saysA: PolicyOutcome,
  saysB: PolicyOutcome,
): Ambiguity | undefined {
  const isAddition = saysA.effect === null || saysB.effect === null
  if (saysA.effect !== saysB.effect && !isAddition) return undefined
  if (saysA.effect === 'DENY' || saysB.effect === 'DENY') {
    if (isAddition) return undefined
  }
  const found: Ambiguity[] = []
  if (saysA.effect === 'REVIEW' && saysB.effect === 'REVIEW')
    found.push({
      severity: 'medium',
      says: `both want a review: one is asked for, in the name of ${a.id}, and its approval passes what the other wants to be seen too`,
    })
  const isViolation = saysA.effect === 'DENY' || saysA.effect === 'REVIEW'
  if (!isAddition && isViolation && a.severity !== b.severity)
    found.push({
      severity: 'low',
      says: `say the same with severities ${a.severity} and ${b.severity}: the violation gets that of ${a.id}, whose id comes first`,
    })
  for (const one of saysA.obligations)
    for (const other of saysB.obligations) {
      const ambiguity = betweenObligations(one, other)
      if (ambiguity !== undefined) found.push(ambiguity)
    }
  return found.toSorted(
    (x, y) => SEVERITIES.indexOf(y.severity) - SEVERITIES.indexOf(x.severity),
  )[0]
}

function betweenObligations(one: Obligation, other: Obligation): Ambiguity | undefined {
  if (one.type === other.type) {
    if (ADDING.has(one.type) || canonical(one.parameters) === canonical(other.parameters))
      return undefined
    return ONCE.has(one.type)
      ? {
          severity: 'medium',
          says: `both oblige to ${one.type}, with other parameters: which holds is not said`,
        }
      : {
          severity: 'low',
          says: `both oblige to ${one.type}, with other parameters: all of them hold`,
        }
  }
  const isAsked = ASKING.has(one.type) || ASKING.has(other.type)
  const isChange =
    ['redact', ...ASKING].includes(one.type) && ['redact', ...ASKING].includes(other.type)
  return isAsked && isChange
    ? {
        severity: 'low',
        says: `oblige to ${one.type} and to ${other.type}: in which order is not said`,
      }
    : undefined
}
