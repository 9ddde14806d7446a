// The input document as Cedar sees it: principal, resource, context, by schema.cedarschema.
//
// A value of another type than the schema's is left out, as an absent one is: Cedar policies must test
// with `has` before they read, so leaving out is always safe. Long is exact to 64 bits.

import { isIPv4, isIPv6 } from 'node:net'
import { isObject } from '../metadata.ts'

export interface CedarRequest {
  readonly principal: EntityId
  readonly action: EntityId
  readonly resource: EntityId
  readonly context: Record<string, unknown>
  readonly entities: readonly {
    readonly uid: EntityId
    readonly attrs: Record<string, unknown>
    readonly parents: readonly EntityId[]
  }[]
}

interface EntityId {
  readonly type: string
  readonly id: string
}

type Convert = (value: unknown) => unknown
type Shape = Readonly<Record<string, Convert>>
type Fields = readonly (readonly [key: string, convert: Convert])[]

const MIN_LONG = -(2n ** 63n)
const MAX_LONG = 2n ** 63n - 1n

/** A lone surrogate has no place in UTF-8: replaced, as every UTF-8 writer does. */
const text: Convert = (value) => (typeof value === 'string' ? value.toWellFormed() : undefined)
const bool: Convert = (value) => (typeof value === 'boolean' ? value : undefined)
const texts: Convert = (value) =>
  Array.isArray(value) ? value.map(text).filter((item) => item !== undefined) : undefined
const long: Convert = (value) => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  return typeof value === 'bigint' && value >= MIN_LONG && value <= MAX_LONG
    ? JSON.rawJSON(value.toString())
    : undefined
}
/** Four digits after the point are what Cedar's decimal holds. */
const decimal: Convert = (value) =>
  typeof value === 'number' && Math.abs(value) < 900_000_000_000_000
    ? { __extn: { fn: 'decimal', arg: value.toFixed(4) } }
    : undefined
const address: Convert = (value) => {
  if (typeof value !== 'string') return undefined
  // Cedar's ipaddr takes no IPv4 inside IPv6.
  const [, plain = value] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(value) ?? []
  const [, host = plain, prefix = '0'] = /^([^/]*)\/(0|[1-9]\d{0,2})$/.exec(plain) ?? []
  const isValid = isIPv4(host)
    ? Number(prefix) <= 32
    : isIPv6(host) && !/[%.]/.test(host) && Number(prefix) <= 128
  return isValid ? { __extn: { fn: 'ip', arg: plain } } : undefined
}

const DEPARTMENT: Shape = { id: text, name: text, path: texts }
const USER: Shape = {
  id: text,
  name: text,
  email: text,
  known: bool,
  status: text,
  department: recordOf(DEPARTMENT),
  groups: texts,
  roles: texts,
  employee_type: text,
  job_title: text,
  risk_score: long,
  clearance_level: text,
}
const SERVICE: Shape = {
  type: text,
  id: text,
  name: text,
  vendor: text,
  category: text,
  known: bool,
  ai: bool,
  approval_status: text,
  risk_tier: text,
  risk_score: long,
  capabilities: texts,
  certifications: texts,
  data_handling: text,
  data_regions: texts,
  host: text,
  path: text,
  method: text,
  model: text,
}
const FINDING: Shape = { type: text, category: text, count: long, confidence: decimal }
const CONTENT: Shape = {
  classified: bool,
  parsed: bool,
  truncated: bool,
  bytes: long,
  stream: bool,
  findings: setOf(recordOf(FINDING)),
  finding_types: texts,
  finding_categories: texts,
  data_classification: texts,
}
const TIME: Shape = { epoch_ms: long, hour: long, weekday: long, date: text }
const FACTORS: Shape = {
  user: long,
  service: long,
  data: long,
  device: long,
  history: long,
  time: long,
}
const RISK: Shape = { score: long, level: text, own_score: long, factors: recordOf(FACTORS) }
const CONTEXT: Shape = {
  source: text,
  ip_address: address,
  network: text,
  user_agent: text,
  location_type: text,
  geo_location: text,
  tenant: text,
  time: recordOf(TIME),
  risk: recordOf(RISK),
}

const UNKNOWN = 'unknown'

/** Makes requests with what a set of statements can look at, because Cedar takes time for every value. */
export function requestMaker(
  reads: readonly string[],
  entities: ReadonlySet<string>,
): (document: unknown) => CedarRequest {
  const userFields = fieldsRead(USER, 'user', reads)
  const resourceFields = fieldsRead(SERVICE, 'resource', reads)
  const contextFields = fieldsRead(CONTEXT, 'context', reads)
  const contentFields = fieldsRead(CONTENT, 'content', reads)
  const wantsContent = reads.some(
    (path) => path === '' || path === 'content' || path.startsWith('content.'),
  )
  const named = byType(entities)
  /** Only parents that a statement names can matter. */
  const parents = (type: string, names: unknown): EntityId[] => {
    const wanted = named.get(`Cordon::${type}`)
    if (wanted === undefined) return []
    const found = new Set<string>()
    for (const name of listOf(names)) {
      const plain = typeof name === 'string' ? name.toWellFormed() : undefined
      if (plain !== undefined && wanted.has(plain)) found.add(plain)
    }
    return [...found].map((name) => entity(type, name))
  }
  return (document) => {
    const input = isObject(document) ? document : {}
    const user = isObject(input['user']) ? input['user'] : {}
    const resource = isObject(input['resource']) ? input['resource'] : {}
    const department = isObject(user['department']) ? user['department'] : {}
    const principal = entity('User', idOf(user['id']))
    const service = entity('Service', idOf(resource['id']))
    const context = record(contextFields, input['context'])
    if (wantsContent && isObject(input['content']))
      context['content'] = record(contentFields, input['content'])
    const principalParents = [
      ...parents('Group', user['groups']),
      ...parents('Role', user['roles']),
      ...parents('Department', [department['name'], ...listOf(department['path'])]),
    ]
    const serviceParents = [
      ...parents('Category', [resource['category']]),
      ...parents('Vendor', [resource['vendor']]),
    ]
    return {
      principal,
      action: entity('Action', idOf(input['action'])),
      resource: service,
      context,
      // One without attributes and parents is as one that is not there.
      entities: [
        { uid: principal, attrs: record(userFields, user), parents: principalParents },
        { uid: service, attrs: record(resourceFields, resource), parents: serviceParents },
      ].filter(({ attrs, parents: above }) => above.length > 0 || Object.keys(attrs).length > 0),
    }
  }
}

/** How an entity that a statement names is known to `requestMaker`. */
export function entityKey(type: string, id: string): string {
  return `${type}\0${id}`
}

function byType(entities: ReadonlySet<string>): ReadonlyMap<string, ReadonlySet<string>> {
  const named = new Map<string, Set<string>>()
  for (const key of entities) {
    const at = key.indexOf('\0')
    const type = key.slice(0, at)
    const names = named.get(type)
    if (names === undefined) named.set(type, new Set([key.slice(at + 1)]))
    else names.add(key.slice(at + 1))
  }
  return named
}

function fieldsRead(shape: Shape, part: string, reads: readonly string[]): Fields {
  return Object.entries(shape).filter(([key]) =>
    reads.some(
      (path) =>
        path === '' ||
        path === part ||
        path === `${part}.${key}` ||
        path.startsWith(`${part}.${key}.`),
    ),
  )
}

function entity(type: string, id: string): EntityId {
  return { type: `Cordon::${type}`, id }
}

function idOf(value: unknown): string {
  return typeof value === 'string' ? value.toWellFormed() : UNKNOWN
}

function record(fields: Fields, value: unknown): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  if (!isObject(value)) return out
  for (const [key, convert] of fields) {
    const converted = Object.hasOwn(value, key) ? convert(value[key]) : undefined
    if (converted !== undefined) out[key] = converted
  }
  return out
}

function recordOf(shape: Shape): Convert {
  const fields = Object.entries(shape)
  return (value) => (isObject(value) ? record(fields, value) : undefined)
}

function setOf(convert: Convert): Convert {
  return (value) =>
    Array.isArray(value) ? value.map(convert).filter((item) => item !== undefined) : undefined
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}
