// How the outcomes of several policies become one verdict (INTERFACES section 4, "Combining").
//
// priority_tiers     first-applicable across tiers of equal priority, highest first; deny-overrides inside a tier
// most_restrictive   deny-overrides over all (XACML 3.0 appendix C, with REVIEW between DENY and ALLOW)

import type { Effect, Obligation, PolicyEvaluated, Verdict } from '../model/decision.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { PolicyOutcome } from './engine.ts'
import { isObject } from './metadata.ts'

export const COMBINING = ['priority_tiers', 'most_restrictive'] as const
export type Combining = (typeof COMBINING)[number]
export type DefaultEffect = 'allow' | 'review' | 'deny'
export type TrafficClass = 'approved' | 'review_required' | 'prohibited' | 'unknown_ai' | 'other'

export interface CombineOptions {
  readonly combining: Combining
  readonly defaults: Readonly<Record<TrafficClass, DefaultEffect>>
  readonly onError: 'deny' | 'ignore'
}

/** One candidate with what it said; candidates stand in (priority descending, id ascending) order. */
export interface Evaluated {
  readonly policy: PolicyMetadata
  readonly outcome: PolicyOutcome
}

/** What a policy counts as, an error turned into its consequence. */
export interface Vote {
  readonly policy: PolicyMetadata
  readonly effect: Effect | null
  readonly reasons: readonly string[]
  readonly obligations: readonly Obligation[]
  readonly error: string | null
}

const STRENGTH: Readonly<Record<Effect, number>> = { ALLOW: 0, REVIEW: 1, DENY: 2 }
const DEFAULTS: Readonly<Record<DefaultEffect, Effect>> = {
  allow: 'ALLOW',
  review: 'REVIEW',
  deny: 'DENY',
}

/** `defaultIsExcepted`: what nobody answers for is let through, whatever its class. */
export function combine(
  evaluated: readonly Evaluated[],
  document: unknown,
  options: CombineOptions,
  defaultIsExcepted = false,
): Verdict {
  const votes = evaluated.map((candidate) => voteOf(candidate, options.onError))
  const enforcing = votes.filter(({ policy }) => policy.mode === 'enforce')
  const answer = answerOf(enforcing, options.combining)
  const imagined = answerOf(votes, options.combining)
  const given = defaultOf(document, options.defaults)
  const fallback = defaultIsExcepted ? { ...given, effect: 'ALLOW' as const } : given
  const decision = answer?.effect ?? fallback.effect
  const wouldBe = imagined?.effect ?? fallback.effect

  const additions = additionsTo(decision, enforcing)
  const obligations = unique(
    [...(answer?.deciding ?? []), ...additions].flatMap((vote) => vote.obligations),
  )
  const primary = answer?.deciding[0]
  const reasons = primary?.reasons ?? []
  return {
    decision,
    reason:
      reasons.length > 0
        ? [...new Set(reasons)].toSorted(byCodePoint).join('; ')
        : (primary?.policy.name ?? fallback.reason),
    primary_policy_id: primary?.policy.id ?? null,
    policies_evaluated: votes.map((vote) => entryOf(vote, additions)),
    obligations,
    would_be: wouldBe === decision ? null : wouldBe,
    severity: primary?.policy.severity ?? 'medium',
    warnings: votes
      .filter(
        ({ policy, effect }) =>
          policy.mode === 'warn' && (effect === 'DENY' || effect === 'REVIEW'),
      )
      .map(warningOf),
    read_content: evaluated.some(({ policy }) =>
      policy.reads.some((path) => path === '' || path === 'content' || path.startsWith('content.')),
    ),
    errors: votes.filter(({ error }) => error !== null).length,
  }
}

/** Under `deny` an erring policy counts as DENY in its own tier and mode, without obligations. */
export function voteOf({ policy, outcome }: Evaluated, onError: 'deny' | 'ignore'): Vote {
  const { effect, reasons, obligations, error } = outcome
  if (error === null) return { policy, effect, reasons, obligations, error }
  const counted = onError === 'deny' ? 'DENY' : null
  return {
    policy,
    effect: counted,
    reasons: [`policy ${policy.id} failed`],
    obligations: [],
    error,
  }
}

/** As much of a vote as decides. */
type Ballot = Pick<Vote, 'effect'> & { readonly policy: Pick<PolicyMetadata, 'priority'> }

export interface Answer<V extends Ballot = Vote> {
  readonly effect: Effect
  /** The votes for that effect that decided, in order. */
  readonly deciding: readonly V[]
}

/** What the votes come to; undefined where nobody answers. */
export function answerOf<V extends Ballot>(
  votes: readonly V[],
  combining: Combining,
): Answer<V> | undefined {
  const answering = votes.filter(({ effect }) => effect !== null)
  const [first] = answering
  if (first === undefined) return undefined
  const tier =
    combining === 'most_restrictive'
      ? answering
      : answering.filter(({ policy }) => policy.priority === first.policy.priority)
  const effect = tier
    .map((vote) => vote.effect ?? 'ALLOW')
    .reduce((strongest, each) => (STRENGTH[each] > STRENGTH[strongest] ? each : strongest))
  return { effect, deciding: tier.filter((vote) => vote.effect === effect) }
}

/** Enforcing policies that only oblige: their obligations join whatever comes out, unless it is DENY. */
export function additionsTo(decision: Effect, enforcing: readonly Vote[]): readonly Vote[] {
  return decision === 'DENY'
    ? []
    : enforcing.filter(({ effect, obligations }) => effect === null && obligations.length > 0)
}

/** What happens to traffic that no policy answers for. */
export function defaultOf(
  document: unknown,
  defaults: CombineOptions['defaults'],
): { readonly kind: TrafficClass; readonly effect: Effect; readonly reason: string } {
  const kind = trafficClass(document)
  return { kind, effect: DEFAULTS[defaults[kind]], reason: DEFAULT_REASONS[kind] }
}

const DEFAULT_REASONS: Readonly<Record<TrafficClass, string>> = {
  approved: 'this AI service is approved',
  review_required: 'this AI service needs a review',
  prohibited: 'this AI service is prohibited',
  unknown_ai: 'no policy speaks about this AI service',
  other: 'no policy speaks about this',
}

/** What the default for an input goes by. */
export function trafficClass(document: unknown): TrafficClass {
  const resource = isObject(document) && isObject(document['resource']) ? document['resource'] : {}
  const status = resource['approval_status']
  if (status === 'approved' || status === 'review_required' || status === 'prohibited')
    return status
  return resource['ai'] === true ? 'unknown_ai' : 'other'
}

function entryOf({ policy, effect, error }: Vote, additions: readonly Vote[]): PolicyEvaluated {
  return {
    policy_id: policy.id,
    policy_name: policy.name,
    matched: effect !== null || additions.some((vote) => vote.policy === policy),
    priority: policy.priority,
    effect,
    mode: policy.mode,
    error,
  }
}

function warningOf({ policy, reasons }: Vote): string {
  return reasons.length > 0 ? [...reasons].toSorted(byCodePoint).join('; ') : policy.name
}

/** Obligations without repeats by type and parameters. */
function unique(obligations: readonly Obligation[]): Obligation[] {
  const seen = new Map<string, Obligation>()
  for (const obligation of obligations) {
    const key = canonical([obligation.type, obligation.parameters])
    if (!seen.has(key)) seen.set(key, obligation)
  }
  return [...seen.values()]
}

/** JSON with sorted keys. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (!isObject(value))
    return typeof value === 'bigint' ? value.toString() : (JSON.stringify(value) ?? 'null')
  const keys = Object.keys(value).toSorted()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`
}

/** By code point, which differs from JavaScript's order of UTF-16 units beyond the basic plane. */
export function byCodePoint(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  for (let index = 0; index < shorter; index++) {
    const one = a.charCodeAt(index)
    const other = b.charCodeAt(index)
    if (one !== other) return rankOf(one) - rankOf(other)
  }
  return a.length - b.length
}

/** Surrogates stand for what comes after every unit of the basic plane. */
function rankOf(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
