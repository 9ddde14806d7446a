// From the text of a Cedar file to policies, or everything that is wrong with it, with places.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { Problem } from '../../base/errors.ts'
import { parseExact } from '../../base/exact-json.ts'
import { didYouMean, nearest } from '../../base/nearest.ts'
import { Pace } from '../../base/pace.ts'
import type { Effect, Obligation } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyOutcome } from '../engine.ts'
import type { SourceFile } from '../folder.ts'
import { readMetadata, readObligations } from '../metadata.ts'
import { SharedValues } from '../shared-values.ts'
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

/** Statements that are validated together: reading the schema costs as much as some of them. */
const VALIDATED_AT_ONCE = 100

/** Files as they were read, shared by the revisions that hold their policies. */
const READ = new SharedValues<CedarFile>()

/** A file whose statements are whole, before Cedar has validated them. */
interface Parsed {
  readonly file: SourceFile
  readonly statements: readonly Statement[]
  readonly policies: readonly CedarPolicy[]
}

type Validated = Pick<CedarFile, 'problems' | 'warnings'>

export function readCedar(file: SourceFile): CedarFile {
  const parsed = parse(file)
  if (!('statements' in parsed)) return parsed
  return fileOf(parsed, validateOne(parsed))
}

/** The same for many files, in slices, in their order. */
export async function readCedarFiles(files: readonly SourceFile[]): Promise<readonly CedarFile[]> {
  const pace = new Pace()
  const read = new Map<SourceFile, CedarFile>()
  let batch: Parsed[] = []
  const validateBatch = (): void => {
    for (const [parsed, validated] of validate(batch))
      read.set(parsed.file, fileOf(parsed, validated))
    batch = []
  }
  for (const file of files) {
    const known = READ.get([file.name, file.text])
    const parsed = known === undefined ? parse(file) : movedTo(file, known)
    if (!('statements' in parsed)) read.set(file, parsed)
    else {
      batch.push(parsed)
      if (batch.reduce((sum, { statements }) => sum + statements.length, 0) >= VALIDATED_AT_ONCE)
        validateBatch()
    }
    await pace.point()
  }
  validateBatch()
  return files.flatMap((file) => {
    const found = read.get(file)
    if (found === undefined) return []
    const parts = [file.name, file.text]
    // Whoever reads it in passing does not take the place of what somebody holds.
    if (found.problems.length === 0 && READ.get(parts) === undefined) {
      READ.set(parts, found)
      for (const policy of found.policies) READ.keep(found, policy)
    }
    return [found]
  })
}

/** What was read at one place as if it had been read at another: a revision may lie in a folder of its own. */
function movedTo({ path }: SourceFile, read: CedarFile): CedarFile {
  const policies = read.policies.map((policy) => ({
    ...policy,
    metadata: { ...policy.metadata, file: path },
  }))
  return { policies, problems: [], warnings: [] }
}

function refused(...problems: Problem[]): CedarFile {
  return { policies: [], problems, warnings: [] }
}

function parse(file: SourceFile): Parsed | CedarFile {
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
  return problems.length > 0 ? refused(...problems) : { file, statements, policies }
}

function fileOf({ policies }: Parsed, validated: Validated): CedarFile {
  return { policies: validated.problems.length > 0 ? [] : policies, ...validated }
}

function validateOne(parsed: Parsed): Validated {
  return validate([parsed]).get(parsed) ?? { problems: [], warnings: [] }
}

/** Strict: an attribute that may be absent must be tested with `has` first. */
function validate(batch: readonly Parsed[]): ReadonlyMap<Parsed, Validated> {
  if (batch.length === 0) return new Map()
  const all = batch.flatMap((parsed) =>
    parsed.statements.map((statement) => ({ parsed, statement })),
  )
  const answer = cedar.validate({
    schema: CEDAR_SCHEMA,
    policies: {
      staticPolicies: Object.fromEntries(
        all.map(({ statement: { text } }, id): [string, string] => [String(id), text]),
      ),
    },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure') {
    // What is wrong with all of them together is told of the file that it is wrong with.
    if (batch.length > 1) return new Map(batch.map((parsed) => [parsed, validateOne(parsed)]))
    const [only] = batch
    return new Map(
      only === undefined
        ? []
        : [
            [
              only,
              { problems: answer.errors.map((each) => placed(only.file, 0, each)), warnings: [] },
            ],
          ],
    )
  }
  const told = new Map<Parsed, { problems: Problem[]; warnings: Problem[] }>(
    batch.map((parsed) => [parsed, { problems: [], warnings: [] }]),
  )
  for (const [kind, errors] of [
    ['problems', answer.validationErrors],
    ['warnings', answer.validationWarnings],
  ] as const) {
    for (const { policyId, error } of errors) {
      const found = all[Number(policyId)]
      if (found !== undefined)
        told.get(found.parsed)?.[kind].push(placed(found.parsed.file, found.statement.start, error))
    }
  }
  return new Map(
    [...told].map(([parsed, { problems, warnings }]) => [
      parsed,
      { problems: distinct(problems), warnings: distinct(warnings) },
    ]),
  )
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
