// The fields of an input document: of which kind they are, and what a request looks like where nothing is asked of it.

import { isObject } from '../metadata.ts'

export interface Field {
  readonly kind: 'text' | 'flag' | 'whole' | 'texts' | 'findings'
  /** Of whole numbers; the directory, the catalogue and the clock give no others. */
  readonly least?: number
  readonly most?: number
}

const text: Field = { kind: 'text' }
const flag: Field = { kind: 'flag' }
const texts: Field = { kind: 'texts' }
const score: Field = { kind: 'whole', least: 0, most: 100 }

const FIELDS: Readonly<Record<string, Field>> = {
  action: text,
  'user.id': text,
  'user.name': text,
  'user.email': text,
  'user.known': flag,
  'user.status': text,
  'user.department.id': text,
  'user.department.name': text,
  'user.department.path': texts,
  'user.groups': texts,
  'user.roles': texts,
  'user.employee_type': text,
  'user.job_title': text,
  'user.risk_score': score,
  'user.clearance_level': text,
  'resource.type': text,
  'resource.id': text,
  'resource.name': text,
  'resource.vendor': text,
  'resource.category': text,
  'resource.known': flag,
  'resource.ai': flag,
  'resource.approval_status': text,
  'resource.risk_tier': text,
  'resource.risk_score': score,
  'resource.capabilities': texts,
  'resource.certifications': texts,
  'resource.data_handling': text,
  'resource.data_regions': texts,
  'resource.host': text,
  'resource.path': text,
  'resource.method': text,
  'resource.model': text,
  'content.classified': flag,
  'content.parsed': flag,
  'content.truncated': flag,
  'content.bytes': { kind: 'whole', least: 0 },
  'content.stream': flag,
  'content.findings': { kind: 'findings' },
  'content.finding_types': texts,
  'content.finding_categories': texts,
  'content.data_classification': texts,
  'context.source': text,
  'context.ip_address': text,
  'context.network': text,
  'context.user_agent': text,
  'context.ja4': text,
  'context.location_type': text,
  'context.geo_location': text,
  'context.tenant': text,
  'context.risk.score': score,
  'context.risk.level': text,
  'context.time.epoch_ms': { kind: 'whole', least: 0 },
  'context.time.hour': { kind: 'whole', least: 0, most: 23 },
  'context.time.weekday': { kind: 'whole', least: 1, most: 7 },
  'context.time.date': text,
}

/** Of an item of a finding too: `content.findings.#1.count`. */
export function fieldOf(path: string): Field | undefined {
  if (Object.hasOwn(FIELDS, path)) return FIELDS[path]
  const item = /^content\.findings\.#\w+\.(type|category|count)$/.exec(path)?.[1]
  if (item === 'count') return { kind: 'whole', least: 1 }
  if (item !== undefined) return text
  return /^(?:user|resource|content)\.\w+(?:\.path)?\.#\w+$/.test(path) ? text : undefined
}

/** Somebody sends a prompt to a known AI service, in working hours. */
export function plainDocument(): Record<string, unknown> {
  return {
    user: {
      id: 'u-1',
      name: 'somebody',
      known: true,
      status: 'active',
      department: { name: 'Somewhere', path: ['Somewhere'] },
      groups: [],
      roles: [],
    },
    action: 'send_prompt',
    resource: {
      type: 'ai_service',
      id: 'some-service',
      name: 'Some service',
      category: 'chatbot',
      known: true,
      ai: true,
      approval_status: 'approved',
      capabilities: [],
      certifications: [],
      data_regions: [],
      host: 'service.example',
    },
    context: {
      source: 'proxy',
      time: { epoch_ms: 1_772_445_600_000, hour: 10, weekday: 1, date: '2026-03-02' },
      tenant: 'default',
    },
  }
}

/** Of content that nobody says anything about. */
function plainContent(): Record<string, unknown> {
  return {
    classified: true,
    parsed: true,
    truncated: false,
    bytes: 100,
    findings: [],
    finding_types: [],
    finding_categories: [],
    data_classification: [],
  }
}

export function valueAt(document: unknown, path: string): unknown {
  let value = document
  for (const part of path.split('.'))
    value = isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined
  return value
}

/** Sets a field, making what it lies in. */
export function setAt(document: Record<string, unknown>, path: string, value: unknown): void {
  const parts = path.split('.')
  const last = parts.pop() ?? ''
  let at = document
  for (const [index, part] of parts.entries()) {
    const inner = Object.hasOwn(at, part) ? at[part] : undefined
    const next = isObject(inner) ? inner : index === 0 && part === 'content' ? plainContent() : {}
    define(at, part, next)
    at = next
  }
  define(at, last, last === 'content' && parts.length === 0 ? plainContent() : value)
}

export function removeAt(document: Record<string, unknown>, path: string): void {
  const parts = path.split('.')
  const last = parts.pop() ?? ''
  const inside = parts.length === 0 ? document : valueAt(document, parts.join('.'))
  if (isObject(inside)) delete inside[last]
}

/** Not an assignment: a key may be called __proto__. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

export function findingWith(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { type: 'email', category: 'pii', count: 1, confidence: 1, ...fields }
}

/** What content must be for its parts to fit together: types and categories are those of the findings. */
export function withTypesOfFindings(document: Record<string, unknown>): void {
  const content = document['content']
  if (!isObject(content)) return
  const findings = listOf(content['findings']).filter(isObject)
  const unite = (key: string, of: string): void => {
    const own = listOf(content[key])
    const found = findings.map((finding) => finding[of]).filter((each) => typeof each === 'string')
    if (Array.isArray(content[key])) content[key] = [...new Set([...own, ...found])]
  }
  unite('finding_types', 'type')
  unite('finding_categories', 'category')
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}
