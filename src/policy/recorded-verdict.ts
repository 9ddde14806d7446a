// What the policies said when a decision was made, as its record tells: apart from what was done with it.

import type { Effect, Obligation, PolicyEvaluated } from '../model/decision.ts'
import { answerOf, type CombineOptions, defaultOf } from './combine.ts'
import type { Recorded } from './recorded-input.ts'

export interface OldVerdict {
  readonly decision: Effect
  readonly reason: string
  readonly would_be: Effect | null
  readonly primary_policy_id: string | null
  /** Undefined where the record does not tell them. */
  readonly obligations: readonly Obligation[] | undefined
}

/** As reasons of former releases begin, which told in no other way that something else was done. */
const APPROVED = /^approved by a reviewer: /
const UNPERFORMED = /^[\w, ]+ is required and cannot be done here/

/** `settings`: what decides where a former release did not tell. */
export function recordedVerdict(recorded: Recorded, settings: CombineOptions): OldVerdict {
  const { verdict, decision, isFormer } = recorded
  if (verdict !== undefined) return verdict
  return isFormer ? verdictOfFormer(recorded, settings) : decision
}

/**
 * From what each policy said. Where none decided, from what was done, unless the record shows that it was something else
 * than the default; then the settings tell.
 */
function verdictOfFormer(
  { decision: told, document, mode }: Recorded,
  settings: CombineOptions,
): OldVerdict {
  const { reason } = told
  const answer = said(
    told.policies_evaluated.filter((each) => each.mode === 'enforce'),
    settings,
  )
  const imagined = said(told.policies_evaluated, settings)
  if (answer === told.decision)
    // Only of what was enforced are the obligations told.
    return mode !== 'enforce' && answer === 'ALLOW' ? { ...told, obligations: undefined } : told
  const other = (decision: Effect, fallback: Effect): OldVerdict => {
    const wouldBe = imagined ?? fallback
    return {
      decision,
      reason: reason.replace(APPROVED, ''),
      would_be: wouldBe === decision ? null : wouldBe,
      primary_policy_id: told.primary_policy_id,
      obligations: undefined,
    }
  }
  if (answer !== undefined) return other(answer, answer)
  if (APPROVED.test(reason)) return other('REVIEW', 'REVIEW')
  // No policy at all would have refused, so it was the default that was not enforced.
  if (told.would_be !== null && imagined === undefined) return other(told.would_be, told.would_be)
  const isOther = mode !== 'enforce' || (told.decision === 'DENY' && UNPERFORMED.test(reason))
  if (!isOther) return told
  const { effect } = defaultOf(document, settings.defaults)
  return other(effect, effect)
}

function said(
  evaluated: readonly PolicyEvaluated[],
  { combining }: CombineOptions,
): Effect | undefined {
  return answerOf(
    evaluated.map(({ priority, effect }) => ({ policy: { priority }, effect })),
    combining,
  )?.effect
}
