// Cedar statements as policies: every satisfied one is told, and every one that errs.
//
// Cedar takes time for each statement of a set, so only candidates are asked. Statements of one scope are always
// candidates together: they make a cell, prepared in the wasm once. Cells that come together again and again are
// prepared as one set, which saves calls. Sets live in the wasm under names for good: names are used again, and
// the sets are bounded in number and in statements; the one that was not used for longest goes first.
//
// A request holds only what these statements can tell apart, so that most people come to few requests; what Cedar
// answered to one is remembered. Errors are not.

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import { LRUCache } from 'lru-cache'
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
import { type CedarPolicy, looksOf } from './read.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

const MAX_SETS = 4096
/** Each takes some kilobytes of the wasm's memory, which never shrinks. */
const MAX_STATEMENTS = 20_000
/** Cells that came together so often are worth a set of their own, which takes as long to prepare as some calls. */
const WORTH_A_SET = 8

/** Answers with their requests, as far as their size can be told. */
const REMEMBERED_BYTES = 16 * 1024 * 1024
/** A longer request comes once. */
const LONGEST_REQUEST = 2048
const LONGEST_NAME = 64

/** Names of sets in the wasm that no engine of this thread uses. */
const FREE_NAMES: string[] = []
let names = 0

/** Statements that are asked with one call. */
interface Group {
  readonly key: string
  /** The same for the same statements, in few characters. */
  readonly name: string
  readonly indexes: readonly number[]
  readonly requestFor: (document: unknown) => CedarRequest
}

/** A list of candidates: all of them as one group, and by cells. */
interface Slice extends Group {
  readonly cells: readonly Group[]
  readonly places: ReadonlyMap<string, number>
  asked: number
}

/** What statements of a group say, by their numbers as texts. */
interface Answer {
  readonly satisfied: readonly string[]
  readonly errors: readonly CedarWasm.AuthorizationError[]
}

/** A group in the wasm. */
interface PreparedSet {
  readonly name: string
  readonly size: number
}

export class CedarEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #policies: readonly CedarPolicy[]
  /** The cell of each statement. */
  readonly #cells: readonly Group[]
  readonly #slices = new WeakMap<readonly number[], Slice>()
  /** Prepared sets by the keys of their groups, the least recently used first. */
  readonly #sets = new Map<string, PreparedSet>()
  #statements = 0
  readonly #answers: LRUCache<string, readonly string[]> | undefined

  /** The policies must be valid: `readCedar` says so. `isTrial`: how long Cedar takes is what is asked, each time. */
  constructor(policies: readonly CedarPolicy[], isTrial = false) {
    this.#answers = isTrial ? undefined : rememberedAnswers()
    this.#policies = policies
    this.policies = policies.map(({ metadata }) => metadata)
    const byScope = new Map<string, number[]>()
    for (const [index, { scope }] of this.policies.entries()) {
      const key = JSON.stringify(scope)
      const members = byScope.get(key)
      if (members === undefined) byScope.set(key, [index])
      else members.push(index)
    }
    const cells: Group[] = []
    for (const members of byScope.values()) {
      const cell = this.#groupOf(members)
      for (const index of members) cells[index] = cell
    }
    this.#cells = cells
  }

  evaluate(indexes: readonly number[], { document }: EngineInput): readonly PolicyOutcome[] {
    const slice = this.#sliceOf(indexes)
    const outcomes = Array.from(indexes, () => SILENT)
    slice.asked += 1
    const isOne = slice.cells.length <= 1 || slice.asked > WORTH_A_SET || this.#sets.has(slice.key)
    for (const group of isOne ? [slice] : slice.cells) {
      const answer = this.#ask(group, document)
      if (typeof answer === 'string') {
        for (const index of group.indexes) place(outcomes, slice, String(index), failed(answer))
        continue
      }
      for (const id of answer.satisfied)
        place(outcomes, slice, id, this.#policies[Number(id)]?.outcome ?? SILENT)
      for (const { policyId, error } of answer.errors)
        place(outcomes, slice, policyId, failed(error.message))
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
    this.#answers?.clear()
  }

  #ask(group: Group, document: unknown): Answer | string {
    const request = group.requestFor(document)
    const key = `${group.name} ${JSON.stringify(request)}`
    const satisfied = this.#answers?.get(key)
    if (satisfied !== undefined) return { satisfied, errors: [] }
    const answer = this.#askCedar(group, request)
    if (typeof answer !== 'string' && answer.errors.length === 0 && key.length <= LONGEST_REQUEST)
      this.#answers?.set(key, answer.satisfied)
    return answer
  }

  #askCedar(group: Group, request: CedarRequest): Answer | string {
    try {
      const answer = cedar.statefulIsAuthorized({
        ...request,
        preparsedPolicySetId: this.#prepared(group),
        validateRequest: false,
      } as unknown as CedarWasm.StatefulAuthorizationCall)
      if (answer.type === 'failure') return answer.errors[0]?.message ?? 'Cedar gave no answer'
      const { decision, diagnostics } = answer.response
      const { reason, errors } = diagnostics
      // Cedar tells of no other statement then.
      if (decision === 'deny' && reason.length > 0) return 'a statement was asked as a forbid'
      return { satisfied: reason, errors }
    } catch (error) {
      return error instanceof Error ? `Cedar failed: ${error.message}` : 'Cedar failed'
    }
  }

  #sliceOf(indexes: readonly number[]): Slice {
    const known = this.#slices.get(indexes)
    if (known !== undefined) return known
    const slice = {
      ...this.#groupOf(indexes),
      cells: this.#cellsOf(indexes),
      places: new Map(indexes.map((index, at) => [String(index), at])),
      asked: 0,
    }
    this.#slices.set(indexes, slice)
    return slice
  }

  /** The cells that these statements are all of; none where some of a cell are left out. */
  #cellsOf(indexes: readonly number[]): readonly Group[] {
    const cells = new Set(indexes.flatMap((index) => this.#cells[index] ?? []))
    const size = [...cells].reduce((sum, cell) => sum + cell.indexes.length, 0)
    return size === indexes.length ? [...cells] : []
  }

  #groupOf(indexes: readonly number[]): Group {
    const policies = indexes.flatMap((index) => this.#policies[index] ?? [])
    const key = indexes.join()
    let requestFor: Group['requestFor'] | undefined
    return {
      key,
      name: key.length <= LONGEST_NAME ? key : createHash('sha256').update(key).digest('base64'),
      indexes,
      requestFor: (document) => {
        requestFor ??= requestMaker(policies.map(looksOf))
        return requestFor(document)
      },
    }
  }

  /** The name of a group's set in the wasm. */
  #prepared({ key, indexes }: Group): string {
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

function rememberedAnswers(): LRUCache<string, readonly string[]> {
  return new LRUCache({
    maxSize: REMEMBERED_BYTES,
    sizeCalculation: (satisfied, key) => 2 * key.length + 16 * satisfied.length + 200,
  })
}

function place(
  outcomes: PolicyOutcome[],
  { places }: Slice,
  id: string,
  outcome: PolicyOutcome,
): void {
  const at = places.get(id)
  if (at !== undefined) outcomes[at] = outcome
}
