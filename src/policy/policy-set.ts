// All active policies of a revision: an input document goes in, a Verdict comes out.
//
// Answers are remembered by what the candidates can read of the input (their read-sets and the class of
// traffic), absent fields included. That is sound because policies are deterministic and the time is an
// input. Errors are never remembered.

import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { stringifyExact } from '../base/exact-json.ts'
import type { Verdict } from '../model/decision.ts'
import { BY_DEFAULT } from '../model/exception.ts'
import type { PolicyMetadata, ScopeKey } from '../model/policy.ts'
import type { AiService } from '../model/service.ts'
import { byCodePoint, combine, type CombineOptions, type Evaluated } from './combine.ts'
import {
  type Engine,
  type EngineInput,
  failed,
  type PolicyDetail,
  type PolicyOutcome,
} from './engine.ts'
import { fingerprint, project, type ReadTree, readTree } from './projection.ts'
import type { QuarantineListener } from './quarantine.ts'
import { ScopeIndex } from './scope.ts'

/** Verdicts and their keys, as far as their size can be told. */
const REMEMBERED_BYTES = 32 * 1024 * 1024
/** A longer key is kept as its SHA-256. */
const LONGEST_KEY = 2048
const VIEWS = 20_000
/** Candidates of all remembered views together. */
const REMEMBERED_CANDIDATES = 400_000
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
  /** What the memo key is made of; undefined: a candidate reads everything. */
  readonly reads: ReadTree | undefined
  readonly id: number
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
  readonly #verdicts = new LRUCache<string, Verdict>({
    maxSize: REMEMBERED_BYTES,
    sizeCalculation: (verdict, key) => sizeOf(verdict) + 2 * key.length,
  })
  /** By what the scopes see of an input, and by themselves: several views have the same candidates. */
  readonly #byView = new LRUCache<string, Candidates>({
    max: VIEWS,
    maxSize: REMEMBERED_CANDIDATES,
    sizeCalculation: weightOf,
  })
  readonly #byMembers = new LRUCache<string, Candidates>({
    maxSize: REMEMBERED_CANDIDATES,
    sizeCalculation: weightOf,
  })
  #nextId = 1

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
    const { members, questions, reads, id } = this.#candidatesFor(document)
    const key =
      reads === undefined || json !== undefined
        ? undefined
        : bounded(`${id}${fingerprint(document, reads)}`)
    const known = key === undefined ? undefined : this.#verdicts.get(key)
    if (known !== undefined) return known
    const outcomes = evaluate(questions, members.length, engineInput(document, json))
    const verdict = combine(
      members.map(({ policy }, at) => ({ policy, outcome: outcomes[at] ?? failed('no outcome') })),
      document,
      this.#options,
    )
    if (key !== undefined && verdict.errors === 0) this.#verdicts.set(key, verdict)
    return verdict
  }

  /** Exceptions are seldom, so their answers are not remembered. */
  #decideWithout(excepted: ReadonlySet<string>, document: unknown, json?: Uint8Array): Verdict {
    const members = this.#candidatesFor(document).members.filter(
      ({ policy }) => !excepted.has(policy.id),
    )
    const outcomes = evaluate(questionsOf(members), members.length, engineInput(document, json))
    return combine(
      members.map(({ policy }, at) => ({ policy, outcome: outcomes[at] ?? failed('no outcome') })),
      document,
      this.#options,
      excepted.has(BY_DEFAULT),
    )
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
    const view = this.#scope.view(document)
    const known = this.#byView.get(view)
    if (known !== undefined) return known
    const indexes = this.#scope.candidates(document)
    const key = indexes.join()
    const candidates = this.#byMembers.get(key) ?? this.#newCandidates(indexes)
    this.#byMembers.set(key, candidates)
    this.#byView.set(view, candidates)
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
    }
  }
}

function weightOf({ members }: Candidates): number {
  return members.length + 16
}

/** Bytes, roughly: what grows with the policies and with their words. */
function sizeOf({ policies_evaluated: entries, reason, obligations, warnings }: Verdict): number {
  const words = warnings.reduce((sum, text) => sum + text.length, reason.length)
  const obliged = obligations.length === 0 ? 0 : stringifyExact(obligations).length
  return 500 + 160 * entries.length + 2 * words + 4 * obliged
}

function bounded(key: string): string {
  return key.length <= LONGEST_KEY ? key : createHash('sha256').update(key, 'utf16le').digest('hex')
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
  const outcomes = Array.from({ length: count }, () => NO_OUTCOME)
  for (const { engine, indexes, places } of questions) {
    const answers = askSafely(engine, indexes, input)
    for (const [at, place] of places.entries()) outcomes[place] = answers[at] ?? NO_OUTCOME
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
