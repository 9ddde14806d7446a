// From the text of a Cedar file to policies, or everything that is wrong with it, with places.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { Problem } from '../../base/errors.ts'
import { parseExact } from '../../base/exact-json.ts'
import { didYouMean, nearest } from '../../base/nearest.ts'
import type { Effect, Obligation } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyOutcome } from '../engine.ts'
import type { SourceFile } from '../folder.ts'
import { readMetadata, readObligations } from '../metadata.ts'
import { impliedScope, namedEntities } from './heads.ts'
import { readsOfCedar } from './reads.ts'
import { splitStatements, type Statement } from './statements.ts'

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
  'explanation',
] as const

export interface CedarPolicy {
  readonly metadata: PolicyMetadata
  /**
   * The statement as a permit, whatever it was: Cedar names only the satisfied statements of the winning
   * effect, so all have the same one and what they mean is in `outcome`.
   */
  readonly text: string
  /** Entities that it names, as `entityKey` writes them. */
  readonly entities: readonly string[]
  /** What it says where it is satisfied. */
  readonly outcome: PolicyOutcome
}

export interface CedarFile {
  readonly policies: readonly CedarPolicy[]
  readonly problems: readonly Problem[]
  /** Legal, but hardly what the author meant. */
  readonly warnings: readonly Problem[]
}

const CEDAR_SCHEMA = readFileSync(join(import.meta.dirname, 'schema.cedarschema'), 'utf8')

export function readCedar(file: SourceFile): CedarFile {
  const refused = (...problems: Problem[]): CedarFile => ({ policies: [], problems, warnings: [] })
  const { statements, tooLarge } = splitStatements(file.text)
  if (tooLarge !== undefined)
    return refused({ ...placeAt(file, tooLarge.at), message: tooLarge.message })
  const parsed = cedar.policySetTextToParts(file.text)
  if (parsed.type === 'failure')
    return refused(...parsed.errors.map((each) => placed(file, 0, each)))
  const policies: CedarPolicy[] = []
  const problems: Problem[] = []
  for (const [index, statement] of statements.entries()) {
    const read = readStatement(file, statement, `${basename(file.name)}:${index + 1}`)
    if ('text' in read) policies.push(read)
    else problems.push(...read)
  }
  if (problems.length > 0) return refused(...problems)
  const validated = validate(file, statements)
  return { policies: validated.problems.length > 0 ? [] : policies, ...validated }
}

/** Strict: an attribute that may be absent must be tested with `has` first. */
function validate(
  file: SourceFile,
  statements: readonly Statement[],
): { problems: readonly Problem[]; warnings: readonly Problem[] } {
  const texts = statements.map(({ text }, index): [string, string] => [String(index), text])
  const answer = cedar.validate({
    schema: CEDAR_SCHEMA,
    policies: { staticPolicies: Object.fromEntries(texts) },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure')
    return { problems: answer.errors.map((each) => placed(file, 0, each)), warnings: [] }
  const place = ({ policyId, error }: CedarWasm.ValidationError): Problem =>
    placed(file, statements[Number(policyId)]?.start ?? 0, error)
  return {
    problems: distinct(answer.validationErrors.map(place)),
    warnings: distinct(answer.validationWarnings.map(place)),
  }
}

function readStatement(
  file: SourceFile,
  { text, start, effectAt }: Statement,
  defaultId: string,
): CedarPolicy | readonly Problem[] {
  const problem = (message: string, key?: string): Problem => {
    const at = key === undefined ? -1 : text.slice(0, effectAt).search(new RegExp(`@\\s*${key}\\b`))
    return { ...placeAt(file, start + Math.max(at, 0)), message }
  }
  const parsed = cedar.policyToJson(text)
  if (parsed.type === 'failure') {
    return parsed.errors.map((error) =>
      error.message.includes('template')
        ? { ...placed(file, start, error), message: 'templates are refused: name the entity' }
        : placed(file, start, error),
    )
  }
  const { effect, annotations = {} } = parsed.json
  const problems: Problem[] = []
  for (const name of Object.keys(annotations)) {
    // Cedar's annotations are free; what looks like one of ours mistyped is not.
    if (
      !(ANNOTATIONS as readonly string[]).includes(name) &&
      nearest(name, ANNOTATIONS) !== undefined
    )
      problems.push(problem(`unknown annotation @${name}${didYouMean(name, ANNOTATIONS)}`, name))
  }
  const raw = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [key, (value as string | null) ?? '']),
  ) as Readonly<Record<string, string>>
  const metadata = readMetadata(
    { ...pick(raw), scope: impliedScope(parsed.json) },
    {
      language: 'cedar',
      file: file.path,
      line: placeAt(file, start).line,
      defaultId,
      reads: readsOfCedar(parsed.json),
      text: `obligations ${raw['obligations'] ?? ''}`,
    },
    problem,
  )
  if (!('id' in metadata)) problems.push(...metadata)
  const answer = answerOf(effect, raw['decision'])
  if (answer === undefined)
    problems.push(problem('@decision is "review", or "none" on a permit', 'decision'))
  const obligations = obligationsOf(raw['obligations'])
  if (obligations === undefined)
    problems.push(problem('@obligations must be a JSON list of objects with a type', 'obligations'))
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
    text: `${text.slice(0, effectAt)}permit${text.slice(effectAt + 'permit'.length)}`,
    entities: namedEntities(parsed.json),
    outcome: { effect: answer.effect, reasons, obligations, error: null },
  }
}

/** Annotations that are metadata. `@scope` is none of Cedar's: the head is the scope. */
function pick(raw: Readonly<Record<string, string>>): Record<string, string> {
  const { scope: _, ...rest } = raw
  return rest
}

function answerOf(
  effect: 'permit' | 'forbid',
  decision: string | undefined,
): { effect: Effect | null } | undefined {
  if (decision === undefined) return { effect: effect === 'permit' ? 'ALLOW' : 'DENY' }
  if (decision === 'review') return { effect: 'REVIEW' }
  return effect === 'permit' && decision === 'none' ? { effect: null } : undefined
}

function obligationsOf(json: string | undefined): readonly Obligation[] | undefined {
  if (json === undefined) return []
  try {
    return readObligations(parseExact(json))
  } catch {
    return undefined
  }
}

/** Cedar tells places in bytes, from where the text that it was given begins. */
function placed(file: SourceFile, start: number, error: CedarWasm.DetailedError): Problem {
  const bytes = Buffer.from(file.text.slice(start))
  const offset = error.sourceLocations?.[0]?.start ?? 0
  const text = error.help === null ? error.message : `${error.message} (${error.help})`
  const message = text
    .replaceAll(/for policy `\d+`, /g, '')
    .replace(/^failed to parse polic(?:y|ies) from string: /, '')
    .replace(/ in context for Cordon::Action::"[^"]*"/, ' in context')
  return {
    ...placeAt(file, start + bytes.subarray(0, offset).toString('utf8').length),
    message,
  }
}

function placeAt(
  { path, text }: SourceFile,
  index: number,
): { file: string; line: number; column: number } {
  const before = text.slice(0, index).split('\n')
  return { file: path, line: before.length, column: Array.from(before.at(-1) ?? '').length + 1 }
}

/** The validator repeats itself for every action. */
function distinct(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Map<string, Problem>()
  for (const problem of problems)
    seen.set(`${problem.line}:${problem.column}:${problem.message}`, problem)
  return [...seen.values()].toSorted(
    (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  )
}
