// What each Rego policy says of an input, by the convention of INTERFACES section 4.
//
// `decision` takes precedence; else `deny`, then `review`, then `allow`. All rules are evaluated: an
// error in any of them is an error of the policy. They are asked together (rule-functions.ts), over the part of
// the input that the policies of that shard can read.

import type { Effect, Obligation } from '../../model/decision.ts'
import { EFFECTS } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import {
  type Engine,
  type EngineInput,
  failed,
  type PolicyDetail,
  type PolicyOutcome,
  SILENT,
} from '../engine.ts'
import { isObject, readObligations } from '../metadata.ts'
import { type ReadTree, readTree } from '../projection.ts'
import { BUDGET_MS, type Quarantine, type QuarantineListener } from '../quarantine.ts'
import { InputImage } from './input-image.ts'
import type { CompiledPolicy } from './manifest.ts'
import { ruleName } from './rule-functions.ts'
import type { Answer, RuleFailure, Shard, ShardFailure } from './wasm.ts'

export interface RegoPolicy {
  readonly metadata: PolicyMetadata
  readonly compiled: CompiledPolicy
  readonly shard: Shard
}

/** A policy that is asked, and what its last answer came to. */
interface Asked {
  readonly policy: RegoPolicy
  /** The functions that give its rules; undefined: the compiled form has not all of them. */
  readonly rules: readonly number[] | undefined
  /** For the quarantine. */
  readonly index: number
  answer: Answer | undefined
  outcome: PolicyOutcome
}

/** The policies of a list that lie in one shard. */
interface ShardQuestion {
  readonly shard: Shard
  readonly reads: ReadTree
  readonly asked: readonly { readonly at: number; readonly who: Asked }[]
}

export class RegoEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #asked: readonly Asked[]
  readonly #shards: ReadonlySet<Shard>
  readonly #quarantine: Quarantine | undefined
  readonly #questions = new WeakMap<readonly number[], readonly ShardQuestion[]>()

  constructor(policies: readonly RegoPolicy[], quarantine?: Quarantine) {
    this.policies = policies.map(({ metadata }) => metadata)
    this.#asked = policies.map((policy, index) => ({
      policy,
      rules: rulesOf(policy),
      index,
      answer: undefined,
      outcome: SILENT,
    }))
    this.#quarantine = quarantine
    this.#shards = new Set(policies.map(({ shard }) => shard))
    for (const shard of this.#shards) shard.hold()
  }

  onQuarantine(listener: QuarantineListener): void {
    if (this.#quarantine !== undefined) this.#quarantine.onChange = listener
  }

  /** Instances of shards that no other engine holds are freed. */
  close(): void {
    for (const shard of this.#shards) shard.letGo()
  }

  evaluate(indexes: readonly number[], input: EngineInput): readonly PolicyOutcome[] {
    let questions = this.#questions.get(indexes)
    if (questions === undefined) {
      questions = this.#questionsOf(indexes)
      this.#questions.set(indexes, questions)
    }
    const outcomes = indexes.map(() => NO_SUCH_POLICY)
    let seen: ShardInput = ''
    let reads: ReadTree | undefined
    for (const question of questions) {
      if (reads !== question.reads) {
        reads = question.reads
        seen = inputFor(reads, input)
      }
      this.#ask(question, seen, outcomes)
    }
    return outcomes
  }

  #questionsOf(indexes: readonly number[]): readonly ShardQuestion[] {
    const shards = new Map<Shard, { at: number; who: Asked }[]>()
    for (const [at, index] of indexes.entries()) {
      const who = this.#asked[index]
      if (who === undefined) continue
      const { shard } = who.policy
      const asked = shards.get(shard)
      if (asked === undefined) shards.set(shard, [{ at, who }])
      else asked.push({ at, who })
    }
    // Shards whose policies read the same are given the same text.
    const trees = new Map<string, ReadTree>()
    const questions = [...shards].map(([shard, asked]) => {
      const paths = new Set(asked.flatMap(({ who }) => who.policy.metadata.reads))
      const key = JSON.stringify([...paths].toSorted())
      const reads = trees.get(key) ?? readTree(paths)
      trees.set(key, reads)
      return { shard, asked, reads }
    })
    return [...trees.values()].flatMap((tree) => questions.filter(({ reads }) => reads === tree))
  }

  /** The input is parsed once in the shard; an error throws the instance away, so it must be set again. */
  #ask({ shard, asked }: ShardQuestion, input: ShardInput, into: PolicyOutcome[]): void {
    let problem: ShardFailure | undefined
    let isSet = false
    const quarantine = this.#quarantine
    const began = quarantine === undefined ? 0 : performance.now()
    for (const { at, who } of asked) {
      const held = quarantine?.problemOf(who.index)
      if (held !== undefined) {
        into[at] = failed(held)
        continue
      }
      if (!isSet) {
        problem = shard.setInput(input)
        isSet = true
      }
      const outcome: RegoOutcome = problem === undefined ? outcomeOf(who) : failed(problem.error)
      into[at] = outcome
      quarantine?.ran(who.index)
      if (outcome.isLimit === true) quarantine?.strike(who.index, outcome.error ?? 'a limit')
      if (problem === undefined && outcome.error !== null) isSet = false
    }
    if (quarantine !== undefined && performance.now() - began > BUDGET_MS)
      strikeSlow(shard, asked, input, quarantine)
    shard.rest()
  }

  detail(index: number, input: EngineInput): PolicyDetail {
    const asked = this.#asked[index]
    if (asked === undefined) return {}
    const { compiled, shard } = asked.policy
    return {
      rules: compiled.rules.map((rule) => {
        // Set anew for every rule: one that fails takes the instance with it.
        const problem = shard.setInput(input.json())
        if (problem !== undefined) return { rule, error: problem.error }
        const result = shard.evaluate(`${compiled.entrypoint}/${rule}`)
        if ('error' in result) return { rule, error: result.error }
        return 'value' in result ? { rule, value: result.value } : { rule }
      }),
    }
  }
}

const NO_SUCH_POLICY = failed('no such policy')

type ShardInput = Uint8Array | string | InputImage

/** As much of the input as is read. */
function inputFor(reads: ReadTree, input: EngineInput): ShardInput {
  const { part } = input
  return part === undefined
    ? input.json()
    : new InputImage(input.document, reads, () => part(reads))
}

/** An outcome; `isLimit`: the policy ran into a limit. */
type RegoOutcome = PolicyOutcome & { readonly isLimit?: true }

function rulesOf({
  shard,
  compiled: { answer, rules },
}: RegoPolicy): readonly number[] | undefined {
  const found = rules.flatMap((rule) => shard.ruleOf(ruleName(answer, rule)) ?? [])
  return found.length === rules.length ? found : undefined
}

function outcomeOf(who: Asked): RegoOutcome {
  const { policy, rules } = who
  if (rules === undefined) return failed('its compiled form has no answer of it')
  const answer = policy.shard.answer(rules, who.answer)
  if ('error' in answer) return failedOf(policy, answer)
  if (answer !== who.answer) {
    who.outcome = readAnswer(policy.compiled.rules, answer.values)
    who.answer = answer
  }
  return who.outcome
}

/** A limit is that of the policy; any other error is told with its rule. */
function failedOf({ compiled }: RegoPolicy, { error, isLimit, at }: RuleFailure): RegoOutcome {
  return isLimit ? { ...failed(error), isLimit } : failed(`${compiled.rules[at] ?? ''}: ${error}`)
}

/**
 * Something took long: each policy is run once more, by the time of the CPU, because a process that was not let run
 * is no policy's fault. What ran into a limit has its strike already.
 */
function strikeSlow(
  shard: Shard,
  asked: ShardQuestion['asked'],
  input: ShardInput,
  quarantine: Quarantine,
): void {
  for (const { who } of asked) {
    if (who.rules === undefined || quarantine.problemOf(who.index) !== undefined) continue
    if (shard.setInput(input) !== undefined) return
    const before = process.threadCpuUsage()
    const answer = shard.answer(who.rules, who.answer)
    const { user, system } = process.threadCpuUsage(before)
    const ms = (user + system) / 1000
    if (!('error' in answer) && ms > BUDGET_MS)
      quarantine.strike(who.index, `${Math.round(ms)} ms, where ${BUDGET_MS} ms are allowed`)
  }
}

/** `given`: the value of each rule in order. */
function readAnswer(rules: readonly string[], given: readonly unknown[]): PolicyOutcome {
  const values = new Map(rules.map((rule, at) => [rule, given[at]]))
  try {
    return read(values)
  } catch (error) {
    if (error instanceof WrongShape) return failed(error.message)
    throw error
  }
}

class WrongShape extends Error {}

function read(values: ReadonlyMap<string, unknown>): PolicyOutcome {
  const own = obligationsOf(values.get('obligations'))
  const reason = values.get('reason')
  const fallback = typeof reason === 'string' && reason !== '' ? [reason] : []
  // Every rule is read, so that a wrong shape shows even where another rule decides.
  const answers: { effect: Effect; reasons: readonly string[] }[] = []
  for (const [rule, effect] of [
    ['deny', 'DENY'],
    ['review', 'REVIEW'],
    ['allow', 'ALLOW'],
  ] as const) {
    const reasons = reasonsOf(rule, values.get(rule))
    if (reasons !== undefined) answers.push({ effect, reasons })
  }
  const decided = decisionOf(values.get('decision'))
  if (decided !== undefined) {
    const reasons = decided.reason === undefined ? fallback : [decided.reason]
    return {
      effect: decided.effect,
      reasons,
      obligations: [...decided.obligations, ...own],
      error: null,
    }
  }
  const [answer] = answers
  if (answer === undefined) return own.length === 0 ? SILENT : { ...SILENT, obligations: own }
  return {
    effect: answer.effect,
    reasons: answer.reasons.length > 0 ? answer.reasons : fallback,
    obligations: own,
    error: null,
  }
}

/** The reasons of a rule that holds, maybe none; undefined where it does not hold. */
function reasonsOf(rule: string, value: unknown): readonly string[] | undefined {
  if (value === undefined || value === false || value === null) return undefined
  if (value === true) return []
  if (typeof value === 'string') return value === '' ? undefined : [value]
  if (Array.isArray(value))
    return value.length === 0 ? undefined : value.filter((item) => typeof item === 'string')
  if (isObject(value)) return Object.keys(value).length === 0 ? undefined : Object.keys(value)
  throw new WrongShape(`${rule} must be a boolean, a text, or a set of reasons`)
}

function decisionOf(
  value: unknown,
): { effect: Effect; reason: string | undefined; obligations: readonly Obligation[] } | undefined {
  if (value === undefined) return undefined
  const { decision, reason, obligations } = isObject(value)
    ? value
    : { decision: value, reason: undefined, obligations: undefined }
  const effect = EFFECTS.find((candidate) => candidate === decision)
  if (effect === undefined) throw new WrongShape('decision must be "ALLOW", "DENY" or "REVIEW"')
  if (reason !== undefined && typeof reason !== 'string')
    throw new WrongShape('decision.reason must be a text')
  return {
    effect,
    reason: reason === '' ? undefined : reason,
    obligations: obligations === undefined ? [] : obligationsOf(obligations),
  }
}

function obligationsOf(value: unknown): readonly Obligation[] {
  if (value === undefined) return []
  const obligations = readObligations(value)
  if (obligations === undefined)
    throw new WrongShape('obligations must be a set of objects with a type')
  return obligations
}
