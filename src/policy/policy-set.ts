// All active policies of a revision: an input document goes in, a Verdict comes out.
//
// Answers are remembered by what the candidates can read of the input (their read-sets and the class of
// traffic), absent fields included. That is sound because policies are deterministic and the time is an
// input. Errors are never remembered.

import { createHash } from 'node:crypto'
import { stringifyExact } from '../base/exact-json.ts'
import type { Verdict } from '../model/decision.ts'
import { BY_DEFAULT } from '../model/exception.ts'
import type { PolicyMetadata, ScopeKey } from '../model/policy.ts'
import type { AiService } from '../model/service.ts'
import {
  byCodePoint,
  combine,
  type CombineOptions,
  type Evaluated,
  type TrafficClass,
  trafficClass,
} from './combine.ts'
import {
  type Engine,
  type EngineInput,
  failed,
  type PolicyDetail,
  type PolicyOutcome,
} from './engine.ts'
import { addFacts, project, type ReadTree, readTree } from './projection.ts'
import type { QuarantineListener } from './quarantine.ts'
import { Facts, Remembered } from './remembered.ts'
import { ScopeIndex } from './scope.ts'

/** Verdicts, and what they were given for. */
const VERDICT_BYTES = 32 * 1024 * 1024
/** Candidates by what the scopes see of an input: many people have some of their own. */
const VIEW_BYTES = 64 * 1024 * 1024
/** Candidates by themselves. */
const CANDIDATE_BYTES = 16 * 1024 * 1024
/** What candidates take for each member, with what engines prepare for them; as much as so many more take all. */
const MEMBER_BYTES = 200
const MEMBERS_MORE = 16
const NOBODY: ReadonlySet<string> = new Set()
const CLASS_READS = ['resource.approval_status', 'resource.ai']

interface Member {
  readonly policy: PolicyMetadata
  readonly engine: Engine
  /** Index within its engine. */
  readonly index: number
}

/** What one engine is asked: the same list for every input with these candidates, which engines know again. */
interface Question {
  readonly engine: Engine
  readonly indexes: readonly number[]
  /** Where the answers stand among the candidates. */
  readonly places: readonly number[]
}

interface Candidates {
  readonly members: readonly Member[]
  readonly questions: readonly Question[]
  /** What of an input its verdict is remembered by; undefined: a candidate reads everything. */
  readonly reads: ReadTree | undefined
  readonly id: number
  /** The last verdict that was made of answers. */
  last: Judged | undefined
}

interface Judged {
  readonly outcomes: readonly PolicyOutcome[]
  readonly trafficClass: TrafficClass
  readonly verdict: Verdict
  readonly bytes: number
}

export class PolicySet {
  readonly revision: string
  readonly policies: readonly PolicyMetadata[]
  readonly #engines: readonly Engine[]
  readonly #members: readonly Member[]
  readonly #readers: readonly PolicyMetadata[]
  readonly #readContent = new Map<string, boolean>()
  readonly #riskReaders: ReadonlySet<string>
  readonly #scope: ScopeIndex
  readonly #options: CombineOptions
  readonly #verdicts = new Remembered<Verdict>(VERDICT_BYTES)
  /** By what the scopes see of an input, and by themselves: several views have the same candidates. */
  readonly #byView = new Remembered<Candidates>(VIEW_BYTES)
  readonly #byMembers = new Remembered<Candidates>(CANDIDATE_BYTES)
  /** Used by every question again. */
  readonly #facts = new Facts()
  #nextId = 1
  #evaluations = 0

  constructor(engines: readonly Engine[], digest: string, options: CombineOptions) {
    this.#engines = engines
    const members = engines.flatMap((engine) =>
      engine.policies.map((policy, index) => ({ policy, engine, index })),
    )
    this.#members = members.toSorted(
      (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
    )
    this.policies = this.#members.map(({ policy }) => policy)
    this.#readers = this.policies.filter(readsBody)
    this.#riskReaders = new Set(this.policies.filter(readsRisk).map(({ id }) => id))
    this.#scope = new ScopeIndex(this.policies)
    this.#options = options
    const settings = JSON.stringify([options.combining, options.defaults, options.onError])
    this.revision = `sha256:${createHash('sha256').update(digest).update(settings).digest('hex')}`
  }

  /**
   * `json`: the document as somebody wrote it, numbers in their own spelling. The memo compares values,
   * and `1.0` is the value of `1`, so such an answer is made anew. `excepted`: ids of policies that do not
   * vote; an empty one among them: the default refuses nothing.
   */
  decide(document: unknown, json?: Uint8Array, excepted: ReadonlySet<string> = NOBODY): Verdict {
    if (excepted.size > 0) return this.#decideWithout(excepted, document, json)
    const candidates = this.#candidatesFor(document)
    const facts = json === undefined ? this.#factsOf(candidates, document) : undefined
    const known = facts === undefined ? undefined : this.#verdicts.get(facts)
    if (known !== undefined) return known
    const { members, questions } = candidates
    this.#evaluations += 1
    const outcomes = evaluate(questions, members.length, engineInput(document, json))
    const { verdict, bytes } = this.#judge(candidates, outcomes, document)
    if (facts !== undefined && verdict.errors === 0) this.#verdicts.set(facts, verdict, bytes)
    return verdict
  }

  /** What the answer hangs on: of whom, and what they can read. Undefined: of everything. */
  #factsOf({ id, reads }: Candidates, document: unknown): Facts | undefined {
    if (reads === undefined) return undefined
    const facts = this.#facts
    facts.clear()
    facts.add(id)
    addFacts(document, reads, facts)
    return facts
  }

  /** Most requests are answered as the one before; what engines know again is the same object. */
  #judge(candidates: Candidates, outcomes: readonly PolicyOutcome[], document: unknown): Judged {
    const { last, members } = candidates
    const kind = trafficClass(document)
    if (last?.trafficClass === kind && areSame(last.outcomes, outcomes)) return last
    const verdict = combine(
      members.map(({ policy }, at) => ({ policy, outcome: outcomes[at] ?? NO_OUTCOME })),
      document,
      this.#options,
    )
    candidates.last = { outcomes, trafficClass: kind, verdict, bytes: sizeOf(verdict) }
    return candidates.last
  }

  /** Exceptions are seldom, so their answers are not remembered. */
  #decideWithout(excepted: ReadonlySet<string>, document: unknown, json?: Uint8Array): Verdict {
    const members = this.#candidatesFor(document).members.filter(
      ({ policy }) => !excepted.has(policy.id),
    )
    this.#evaluations += 1
    const outcomes = evaluate(questionsOf(members), members.length, engineInput(document, json))
    return combine(
      members.map(({ policy }, at) => ({ policy, outcome: outcomes[at] ?? failed('no outcome') })),
      document,
      this.#options,
      excepted.has(BY_DEFAULT),
    )
  }

  /** How often policies were run for a decision: one that is remembered runs none. */
  get evaluations(): number {
    return this.#evaluations
  }

  /** Whether what the policy of that id says may hang on the risk score. */
  readsRisk(policyId: string): boolean {
    return this.#riskReaders.has(policyId)
  }

  /** Whether a policy in whose scope a request to that service may be reads what its body says. */
  readContent(service: Pick<AiService, 'id' | 'service_type' | 'vendor'> | undefined): boolean {
    const id = service?.id ?? ''
    let answer = this.#readContent.get(id)
    if (answer === undefined) {
      answer = this.#someReads(service)
      // As many entries as the catalogue has services.
      this.#readContent.set(id, answer)
    }
    return answer
  }

  #someReads(service: Pick<AiService, 'id' | 'service_type' | 'vendor'> | undefined): boolean {
    return this.#readers.some(({ scope }) => {
      const names = (key: ScopeKey, value: string | undefined): boolean => {
        const list = scope[key] ?? []
        return list.length === 0 || (value !== undefined && list.includes(value))
      }
      return (
        names('services', service?.id ?? 'unknown') &&
        names('categories', service === undefined ? 'unknown_ai' : service.service_type) &&
        names('vendors', service?.vendor)
      )
    })
  }

  /** How what the policies say is combined here. */
  get combining(): CombineOptions {
    return this.#options
  }

  /** What each policy in scope says, judged anew, in order; of these ids only, where they are given. */
  outcomes(document: unknown, json?: Uint8Array, only?: ReadonlySet<string>): readonly Evaluated[] {
    const members = this.#scope
      .candidates(document)
      .flatMap((index) => this.#members[index] ?? [])
      .filter(({ policy }) => only === undefined || only.has(policy.id))
    const outcomes = evaluate(questionsOf(members), members.length, engineInput(document, json))
    return members.map(({ policy }, at) => ({
      policy,
      outcome: outcomes[at] ?? failed('no outcome'),
    }))
  }

  /** What stands behind the outcome of a policy; slow. */
  detail(id: string, document: unknown, json?: Uint8Array): PolicyDetail {
    const member = this.#members.find(({ policy }) => policy.id === id)
    return member?.engine.detail?.(member.index, engineInput(document, json)) ?? {}
  }

  /** Who is told of policies that take too long again and again, and of those that are asked again. */
  onQuarantine(listener: QuarantineListener): void {
    for (const engine of this.#engines) engine.onQuarantine?.(listener)
  }

  /** After a reload: frees what the engines hold. The set must not be asked again. */
  close(): void {
    for (const engine of this.#engines) engine.close?.()
  }

  #candidatesFor(document: unknown): Candidates {
    const facts = this.#facts
    facts.clear()
    this.#scope.addFacts(document, facts)
    const known = this.#byView.get(facts)
    if (known !== undefined) return known
    const candidates = this.#candidatesAt(this.#scope.candidates(document))
    // Each view keeps them, whatever else does.
    this.#byView.set(facts, candidates, bytesOf(candidates))
    return candidates
  }

  #candidatesAt(indexes: readonly number[]): Candidates {
    const facts = new Facts()
    for (const index of indexes) facts.add(index)
    const known = this.#byMembers.get(facts)
    if (known !== undefined) return known
    const candidates = this.#newCandidates(indexes)
    this.#byMembers.set(facts, candidates, bytesOf(candidates))
    return candidates
  }

  #newCandidates(indexes: readonly number[]): Candidates {
    const members = indexes.flatMap((index) => this.#members[index] ?? [])
    const tree = readTree([...CLASS_READS, ...members.flatMap(({ policy }) => policy.reads)])
    return {
      members,
      questions: questionsOf(members),
      reads: tree.whole ? undefined : tree,
      id: this.#nextId++,
      last: undefined,
    }
  }
}

function bytesOf({ members }: Candidates): number {
  return MEMBER_BYTES * (members.length + MEMBERS_MORE)
}

function areSame(one: readonly PolicyOutcome[], other: readonly PolicyOutcome[]): boolean {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false
  return one.length === other.length
}

/** Bytes, roughly: what grows with the policies and with their words. */
function sizeOf({ policies_evaluated: entries, reason, obligations, warnings }: Verdict): number {
  const words = warnings.reduce((sum, text) => sum + text.length, reason.length)
  const obliged = obligations.length === 0 ? 0 : stringifyExact(obligations).length
  return 500 + 160 * entries.length + 2 * words + 4 * obliged
}

function readsRisk({ reads }: PolicyMetadata): boolean {
  return reads.some((path) => /^(?:|context|context\.risk(?:\..*)?)$/.test(path))
}

/** What a policy can learn from a body alone; one that may oblige to redact must see what there is. */
function readsBody({ reads, scope, redacts }: PolicyMetadata): boolean {
  return (
    redacts === true ||
    (scope.labels ?? []).length > 0 ||
    reads.some((path) => /^(?:|content(?:\..*)?|resource|resource\.model)$/.test(path))
  )
}

function questionsOf(members: readonly Member[]): readonly Question[] {
  return [...new Set(members.map(({ engine }) => engine))].map((engine) => {
    const places = members.flatMap((member, place) => (member.engine === engine ? [place] : []))
    return { engine, places, indexes: places.map((place) => members[place]?.index ?? -1) }
  })
}

const NO_OUTCOME = failed('no outcome')

/** The outcomes in the order of the members; each engine is asked once. */
function evaluate(
  questions: readonly Question[],
  count: number,
  input: EngineInput,
): PolicyOutcome[] {
  const outcomes: PolicyOutcome[] = []
  for (let place = 0; place < count; place++) outcomes.push(NO_OUTCOME)
  for (const { engine, indexes, places } of questions) {
    const answers = askSafely(engine, indexes, input)
    for (let at = 0; at < places.length; at++) outcomes[places[at] ?? 0] = answers[at] ?? NO_OUTCOME
  }
  return outcomes
}

/** An engine that throws has failed for all that it was asked: never a silent allow. */
function askSafely(
  engine: Engine,
  indexes: readonly number[],
  input: EngineInput,
): readonly PolicyOutcome[] {
  try {
    return engine.evaluate(indexes, input)
  } catch (error) {
    return indexes.map(() => failed(error instanceof Error ? error.message : 'the engine failed'))
  }
}

function engineInput(document: unknown, given: Uint8Array | undefined): EngineInput {
  let json = given
  return {
    document,
    json: () => {
      json ??= Buffer.from(wellFormed(stringifyExact(document)))
      return json
    },
    // What somebody wrote has numbers in their own spelling: it goes in as it is.
    ...(given === undefined
      ? { part: (reads: ReadTree) => wellFormed(partOf(document, reads)) }
      : {}),
  }
}

function partOf(document: unknown, reads: ReadTree): string {
  const seen = project(document, reads)
  return seen === undefined ? '{}' : stringifyExact(seen)
}

/** OPA's wasm refuses half a surrogate pair; as in Go, it becomes U+FFFD. JSON.stringify escapes no whole pair. */
function wellFormed(json: string): string {
  return json.includes('\\ud')
    ? json.replaceAll(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, '$1\ufffd')
    : json
}
