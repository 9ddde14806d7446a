// Cedar policies: parsed and validated once, evaluated so that every satisfied statement is told.
//
// Cedar itself reports only the ids of the winning effect, and skips statements that err. So permits and
// forbids lie in sets of their own, each of which names all that are satisfied, and errors are told.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { Problem } from '../../base/errors.ts'
import { didYouMean } from '../../base/nearest.ts'
import type { Effect, Obligation } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import { type Engine, type EngineInput, failed, type PolicyOutcome, SILENT } from '../engine.ts'
import type { SourceFile } from '../folder.ts'
import { readMetadata, readObligations } from '../metadata.ts'
import { cedarRequest } from './entities.ts'
import { readsOfCedar } from './reads.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

const ANNOTATIONS = [
  'id',
  'name',
  'version',
  'priority',
  'severity',
  'mode',
  'reason',
  'obligations',
  'framework',
  'article',
  'decision',
  'description',
]

export interface CedarPolicy {
  readonly metadata: PolicyMetadata
  readonly text: string
  readonly isForbid: boolean
  readonly outcome: PolicyOutcome
}

export const CEDAR_SCHEMA = readFileSync(join(import.meta.dirname, 'schema.cedarschema'), 'utf8')

export class CedarEngine implements Engine {
  readonly policies: readonly PolicyMetadata[]
  readonly #policies: readonly CedarPolicy[]
  readonly #sets: { readonly id: string; readonly isForbid: boolean }[] = []

  /** The policies must be valid: `readCedar` says so. */
  constructor(policies: readonly CedarPolicy[]) {
    this.#policies = policies
    this.policies = policies.map(({ metadata }) => metadata)
    for (const isForbid of [true, false]) {
      const members = policies.flatMap((policy, index) =>
        policy.isForbid === isForbid ? [[`p${index}`, policy.text]] : [],
      )
      if (members.length === 0) continue
      // The wasm keeps prepared sets by name for the whole thread: the same set takes the same name again.
      const id = createHash('sha256').update(JSON.stringify(members)).digest('hex')
      const prepared = cedar.preparsePolicySet(id, {
        staticPolicies: Object.fromEntries(members) as Record<string, string>,
      })
      if (prepared.type === 'failure')
        throw new Error(prepared.errors[0]?.message ?? 'Cedar refuses the set')
      this.#sets.push({ id, isForbid })
    }
  }

  evaluate(indexes: readonly number[], { document }: EngineInput): readonly PolicyOutcome[] {
    const request = cedarRequest(document)
    const satisfied = new Set<string>()
    const errors = new Map<string, string>()
    const failedSets = new Map<boolean, string>()
    for (const { id, isForbid } of this.#sets) {
      if (!indexes.some((index) => this.#policies[index]?.isForbid === isForbid)) continue
      const answer = ask(id, request)
      if (typeof answer === 'string') failedSets.set(isForbid, answer)
      else {
        for (const policy of answer.reason) satisfied.add(policy)
        for (const { policyId, error } of answer.errors) errors.set(policyId, error.message)
      }
    }
    return indexes.map((index) => {
      const policy = this.#policies[index]
      if (policy === undefined) return failed('no such policy')
      const error = errors.get(`p${index}`) ?? failedSets.get(policy.isForbid)
      if (error !== undefined) return failed(error)
      return satisfied.has(`p${index}`) ? policy.outcome : SILENT
    })
  }
}

function ask(id: string, request: ReturnType<typeof cedarRequest>): CedarWasm.Diagnostics | string {
  try {
    const answer = cedar.statefulIsAuthorized({
      ...request,
      preparsedPolicySetId: id,
      validateRequest: false,
    } as unknown as CedarWasm.StatefulAuthorizationCall)
    return answer.type === 'success'
      ? answer.response.diagnostics
      : (answer.errors[0]?.message ?? 'Cedar gave no answer')
  } catch (error) {
    return error instanceof Error ? error.message : 'Cedar failed'
  }
}

/** The statements of a file as policies, or everything that is wrong with it. */
export function readCedar(file: SourceFile): readonly CedarPolicy[] | readonly Problem[] {
  const at = placesOf(file)
  const parsed = cedar.policySetTextToParts(file.text)
  if (parsed.type === 'failure') return parsed.errors.map((error) => at(error))
  const problems: Problem[] = parsed.policy_templates.map((template) => ({
    ...at({
      message: '',
      sourceLocations: [{ start: byteIndex(file.text, template), end: 0, label: null }],
    }),
    message: 'templates cannot be enforced: replace ?principal and ?resource',
  }))
  const policies: CedarPolicy[] = []
  let from = 0
  for (const [index, text] of parsed.policies.entries()) {
    const start = file.text.indexOf(text, from)
    from = Math.max(from, start + text.length)
    const problem = (message: string): Problem => ({
      ...placeAt(file, Math.max(0, start)),
      message,
    })
    const read = readStatement(text, `${basename(file.name)}:${index + 1}`, file.path, problem)
    if ('text' in read) policies.push(read)
    else problems.push(...read)
  }
  if (problems.length > 0) return problems
  const validated = cedar.validate({
    schema: CEDAR_SCHEMA,
    policies: { staticPolicies: file.text },
    validationSettings: { mode: 'strict' },
  })
  if (validated.type === 'failure') return validated.errors.map((error) => at(error))
  return validated.validationErrors.length > 0
    ? validated.validationErrors.map(({ error }) => at(error))
    : policies
}

function readStatement(
  text: string,
  defaultId: string,
  file: string,
  problem: (message: string) => Problem,
): CedarPolicy | readonly Problem[] {
  const parsed = cedar.policyToJson(text)
  if (parsed.type === 'failure') return parsed.errors.map(({ message }) => problem(message))
  const { effect, annotations = {} } = parsed.json
  const problems: Problem[] = []
  for (const name of Object.keys(annotations)) {
    if (!ANNOTATIONS.includes(name))
      problems.push(problem(`unknown annotation @${name}${didYouMean(name, ANNOTATIONS)}`))
  }
  const raw = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [key, value ?? '']),
  ) as Record<string, string>
  const metadata = readMetadata(
    raw,
    { language: 'cedar', file, defaultId, reads: readsOfCedar(parsed.json) },
    problem,
  )
  if (!('id' in metadata)) problems.push(...metadata)
  const answer = answerOf(effect, raw['decision'])
  if (answer === undefined)
    problems.push(
      problem(`@decision must be ${effect === 'forbid' ? '"review"' : '"none"'} on a ${effect}`),
    )
  const obligations = obligationsOf(raw['obligations'])
  if (obligations === undefined)
    problems.push(problem('@obligations must be a JSON list of objects with a type'))
  if (
    problems.length > 0 ||
    !('id' in metadata) ||
    answer === undefined ||
    obligations === undefined
  )
    return problems
  const reasons = raw['reason'] === undefined || raw['reason'] === '' ? [] : [raw['reason']]
  return {
    metadata,
    text,
    isForbid: effect === 'forbid',
    outcome: { effect: answer.effect, reasons, obligations, error: null },
  }
}

function answerOf(
  effect: 'permit' | 'forbid',
  decision: string | undefined,
): { effect: Effect | null } | undefined {
  if (decision === undefined) return { effect: effect === 'permit' ? 'ALLOW' : 'DENY' }
  if (effect === 'forbid' && decision === 'review') return { effect: 'REVIEW' }
  return effect === 'permit' && decision === 'none' ? { effect: null } : undefined
}

function obligationsOf(json: string | undefined): readonly Obligation[] | undefined {
  if (json === undefined) return []
  try {
    return readObligations(JSON.parse(json))
  } catch {
    return undefined
  }
}

interface CedarError {
  readonly message: string
  readonly help?: string | null
  readonly sourceLocations?: readonly {
    readonly start: number
    readonly end: number
    readonly label: string | null
  }[]
}

/** Cedar tells places in bytes. */
function placesOf(file: SourceFile): (error: CedarError) => Problem {
  const bytes = Buffer.from(file.text)
  return ({ message, help, sourceLocations }) => {
    const start = sourceLocations?.[0]?.start ?? 0
    const plain = message
      .replace(/^for policy `[^`]*`, /, '')
      .replace(/^failed to parse policies from string: /, '')
    return {
      ...placeAt(file, bytes.subarray(0, start).toString('utf8').length),
      message: help == null ? plain : `${plain} (${help})`,
    }
  }
}

function placeAt(
  { path, text }: SourceFile,
  index: number,
): { file: string; line: number; column: number } {
  const before = text.slice(0, index).split('\n')
  return { file: path, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

function byteIndex(text: string, part: string): number {
  return Buffer.byteLength(text.slice(0, Math.max(0, text.indexOf(part))))
}
