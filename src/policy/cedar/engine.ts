// Cedar statements as policies: every satisfied one is told, and every one that errs.
//
// Cedar takes time for each statement of a set, so candidates that come together have a set of their own.
// Sets live in the wasm under names for good: names are used again, and the sets are bounded in number and
// in statements; the one that was not used for longest goes first.

import { createRequire } from 'node:module'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { PolicyMetadata } from '../../model/policy.ts'
import {
  type Engine,
  type EngineInput,
  failed,
  type PolicyDetail,
  type PolicyOutcome,
  SILENT,
} from '../engine.ts'
import { clausesOf } from './clauses.ts'
import { type CedarRequest, requestMaker } from './entities.ts'
import type { CedarPolicy } from './read.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

const MAX_SETS = 64
/** Each takes some kilobytes of the wasm's memory, which never shrinks. */
const MAX_STATEMENTS = 20_000

/** Names of sets in the wasm that no engine of this thread uses. */
const FREE_NAMES: string[] = []
let names = 0

/** Statements that are asked together. */
interface Slice {
  readonly key: string
  readonly indexes: readonly number[]
  readonly requestFor: (document: unknown) => CedarRequest
}

/** A slice in the wasm. */
interface PreparedSet {
  readonly name: string
  readonly size: number
}

export class CedarEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #policies: readonly CedarPolicy[]
  readonly #slices = new WeakMap<readonly number[], Slice>()
  /** Prepared sets by their candidates, the least recently used first. */
  readonly #sets = new Map<string, PreparedSet>()
  #statements = 0

  /** The policies must be valid: `readCedar` says so. */
  constructor(policies: readonly CedarPolicy[]) {
    this.#policies = policies
    this.policies = policies.map(({ metadata }) => metadata)
  }

  evaluate(indexes: readonly number[], { document }: EngineInput): readonly PolicyOutcome[] {
    const answer = this.#ask(indexes, document)
    if (typeof answer === 'string') return indexes.map(() => failed(answer))
    const outcomes = Array.from(indexes, () => SILENT)
    if (answer.reason.length === 0 && answer.errors.length === 0) return outcomes
    const places = new Map(indexes.map((index, place) => [String(index), place]))
    for (const id of answer.reason) {
      const place = places.get(id)
      if (place !== undefined) outcomes[place] = this.#policies[Number(id)]?.outcome ?? SILENT
    }
    for (const { policyId, error } of answer.errors) {
      const place = places.get(policyId)
      if (place !== undefined) outcomes[place] = failed(error.message)
    }
    return outcomes
  }

  detail(index: number, { document }: EngineInput): PolicyDetail {
    const policy = this.#policies[index]
    return policy === undefined ? {} : { clauses: clausesOf(policy, document) }
  }

  /** Frees what the wasm holds for this engine. */
  close(): void {
    for (const key of this.#sets.keys()) this.#drop(key)
  }

  #ask(indexes: readonly number[], document: unknown): CedarWasm.Diagnostics | string {
    try {
      const slice = this.#sliceOf(indexes)
      const name = this.#prepared(slice)
      const answer = cedar.statefulIsAuthorized({
        ...slice.requestFor(document),
        preparsedPolicySetId: name,
        validateRequest: false,
      } as unknown as CedarWasm.StatefulAuthorizationCall)
      return answer.type === 'success'
        ? answer.response.diagnostics
        : (answer.errors[0]?.message ?? 'Cedar gave no answer')
    } catch (error) {
      return error instanceof Error ? `Cedar failed: ${error.message}` : 'Cedar failed'
    }
  }

  #sliceOf(indexes: readonly number[]): Slice {
    const known = this.#slices.get(indexes)
    if (known !== undefined) return known
    const policies = indexes.flatMap((index) => this.#policies[index] ?? [])
    const slice = {
      key: indexes.join(),
      indexes,
      requestFor: requestMaker(
        policies.flatMap(({ metadata }) => metadata.reads),
        new Set(policies.flatMap(({ entities }) => entities)),
      ),
    }
    this.#slices.set(indexes, slice)
    return slice
  }

  /** The name of a slice's set in the wasm. */
  #prepared({ key, indexes }: Slice): string {
    const known = this.#sets.get(key)
    if (known !== undefined) {
      this.#sets.delete(key)
      this.#sets.set(key, known)
      return known.name
    }
    const size = indexes.length
    while (
      this.#sets.size > 0 &&
      (this.#sets.size >= MAX_SETS || this.#statements + size > MAX_STATEMENTS)
    ) {
      const [oldest = ''] = this.#sets.keys()
      this.#drop(oldest)
    }
    const name = FREE_NAMES.pop() ?? `set-${names++}`
    const prepared = cedar.preparsePolicySet(name, {
      staticPolicies: Object.fromEntries(
        indexes.map((index) => [String(index), this.#policies[index]?.text ?? '']),
      ),
    })
    if (prepared.type === 'failure') {
      FREE_NAMES.push(name)
      throw new Error(prepared.errors[0]?.message ?? 'the statements were refused')
    }
    this.#sets.set(key, { name, size })
    this.#statements += size
    return name
  }

  #drop(key: string): void {
    const set = this.#sets.get(key)
    if (set === undefined) return
    cedar.preparsePolicySet(set.name, { staticPolicies: {} })
    this.#sets.delete(key)
    FREE_NAMES.push(set.name)
    this.#statements -= set.size
  }
}
