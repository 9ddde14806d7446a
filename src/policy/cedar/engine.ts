// Cedar statements as policies: every satisfied one is told, and every one that errs.
//
// Cedar takes time for each statement of a set, so candidates that come together have a set of their own.
// Sets live in the wasm under names for good: names are reused, oldest first.

import { randomUUID } from 'node:crypto'
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

interface PreparedSet {
  readonly id: string
  readonly requestFor: (document: unknown) => CedarRequest
}

export class CedarEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #policies: readonly CedarPolicy[]
  readonly #name = randomUUID()
  /** Prepared sets by their candidates, the least recently used first. */
  readonly #sets = new Map<string, PreparedSet>()

  /** The policies must be valid: `readCedar` says so. */
  constructor(policies: readonly CedarPolicy[]) {
    this.#policies = policies
    this.policies = policies.map(({ metadata }) => metadata)
  }

  evaluate(indexes: readonly number[], { document }: EngineInput): readonly PolicyOutcome[] {
    const answer = this.#ask(indexes, document)
    if (typeof answer === 'string') return indexes.map(() => failed(answer))
    const satisfied = new Set(answer.reason)
    const errors = new Map(answer.errors.map(({ policyId, error }) => [policyId, error.message]))
    return indexes.map((index) => {
      const error = errors.get(String(index))
      if (error !== undefined) return failed(error)
      return satisfied.has(String(index)) ? (this.#policies[index]?.outcome ?? SILENT) : SILENT
    })
  }

  detail(index: number, { document }: EngineInput): PolicyDetail {
    const policy = this.#policies[index]
    return policy === undefined ? {} : { clauses: clausesOf(policy, document) }
  }

  /** Frees what the wasm holds for this engine. */
  close(): void {
    for (const { id } of this.#sets.values()) cedar.preparsePolicySet(id, { staticPolicies: {} })
    this.#sets.clear()
  }

  #ask(indexes: readonly number[], document: unknown): CedarWasm.Diagnostics | string {
    try {
      const { id, requestFor } = this.#setFor(indexes)
      const answer = cedar.statefulIsAuthorized({
        ...requestFor(document),
        preparsedPolicySetId: id,
        validateRequest: false,
      } as unknown as CedarWasm.StatefulAuthorizationCall)
      return answer.type === 'success'
        ? answer.response.diagnostics
        : (answer.errors[0]?.message ?? 'Cedar gave no answer')
    } catch (error) {
      return error instanceof Error ? `Cedar failed: ${error.message}` : 'Cedar failed'
    }
  }

  #setFor(indexes: readonly number[]): PreparedSet {
    const key = indexes.join()
    const known = this.#sets.get(key)
    if (known !== undefined) {
      this.#sets.delete(key)
      this.#sets.set(key, known)
      return known
    }
    const id = this.#freeName()
    const policies = indexes.flatMap((index) => this.#policies[index] ?? [])
    const prepared = cedar.preparsePolicySet(id, {
      staticPolicies: Object.fromEntries(
        indexes.map((index) => [String(index), this.#policies[index]?.text ?? '']),
      ),
    })
    if (prepared.type === 'failure')
      throw new Error(prepared.errors[0]?.message ?? 'the statements were refused')
    const set = {
      id,
      requestFor: requestMaker(
        policies.flatMap(({ metadata }) => metadata.reads),
        new Set(policies.flatMap(({ entities }) => entities)),
      ),
    }
    this.#sets.set(key, set)
    return set
  }

  #freeName(): string {
    if (this.#sets.size < MAX_SETS) return `${this.#name}/${this.#sets.size}`
    const [oldest] = this.#sets
    if (oldest === undefined) return this.#name
    this.#sets.delete(oldest[0])
    return oldest[1].id
  }
}
