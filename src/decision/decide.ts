// The corridor: an AccessRequest goes in, an Outcome comes out, the same for every door.
//
//   who     the directory          principal -> subject
//   what    the catalogue          destination -> AI service
//   says    the detectors          text -> findings, where the door has content
//   may     the policies           input document -> verdict; then mode, monitor, obligations, review
//   keep    the ledger             the record is written as `ledger.fsync` promises before this returns
//
// No step reaches back. A denial is a value. What throws is a fault: nothing passes then.

import { LRUCache } from 'lru-cache'
import type { IdSource } from '../base/ids.ts'
import { splitInput } from '../ledger/split.ts'
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
import type { AiService, ServiceMatch } from '../model/service.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { Metrics } from '../observe/metrics.ts'
import { alternativeTo } from '../signatures/alternative.ts'
import { effectiveMode, effectiveStatus } from '../signatures/approval.ts'
import {
  type Circumstances,
  concerns,
  type Enforced,
  enforce,
  type ReviewHandling,
} from './enforce.ts'
import { inputDocument, PolicyClock } from './input.ts'
import { Nameless } from './nameless.ts'
import { withoutFoundNames } from './names.ts'

/** Policies and catalogue of one revision; swapped whole, so that no request sees two. */
export interface Rules {
  /** Policies, catalogue and settings together: `sha256:...`. */
  readonly revision: string
  readonly catalogue: {
    match(destination: AccessRequest['destination']): ServiceMatch | undefined
    all(): Iterable<AiService>
  }
  readonly policies: {
    decide(input: InputDocument): Verdict
    /** Whether a policy in whose scope that service may be reads what a body says. */
    readContent(service: AiService | undefined): boolean
  }
}

export interface People {
  find(principal: Principal): Subject | Promise<Subject>
  asset(context: RequestContext): Asset | undefined | Promise<Asset | undefined>
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
}

export interface CorridorParts {
  readonly ids: IdSource
  readonly people: People
  /** At once for short texts. */
  readonly classify: (content: OfferedContent) => Classified | Promise<Classified>
  readonly ledger: Ledger
  readonly reviews: Reviews
  readonly metrics: Metrics
  readonly now: () => number
  /** The rules and the enforcement point's mode in force at this moment. */
  readonly rules: () => Rules
  readonly mode: () => Mode
}

/** How a decided exchange ended. */
export type Ending = Pick<OutcomeRecord, 'status' | 'bytes_in' | 'bytes_out' | 'duration_ms'> & Seen

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
    return { service, readsContent: policies.readContent(service) }
  }

  async decide(request: AccessRequest, asks = true): Promise<Outcome> {
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
    const input = inputDocument(request, {
      subject,
      match,
      status,
      asset,
      content,
      time: this.#clock.read(),
      tenant: this.#options.tenant,
    })
    const searched = performance.now()

    const verdict = rules.policies.decide(input)
    const monitor = match !== undefined && effectiveMode(match) === 'monitor'
    const circumstances: Circumstances = {
      pointMode,
      monitor,
      review: this.#options.review,
      capabilities: request.context.capabilities ?? [],
      content,
    }
    const enforced = enforce(verdict, circumstances)
    const ended = performance.now()

    const stages = metrics.stageSeconds
    stages.observe('context', (known - started) / 1000)
    stages.observe('signature', (recognised - known) / 1000)
    if (classified !== undefined) stages.observe('content', (searched - recognised) / 1000)
    stages.observe('policy', (ended - searched) / 1000)
    if (verdict.errors > 0) metrics.policyErrors.inc(verdict.errors)

    const spans =
      request.context.capabilities?.includes('spans') === true ? classified?.spans() : undefined
    const judged: Judged = {
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
    }
    return enforced.decision === 'REVIEW' && asks
      ? this.#review(judged)
      : this.#keep(judged, enforced, null)
  }

  /** REVIEW: an approval that still holds lets through; otherwise refuse, let through and queue, or hold. */
  async #review(judged: Judged): Promise<Outcome> {
    const { reviews } = this.#parts
    const { review, holdTimeoutMs } = this.#options
    const decisionId = this.#parts.ids.next()
    const { state, review_id: reviewId } = await this.#openReview(judged, decisionId)
    if (state === 'approved') return this.#keep(judged, approved(judged), reviewId, decisionId)

    const outcome = await this.#keep(judged, judged.enforced, reviewId, decisionId)
    if (review !== 'hold' || reviewId === null || judged.request.context.source !== 'proxy')
      return outcome
    const gone = new AbortController()
    const answer = reviews
      .answer(reviewId, holdTimeoutMs, gone.signal)
      .then((answered) =>
        answered === 'approved' ? this.#keep(judged, approved(judged), reviewId) : outcome,
      )
    return { ...outcome, held: { answer, cancel: () => gone.abort() } }
  }

  /** While the store is away nobody can be asked: the answer is REVIEW without an id, and it refuses. */
  async #openReview(judged: Judged, decisionId: string): Promise<ReviewState> {
    try {
      return await this.#parts.reviews.open({
        person_key: this.#personKey(judged),
        person: personOf(judged),
        service_id: judged.match?.service.id ?? judged.request.destination.host,
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
      const written = ledger.append(this.#record(judged, decision))
      if (written !== undefined) await written
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
    return {
      decision,
      service: match?.service,
      refused,
      ...(instead === undefined ? {} : { alternative: instead.name }),
      warnings: pointMode === 'audit' ? NO_WARNINGS : verdict.warnings,
      redactions:
        refused || judged.classified === undefined
          ? NO_SPANS
          : redactions(decision.obligations, judged.findings, judged.classified),
      finish: (given) => {
        const ending = ai ? stated(given) : given
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
      risk_score: null,
      primary_policy_id: verdict.primary_policy_id,
      policies_evaluated: verdict.policies_evaluated,
      obligations: enforced.obligations,
      service: match === undefined ? null : { id: match.service.id, name: match.service.name },
      findings,
      review_id: reviewId,
      would_be: enforced.would_be,
      ttl:
        (verdict.read_content && judged.input.content !== undefined) || reviewId !== null
          ? 0
          : TTL_SECONDS,
      revision: judged.rules.revision,
      evaluation_us: judged.elapsedUs,
    }
    return spans === undefined ? decision : { ...decision, spans }
  }

  #record(judged: Judged, decision: Decision): DecisionRecord {
    const { request, verdict, input } = judged
    const { spans: _spans, ...kept } = decision
    const nameless = new Nameless(input, request.principal)
    const record: DecisionRecord = {
      kind: 'decision',
      tenant: this.#options.tenant,
      time: input.context.time?.epoch_ms ?? this.#parts.now(),
      request_id: request.request_id,
      decision: nameless.decision(kept),
      mode: judged.pointMode,
      ...splitInput(
        nameless.input(withoutFoundNames(input)),
        request.principal.login,
        this.#options.urlPaths,
      ),
      person_key: this.#personKey(judged),
    }
    return decision.decision === 'ALLOW'
      ? record
      : {
          ...record,
          violation: { severity: verdict.severity, type: violationType(judged, decision) },
        }
  }

  #personKey(judged: Judged): string {
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
}

/** The user id, for unknown people the login, else the client address. */
function personOf({ subject, request }: Judged): string {
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
  { decision, would_be, policies_evaluated }: Decision,
  { resource }: InputDocument,
): boolean {
  return (
    resource.ai ||
    decision !== 'ALLOW' ||
    would_be !== null ||
    policies_evaluated.some(({ matched }) => matched)
  )
}

function violationType({ verdict, input }: Judged, { decision }: Decision): string {
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
