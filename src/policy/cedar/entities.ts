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
/** Of each attribute how it is converted, or what it is made of. */
interface Shape {
  readonly [key: string]: Convert | Shape
}
type Fields = readonly (readonly [key: string, convert: Convert])[]

/** What statements look at. */
export interface Looks {
  /** Paths of the input document; `''`: all of it. */
  readonly reads: readonly string[]
  /** The entities that they name, as `entityKey` writes them. */
  readonly entities: readonly string[]
  readonly lists: ListLooks
}

/** What statements look at in lists of texts. */
export interface ListLooks {
  /** By the path of a list, texts that are sought in it. */
  readonly sought: ReadonlyMap<string, readonly string[]>
  /** Paths at which more is looked at than whether such texts are there. */
  readonly whole: readonly string[]
}

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
  department: DEPARTMENT,
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
const FINDING: Fields = Object.entries({
  type: text,
  category: text,
  count: long,
  confidence: decimal,
})
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
const RISK: Shape = { score: long, level: text, own_score: long, factors: FACTORS }
const CONTEXT: Shape = {
  source: text,
  ip_address: address,
  network: text,
  user_agent: text,
  location_type: text,
  geo_location: text,
  tenant: text,
  time: TIME,
  risk: RISK,
}

const UNKNOWN = 'unknown'

/** Makes requests with what statements can look at, because Cedar takes time for every value, every text of a list. */
export function requestMaker(looks: readonly Looks[]): (document: unknown) => CedarRequest {
  const reads = looks.flatMap((each) => each.reads)
  const seen = (shape: Shape, part: string): Fields => fieldsRead(shape, part, reads, looks)
  const userFields = seen(USER, 'user')
  const resourceFields = seen(SERVICE, 'resource')
  const contextFields = seen(CONTEXT, 'context')
  const contentFields = seen(CONTENT, 'content')
  const wantsContent = reads.some(
    (path) => path === '' || path === 'content' || path.startsWith('content.'),
  )
  const named = byType(looks.flatMap(({ entities }) => entities))
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
  const uidOf = (type: string): ((id: unknown) => EntityId) => {
    const wanted = named.get(`Cordon::${type}`) ?? NOBODY
    const other = entity(type, notAmong(wanted))
    // An id that no statement names is like every other one: equal answers can be told to be equal.
    return (value) => {
      const id = idOf(value)
      return wanted.has(id) ? entity(type, id) : other
    }
  }
  const userOf = uidOf('User')
  const serviceOf = uidOf('Service')
  const actionOf = uidOf('Action')
  return (document) => {
    const input = isObject(document) ? document : {}
    const user = isObject(input['user']) ? input['user'] : {}
    const resource = isObject(input['resource']) ? input['resource'] : {}
    const department = isObject(user['department']) ? user['department'] : {}
    const principal = userOf(user['id'])
    const service = serviceOf(resource['id'])
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
      action: actionOf(input['action']),
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

const NOBODY: ReadonlySet<string> = new Set()

function notAmong(names: ReadonlySet<string>): string {
  let name = 'other'
  while (names.has(name)) name += '-'
  return name
}

function byType(entities: readonly string[]): ReadonlyMap<string, ReadonlySet<string>> {
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

/** The fields below a path that are read, of lists that are only searched what is sought in them. */
function fieldsRead(
  shape: Shape,
  path: string,
  reads: readonly string[],
  looks: readonly Looks[],
): Fields {
  return Object.entries(shape).flatMap(([key, convert]): [string, Convert][] => {
    const at = `${path}.${key}`
    const isWhole = reads.some((read) => read === '' || isAbove(read, at))
    if (!isWhole && !reads.some((read) => read.startsWith(`${at}.`))) return []
    if (typeof convert !== 'function')
      return [[key, recordOf(fieldsRead(convert, at, reads, looks))]]
    return [[key, convert === texts ? searched(at, looks) : convert]]
  })
}

/** The list at a path, without texts that nobody looks for: none of them can be missed. */
function searched(path: string, looks: readonly Looks[]): Convert {
  if (looks.some(({ lists }) => lists.whole.some((whole) => whole === '' || isAbove(whole, path))))
    return texts
  const sought = new Set(looks.flatMap(({ lists }) => lists.sought.get(path) ?? []))
  return (value) =>
    Array.isArray(value)
      ? value.map(text).filter((item) => typeof item === 'string' && sought.has(item))
      : undefined
}

function isAbove(above: string, path: string): boolean {
  return path === above || path.startsWith(`${above}.`)
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

function recordOf(fields: Fields): Convert {
  return (value) => (isObject(value) ? record(fields, value) : undefined)
}

function setOf(convert: Convert): Convert {
  return (value) =>
    Array.isArray(value) ? value.map(convert).filter((item) => item !== undefined) : undefined
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}
