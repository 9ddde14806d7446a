// From the text of a Cedar file to policies, or everything that is wrong with it, with places.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { Problem } from '../../base/errors.ts'
import { parseExact } from '../../base/exact-json.ts'
import { didYouMean, nearest } from '../../base/nearest.ts'
import { atOnce, inSlices } from '../../base/pace.ts'
import type { Effect, Obligation } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyOutcome } from '../engine.ts'
import type { SourceFile } from '../folder.ts'
import { readMetadata, readObligations } from '../metadata.ts'
import { SharedValues } from '../shared-values.ts'
import type { ListLooks, Looks } from './entities.ts'
import { impliedScope, namedEntities } from './heads.ts'
import { listLooksOf, readsOfCedar } from './reads.ts'
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
  readonly lists: ListLooks
  /** What it says where it is satisfied. */
  readonly outcome: PolicyOutcome
}

/** What it looks at of a request. */
export function looksOf({ metadata, entities, lists }: CedarPolicy): Looks {
  return { reads: metadata.reads, entities, lists }
}

export interface CedarFile {
  readonly policies: readonly CedarPolicy[]
  readonly problems: readonly Problem[]
  /** Legal, but hardly what the author meant. */
  readonly warnings: readonly Problem[]
}

/** As JSON, which Cedar reads in a third of the time; it reads it whenever it validates. */
const CEDAR_SCHEMA = schemaOf(readFileSync(join(import.meta.dirname, 'schema.cedarschema'), 'utf8'))

/** Statements that are validated together: reading the schema costs as much as five, and nothing else runs meanwhile. */
const VALIDATED_AT_ONCE = 20

/** A valid statement, where it was read first, with what there is to be said of it. */
interface Known {
  readonly policy: CedarPolicy
  readonly warnings: readonly Remark[]
}

/** `at`: from the beginning of the statement. */
interface Remark {
  readonly at: number
  readonly message: string
}

/** Statements as they were read, shared by the revisions that hold them, wherever those lie. */
const KNOWN = new SharedValues<Known>()

/** A statement that is whole, and what its validator said of it as soon as it was asked. */
interface Part {
  readonly statement: Statement
  readonly policy: CedarPolicy
  /** Whether its id does not hang on where it stands. */
  readonly hasOwnId: boolean
  said: Said | undefined
}

interface Said {
  readonly problems: readonly Remark[]
  readonly warnings: readonly Remark[]
}

interface Parsed {
  readonly source: Source
  readonly parts: readonly Part[]
}

function schemaOf(text: string): CedarWasm.Schema {
  const read = cedar.schemaToJson(text)
  return read.type === 'success' ? read.json : text
}

/** Everything that is wrong comes out with its place; no policies then. */
export function readCedar(file: SourceFile): CedarFile {
  const [read = refused()] = atOnce(reading([file]))
  return read
}

/** The same for many files, in slices, in their order. */
export function readCedarFiles(files: readonly SourceFile[]): Promise<readonly CedarFile[]> {
  return inSlices(reading(files))
}

function* reading(files: readonly SourceFile[]): Generator<undefined, readonly CedarFile[]> {
  const read: (Parsed | CedarFile)[] = []
  let waiting: Part[] = []
  for (const file of files) {
    const parsed = yield* parsing(new Source(file))
    read.push(parsed)
    if ('parts' in parsed)
      for (const part of parsed.parts) if (part.said === undefined) waiting.push(part)
    while (waiting.length >= VALIDATED_AT_ONCE) {
      validate(waiting.slice(0, VALIDATED_AT_ONCE))
      waiting = waiting.slice(VALIDATED_AT_ONCE)
      yield
    }
  }
  validate(waiting)
  return read.map((each) => ('parts' in each ? fileOf(each) : each))
}

function refused(...problems: Problem[]): CedarFile {
  return { policies: [], problems, warnings: [] }
}

/** A file, and where its lines begin. */
class Source {
  readonly file: SourceFile
  #lines: readonly number[] | undefined

  constructor(file: SourceFile) {
    this.file = file
  }

  placeOf(index: number): { file: string; line: number; column: number } {
    const { path, text } = this.file
    const lines = (this.#lines ??= lineStarts(text))
    let line = 0
    for (let step = lines.length; step >= 1; step = Math.floor(step / 2))
      while ((lines[line + step] ?? Infinity) <= index) line += step
    const column = Array.from(text.slice(lines[line], index)).length + 1
    return { file: path, line: line + 1, column }
  }
}

function lineStarts(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

/** Stops after each statement. */
function* parsing(source: Source): Generator<undefined, Parsed | CedarFile> {
  const parts: Part[] = []
  const problems: Problem[] = []
  const statements = splitStatements(source.file.text)
  let next = statements.next()
  for (let number = 1; next.done !== true; number++) {
    const read = readStatement(source, next.value, number)
    if ('statement' in read) parts.push(read)
    else problems.push(...read)
    yield
    next = statements.next()
  }
  const end = next.value
  if (end?.message !== undefined)
    return refused({ ...source.placeOf(end.at), message: end.message })
  if (end === undefined && problems.length === 0) return { source, parts }
  // What breaks one statement may hang on another one: Cedar tells what is wrong with all of them.
  const broken = cedar.policySetTextToParts(source.file.text)
  if (broken.type === 'failure')
    return refused(
      ...broken.errors.map((each) => placed(source, 0, remarkOf(source.file.text, each))),
    )
  if (end !== undefined)
    problems.push({ ...source.placeOf(end.at), message: 'a statement ends with a semicolon' })
  return refused(...problems)
}

function fileOf({ source, parts }: Parsed): CedarFile {
  const told = (kind: keyof Said): readonly Problem[] =>
    distinct(
      parts.flatMap(({ statement, said }) =>
        (said?.[kind] ?? []).map((remark) => placed(source, statement.start, remark)),
      ),
    )
  const problems = told('problems')
  const policies = problems.length > 0 ? [] : parts.map(({ policy }) => policy)
  return { policies, problems, warnings: told('warnings') }
}

/** Strict: an attribute that may be absent must be tested with `has` first. */
function validate(parts: readonly Part[]): void {
  if (parts.length === 0) return
  const answer = cedar.validate({
    schema: CEDAR_SCHEMA,
    policies: {
      staticPolicies: Object.fromEntries(
        parts.map(({ statement: { text } }, id): [string, string] => [String(id), text]),
      ),
    },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure') {
    const [only] = parts
    // What is wrong with all of them together is told of the one that it is wrong with.
    if (parts.length > 1) for (const part of parts) validate([part])
    else if (only !== undefined)
      only.said = {
        problems: answer.errors.map((each) => remarkOf(only.statement.text, each)),
        warnings: [],
      }
    return
  }
  const { validationErrors, validationWarnings } = answer
  const errorsOf = Map.groupBy(validationErrors, ({ policyId }) => policyId)
  const warningsOf = Map.groupBy(validationWarnings, ({ policyId }) => policyId)
  for (const [id, part] of parts.entries()) {
    const remarks = (found: readonly CedarWasm.ValidationError[] = []): readonly Remark[] =>
      found.map(({ error }) => remarkOf(part.statement.text, error))
    part.said = {
      problems: remarks(errorsOf.get(String(id))),
      warnings: remarks(warningsOf.get(String(id))),
    }
    if (part.said.problems.length === 0) remember(part, part.said.warnings)
  }
}

function remember({ statement, policy, hasOwnId }: Part, warnings: readonly Remark[]): void {
  const parts = hasOwnId ? [statement.text] : [statement.text, policy.metadata.id]
  // Whoever reads it in passing does not take the place of what somebody holds.
  if (KNOWN.get(parts) !== undefined) return
  const known = { policy, warnings }
  KNOWN.set(parts, known)
  KNOWN.keep(known, policy)
}

/** The statement as it was read at another place: a revision may lie in a folder of its own. */
function elsewhere(source: Source, statement: Statement, defaultId: string): Part | undefined {
  const { text, start } = statement
  const found = KNOWN.get([text]) ?? KNOWN.get([text, defaultId])
  if (found === undefined) return undefined
  const { file, line } = source.placeOf(start)
  const policy = { ...found.policy, metadata: { ...found.policy.metadata, file, line } }
  // What was read first stays as long as anything that was made of it.
  KNOWN.keep(found, policy)
  return { statement, policy, hasOwnId: false, said: { problems: [], warnings: found.warnings } }
}

function readStatement(
  source: Source,
  statement: Statement,
  number: number,
): Part | readonly Problem[] {
  const { text, start, effectAt } = statement
  const defaultId = `${basename(source.file.name)}:${number}`
  const before = elsewhere(source, statement, defaultId)
  if (before !== undefined) return before
  const problem = (message: string, key?: string): Problem => {
    const at = key === undefined ? -1 : text.slice(0, effectAt).search(new RegExp(`@\\s*${key}\\b`))
    return placed(source, start, { at: Math.max(at, 0), message })
  }
  const parsed = cedar.policyToJson(text)
  if (parsed.type === 'failure') {
    return parsed.errors.map((error) =>
      placed(
        source,
        start,
        error.message.includes('template')
          ? { ...remarkOf(text, error), message: 'templates are refused: name the entity' }
          : remarkOf(text, error),
      ),
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
  const { file, line } = source.placeOf(start)
  const metadata = readMetadata(
    { ...pick(raw), scope: impliedScope(parsed.json) },
    {
      language: 'cedar',
      file,
      line,
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
  const policy = {
    metadata,
    text: `${text.slice(0, effectAt)}permit${text.slice(effectAt + 'permit'.length)}`,
    entities: namedEntities(parsed.json),
    lists: listLooksOf(parsed.json),
    outcome: { effect: answer.effect, reasons, obligations, error: null },
  }
  return { statement, policy, hasOwnId: raw['id'] !== undefined, said: undefined }
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

function placed(source: Source, start: number, { at, message }: Remark): Problem {
  return { ...source.placeOf(start + at), message }
}

/** What Cedar says of a text; it tells places in bytes. */
function remarkOf(
  text: string,
  { message, help, sourceLocations }: CedarWasm.DetailedError,
): Remark {
  const bytes = sourceLocations?.[0]?.start ?? 0
  const said = help === null ? message : `${message} (${help})`
  return {
    at: bytes === 0 ? 0 : Buffer.from(text).toString('utf8', 0, bytes).length,
    message: said
      .replaceAll(/for policy `\d+`, /g, '')
      .replace(/^failed to parse polic(?:y|ies) from string: /, '')
      .replace(/ in context for Cordon::Action::"[^"]*"/, ' in context'),
  }
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
