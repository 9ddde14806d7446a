// The corridor: an AccessRequest goes in, an Outcome comes out, the same for every door.
//
//   who     the directory          principal -> subject
//   what    the catalogue          destination -> AI service
//   says    the detectors          text -> findings, where the door has content
//   may     the policies           input document -> verdict; then mode, monitor, obligations, exceptions, review
//   keep    the ledger             the record is written as `ledger.fsync` promises before this returns
//
// No step reaches back. A denial is a value. What throws is a fault: nothing passes then.

import { LRUCache } from 'lru-cache'
import type { IdSource } from '../base/ids.ts'
import { splitInput } from '../ledger/split.ts'
import { type Budget, budgetIn } from '../model/budget.ts'
import type { Decision, Mode, Obligation, Verdict } from '../model/decision.ts'
import type { Finding, Span } from '../model/finding.ts'
import type { ContentInput, InputDocument } from '../model/input.ts'
import { personKey } from '../model/person.ts'
import type { DecisionRecord, OutcomeRecord, Seen } from '../model/record.ts'
import type {
  AccessRequest,
  Destination,
  MessageFacts,
  OfferedContent,
  Principal,
  RequestContext,
  SearchedContent,
} from '../model/request.ts'
import type { OwnRisk, RiskSettings, RiskSignals } from '../model/risk.ts'
import type { AiService, ServiceMatch } from '../model/service.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { Metrics } from '../observe/metrics.ts'
import { alternativeTo } from '../signatures/alternative.ts'
import { effectiveMode, effectiveStatus } from '../signatures/approval.ts'
import { type Budgeted, type Budgets, costOf, limited, ranOut, spentOf } from './budgets.ts'
import {
  type Circumstances,
  concerns,
  type Enforced,
  enforce,
  type ReviewHandling,
} from './enforce.ts'
import { type ExceptionDesk, isCounted, type Judgement, lift, type Lifted } from './exceptions.ts'
import { inputDocument, PolicyClock } from './input.ts'
import { Nameless } from './nameless.ts'
import { withoutFoundNames } from './names.ts'
import { assess, splitSignals } from './risk.ts'
import { BudgetedAnswer, type RunningAnswer } from './running-answer.ts'

/** Policies and catalogue of one revision; swapped whole, so that no request sees two. */
export interface Rules {
  /** Policies, catalogue and settings together: `sha256:...`. */
  readonly revision: string
  readonly catalogue: {
    match(destination: AccessRequest['destination']): ServiceMatch | undefined
    all(): Iterable<AiService>
  }
  readonly policies: {
    /** `excepted`: ids of policies that do not vote; an empty one: the default refuses nothing. */
    decide(input: InputDocument, json?: Uint8Array, excepted?: ReadonlySet<string>): Verdict
    /** Whether a policy in whose scope that service may be reads what a body says. */
    readContent(service: AiService | undefined): boolean
    /** Whether the policy of that id may hang on the risk score. */
    readsRisk(policyId: string): boolean
  }
}

export interface People {
  find(principal: Principal): Subject | Promise<Subject>
  asset(context: RequestContext): Asset | undefined | Promise<Asset | undefined>
  /** What their violations come to. */
  ownRisk(subject: Subject): OwnRisk | undefined
}

export type Classified = SearchedContent

export interface Ledger {
  /** Resolves when the record is as safe as promised; rejects with SPOOL_FULL or SPOOL_FAILED. */
  append(record: DecisionRecord): void | Promise<void>
  /** Keeps the outcome when it can; never waits, never throws. */
  note(record: OutcomeRecord): void
}

/** What a review is asked for: one pending per person, service, policy and action. */
export interface ReviewRequest {
  readonly person_key: string
  readonly person: string
  readonly service_id: string
  readonly policy_id: string | null
  readonly action: string
  readonly reason: string
  readonly decision_id: string
}

export interface ReviewState {
  /** Null where the store could not take the review. */
  readonly review_id: string | null
  readonly state: 'pending' | 'approved' | 'denied'
}

export interface Reviews {
  /** Opens a review or counts a repeat; tells an approval that still holds. Rejects while the store is away. */
  open(request: ReviewRequest): Promise<ReviewState>
  /** Resolves once somebody answers, or with `pending` after the time limit or the cancellation. */
  answer(reviewId: string, timeoutMs: number, cancelled: AbortSignal): Promise<ReviewState['state']>
}

export interface CorridorOptions {
  readonly tenant: string
  readonly review: ReviewHandling
  readonly holdTimeoutMs: number
  readonly record: 'ai' | 'all'
  /** Whether records keep the path of a resource. */
  readonly urlPaths: boolean
  /** What keys of people are made with. */
  readonly personSecret: Uint8Array
  readonly risk: RiskSettings
}

export interface CorridorParts {
  readonly ids: IdSource
  readonly people: People
  /** At once for short texts. */
  readonly classify: (content: OfferedContent) => Classified | Promise<Classified>
  readonly ledger: Ledger
  readonly reviews: Reviews
  readonly exceptions: ExceptionDesk
  readonly budgets: Budgets
  readonly metrics: Metrics
  readonly now: () => number
  /** The rules and the enforcement point's mode in force at this moment. */
  readonly rules: () => Rules
  readonly mode: () => Mode
}

/** How a decided exchange ended. */
export type Ending = Pick<OutcomeRecord, 'status' | 'bytes_in' | 'bytes_out' | 'duration_ms'> &
  Seen & {
    /** Of the answer, about, where its service may not tell; for budgets only. */
    readonly measured_tokens?: number
  }

export interface Outcome {
  readonly decision: Decision
  /** The service at the destination; its `protocol` is the dialect of a denial. */
  readonly service: AiService | undefined
  /** Whether the door must refuse: a DENY, or a REVIEW that does not let through. */
  readonly refused: boolean
  /** What matched `warn` policies would have said. */
  readonly warnings: readonly string[]
  /** Of a refusal: an approved service of the same kind, as people call it. */
  readonly alternative?: string
  /** Of a refusal by a budget: when there is something again. */
  readonly retryAfterSeconds?: number
  /** Present where somebody must be told how an answer grows, because a budget may end it. */
  readonly running?: RunningAnswer
  /** What must be replaced before the content may pass, in code points of the text that was offered. */
  readonly redactions: readonly Span[]
  /** Present where the request is held for a reviewer. */
  readonly held?: Held
  /** Call once when the exchange has ended. */
  finish(ending: Ending): void
}

export interface Held {
  /** The outcome after the reviewer's answer, or the refusal after the time limit. */
  readonly answer: Promise<Outcome>
  /** The client has gone. */
  cancel(): void
}

export interface Decider {
  /** `asks`: whether a REVIEW opens a review; false for what is only recorded. */
  decide(request: AccessRequest, asks?: boolean): Promise<Outcome>
  /**
   * What is open already, by the rules in force now; without content, which has left. Undefined: it goes on, and nothing is
   * recorded. An outcome that is not refused goes on too.
   */
  rejudge(request: AccessRequest): Promise<Outcome | undefined>
  /** The service at a destination, and whether a policy may read the content of a request to it. */
  foresee(destination: Destination): Foreseen
}

/** What is known before a body has been read. */
export interface Foreseen {
  readonly service: AiService | undefined
  readonly readsContent: boolean
}

/** Seconds that a door may reuse an answer in which content had no part. */
const TTL_SECONDS = 30
const PERSON_KEYS = 50_000

export class Corridor implements Decider {
  readonly #parts: CorridorParts
  readonly #options: CorridorOptions
  readonly #clock: PolicyClock
  readonly #personKeys = new LRUCache<string, string>({ max: PERSON_KEYS })

  constructor(parts: CorridorParts, options: CorridorOptions) {
    this.#parts = parts
    this.#options = options
    this.#clock = new PolicyClock(parts.now)
  }

  foresee(destination: Destination): Foreseen {
    const { catalogue, policies } = this.#parts.rules()
    const service = catalogue.match(destination)?.service
    const readsContent = policies.readContent(service) || this.#parts.budgets.readBody(service)
    return { service, readsContent }
  }

  async decide(request: AccessRequest, asks = true): Promise<Outcome> {
    const judged = await this.#judged(request, false, asks)
    const capped = withinBudget(judged)
    if (capped.enforced.decision === 'ALLOW') return this.#keep(capped, capped.enforced, null)
    // No exception lifts a budget, and none is used up where a budget refuses all the same.
    const isCapped =
      judged.budgeted?.beyond?.effect === 'DENY' || budgetIn(capped.verdict) !== undefined
    const eased = isCapped ? capped : await this.#ease(judged, asks)
    return eased.enforced.decision === 'REVIEW' && asks
      ? this.#review(eased)
      : this.#keep(eased, eased.enforced, null)
  }

  async rejudge(request: AccessRequest): Promise<Outcome | undefined> {
    const judged = await this.#judged(request, true, false)
    const { enforced } = judged
    if (enforced.decision === 'ALLOW')
      return enforced.would_be === null ? undefined : this.#keep(judged, enforced, null)
    // A use that was counted when it was let through is not counted again.
    const offered = this.#parts.exceptions.of(judged.input, serviceOf(judged))
    const lifted = lift(judged, offered, (excepted) => judge(judged, excepted))
    const eased = lifted === undefined ? judged : { ...judged, ...easedBy(lifted, judged), lifted }
    if (eased.enforced.decision === 'ALLOW') return undefined
    if (eased.enforced.decision === 'DENY') return this.#keep(eased, eased.enforced, null)
    const outcome = await this.#review(eased)
    // Nobody is held: it ends, or what a reviewer approved goes on.
    outcome.held?.cancel()
    return outcome
  }

  /** `isOpen`: it was let through before, and what it says has left. `costs`: whether budgets are charged. */
  async #judged(request: AccessRequest, isOpen: boolean, costs: boolean): Promise<Judged> {
    const { people, classify, metrics } = this.#parts
    const started = performance.now()
    const rules = this.#parts.rules()
    const pointMode = this.#parts.mode()

    const found = people.find(request.principal)
    const subject = found instanceof Promise ? await found : found
    const device = people.asset(request.context)
    const asset = device instanceof Promise ? await device : device
    const known = performance.now()

    const match = rules.catalogue.match(request.destination)
    const status = match === undefined ? undefined : effectiveStatus(match, subject)
    const recognised = performance.now()

    const answer =
      request.content === undefined
        ? undefined
        : (request.content.searched ?? classify(request.content))
    const classified = answer instanceof Promise ? await answer : answer
    const content = withAssetLabels(withMessage(classified?.input, request.content?.message), asset)
    const seen = inputDocument(request, {
      subject,
      match,
      status,
      asset,
      content,
      time: this.#clock.read(),
      tenant: this.#options.tenant,
    })
    const searched = performance.now()

    const monitor = match !== undefined && effectiveMode(match) === 'monitor'
    const { enabled } = this.#options.risk
    const risk = enabled ? assess(seen, people.ownRisk(subject), this.#options.risk) : undefined
    const taking = this.#parts.budgets.take(seen, {
      person: () => this.#personKey({ subject, request }),
      cost: costs ? costOf(request) : undefined,
      enforced: pointMode === 'enforce' && !monitor,
      isConversation: request.conversation === true,
    })
    const budgeted = taking === undefined ? undefined : await taking
    const input = withScores(seen, risk?.input, budgeted?.input)
    const scored = performance.now()

    const circumstances: Circumstances = {
      pointMode,
      monitor,
      review: this.#options.review,
      capabilities: request.context.capabilities ?? [],
      content,
      isOpen,
    }
    const { verdict, enforced } = judge({ rules, input, circumstances })
    const ended = performance.now()

    const stages = metrics.stageSeconds
    stages.observe('context', (known - started) / 1000)
    stages.observe('signature', (recognised - known) / 1000)
    if (classified !== undefined) stages.observe('content', (searched - recognised) / 1000)
    stages.observe('score', (scored - searched) / 1000)
    stages.observe('policy', (ended - scored) / 1000)
    if (verdict.errors > 0) metrics.policyErrors.inc(verdict.errors)

    const spans =
      request.context.capabilities?.includes('spans') === true ? classified?.spans() : undefined
    return {
      request,
      input,
      subject,
      match,
      verdict,
      circumstances,
      enforced,
      rules,
      findings: content?.findings ?? [],
      classified,
      spans,
      pointMode,
      elapsedUs: Math.round((ended - started) * 1000),
      started,
      signals: risk?.signals,
      budgeted,
    }
  }

  /**
   * What exceptions make of a refusal, and a budget of that. Their uses are counted before anything passes; what cannot be
   * counted does not pass.
   */
  async #ease(judged: Judged, asks: boolean): Promise<Judged> {
    // What is only recorded uses nothing.
    let offered = this.#parts.exceptions
      .of(judged.input, serviceOf(judged))
      .filter((exception) => asks || !isCounted(exception))
    while (offered.length > 0) {
      const lifted = lift(judged, offered, (excepted) => judge(judged, excepted))
      if (lifted === undefined) break
      const eased = withinBudget({
        ...judged,
        ...easedBy(lifted, judged),
        lifted,
        refused: judged,
      })
      // Of what must still be asked for, by a policy or a budget, the use counts once it passes.
      if (eased.enforced.decision !== 'ALLOW') return eased
      const missing = await this.#claim(lifted)
      if (missing === undefined) return eased
      offered = offered.filter((exception) => !missing.includes(exception))
    }
    return withinBudget(judged)
  }

  /** Counts a use of each exception that has a limit; those that are not to be had, where one is not. */
  async #claim({ exceptions }: Lifted): Promise<Lifted['exceptions'] | undefined> {
    const counted = exceptions.filter(isCounted)
    const { exceptionUses } = this.#parts.metrics
    if (counted.length > 0) {
      try {
        const spent = await this.#parts.exceptions.claim(counted)
        if (spent !== undefined) {
          exceptionUses.inc({ outcome: 'used_up' })
          return [spent]
        }
      } catch {
        exceptionUses.inc({ outcome: 'not_counted' })
        return counted
      }
    }
    exceptionUses.inc({ outcome: 'let_through' })
    return undefined
  }

  /** What a review lets through: where an exception had a part in it, a use of that must be left. */
  async #reviewed(
    judged: Judged,
    through: Enforced,
    reviewId: string | null,
    decisionId?: string,
  ): Promise<Outcome> {
    const { lifted, refused } = judged
    if (lifted !== undefined && refused !== undefined && through.decision !== 'DENY') {
      const missing = await this.#claim(lifted)
      if (missing !== undefined) return this.#keep(refused, refused.enforced, reviewId, decisionId)
    }
    return this.#keep(judged, through, reviewId, decisionId)
  }

  /** REVIEW: an approval that still holds lets through; otherwise refuse, let through and queue, or hold. */
  async #review(judged: Judged): Promise<Outcome> {
    const { reviews } = this.#parts
    const { review, holdTimeoutMs } = this.#options
    const decisionId = this.#parts.ids.next()
    const { state, review_id: reviewId } = await this.#openReview(judged, decisionId)
    if (state === 'approved') return this.#reviewed(judged, approved(judged), reviewId, decisionId)
    if (review === 'allow' && reviewId !== null)
      return this.#reviewed(judged, judged.enforced, reviewId, decisionId)

    const outcome = await this.#keep(judged, judged.enforced, reviewId, decisionId)
    if (review !== 'hold' || reviewId === null || judged.request.context.source !== 'proxy')
      return outcome
    const gone = new AbortController()
    const answer = reviews
      .answer(reviewId, holdTimeoutMs, gone.signal)
      .then((answered) =>
        answered === 'approved' ? this.#reviewed(judged, approved(judged), reviewId) : outcome,
      )
    return { ...outcome, held: { answer, cancel: () => gone.abort() } }
  }

  /** While the store is away nobody can be asked: the answer is REVIEW without an id, and it refuses. */
  async #openReview(judged: Judged, decisionId: string): Promise<ReviewState> {
    try {
      return await this.#parts.reviews.open({
        person_key: this.#personKey(judged),
        person: personOf(judged),
        service_id: serviceOf(judged),
        policy_id: judged.verdict.primary_policy_id,
        action: judged.input.action,
        reason: new Nameless(judged.input, judged.request.principal).text(judged.enforced.reason),
        decision_id: decisionId,
      })
    } catch {
      this.#parts.metrics.reviewErrors.inc()
      return { review_id: null, state: 'pending' }
    }
  }

  /** Makes the Decision, and records it before anybody learns of it. */
  async #keep(
    judged: Judged,
    enforced: Enforced,
    reviewId: string | null,
    decisionId?: string,
  ): Promise<Outcome> {
    const { ids, ledger, metrics, now } = this.#parts
    const { request, verdict, match, input, pointMode } = judged
    const decision = this.#decision(judged, enforced, reviewId, decisionId ?? ids.next())
    metrics.decisions.inc({
      decision: decision.decision,
      source: request.context.source,
      mode: pointMode,
    })
    const { ai } = input.resource
    const department = input.user.department?.name ?? 'none'
    if (ai)
      metrics.countAiDecision(decision.decision, match?.service.id ?? 'unknown_ai', department)

    const recorded = this.#options.record === 'all' || isRecorded(decision, input)
    if (recorded) {
      const before = performance.now()
      try {
        const written = ledger.append(this.#record(judged, decision))
        if (written !== undefined) await written
      } catch (fault) {
        judged.budgeted?.charge?.refund()
        throw fault
      }
      metrics.stageSeconds.observe('record', (performance.now() - before) / 1000)
    }
    metrics.stageSeconds.observe('total', (performance.now() - judged.started) / 1000)

    const tenant = this.#options.tenant
    // What `finish` remembers lives as long as a stream; of the request that is its id, not its text.
    const requestId = request.request_id
    const refused =
      decision.decision === 'DENY' ||
      (decision.decision === 'REVIEW' && (this.#options.review !== 'allow' || reviewId === null))
    const instead =
      refused && ai
        ? alternativeTo(match?.service ?? SUSPECTED, judged.rules.catalogue.all(), judged.subject)
        : undefined
    const { charge, cost } = judged.budgeted ?? {}
    if (refused) charge?.refund()
    else charge?.pass()
    const running = refused ? undefined : this.#running(judged, decision)
    return {
      decision,
      service: match?.service,
      refused,
      ...(instead === undefined ? {} : { alternative: instead.name }),
      ...(refused ? this.#refusedByBudget(judged) : {}),
      ...(running === undefined ? {} : { running }),
      warnings: pointMode === 'audit' ? NO_WARNINGS : verdict.warnings,
      redactions:
        refused || judged.classified === undefined
          ? NO_SPANS
          : redactions(decision.obligations, judged.findings, judged.classified),
      finish: ({ measured_tokens: measured, ...given }) => {
        const ending = ai ? stated(given) : given
        running?.ended()
        if (!refused && cost !== undefined) charge?.settle(spentOf(cost, given, measured))
        if (ai && ending.visibility !== undefined) {
          const { visibility, visibility_reason: why, bytes_in, bytes_out } = ending
          metrics.countAiBytes(bytes_in + bytes_out, visibility, why ?? 'none', department)
        }
        if (!recorded) return
        ledger.note({
          kind: 'outcome',
          tenant,
          time: now(),
          request_id: requestId,
          decision_id: decision.decision_id,
          ...ending,
        })
      },
    }
  }

  /** Where a budget refuses: counts it, and tells when there is something again. An answer that ends is counted as such. */
  #refusedByBudget({ verdict, budgeted }: Judged): Pick<Outcome, 'retryAfterSeconds'> {
    const budget = budgetIn(verdict)
    if (budget === undefined || budgeted === undefined) return {}
    this.#parts.metrics.budgetDenied.inc({ budget })
    const waitMs = budgeted.beyond?.waitMs
    if (waitMs === undefined) return {}
    return { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) }
  }

  /** Where the answer has a part in what a budget is charged: who is told how it grows. */
  #running(judged: Judged, { obligations }: Decision): BudgetedAnswer | undefined {
    const { charge, cost } = judged.budgeted ?? {}
    if (charge?.measures !== true || cost === undefined) return undefined
    const { monitor, pointMode } = judged.circumstances
    const mayEnd = !monitor && pointMode === 'enforce'
    const all = obligations.some(({ type }) => type === 'cut_stream')
    const kept = withoutText(judged)
    return new BudgetedAnswer({
      charge,
      asked: cost,
      cuts: ({ cut }) => mayEnd && (cut || all),
      deny: (budget) => this.#cut(kept, budget),
      onError: () => this.#parts.metrics.budgetErrors.inc(),
    })
  }

  /** A running answer has used its budget up: the decision that ends it. */
  async #cut(judged: Judged, budget: Budget): Promise<Decision> {
    const ended = endedBy(judged, budget)
    const { decision } = await this.#keep(ended, ended.enforced, null)
    this.#parts.metrics.budgetCuts.inc({ budget: budget.id })
    return decision
  }

  #decision(
    judged: Judged,
    enforced: Enforced,
    reviewId: string | null,
    decisionId: string,
  ): Decision {
    const { verdict, match, findings, spans } = judged
    const decision: Decision = {
      decision_id: decisionId,
      decision: enforced.decision,
      reason: enforced.reason,
      confidence: findings.reduce(
        (least, { confidence }) => Math.min(least, confidence),
        match?.service.confidence ?? 1,
      ),
      risk_score: judged.input.context.risk?.score ?? null,
      primary_policy_id: verdict.primary_policy_id,
      policies_evaluated: verdict.policies_evaluated,
      obligations: enforced.obligations,
      service: match === undefined ? null : { id: match.service.id, name: match.service.name },
      findings,
      review_id: reviewId,
      exception_id: judged.lifted?.exceptions[0]?.exception_id ?? null,
      would_be: enforced.would_be,
      // An exception may be revoked, and counts its uses; a budget counts requests.
      ttl:
        (verdict.read_content && judged.input.content !== undefined) ||
        reviewId !== null ||
        judged.lifted !== undefined ||
        judged.budgeted !== undefined
          ? 0
          : TTL_SECONDS,
      revision: judged.rules.revision,
      evaluation_us: judged.elapsedUs,
    }
    return spans === undefined ? decision : { ...decision, spans }
  }

  #record(judged: Judged, decision: Decision): DecisionRecord {
    const { request, verdict, input } = judged
    const { spans: _spans, ...told } = decision
    const nameless = new Nameless(input, request.principal)
    const kept = withoutFoundNames(input)
    const split = splitInput(
      { seen: input, kept, nameless: nameless.input(kept) },
      request.principal.login,
      this.#options.urlPaths,
    )
    const record: DecisionRecord = {
      kind: 'decision',
      tenant: this.#options.tenant,
      time: input.context.time?.epoch_ms ?? this.#parts.now(),
      request_id: request.request_id,
      decision: nameless.decision(told),
      mode: judged.pointMode,
      ...split,
      ...(judged.signals === undefined ? {} : splitSignals(judged.signals, split.personal)),
      ...verdictOf(judged.said ?? verdict, decision, nameless),
      ...exceptedOf(judged),
      person_key: this.#personKey(judged),
    }
    return decision.decision === 'ALLOW'
      ? record
      : { ...record, violation: violationOf(judged, decision) }
  }

  #personKey(judged: Pick<Judged, 'subject' | 'request'>): string {
    const person = personOf(judged)
    const cached = this.#personKeys.get(person)
    if (cached !== undefined) return cached
    const { personSecret, tenant } = this.#options
    const key = personKey(personSecret, tenant, person)
    this.#personKeys.set(person, key)
    return key
  }
}

const NO_WARNINGS: readonly string[] = []
const NO_SPANS: readonly Span[] = []

/** What an unknown host that speaks an AI wire format is compared with. */
const SUSPECTED = { id: 'unknown_ai', service_type: 'llm_api' }

/** The document that policies see, with what only a decision can tell of it. */
function withScores(
  seen: InputDocument,
  risk: InputDocument['context']['risk'],
  budget: InputDocument['context']['budget'],
): InputDocument {
  if (risk === undefined && budget === undefined) return seen
  const context = {
    ...seen.context,
    ...(risk === undefined ? {} : { risk }),
    ...(budget === undefined ? {} : { budget }),
  }
  return { ...seen, context }
}

/** What a budget makes of it, which weakens nothing. */
function withinBudget(judged: Judged): Judged {
  const verdict = limited(judged.verdict, judged.budgeted?.beyond)
  if (verdict === judged.verdict) return judged
  return {
    ...judged,
    verdict,
    enforced: enforce(verdict, judged.circumstances),
    said: judged.verdict,
  }
}

/** For whoever remembers it as long as an answer runs. */
function withoutText({ refused: _refused, ...judged }: Judged): Judged {
  const { content: _content, ...request } = judged.request
  return { ...judged, request, classified: undefined, spans: undefined }
}

/** The same request, ended by a budget; it costs nothing more. */
function endedBy(judged: Judged, budget: Budget): Judged {
  const said = judged.said ?? judged.verdict
  const verdict = ranOut(judged.verdict, budget)
  const { decision, reason, obligations, would_be } = verdict
  return {
    ...judged,
    verdict,
    enforced: { decision, reason, obligations, would_be, unperformed: false },
    said,
    budgeted: undefined,
  }
}

/** Bytes of which a door does not say what it saw were not seen: coverage is never told better than it is. */
function stated(ending: Ending): Ending {
  if (ending.visibility !== undefined || ending.bytes_in + ending.bytes_out === 0) return ending
  return { ...ending, visibility: 'none', visibility_reason: 'unstated' }
}

interface Judged {
  readonly request: AccessRequest
  readonly input: InputDocument
  readonly subject: Subject
  readonly match: ServiceMatch | undefined
  readonly verdict: Verdict
  readonly circumstances: Circumstances
  readonly enforced: Enforced
  readonly rules: Rules
  readonly findings: readonly Finding[]
  readonly classified: Classified | undefined
  readonly spans: readonly Span[] | undefined
  readonly pointMode: Mode
  readonly elapsedUs: number
  readonly started: number
  /** Of the risk score; undefined where none is made. */
  readonly signals: RiskSignals | undefined
  readonly budgeted: Budgeted | undefined
  /** What the policies say, where a budget has another verdict. */
  readonly said?: Verdict
  /** What exceptions have made of it, and how it was without them. */
  readonly lifted?: Lifted
  readonly refused?: Judged
}

/** As reviews and exceptions name it: the catalogue's id, else the host. */
function serviceOf({ match, request }: Pick<Judged, 'match' | 'request'>): string {
  return match?.service.id ?? request.destination.host
}

/** What the policies say, without those that are excepted, and what is done. */
function judge(
  { rules, input, circumstances }: Pick<Judged, 'rules' | 'input' | 'circumstances'>,
  excepted?: ReadonlySet<string>,
): Judgement {
  const verdict = rules.policies.decide(input, undefined, excepted)
  return { verdict, enforced: enforce(verdict, circumstances) }
}

function easedBy(
  { verdict, enforced }: Lifted,
  { enforced: { reason } }: Judged,
): Pick<Judged, 'verdict' | 'enforced'> {
  if (enforced.decision !== 'ALLOW') return { verdict, enforced }
  return { verdict, enforced: { ...enforced, reason: `let through by an exception: ${reason}` } }
}

/** For the record: which exceptions, and what had no vote because of them. */
function exceptedOf({ lifted }: Judged): Pick<DecisionRecord, 'excepted'> {
  if (lifted === undefined) return {}
  const { exceptions, policies } = lifted
  return { excepted: { exceptions: exceptions.map(({ exception_id: id }) => id), policies } }
}

/** The user id, for unknown people the login, else the client address. */
function personOf({ subject, request }: Pick<Judged, 'subject' | 'request'>): string {
  return subject.person ?? request.context.ip_address ?? 'local'
}

/** What a reviewer let through still owes its obligations: one that cannot be performed denies. */
function approved({ verdict, circumstances }: Judged): Enforced {
  const through = enforce(verdict, { ...circumstances, review: 'allow' })
  if (through.decision !== 'REVIEW') return through
  return {
    ...through,
    decision: 'ALLOW',
    would_be: through.would_be === 'ALLOW' ? null : through.would_be,
    reason: `approved by a reviewer: ${through.reason}`,
  }
}

/** `ledger.record: ai`: AI services, suspected AI, whatever was denied, held or matched by a policy. */
function isRecorded(
  { decision, would_be, exception_id, policies_evaluated }: Decision,
  { resource }: InputDocument,
): boolean {
  return (
    resource.ai ||
    decision !== 'ALLOW' ||
    would_be !== null ||
    exception_id !== null ||
    policies_evaluated.some(({ matched }) => matched)
  )
}

/** For the record, where what was done is not what the policies said: a replay compares with these. */
function verdictOf(
  verdict: Verdict,
  done: Decision,
  nameless: Nameless,
): Pick<DecisionRecord, 'verdict'> {
  const isDone =
    verdict.decision === done.decision &&
    verdict.would_be === done.would_be &&
    verdict.reason === done.reason &&
    verdict.primary_policy_id === done.primary_policy_id &&
    (verdict.obligations === done.obligations ||
      verdict.obligations.length + done.obligations.length === 0)
  if (isDone) return {}
  const { decision, reason, primary_policy_id, obligations, would_be } = nameless.decision(verdict)
  return { verdict: { decision, reason, primary_policy_id, obligations, would_be } }
}

/** Who is refused for their risk, or for what they have used up, is not more of a risk because of that. */
function violationOf(judged: Judged, decision: Decision): NonNullable<DecisionRecord['violation']> {
  const { verdict, rules } = judged
  const { primary_policy_id: primary } = verdict
  const violation = { severity: verdict.severity, type: violationType(judged, decision) }
  const isConsequence =
    budgetIn(verdict) !== undefined || (primary !== null && rules.policies.readsRisk(primary))
  return isConsequence ? { ...violation, raises_risk: false } : violation
}

function violationType({ verdict, input }: Judged, { decision }: Decision): string {
  if (budgetIn(verdict) !== undefined) return 'budget_exceeded'
  if (decision === 'REVIEW') return 'review_required'
  if (verdict.read_content && (input.content?.findings.length ?? 0) > 0) return 'content_detected'
  if (verdict.primary_policy_id === null && input.resource.ai) return 'unapproved_service'
  return 'policy_violation'
}

/** What a door has read says more than the text that was searched. */
function withMessage(
  content: ContentInput | undefined,
  message: MessageFacts | undefined,
): ContentInput | undefined {
  if (content === undefined || message === undefined) return content
  const { parsed, truncated, bytes, stream, tools, attachments } = message
  return {
    ...content,
    classified: content.classified && !truncated,
    parsed,
    truncated: truncated || content.truncated,
    bytes,
    ...(stream === undefined ? {} : { stream }),
    ...(tools.length === 0 ? {} : { tools }),
    ...(attachments.length === 0 ? {} : { attachments }),
  }
}

/** The places of those findings that an obligation wants replaced. */
function redactions(
  obligations: readonly Obligation[],
  findings: readonly Finding[],
  classified: Classified,
): readonly Span[] {
  const wanted = new Set(
    obligations
      .filter(({ type }) => type === 'redact')
      .flatMap((obligation) => findings.filter((finding) => concerns(obligation, finding)))
      .map(({ type }) => type),
  )
  if (wanted.size === 0) return NO_SPANS
  return classified.spans().filter(({ type }) => wanted.has(type))
}

/** Labels of the asset hold for whatever leaves it. */
function withAssetLabels(
  content: ContentInput | undefined,
  asset: Asset | undefined,
): ContentInput | undefined {
  if (content === undefined || asset === undefined || asset.data_classification.length === 0)
    return content
  const labels = new Set([...content.data_classification, ...asset.data_classification])
  return { ...content, data_classification: [...labels].toSorted() }
}
