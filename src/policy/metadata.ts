// The annotations of a policy, checked: one set of rules for Rego METADATA and Cedar annotations.

import type { Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { MODES, type Obligation, SEVERITIES } from '../model/decision.ts'
import { type PolicyMetadata, SCOPE_KEYS, type Scope } from '../model/policy.ts'

/** Annotations as their author wrote them, texts or parsed YAML. */
export interface RawMetadata {
  readonly id?: unknown
  readonly name?: unknown
  readonly description?: unknown
  readonly version?: unknown
  readonly priority?: unknown
  readonly severity?: unknown
  readonly mode?: unknown
  readonly scope?: unknown
  readonly framework?: unknown
  readonly article?: unknown
  readonly explanation?: unknown
}

export interface PolicyOrigin {
  readonly language: 'rego' | 'cedar'
  readonly file: string
  readonly defaultId: string
  readonly reads: readonly string[]
  /** Its source, or those annotations that can oblige. */
  readonly text: string
  readonly line?: number
}

const DEFAULT_PRIORITY = 100
const MAX_ID = 256
/** Ids stand in lines of logs, tables and headers. */
const CONTROL = /\p{Cc}/u
const MAX_EXPLANATION = 1000
/** What an explanation may name: the service, what may be used instead, the reason, what was done. */
const EXPLANATION_PLACES = ['service', 'alternative', 'reason', 'action'] as const

/** The metadata, or what is wrong with it; `problem` places a message in the policy's file, at a key. */
export function readMetadata(
  raw: RawMetadata,
  origin: PolicyOrigin,
  problem: (message: string, key: string) => Problem,
): PolicyMetadata | readonly Problem[] {
  const problems: Problem[] = []
  const word = <const T extends string>(
    key: string,
    value: unknown,
    words: readonly T[],
    fallback: T,
  ): T => {
    if (value === undefined) return fallback
    const found = words.find((candidate) => candidate === value)
    if (found === undefined)
      problems.push(problem(`${key} must be one of ${words.join(', ')}`, key))
    return found ?? fallback
  }
  const id = textOf(raw.id) ?? origin.defaultId
  const isName =
    textOf(raw.id) !== undefined && id !== '' && id.length <= MAX_ID && !CONTROL.test(id)
  if (raw.id !== undefined && !isName)
    problems.push(
      problem(`id must be a text of 1 to ${MAX_ID} characters, no control characters`, 'id'),
    )
  const metadata: PolicyMetadata = {
    id,
    name: textOf(raw.name) ?? id,
    language: origin.language,
    file: origin.file,
    ...(origin.line === undefined ? {} : { line: origin.line }),
    priority: priorityOf(raw.priority, (message) => problems.push(problem(message, 'priority'))),
    severity: word('severity', raw.severity, SEVERITIES, 'medium'),
    mode: word('mode', raw.mode, MODES, 'enforce'),
    scope: scopeOf(raw.scope, (message, key) => problems.push(problem(message, key))),
    reads: origin.reads,
    ...(mayRedact(origin.text) ? { redacts: true } : {}),
    ...optional('version', raw.version),
    ...optional('description', raw.description),
    ...optional('framework', raw.framework),
    ...optional('article', raw.article),
    ...explanationOf(raw.explanation, (message) => problems.push(problem(message, 'explanation'))),
  }
  return problems.length > 0 ? problems : metadata
}

/** Obligations may be built from data, and then the text does not name them. */
function mayRedact(text: string): boolean {
  return text.includes('redact') || (text.includes('obligations') && /\bdata\./.test(text))
}

/** Obligations from data: objects with a `type`; `parameters` is an object, absent means none. Undefined: broken. */
export function readObligations(value: unknown): readonly Obligation[] | undefined {
  if (!Array.isArray(value)) return undefined
  const obligations: Obligation[] = []
  for (const item of value as unknown[]) {
    if (!isObject(item)) return undefined
    const { type, parameters = {} } = item
    if (typeof type !== 'string' || type === '' || !isObject(parameters)) return undefined
    obligations.push({ type, parameters })
  }
  return obligations
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function priorityOf(value: unknown, wrong: (message: string) => void): number {
  if (value === undefined) return DEFAULT_PRIORITY
  const number = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 1000)
    return number
  wrong('priority must be a whole number from 0 to 1000')
  return DEFAULT_PRIORITY
}

function scopeOf(value: unknown, wrong: (message: string, key: string) => void): Scope {
  if (value === undefined || value === null) return {}
  if (!isObject(value)) {
    wrong('scope must be a map of lists', 'scope')
    return {}
  }
  const scope: Record<string, readonly string[]> = {}
  for (const [key, list] of Object.entries(value)) {
    if (!(SCOPE_KEYS as readonly string[]).includes(key))
      wrong(`scope has no key "${key}"${didYouMean(key, SCOPE_KEYS)}`, key)
    else if (list === null) scope[key] = []
    else if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
      wrong(`scope.${key} must be a list of texts`, key)
    else scope[key] = list
  }
  return scope
}

/** A text for the person; what stands in braces must be a place that is filled in. */
function explanationOf(
  value: unknown,
  wrong: (message: string) => void,
): { readonly explanation?: string } {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'string' || value.trim() === '' || value.length > MAX_EXPLANATION) {
    wrong(`explanation must be a text of 1 to ${MAX_EXPLANATION} characters`)
    return {}
  }
  for (const [, place = ''] of value.matchAll(/\{(\w+)\}/g))
    if (!(EXPLANATION_PLACES as readonly string[]).includes(place))
      wrong(
        `explanation has a place {${place}}${didYouMean(place, EXPLANATION_PLACES)}; there are ${EXPLANATION_PLACES.map((each) => `{${each}}`).join(', ')}`,
      )
  return { explanation: value.trim() }
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : undefined
}

function optional<K extends string>(key: K, value: unknown): Partial<Record<K, string>> {
  const text = textOf(value)
  return text === undefined ? {} : ({ [key]: text } as Partial<Record<K, string>>)
}
