// `cordon policy eval`: one policy input document a line in, one Decision a line out, in order.
//
// Documents come from anywhere: anything may be absent or oddly typed. What is no JSON object is answered
// with `{"error"}` in its place. A door's abilities and a point's mode do not enter; ids carry no meaning.

import { parseExact, stringifyExact } from '../base/exact-json.ts'
import type { Decision, Verdict } from '../model/decision.ts'
import { FINDING_CATEGORIES, type Finding, type FindingCategory } from '../model/finding.ts'
import { isObject } from './metadata.ts'

/** What a policy set offers here; `json` is the document as it was written, with exact numbers. */
export interface Judge {
  readonly revision: string
  decide(document: unknown, json?: Uint8Array): Verdict
}

export interface EvalOptions {
  readonly policies: Judge
  readonly ids: { next(): string }
}

const MAX_LINE_CHARS = 16 * 1024 * 1024
const TTL_SECONDS = 30
/** Escapes that may be half a pair: such a document is written anew. */
const SURROGATE = /\\u[dD][89a-fA-F]/

/** The answer to a line, as JSON without a line end. */
export function evaluateLine(line: string, { policies, ids }: EvalOptions): string {
  const started = performance.now()
  const read = readLine(line)
  if (typeof read === 'string') return JSON.stringify({ error: read })
  const { document, json } = read
  const verdict = policies.decide(document, json)
  const elapsedUs = Math.round((performance.now() - started) * 1000)
  return stringifyExact(decisionOf(document, verdict, policies.revision, ids.next(), elapsedUs))
}

/** The document of a line, and how it was written where that can be kept; a text says what is wrong with the line. */
export function readLine(
  line: string,
): { readonly document: Record<string, unknown>; readonly json: Uint8Array | undefined } | string {
  const document = documentOf(line)
  if (typeof document === 'string') return document
  return { document, json: SURROGATE.test(line) ? undefined : Buffer.from(line) }
}

function documentOf(line: string): Record<string, unknown> | string {
  if (line.length > MAX_LINE_CHARS) return `longer than ${MAX_LINE_CHARS} characters`
  let value: unknown
  try {
    value = parseExact(line)
  } catch (error) {
    return error instanceof Error ? error.message : 'malformed'
  }
  return isObject(value) ? value : 'an input document is a JSON object'
}

function decisionOf(
  document: Readonly<Record<string, unknown>>,
  verdict: Verdict,
  revision: string,
  id: string,
  elapsedUs: number,
): Decision {
  const content = isObject(document['content']) ? document['content'] : {}
  const findings = findingsOf(content['findings'])
  return {
    decision_id: id,
    decision: verdict.decision,
    reason: verdict.reason,
    confidence: findings.reduce((least, { confidence }) => Math.min(least, confidence), 1),
    risk_score: null,
    primary_policy_id: verdict.primary_policy_id,
    policies_evaluated: verdict.policies_evaluated,
    obligations: verdict.obligations,
    service: serviceOf(document['resource']),
    findings,
    review_id: null,
    exception_id: null,
    would_be: verdict.would_be,
    ttl: verdict.read_content && document['content'] !== undefined ? 0 : TTL_SECONDS,
    revision,
    evaluation_us: elapsedUs,
  }
}

function serviceOf(resource: unknown): Decision['service'] {
  if (!isObject(resource)) return null
  const { id, name } = resource
  if (typeof id !== 'string') return null
  return { id, name: typeof name === 'string' ? name : id }
}

/** The findings that are whole; policies saw the others too. */
function findingsOf(value: unknown): readonly Finding[] {
  if (!Array.isArray(value)) return []
  return (value as unknown[]).flatMap((item) => {
    if (!isObject(item)) return []
    const { type, category, count = 1, confidence = 1 } = item
    return typeof type === 'string' &&
      isCategory(category) &&
      typeof count === 'number' &&
      typeof confidence === 'number'
      ? [{ type, category, count, confidence }]
      : []
  })
}

function isCategory(value: unknown): value is FindingCategory {
  return (FINDING_CATEGORIES as readonly unknown[]).includes(value)
}
