// From folders of YAML to the services of a catalogue; everything wrong is told with its place.
//
// Folders are read in order. An entry whose id is known already overrides the fields it names; in one
// folder an id stands once.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { CordonError, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { type AiService, APPROVAL_STATUSES, RISK_TIERS } from '../model/service.ts'
import { compilePattern } from './pattern.ts'

const MAX_FILES = 5000
const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_DEPTH = 16

const HOST = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)+$/
const SHARED_HOST = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$|^\*:\d{1,5}$/
const PATH = /^\/[^\s#]*$/
const API_PATTERN = /^(?:[A-Z]+ )?[/…][^\s#]*$/
const ID = /^[a-z0-9][a-z0-9._-]{0,99}$/

/** A field reader: undefined when the value is right, else what it must be. */
type Check = (value: unknown) => string | undefined

const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a text'
const texts = (valid: (item: string) => boolean, what: string): Check => {
  return (value) =>
    Array.isArray(value) && value.every((item) => typeof item === 'string' && valid(item))
      ? undefined
      : `must be a list of ${what}`
}
const oneOf = (words: readonly string[]): Check => {
  return (value) =>
    words.includes(String(value)) ? undefined : `must be one of ${words.join(', ')}`
}
const anyText = texts((item) => item !== '', 'texts')
const isRegex = (item: string): boolean => compilePattern(item) !== undefined

/** The keys of an entry (docs/reference/signatures.md and schema.json are compared with them). */
export const SERVICE_KEYS: Readonly<Record<string, Check>> = {
  id: (value) =>
    typeof value === 'string' && ID.test(value) ? undefined : 'must be a short name in lower case',
  name: text,
  vendor: text,
  service_type: text,
  parent: text,
  protocol: text,
  mode: oneOf(['enforce', 'monitor']),
  confidence: (value) =>
    typeof value === 'number' && value >= 0 && value <= 1
      ? undefined
      : 'must be a number from 0 to 1',
  country: text,
  domains: texts((item) => HOST.test(item), 'host names in lower case'),
  host_patterns: texts(
    (item) => item.startsWith('^') && item.endsWith('$') && isRegex(item),
    'anchored RE2 expressions (^...$)',
  ),
  shared_hosts: sharedHosts,
  api_hosts: anyText,
  support_domains: anyText,
  api_patterns: texts((item) => API_PATTERN.test(item), 'METHOD /path'),
  websocket_paths: texts((item) => PATH.test(item), 'paths'),
  headers,
  user_agents: texts(isRegex, 'RE2 expressions'),
  capabilities: anyText,
  key_formats: anyText,
  approval_status: oneOf(APPROVAL_STATUSES),
  approved_for: anyText,
  prohibited_for: anyText,
  risk_tier: oneOf(RISK_TIERS),
  risk_score: (value) =>
    Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 100
      ? undefined
      : 'must be a whole number from 0 to 100',
  certifications: anyText,
  data_handling: text,
  data_regions: anyText,
}
const FILE_KEYS = ['vendor', 'services']

export interface LoadedServices {
  readonly services: readonly AiService[]
  /** sha256 over everything read, hex. */
  readonly digest: string
}

/** Throws CordonError SIGNATURE_INVALID with every problem, NOT_FOUND for a folder that is not there. */
export function loadServices(dirs: readonly string[]): LoadedServices {
  const problems: Problem[] = []
  const merged = new Map<string, { fields: Record<string, unknown>; place: Problem }>()
  const hash = createHash('sha256')
  for (const [order, dir] of dirs.entries()) {
    const seen = new Map<string, Problem>()
    for (const file of yamlFiles(dir)) {
      const source = readFileSync(file, 'utf8')
      hash.update(`${order}\0${source}\0`)
      for (const entry of readEntries(file, source, problems)) {
        const id = String(entry.fields['id'])
        const twin = seen.get(id)
        if (twin !== undefined) {
          problems.push({
            ...entry.place,
            message: `the id "${id}" stands in ${twin.file}:${twin.line} already`,
          })
          continue
        }
        seen.set(id, entry.place)
        const known = merged.get(id)
        if (known === undefined && entry.fields['name'] === undefined) {
          const hint = didYouMean(id, merged.keys())
          problems.push({
            ...entry.place,
            message: `"${id}" is no known service${hint}, and a new one needs a name`,
          })
          continue
        }
        merged.set(id, { fields: { ...known?.fields, ...entry.fields }, place: entry.place })
      }
    }
  }
  for (const [id, { fields, place }] of merged) {
    const parent = fields['parent']
    if (
      typeof parent === 'string' &&
      (parent === id || !merged.has(parent) || hasCycle(id, merged))
    ) {
      problems.push({
        ...place,
        message: `${id}: the parent "${parent}" is ${merged.has(parent) ? 'its own descendant' : `no known service${didYouMean(parent, merged.keys())}`}`,
      })
    }
  }
  if (problems.length > 0)
    throw new CordonError('SIGNATURE_INVALID', 'the catalogue is not valid', { problems })
  return {
    services: [...merged.values()].map(({ fields }) => serviceOf(fields)),
    digest: hash.digest('hex'),
  }
}

function* readEntries(
  file: string,
  source: string,
  problems: Problem[],
): Generator<{ fields: Record<string, unknown>; place: Problem }> {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false })
  const at = (node: unknown): { file: string; line: number; column: number } => {
    const offset = isNode(node) ? (node.range?.[0] ?? 0) : 0
    const { line, col } = lines.linePos(offset)
    return { file, line, column: col }
  }
  for (const error of document.errors) {
    const { line, col } = lines.linePos(error.pos[0])
    problems.push({ file, line, column: col, message: error.message })
  }
  if (document.errors.length > 0 || document.contents === null) return
  const root = document.contents
  if (!isMap(root)) {
    problems.push({ ...at(root), message: 'must be a map with vendor and services' })
    return
  }
  for (const { key } of root.items) {
    const name = isScalar(key) ? String(key.value) : ''
    if (!FILE_KEYS.includes(name))
      problems.push({ ...at(key), message: `unknown key "${name}"${didYouMean(name, FILE_KEYS)}` })
  }
  const vendor = root.get('vendor')
  const services = root.get('services')
  if (!isSeq(services)) {
    problems.push({ ...at(root), message: 'needs a list of services' })
    return
  }
  for (const item of services.items) {
    if (!isMap(item)) {
      problems.push({ ...at(item), message: 'must be a map' })
      continue
    }
    let valid = true
    for (const { key, value } of item.items) {
      const name = isScalar(key) ? String(key.value) : ''
      const check = Object.hasOwn(SERVICE_KEYS, name) ? SERVICE_KEYS[name] : undefined
      const wrong =
        check === undefined
          ? `unknown key "${name}"${didYouMean(name, Object.keys(SERVICE_KEYS))}`
          : check(isNode(value) ? value.toJS(document) : value)
      if (wrong === undefined) continue
      valid = false
      problems.push({
        ...at(check === undefined ? key : (value ?? key)),
        message: check === undefined ? wrong : `${name} ${wrong}`,
      })
    }
    const place = { ...at(item), message: '' }
    if (!item.has('id')) problems.push({ ...place, message: 'an entry needs an id' })
    else if (valid) {
      const fields = item.toJS(document) as Record<string, unknown>
      yield { fields: typeof vendor === 'string' ? { vendor, ...fields } : fields, place }
    }
  }
}

/** What an entry says, with the defaults of what it leaves out. */
function serviceOf(fields: Readonly<Record<string, unknown>>): AiService {
  return {
    domains: [],
    host_patterns: [],
    shared_hosts: [],
    api_hosts: [],
    support_domains: [],
    api_patterns: [],
    websocket_paths: [],
    headers: [],
    user_agents: [],
    capabilities: [],
    approval_status: 'unknown',
    approved_for: [],
    prohibited_for: [],
    certifications: [],
    data_regions: [],
    mode: 'enforce',
    confidence: 1,
    ...fields,
  } as unknown as AiService
}

function hasCycle(
  id: string,
  all: ReadonlyMap<string, { fields: Record<string, unknown> }>,
): boolean {
  let current: unknown = id
  for (let steps = 0; steps < all.size; steps++) {
    current = all.get(String(current))?.fields['parent']
    if (current === undefined) return false
    if (current === id) return true
  }
  return true
}

function sharedHosts(value: unknown): string | undefined {
  const wrong =
    'must be a list of {host, paths}; host is a name, *.name or *:port, a path starts with /'
  if (!Array.isArray(value)) return wrong
  for (const item of value as unknown[]) {
    if (typeof item !== 'object' || item === null) return wrong
    const { host, paths, ...rest } = item as Record<string, unknown>
    if (typeof host !== 'string' || !SHARED_HOST.test(host) || Object.keys(rest).length > 0)
      return wrong
    if (
      !Array.isArray(paths) ||
      !paths.every((path) => typeof path === 'string' && PATH.test(path))
    )
      return wrong
  }
  return undefined
}

function headers(value: unknown): string | undefined {
  const wrong =
    'must be a list of {name, pattern, kind, distinctive}; a pattern is an RE2 expression'
  if (!Array.isArray(value)) return wrong
  for (const item of value as unknown[]) {
    if (typeof item !== 'object' || item === null) return wrong
    const { name, pattern, kind, distinctive, ...rest } = item as Record<string, unknown>
    if (
      typeof name !== 'string' ||
      !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) ||
      Object.keys(rest).length > 0
    )
      return wrong
    if (pattern !== undefined && (typeof pattern !== 'string' || !isRegex(pattern))) return wrong
    if (kind !== undefined && !['auth', 'client', 'tenant_restriction'].includes(String(kind)))
      return wrong
    if (distinctive !== undefined && typeof distinctive !== 'boolean') return wrong
  }
  return undefined
}

function yamlFiles(dir: string): string[] {
  const found: string[] = []
  const walk = (folder: string, depth: number): void => {
    let entries
    try {
      entries = readdirSync(folder, { withFileTypes: true })
    } catch (error) {
      throw new CordonError('NOT_FOUND', `${folder}: cannot be read as a folder of signatures`, {
        cause: error,
      })
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = join(folder, entry.name)
      if (entry.isDirectory() && depth < MAX_DEPTH && !entry.name.startsWith('.'))
        walk(file, depth + 1)
      else if (/\.ya?ml$/.test(entry.name)) found.push(file)
    }
  }
  walk(dir, 0)
  if (found.length > MAX_FILES)
    throw new CordonError('SIGNATURE_INVALID', `${dir}: more than ${MAX_FILES} files`)
  for (const file of found) {
    if (statSync(file).size > MAX_FILE_BYTES)
      throw new CordonError('SIGNATURE_INVALID', `${file}: larger than ${MAX_FILE_BYTES} bytes`)
  }
  return found
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'toJS' in value
}
