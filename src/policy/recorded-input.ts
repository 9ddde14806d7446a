// A recorded decision as replay and explanation read it: the input document that policies saw, and what of it is missing.
//
// The text of a record never changes and names nobody; what names somebody lies beside it and may have been erased.
// A path of the document that cannot be given back as it was is masked: who reads it cannot be told.

import { parseExact } from '../base/exact-json.ts'
import { type Decision, EFFECTS, MODES, type Mode } from '../model/decision.ts'
import { pseudonymOf } from '../model/person.ts'
import { type PersonalPart, type RecordedVerdict, SALT_BYTES } from '../model/record.ts'
import { isObject } from './metadata.ts'

/** As the store and an export with proof have it: the exact text, and the personal part with its salt, if it is there. */
export interface RecordedRow {
  readonly record: string
  readonly personal: Uint8Array | null
}

export interface RecordedInput {
  readonly document: Readonly<Record<string, unknown>>
  /** Dotted paths that policies saw and the document has not, or not as they were. */
  readonly masked: readonly string[]
}

/** A decision with what it was about. */
export interface Recorded extends RecordedInput {
  readonly decision_id: string
  /** Milliseconds since the epoch. */
  readonly time: number
  /** Key of the person, or the pseudonym where only that is known. */
  readonly person: string
  /** What the person is called, while that is kept. */
  readonly name: string | undefined
  readonly decision: RecordedDecision
  /** Of the enforcement point. */
  readonly mode: Mode
  /** What the policies said, where it is not the decision. */
  readonly verdict: RecordedVerdict | undefined
  /** Ids of the policies that an exception lifted; an empty one is the default. */
  readonly excepted: ReadonlySet<string> | undefined
  /** A former release made it, which did not tell what the policies said where something else was done. */
  readonly isFormer: boolean
}

export type RecordedDecision = Pick<
  Decision,
  'decision' | 'reason' | 'would_be' | 'primary_policy_id' | 'policies_evaluated' | 'obligations'
>

/** What lies in a personal part, by where it stands in the input document. */
export const PERSONAL_PATHS = [
  'user.name',
  'user.email',
  'user.employee_type',
  'user.job_title',
  'user.risk_score',
  'user.clearance_level',
  'user.attributes',
  'context.ip_address',
  'context.device',
  'context.user_agent',
  'context.geo_location',
  'context.asset',
] as const
/** Words that stand in a record's texts where a name stood (src/decision/nameless.ts). */
export const NAME_WORD = /\[(?:user\.(?:email|name|external_id)|login|ip_address|device)\]/

/** Undefined for what is no record of a decision. Pseudonymous: nothing of it tells who it was. */
export function readRecorded(row: RecordedRow, pseudonymous = false): Recorded | undefined {
  let record: unknown
  try {
    record = parseExact(row.record)
  } catch {
    return undefined
  }
  if (!isObject(record) || record['kind'] !== 'decision') return undefined
  const { decision, time, person_key: person, mode, verdict } = record
  if (!isDecision(decision) || typeof time !== 'number' || !isObject(record['input']))
    return undefined
  const personal = pseudonymous ? undefined : personalOf(row.personal)
  return {
    ...(pseudonymous ? withoutPerson(record) : inputOf(record, personal)),
    decision_id: decision.decision_id,
    time,
    person: typeof person === 'string' ? person : '',
    name: personal?.user?.name ?? personal?.login,
    decision,
    mode: isOneOf(MODES, mode) ? mode : 'enforce',
    verdict: isVerdict(verdict) ? (verdict as unknown as RecordedVerdict) : undefined,
    excepted: exceptedIn(record),
    isFormer: !Array.isArray(record['masked']),
  }
}

/** What an export of decisions has beside the columns, so that a replay needs no store. */
export function exportedInput(row: RecordedRow, pseudonymous: boolean): Record<string, unknown> {
  const recorded = readRecorded(row, pseudonymous)
  if (recorded === undefined) return {}
  const { person, document, masked, decision, excepted, isFormer } = recorded
  // Columns have no exact numbers; the record has.
  const verdict = recorded.verdict ?? (isFormer ? undefined : verdictIn(decision))
  return {
    person: pseudonymOf(person) ?? null,
    input: document,
    masked,
    verdict: verdict ?? null,
    excepted: excepted === undefined ? null : [...excepted],
    ...(isFormer ? { former_release: true } : {}),
  }
}

function verdictIn({
  decision,
  reason,
  primary_policy_id,
  obligations,
  would_be,
}: RecordedDecision): RecordedVerdict {
  return { decision, reason, primary_policy_id, obligations, would_be }
}

/**
 * A line of an export: of decisions, or of one with proof, which has other lines too. `no input`: of a release that did not
 * export input documents, or of another form.
 */
export function readExportLine(line: string): Recorded | 'no decision' | 'no input' | 'unreadable' {
  let value: unknown
  try {
    value = parseExact(line)
  } catch {
    return 'unreadable'
  }
  if (!isObject(value)) return 'unreadable'
  const { record, personal, decision_id: id, input } = value
  if (typeof record === 'string') {
    const part = typeof personal === 'string' ? Buffer.from(personal, 'base64') : null
    return readRecorded({ record, personal: part }) ?? 'no decision'
  }
  if (typeof id !== 'string') return 'no decision'
  if (input === undefined) return 'no input'
  return readExported(value) ?? 'unreadable'
}

function readExported(row: Readonly<Record<string, unknown>>): Recorded | undefined {
  const line: unknown = row
  if (!isDecision(line)) return undefined
  const { time, person, mode, input, verdict, excepted } = row
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(at) || !isObject(input)) return undefined
  const { name } = partOf(row, 'user')
  return {
    document: input,
    masked: listOf(row['masked']) ?? NONE,
    decision_id: line.decision_id,
    time: at,
    person: typeof person === 'string' ? person : '',
    name: typeof name === 'string' ? name : undefined,
    decision: line,
    mode: isOneOf(MODES, mode) ? mode : 'enforce',
    verdict: isVerdict(verdict) ? (verdict as unknown as RecordedVerdict) : undefined,
    excepted: Array.isArray(excepted) ? new Set(listOf(excepted)) : undefined,
    isFormer: row['former_release'] === true,
  }
}

/**
 * The document that policies saw. `record`: the text of a decision's record, parsed with exact integers; `personal`: its
 * personal part, undefined where it has none or it was erased.
 */
function inputOf(
  record: Readonly<Record<string, unknown>>,
  personal: PersonalPart | undefined,
): RecordedInput {
  const input = partOf(record, 'input')
  const [user, resource, context] = [
    partOf(input, 'user'),
    partOf(input, 'resource'),
    partOf(input, 'context'),
  ]
  const { user: person, path, model } = personal ?? {}
  const document = {
    ...input,
    user: { ...user, ...person },
    resource: {
      ...resource,
      ...(path === undefined ? {} : { path }),
      ...(model === undefined ? {} : { model }),
    },
    context: { ...context, ...circumstancesIn(personal) },
  }
  const isErased = personal === undefined && typeof record['personal_hash'] === 'string'
  const masked = [
    ...(listOf(record['masked']) ?? untold(input)),
    ...(isErased ? PERSONAL_PATHS : []),
    ...(path === undefined && isNameless(resource['path']) ? ['resource.path'] : []),
    ...(model === undefined && isNameless(resource['model']) ? ['resource.model'] : []),
  ]
  return { document, masked: masked.length === 0 ? NONE : [...new Set(masked)] }
}

const NONE: readonly string[] = []
const CIRCUMSTANCES = ['ip_address', 'device', 'user_agent', 'geo_location', 'asset'] as const

/** What of a personal part policies see in `context`. */
function circumstancesIn(personal: PersonalPart | undefined): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const name of CIRCUMSTANCES) if (personal?.[name] !== undefined) found[name] = personal[name]
  return found
}

/** The personal part in its bytes; undefined where there is none, or none that can be read. */
export function personalOf(bytes: Uint8Array | null): PersonalPart | undefined {
  if (bytes === null || bytes.length <= SALT_BYTES) return undefined
  try {
    const read = parseExact(Buffer.from(bytes.subarray(SALT_BYTES)).toString('utf8'))
    return isObject(read) ? read : undefined
  } catch {
    return undefined
  }
}

/** As if the person had been erased, and without their id: for those to whom people are shown by pseudonyms. */
function withoutPerson(record: Readonly<Record<string, unknown>>): RecordedInput {
  const { document, masked } = inputOf(record, undefined)
  const { id, ...user } = partOf(document, 'user')
  if (id === undefined) return { document, masked }
  return { document: { ...document, user }, masked: [...masked, 'user.id'] }
}

/** What a record of a former release may lack. */
function untold(input: Readonly<Record<string, unknown>>): readonly string[] {
  const { path, method } = partOf(input, 'resource')
  return [
    ...(path === undefined && method !== undefined && method !== 'CONNECT'
      ? ['resource.path']
      : []),
    ...(Array.isArray(partOf(input, 'content')['attachments'])
      ? ['content.attachments.filename']
      : []),
  ]
}

function exceptedIn(record: Readonly<Record<string, unknown>>): ReadonlySet<string> | undefined {
  const ids = listOf(partOf(record, 'excepted')['policies'])
  return ids === undefined ? undefined : new Set(ids)
}

function isNameless(text: unknown): boolean {
  return typeof text === 'string' && NAME_WORD.test(text)
}

function isDecision(value: unknown): value is Decision {
  return (
    isVerdict(value) &&
    typeof value['decision_id'] === 'string' &&
    isListOf(value['policies_evaluated'], (each) => typeof each['policy_id'] === 'string')
  )
}

/** Files come from anywhere: what is taken for a verdict has its form. */
function isVerdict(value: unknown): value is Record<string, unknown> {
  return (
    isObject(value) &&
    isOneOf(EFFECTS, value['decision']) &&
    (value['primary_policy_id'] === null || typeof value['primary_policy_id'] === 'string') &&
    (value['would_be'] === null || isOneOf(EFFECTS, value['would_be'])) &&
    typeof value['reason'] === 'string' &&
    isListOf(value['obligations'], (each) => typeof each['type'] === 'string')
  )
}

function isListOf(value: unknown, holds: (item: Record<string, unknown>) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => isObject(item) && holds(item))
}

function isOneOf<T>(words: readonly T[], value: unknown): value is T {
  return (words as readonly unknown[]).includes(value)
}

function partOf(value: Readonly<Record<string, unknown>>, key: string): Record<string, unknown> {
  const part = value[key]
  return isObject(part) ? part : {}
}

function listOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value)
    ? (value as unknown[]).filter((item) => typeof item === 'string')
    : undefined
}
