// What each Rego policy says of an input, by the convention of INTERFACES section 4.
//
// `decision` takes precedence; else `deny`, then `review`, then `allow`. All rules are evaluated: an
// error in any of them is an error of the policy.

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
import type { CompiledPolicy } from './compile.ts'
import type { Shard } from './wasm.ts'

export interface RegoPolicy {
  readonly metadata: PolicyMetadata
  readonly compiled: CompiledPolicy
  readonly shard: Shard
}

export class RegoEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #policies: readonly RegoPolicy[]

  constructor(policies: readonly RegoPolicy[]) {
    this.#policies = policies
    this.policies = policies.map(({ metadata }) => metadata)
  }

  evaluate(indexes: readonly number[], input: EngineInput): readonly PolicyOutcome[] {
    // The input is parsed once in each shard; an error throws the instance away, so it must be set again.
    const ready = new Map<Shard, string | undefined>()
    return indexes.map((index) => {
      const policy = this.#policies[index]
      if (policy === undefined) return failed('no such policy')
      const { shard } = policy
      if (!ready.has(shard)) ready.set(shard, shard.setInput(input.json()))
      const problem = ready.get(shard)
      if (problem !== undefined) return failed(problem)
      const outcome = outcomeOf(policy)
      if (outcome.error !== null) ready.delete(shard)
      return outcome
    })
  }

  detail(index: number, input: EngineInput): PolicyDetail {
    const policy = this.#policies[index]
    if (policy === undefined) return {}
    const { compiled, shard } = policy
    return {
      rules: compiled.rules.map((rule) => {
        // Set anew for every rule: one that fails takes the instance with it.
        const problem = shard.setInput(input.json())
        if (problem !== undefined) return { rule, error: problem }
        const result = shard.evaluate(`${compiled.entrypoint}/${rule}`)
        if ('error' in result) return { rule, error: result.error }
        return 'value' in result ? { rule, value: result.value } : { rule }
      }),
    }
  }
}

function outcomeOf({ compiled, shard }: RegoPolicy): PolicyOutcome {
  const values = new Map<string, unknown>()
  for (const rule of compiled.rules) {
    const result = shard.evaluate(`${compiled.entrypoint}/${rule}`)
    if ('error' in result) return failed(`${rule}: ${result.error}`)
    if ('value' in result) values.set(rule, result.value)
  }
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
