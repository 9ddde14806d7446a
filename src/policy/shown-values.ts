// Which values of an input document an explanation may show: those that a record keeps.
//
// What records leave out stays out here too: the text, what files are called, query strings, names in which something
// was found, and under `ledger.pseudonymous` whatever tells a person. A value that was found is in no document.

import { stringifyExact } from '../base/exact-json.ts'
import type { ReadValue } from '../model/explanation.ts'
import { isObject } from './metadata.ts'
import { PERSONAL_PATHS } from './recorded-input.ts'

export interface Showing {
  /** Paths that the record left out. */
  readonly masked?: readonly string[]
  /** People are shown by pseudonyms. */
  readonly pseudonymous?: boolean
}

const MAX_VALUES = 64
const MAX_CHARS = 256
const MAX_ITEMS = 20

/** What Cordon builds, and so what a record may have. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  user: [
    'id',
    'name',
    'email',
    'known',
    'status',
    'department',
    'groups',
    'roles',
    'employee_type',
    'job_title',
    'risk_score',
    'clearance_level',
    'attributes',
  ],
  resource: [
    'type',
    'id',
    'name',
    'vendor',
    'category',
    'known',
    'ai',
    'approval_status',
    'risk_tier',
    'risk_score',
    'capabilities',
    'certifications',
    'data_handling',
    'data_regions',
    'host',
    'path',
    'method',
    'model',
  ],
  content: [
    'classified',
    'parsed',
    'truncated',
    'bytes',
    'findings',
    'finding_types',
    'finding_categories',
    'data_classification',
    'stream',
    'tools',
    'attachments',
  ],
  context: [
    'source',
    'ip_address',
    'network',
    'device',
    'user_agent',
    'ja4',
    'location_type',
    'geo_location',
    'asset',
    'time',
    'budget',
    'risk',
    'risk_score',
    'tenant',
  ],
}
const FINDING = ['type', 'category', 'count', 'confidence']
const ATTACHMENT = ['kind', 'media_type', 'bytes', 'searched']

/** Paths that tell a person. */
const PERSONAL: readonly string[] = ['user.id', ...PERSONAL_PATHS]

const UNKNOWN = 'records do not keep it'
const FOUND = 'something was found in this request, and a name may hold it'
const MASKED = 'the record does not have it'
const PSEUDONYMOUS = 'people are shown by pseudonyms'

/** The values at the paths that a policy reads, as far as they may be shown; the first 64 of them. */
export function shownValues(
  document: unknown,
  reads: readonly string[],
  showing: Showing,
): readonly ReadValue[] {
  const sections = reads.flatMap((path) =>
    path === '' ? ['action', ...Object.keys(KEPT)] : [path],
  )
  const fields = new Map(sections.flatMap(fieldsOf))
  return [...fields]
    .map(([path, isNamed]) => ({ isNamed, shown: shownValue(document, path, showing) }))
    .filter(({ isNamed, shown }) => isNamed || shown.absent !== true)
    .slice(0, MAX_VALUES)
    .map(({ shown }) => shown)
}

/** A section as a whole is shown by those of its fields that are there; `true`: the policy names the field itself. */
function fieldsOf(path: string): readonly (readonly [path: string, isNamed: boolean])[] {
  const keys = Object.hasOwn(KEPT, path) ? KEPT[path] : undefined
  return keys === undefined ? [[path, true]] : keys.map((key) => [`${path}.${key}`, false] as const)
}

function shownValue(document: unknown, path: string, showing: Showing): ReadValue {
  const parts = path.split('.')
  const [section = '', key] = parts
  if (path !== 'action' && (key === undefined || KEPT[section]?.includes(key) !== true))
    return { path, left_out: UNKNOWN }
  if (showing.pseudonymous === true && PERSONAL.some((each) => overlaps(each, path)))
    return { path, left_out: PSEUDONYMOUS }
  if (showing.masked?.some((each) => overlaps(each, path)) === true)
    return { path, left_out: MASKED }
  let value = document
  for (const part of parts)
    value = isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined
  if (value === undefined) return { path, absent: true }
  if ((path === 'resource.model' || path === 'content.tools') && hasFindings(document))
    return { path, left_out: FOUND }
  return { path, value: bounded(kept(path, value)) }
}

/** Whether one of two paths lies in the other. */
export function overlaps(one: string, other: string): boolean {
  return (
    one === other ||
    one === '' ||
    other === '' ||
    one.startsWith(`${other}.`) ||
    other.startsWith(`${one}.`)
  )
}

function kept(path: string, value: unknown): unknown {
  if (path === 'resource.path' && typeof value === 'string') return value.replace(/[?#].*$/s, '')
  if (path === 'content.findings') return items(value, FINDING)
  return path === 'content.attachments' ? items(value, ATTACHMENT) : value
}

function items(value: unknown, keys: readonly string[]): unknown {
  if (!Array.isArray(value)) return null
  return (value as unknown[]).map((item) =>
    isObject(item)
      ? Object.fromEntries(keys.flatMap((key) => (key in item ? [[key, item[key]]] : [])))
      : null,
  )
}

function hasFindings(document: unknown): boolean {
  const content = isObject(document) ? document['content'] : undefined
  const findings = isObject(content) ? content['findings'] : undefined
  return Array.isArray(findings) && findings.length > 0
}

/** Long lists and texts are cut, and say so. */
function bounded(value: unknown): unknown {
  if (typeof value === 'string')
    return value.length > MAX_CHARS ? `${value.slice(0, MAX_CHARS).toWellFormed()}...` : value
  if (Array.isArray(value)) {
    const list = value as unknown[]
    const first = list.slice(0, MAX_ITEMS).map(bounded)
    return list.length > MAX_ITEMS ? [...first, `... ${list.length - MAX_ITEMS} more`] : first
  }
  if (!isObject(value)) return value
  const text = stringifyExact(value)
  return text.length > MAX_CHARS * 8 ? `... ${text.length} characters of JSON` : value
}
