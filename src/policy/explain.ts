// Why does a decision come out as it does? Who was asked, what each said and read, which step decided.
//
// It asks the policies anew, with the same engines and the same combining as a decision, and puts what they said in
// words. What it cannot know it says: a field that the record left out is a "cannot tell", never a guess.

import type { Effect, PolicyEvaluated } from '../model/decision.ts'
import { BY_DEFAULT } from '../model/exception.ts'
import type {
  ExplainedCandidate,
  ExplainedClause,
  ExplainedRule,
  Explanation,
  ExplanationBasis,
  FailedExpression,
  NotAsked,
  Step,
  XacmlDecision,
} from '../model/explanation.ts'
import { type PolicyMetadata, SCOPE_KEYS } from '../model/policy.ts'
import {
  additionsTo,
  type Answer,
  answerOf,
  byCodePoint,
  canonical,
  combine,
  type CombineOptions,
  defaultOf,
  type Evaluated,
  type Vote,
  voteOf,
} from './combine.ts'
import type { PolicyDetail } from './engine.ts'
import { listed, textForPerson } from './explain-words.ts'
import { READS as SCOPE_READS, valuesOf } from './scope.ts'
import { overlaps, type Showing, shownValues } from './shown-values.ts'

/** What is asked: the policies of one revision. */
export interface Explained {
  readonly revision: string
  readonly policies: readonly PolicyMetadata[]
  readonly combining: CombineOptions
  outcomes(document: unknown, json?: Uint8Array): readonly Evaluated[]
  detail(id: string, document: unknown, json?: Uint8Array): PolicyDetail
}

/** The expressions of Rego that failed, by policy; a text says why nobody can tell them. */
export type Trace = (
  policies: readonly PolicyMetadata[],
  document: unknown,
) => Promise<ReadonlyMap<string, readonly FailedExpression[]> | string>

export interface ExplainOptions extends Showing {
  /** The document as it was written, numbers in their own spelling. */
  readonly json?: Uint8Array
  /** Tell of these policies only; the steps are told whole. */
  readonly only?: ReadonlySet<string>
  /** What the person may use instead, as people call it. */
  readonly alternative?: string
  readonly trace?: Trace
  readonly basis?: ExplanationBasis
  readonly inForce?: boolean
  /** Of a recorded decision: what each policy said then. */
  readonly recorded?: readonly PolicyEvaluated[]
  /** Policies that an exception lifts: they do not vote. An empty one is the default. */
  readonly excepted?: ReadonlySet<string>
}

const NOBODY: ReadonlySet<string> = new Set()

const MAX_CANDIDATES = 200
const MAX_NOT_ASKED = 100
const MAX_STEPS = 100
const MAX_NAMED = 20
const MAX_REASONS = 20
const MAX_FAILED = 10
const XACML: Readonly<Record<Effect, XacmlDecision>> = {
  DENY: 'Deny',
  REVIEW: 'Review',
  ALLOW: 'Permit',
}
export const XACML_OF_COMBINING: Readonly<Record<CombineOptions['combining'], string>> = {
  priority_tiers:
    'first-applicable over tiers of equal priority, highest first; deny-overrides inside a tier',
  most_restrictive: 'deny-overrides over all policies',
}

export async function explain(
  policies: Explained,
  document: unknown,
  options: ExplainOptions = {},
): Promise<Explanation> {
  const { combining } = policies
  const { excepted = NOBODY } = options
  const asked = askAll(policies, document, options)
  const voting = asked.filter(({ policy }) => !excepted.has(policy.id))
  const verdict = combine(voting, document, combining, excepted.has(BY_DEFAULT))
  const votes = voting.map((each) => voteOf(each, combining.onError))
  const lifted = asked
    .filter(({ policy }) => excepted.has(policy.id))
    .map((each) => voteOf(each, combining.onError))
  const enforcing = votes.filter(({ policy }) => policy.mode === 'enforce')
  const answer = answerOf(enforcing, combining.combining)
  const imagined = answerOf(votes, combining.combining)
  const additions = additionsTo(verdict.decision, enforcing)
  const fallback = defaultOf(document, combining.defaults)
  const primary = answer?.deciding[0]

  const wanted = (id: string): boolean => options.only?.has(id) ?? true
  const shown = [...votes, ...lifted].filter(({ policy }) => wanted(policy.id))
  const first = new Set(shown.toSorted((a, b) => rank(b) - rank(a)).slice(0, MAX_CANDIDATES))
  const told = shown.filter((vote) => first.has(vote))
  const traced = await traceOf(told, document, options.trace)
  const heard = new Set(asked.map(({ policy }) => policy.id))
  const notAsked = policies.policies.filter(({ id }) => wanted(id) && !heard.has(id))

  return {
    decision: verdict.decision,
    reason: verdict.reason,
    primary_policy_id: verdict.primary_policy_id,
    would_be: verdict.would_be,
    basis: options.basis ?? 'evaluated',
    revision: { id: policies.revision, in_force: options.inForce ?? true },
    limits: limitsOf(options, traced),
    combining: {
      algorithm: combining.combining,
      xacml: XACML_OF_COMBINING[combining.combining],
      on_error: combining.onError,
    },
    steps: stepsOf(enforcing, combining.combining),
    default: {
      class: fallback.kind,
      effect: excepted.has(BY_DEFAULT) ? 'ALLOW' : fallback.effect,
      applied: answer === undefined,
    },
    obligations: obligationsOf(answer, additions),
    would_be_because: wouldBeOf(verdict.would_be, imagined, fallback.kind),
    afterwards: [],
    candidates: told.map((vote) =>
      candidateOf(vote, {
        policies,
        document,
        options,
        part: lifted.includes(vote) ? 'lifted' : partOf(vote, { answer, imagined, additions }),
        failed: typeof traced === 'string' ? undefined : traced.get(vote.policy.id),
      }),
    ),
    candidates_total: shown.length,
    not_asked: notAsked
      .slice(0, MAX_NOT_ASKED)
      .map((policy) => notAskedOf(policy, document, options)),
    not_asked_total: notAsked.length,
    not_asked_by: countedBy(notAsked, document),
    for_the_person: textForPerson({
      decision: verdict.decision,
      reason: verdict.reason,
      byDefault: answer === undefined ? fallback.kind : undefined,
      failed: primary !== undefined && primary.error !== null,
      template: primary?.policy.explanation,
      obligations: verdict.obligations,
      document,
      alternative: options.alternative,
    }),
  }
}

/** Whoever answers is told first where not all can be told. */
function rank({ effect, error, obligations }: Vote): number {
  if (error !== null) return 3
  if (effect !== null) return 2
  return obligations.length > 0 ? 1 : 0
}

/**
 * What the policies say, in order. Where the record left out what one reads, what was recorded of it holds: it saw what
 * nobody can see any more.
 */
function askAll(
  policies: Explained,
  document: unknown,
  { json, recorded, masked = [] }: ExplainOptions,
): readonly Evaluated[] {
  const now = policies.outcomes(document, json)
  if (recorded === undefined || masked.length === 0) return now
  const said = new Map(recorded.map((entry) => [entry.policy_id, entry]))
  const asked = new Map(now.map((each) => [each.policy.id, each]))
  return policies.policies.flatMap((policy): readonly Evaluated[] => {
    const entry = said.get(policy.id)
    const each = asked.get(policy.id)
    if (unknownTo(policy, masked).length === 0) return each === undefined ? [] : [each]
    if (entry === undefined) return []
    const isSame = each !== undefined && countsAs(each) === entry.effect
    return isSame ? [each] : [{ policy, outcome: outcomeOf(entry) }]
  })
}

function countsAs({ outcome }: Evaluated): Effect | null {
  return outcome.error === null ? outcome.effect : 'DENY'
}

function outcomeOf({ effect, error }: PolicyEvaluated): Evaluated['outcome'] {
  return { effect, reasons: [], obligations: [], error }
}

/** The paths that the policy or its scope looks at and the record does not have. */
function unknownTo({ reads, scope }: PolicyMetadata, masked: readonly string[]): readonly string[] {
  const scoped = SCOPE_KEYS.filter((key) => (scope[key] ?? []).length > 0)
  const paths = [...reads, ...scoped.flatMap((key) => SCOPE_READS[key])]
  return masked.filter((path) => paths.some((read) => overlaps(read, path)))
}

async function traceOf(
  votes: readonly Vote[],
  document: unknown,
  trace: Trace | undefined,
): Promise<ReadonlyMap<string, readonly FailedExpression[]> | string> {
  const silent = votes
    .filter(
      ({ policy, effect, error }) =>
        policy.language === 'rego' && effect === null && error === null,
    )
    .map(({ policy }) => policy)
  if (trace === undefined || silent.length === 0) return new Map()
  return trace(silent, document)
}

function limitsOf(
  { masked = [], basis = 'evaluated' }: ExplainOptions,
  traced: ReadonlyMap<string, readonly FailedExpression[]> | string,
): readonly string[] {
  const limits: string[] = []
  if (basis !== 'evaluated' && masked.length > 0)
    limits.push(
      `the record does not have ${listed(masked)}: of policies that read it, what was recorded is told`,
    )
  if (typeof traced === 'string') limits.push(traced)
  return limits
}

/** As much of a vote as the steps tell of. */
export interface Said {
  readonly policy: Pick<PolicyMetadata, 'id' | 'priority'>
  readonly effect: Effect | null
}

/** The steps of the combining, from what enforcing policies said. */
export function stepsOf(
  enforcing: readonly Said[],
  combining: CombineOptions['combining'],
): readonly Step[] {
  if (combining === 'most_restrictive') {
    const effect = answerOf(enforcing, combining)?.effect ?? null
    return [stepOf(null, enforcing, effect !== null, effect)]
  }
  const tiers = [...new Set(enforcing.map(({ policy }) => policy.priority))]
  let isDecided = false
  const steps: Step[] = []
  for (const priority of tiers.slice(0, MAX_STEPS)) {
    const votes = enforcing.filter(({ policy }) => policy.priority === priority)
    const effect = answerOf(votes, combining)?.effect ?? null
    const decides = effect !== null && !isDecided
    steps.push(stepOf(priority, votes, decides, effect, isDecided))
    isDecided ||= effect !== null
  }
  return steps
}

function stepOf(
  priority: number | null,
  votes: readonly Said[],
  decides: boolean,
  answer: Effect | null,
  isLate = false,
): Step {
  const where = priority === null ? 'all policies that enforce' : `priority ${priority}`
  const of = (effect: Effect): readonly string[] =>
    votes.flatMap((vote) => (vote.effect === effect ? [vote.policy.id] : []))
  const weaker = (['REVIEW', 'ALLOW'] as const).filter(
    (effect) => effect !== answer && of(effect).length > 0,
  )
  const overridden = weaker.map((effect) => `${effect} of ${listed(of(effect))}`).join(' and ')
  const said =
    answer === null
      ? 'nobody answers'
      : `${listed(of(answer))} ${of(answer).length === 1 ? 'says' : 'say'} ${answer}${overridden === '' ? '' : `, which overrides ${overridden}`}`
  const end = decides ? '; this decides' : isLate && answer !== null ? '; too late' : ''
  return {
    priority,
    policies: votes.slice(0, MAX_CANDIDATES).map(({ policy }) => policy.id),
    answer,
    decides,
    says: `${where}: ${said}${end}`,
  }
}

function obligationsOf(
  answer: Answer | undefined,
  additions: readonly Vote[],
): Explanation['obligations'] {
  const joined = new Map<string, Explanation['obligations'][number]>()
  const add = (votes: readonly Vote[], because: 'decides' | 'added'): void => {
    for (const { policy, obligations } of votes)
      for (const { type, parameters } of obligations) {
        const key = canonical([type, parameters])
        const known = joined.get(key)
        joined.set(
          key,
          known === undefined
            ? { type, parameters, from: [policy.id], because }
            : { ...known, from: [...new Set([...known.from, policy.id])] },
        )
      }
  }
  add(answer?.deciding ?? [], 'decides')
  add(additions, 'added')
  return [...joined.values()]
}

function wouldBeOf(
  wouldBe: Effect | null,
  imagined: Answer | undefined,
  kind: string,
): string | null {
  if (wouldBe === null) return null
  if (imagined === undefined) return `the default for ${kind} would decide`
  const who = imagined.deciding.map(({ policy }) => `${policy.id} (${policy.mode})`)
  return `if policies in warn and audit counted, ${listed(who)} would decide: ${wouldBe}`
}

function partOf(
  vote: Vote,
  {
    answer,
    imagined,
    additions,
  }: {
    readonly answer: Answer | undefined
    readonly imagined: Answer | undefined
    readonly additions: readonly Vote[]
  },
): ExplainedCandidate['part'] {
  if (answer?.deciding.includes(vote) === true) return 'decides'
  if (additions.includes(vote)) return 'adds obligations'
  if (vote.effect === null) return 'none'
  if (vote.policy.mode === 'enforce') return vote.effect === answer?.effect ? 'agrees' : 'overruled'
  return imagined?.deciding.includes(vote) === true && imagined.effect !== answer?.effect
    ? 'would have decided'
    : 'none'
}

interface Surroundings {
  readonly policies: Explained
  readonly document: unknown
  readonly options: ExplainOptions
  readonly part: ExplainedCandidate['part']
  readonly failed: readonly FailedExpression[] | undefined
}

function candidateOf(vote: Vote, around: Surroundings): ExplainedCandidate {
  const { policy, effect, error, obligations } = vote
  const { policies, document, options, part, failed } = around
  const detail = policies.detail(policy.id, document, options.json)
  const rules = detail.rules?.map(ruleOf)
  const clauses = detail.clauses?.map(clauseOf)
  const hidden = options.recorded === undefined ? [] : unknownTo(policy, options.masked ?? [])
  return {
    policy_id: policy.id,
    policy_name: policy.name,
    priority: policy.priority,
    mode: policy.mode,
    language: policy.language,
    file: policy.file,
    ...(policy.line === undefined ? {} : { line: policy.line }),
    effect,
    xacml: error !== null ? 'Indeterminate{D}' : effect === null ? 'NotApplicable' : XACML[effect],
    reasons: [...new Set(vote.reasons)].toSorted(byCodePoint).slice(0, MAX_REASONS),
    obligations,
    error,
    part,
    why:
      hidden.length > 0
        ? `cannot tell: the record does not have ${listed(hidden)}, which it reads; then it said ${effect ?? 'nothing'}`
        : whyOf(vote, part, rules, clauses),
    // What a policy does with half of what it saw says nothing about what it did with all of it.
    ...(rules === undefined || hidden.length > 0 ? {} : { rules }),
    ...(clauses === undefined || hidden.length > 0 ? {} : { clauses }),
    ...(failed === undefined || hidden.length > 0 ? {} : { failed: failed.slice(0, MAX_FAILED) }),
    values: shownValues(document, policy.reads, options),
    ...(hidden.length === 0 ? {} : { cannot_tell: hidden }),
  }
}

function ruleOf({ rule, value, error }: NonNullable<PolicyDetail['rules']>[number]): ExplainedRule {
  if (error !== undefined) return { rule, outcome: 'error', error }
  if (value === undefined) return { rule, outcome: 'undefined' }
  const holds =
    value !== false &&
    value !== null &&
    value !== '' &&
    !(Array.isArray(value) && value.length === 0) &&
    !(typeof value === 'object' && Object.keys(value).length === 0)
  if (!holds) return { rule, outcome: 'does not hold' }
  const reasons = reasonsIn(value).slice(0, MAX_REASONS)
  return { rule, outcome: 'holds', ...(reasons.length === 0 ? {} : { reasons }) }
}

function reasonsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function clauseOf({
  text,
  holds,
  error,
}: NonNullable<PolicyDetail['clauses']>[number]): ExplainedClause {
  if (error !== undefined) return { text, outcome: 'error', error }
  if (holds === null) return { text, outcome: 'not reached' }
  return { text, outcome: holds ? 'holds' : 'does not hold' }
}

/** The rules that give answers; the others only say more about one. */
const ANSWERING = new Set(['decision', 'deny', 'review', 'allow'])

function whyOf(
  { policy, effect, error, obligations }: Vote,
  part: ExplainedCandidate['part'],
  rules: readonly ExplainedRule[] | undefined,
  clauses: readonly ExplainedClause[] | undefined,
): string {
  if (error !== null)
    return `it failed, which counts as ${effect === null ? 'no answer' : effect}: ${error}`
  const answering = rules?.filter(({ rule }) => ANSWERING.has(rule)) ?? []
  const holding = answering.filter(({ outcome }) => outcome === 'holds').map(({ rule }) => rule)
  const adds =
    obligations.length === 0
      ? ''
      : part === 'adds obligations'
        ? '; it adds its obligations'
        : '; its obligations do not count here'
  if (effect !== null) {
    if (policy.language === 'cedar') return 'all its parts hold'
    return holding.length === 0
      ? `it says ${effect}`
      : `${listed(holding)} ${holding.length === 1 ? 'holds' : 'hold'}`
  }
  if (policy.language === 'cedar') {
    const failing = clauses?.find(({ outcome }) => outcome === 'does not hold')
    return failing === undefined
      ? `all its parts hold, and it gives no answer${adds}`
      : `it does not hold: ${failing.text}`
  }
  if (answering.length === 0) return `it has no rule that answers${adds}`
  return `${listed(answering.map(({ rule }) => rule))} ${answering.length === 1 ? 'has' : 'have'} no answer for this input${adds}`
}

function notAskedOf(
  { id, name, priority, mode, scope }: PolicyMetadata,
  document: unknown,
  { masked = [], pseudonymous = false }: ExplainOptions,
): NotAsked {
  const missed = SCOPE_KEYS.filter((key) => misses(scope[key], key, document)).map((key) => {
    const wanted = scope[key] ?? []
    const hidden = SCOPE_READS[key].some((read) => masked.some((path) => overlaps(read, path)))
    const seen = pseudonymous && key === 'users' ? [] : [...new Set(valuesOf(key, document))]
    return {
      dimension: key,
      wanted: wanted.slice(0, MAX_NAMED),
      ...(wanted.length > MAX_NAMED ? { more: wanted.length - MAX_NAMED } : {}),
      seen: seen.slice(0, MAX_NAMED),
      ...(hidden ? { cannot_tell: true as const } : {}),
    }
  })
  return { policy_id: id, policy_name: name, priority, mode, missed }
}

function misses(
  wanted: readonly string[] | undefined,
  key: (typeof SCOPE_KEYS)[number],
  document: unknown,
): boolean {
  return (
    wanted !== undefined &&
    wanted.length > 0 &&
    !valuesOf(key, document).some((value) => wanted.includes(value))
  )
}

function countedBy(
  policies: readonly PolicyMetadata[],
  document: unknown,
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const key of SCOPE_KEYS) {
    const seen = new Set(valuesOf(key, document))
    const count = policies.filter(({ scope }) => {
      const wanted = scope[key] ?? []
      return wanted.length > 0 && !wanted.some((value) => seen.has(value))
    }).length
    if (count > 0) counts[key] = count
  }
  return counts
}
