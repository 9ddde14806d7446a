// INTERFACES section 4, "Combining", sentence by sentence and as slowly as it reads: what src/policy/combine.ts is compared
// with. It takes candidates in any order.

import type { Effect, Obligation } from '../../src/model/decision.ts'
import {
  byCodePoint,
  canonical,
  type CombineOptions,
  type Evaluated,
} from '../../src/policy/combine.ts'

export interface NaiveVerdict {
  readonly decision: Effect
  readonly primary: string | null
  readonly would_be: Effect | null
  /** Each as canonical JSON, sorted. */
  readonly obligations: readonly string[]
  readonly matched: readonly string[]
}

const STRICTEST_FIRST: readonly Effect[] = ['DENY', 'REVIEW', 'ALLOW']

export function naiveVerdict(
  candidates: readonly Evaluated[],
  input: unknown,
  options: CombineOptions,
): NaiveVerdict {
  const enforcing = candidates.filter(({ policy }) => policy.mode === 'enforce')
  const decided = winners(enforcing, options)
  const imagined = winners(candidates, options)
  const decision = decided?.effect ?? byDefault(input, options)
  const wouldBe = imagined?.effect ?? byDefault(input, options)
  const additions = decision === 'DENY' ? [] : enforcing.filter((each) => isAddition(each))
  const obligations = new Set<string>()
  for (const each of [...(decided?.winners ?? []), ...additions])
    for (const obligation of obligationsOf(each)) obligations.add(canonical(keyed(obligation)))
  return {
    decision,
    primary: inOrder(decided?.winners ?? [])[0]?.policy.id ?? null,
    would_be: wouldBe === decision ? null : wouldBe,
    obligations: [...obligations].toSorted(),
    matched: inOrder(candidates)
      .filter((each) => effectOf(each, options) !== null || additions.includes(each))
      .map(({ policy }) => policy.id),
  }
}

function winners(
  candidates: readonly Evaluated[],
  options: CombineOptions,
): { readonly effect: Effect; readonly winners: readonly Evaluated[] } | undefined {
  const priorities =
    options.combining === 'most_restrictive'
      ? [undefined]
      : Array.from({ length: 1001 }, (_, at) => 1000 - at)
  for (const priority of priorities) {
    const tier = candidates.filter(
      ({ policy }) => priority === undefined || policy.priority === priority,
    )
    for (const effect of STRICTEST_FIRST) {
      const found = tier.filter((each) => effectOf(each, options) === effect)
      if (found.length > 0) return { effect, winners: found }
    }
  }
  return undefined
}

/** An error counts as DENY, or as no answer. */
function effectOf({ outcome }: Evaluated, { onError }: CombineOptions): Effect | null {
  if (outcome.error === null) return outcome.effect
  return onError === 'deny' ? 'DENY' : null
}

function obligationsOf({ outcome }: Evaluated): readonly Obligation[] {
  return outcome.error === null ? outcome.obligations : []
}

function isAddition({ outcome }: Evaluated): boolean {
  return outcome.error === null && outcome.effect === null && outcome.obligations.length > 0
}

function byDefault(input: unknown, { defaults }: CombineOptions): Effect {
  const { resource } = (input ?? {}) as {
    readonly resource?: { readonly approval_status?: unknown; readonly ai?: unknown } | null
  }
  const { approval_status: status, ai } = resource ?? {}
  const kind =
    status === 'approved' || status === 'review_required' || status === 'prohibited'
      ? status
      : ai === true
        ? 'unknown_ai'
        : 'other'
  return { allow: 'ALLOW', review: 'REVIEW', deny: 'DENY' }[defaults[kind]] as Effect
}

function keyed({ type, parameters }: Obligation): unknown {
  return { type, parameters }
}

function inOrder(candidates: readonly Evaluated[]): readonly Evaluated[] {
  return candidates.toSorted(
    (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
  )
}
