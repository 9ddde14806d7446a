// All active policies of a revision: an input document goes in, a Verdict comes out.
//
// Answers are remembered by what the candidates can read of the input (their read-sets, the scope's
// fields and the class of traffic), absent fields included. That is sound because policies are
// deterministic and the time is an input. Errors are never remembered.

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
import { isObject } from './metadata.ts'
import { ScopeIndex } from './scope.ts'

const REMEMBERED = 20_000
const NOBODY: ReadonlySet<string> = new Set()
const CLASS_READS = ['resource.approval_status', 'resource.ai']

interface Member {
  readonly policy: PolicyMetadata
  readonly engine: Engine
  /** Index within its engine. */
  readonly index: number
}

interface Candidates {
  readonly members: readonly Member[]
  /** What the memo key is made of; undefined: a candidate reads everything. */
  readonly reads: readonly (readonly string[])[] | undefined
  readonly id: number
}

export class PolicySet {
  readonly revision: string
  readonly policies: readonly PolicyMetadata[]
  readonly #members: readonly Member[]
  readonly #readers: readonly PolicyMetadata[]
  readonly #readContent = new Map<string, boolean>()
  readonly #scope: ScopeIndex
  readonly #options: CombineOptions
  readonly #verdicts = new LRUCache<string, Verdict>({ max: REMEMBERED })
  readonly #candidates = new LRUCache<string, Candidates>({ max: REMEMBERED })
  #nextId = 1

  constructor(engines: readonly Engine[], digest: string, options: CombineOptions) {
    const members = engines.flatMap((engine) =>
      engine.policies.map((policy, index) => ({ policy, engine, index })),
    )
    this.#members = members.toSorted(
      (a, b) => b.policy.priority - a.policy.priority || byCodePoint(a.policy.id, b.policy.id),
    )
    this.policies = this.#members.map(({ policy }) => policy)
    this.#readers = this.policies.filter(readsBody)
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
    const { members, reads, id } = this.#candidatesFor(document)
    const key =
      reads === undefined || json !== undefined ? undefined : `${id}${projection(document, reads)}`
    const known = key === undefined ? undefined : this.#verdicts.get(key)
    if (known !== undefined) return known
    const outcomes = evaluate(members, engineInput(document, json))
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
    const outcomes = evaluate(members, engineInput(document, json))
    return combine(
      members.map(({ policy }, at) => ({ policy, outcome: outcomes[at] ?? failed('no outcome') })),
      document,
      this.#options,
      excepted.has(BY_DEFAULT),
    )
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
    const outcomes = evaluate(members, engineInput(document, json))
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

  /** After a reload: frees what the engines hold. The set must not be asked again. */
  close(): void {
    for (const engine of new Set(this.#members.map((member) => member.engine))) engine.close?.()
  }

  #candidatesFor(document: unknown): Candidates {
    const indexes = this.#scope.candidates(document)
    const key = indexes.join()
    const known = this.#candidates.get(key)
    if (known !== undefined) return known
    const members = indexes.flatMap((index) => this.#members[index] ?? [])
    const paths = new Set([...CLASS_READS, ...members.flatMap(({ policy }) => policy.reads)])
    const reads = paths.has('') ? undefined : [...paths].toSorted().map((path) => path.split('.'))
    const candidates = { members, reads, id: this.#nextId++ }
    this.#candidates.set(key, candidates)
    return candidates
  }
}

/** What a policy can learn from a body alone; one that may oblige to redact must see what there is. */
function readsBody({ reads, scope, redacts }: PolicyMetadata): boolean {
  return (
    redacts === true ||
    (scope.labels ?? []).length > 0 ||
    reads.some((path) => /^(?:|content(?:\..*)?|resource|resource\.model)$/.test(path))
  )
}

/** The outcomes in the order of the members; each engine is asked once. */
function evaluate(members: readonly Member[], input: EngineInput): PolicyOutcome[] {
  const outcomes: PolicyOutcome[] = Array.from({ length: members.length })
  for (const engine of new Set(members.map((member) => member.engine))) {
    const places = members.flatMap((member, place) => (member.engine === engine ? [place] : []))
    const answers = askSafely(
      engine,
      places.map((place) => members[place]?.index ?? -1),
      input,
    )
    for (const [at, place] of places.entries())
      outcomes[place] = answers[at] ?? failed('no outcome')
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
  }
}

/** OPA's wasm refuses half a surrogate pair; as in Go, it becomes U+FFFD. JSON.stringify escapes no whole pair. */
function wellFormed(json: string): string {
  return json.includes('\\ud')
    ? json.replaceAll(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, '$1\ufffd')
    : json
}

/** The values at the paths as one text; an absent one differs from every value. */
function projection(document: unknown, reads: readonly (readonly string[])[]): string {
  let text = ''
  for (const path of reads) {
    let value = document
    for (const part of path)
      value = isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined
    switch (typeof value) {
      case 'undefined':
        text += '\u0000'
        break
      case 'string':
        text += `\u0001${value.length}:${value}`
        break
      case 'object':
        text += `\u0002${stringifyExact(value)}`
        break
      default:
        text += `\u0003${String(value)}`
    }
  }
  return text
}
