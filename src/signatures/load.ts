// From folders of YAML to a catalogue; everything wrong is told with its place.
//
// Folders are read in order. An entry whose id is known from an earlier folder overrides the fields it
// names; in one folder an id stands once.

import { createHash } from 'node:crypto'
import { CordonError, type Place, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import type { AiService } from '../model/service.ts'
import { Catalogue } from './catalogue.ts'
import { type Entry, readEntries } from './entries.ts'
import { readSources, type SourceFile } from './files.ts'

const MAX_SERVICES = 500_000
const MAX_ANCESTORS = 16

/** Throws CordonError SIGNATURE_INVALID with every problem, NOT_FOUND for a folder that is not there. */
export function loadCatalogue(dirs: readonly string[]): Catalogue {
  const { services, digest } = loadServices(dirs)
  return new Catalogue(services, digest)
}

export interface LoadedServices {
  readonly services: readonly AiService[]
  /** sha256 over everything read, hex. */
  readonly digest: string
}

/** Keeps services that were read without a fault, by the digest of their sources. */
export interface ServiceCache {
  get(digest: string): unknown
  put(digest: string, services: readonly AiService[]): void
}

/** The services without their index, for whoever only lists or checks them. */
export function loadServices(dirs: readonly string[], cache?: ServiceCache): LoadedServices {
  const folders = dirs.map(readSources)
  const hash = createHash('sha256')
  for (const [order, sources] of folders.entries())
    for (const { source } of sources) hash.update(`${order}\0${source}\0`)
  const digest = hash.digest('hex')
  const known = cache?.get(digest)
  if (Array.isArray(known)) return { services: known as AiService[], digest }
  const services = readServices(folders)
  cache?.put(digest, services)
  return { services, digest }
}

function readServices(folders: readonly (readonly SourceFile[])[]): AiService[] {
  const problems: Problem[] = []
  const merged = new Map<string, Entry>()
  for (const sources of folders) {
    const seen = new Map<string, Place>()
    for (const { file, source } of sources) {
      for (const entry of readEntries(file, source, problems)) {
        const problem = merge(entry, seen, merged)
        if (problem !== undefined) problems.push({ ...entry.place, message: problem })
      }
    }
  }
  for (const entry of merged.values()) {
    const problem = parentProblem(entry, merged)
    if (problem !== undefined) problems.push({ ...entry.place, message: problem })
  }
  const [first] = problems
  if (first !== undefined)
    throw new CordonError('SIGNATURE_INVALID', 'the catalogue is not valid', { problems })
  if (merged.size > MAX_SERVICES)
    throw new CordonError('SIGNATURE_INVALID', `more than ${MAX_SERVICES} services`)
  return Array.from(merged.values(), ({ fields }) => serviceOf(fields))
}

function merge(
  entry: Entry,
  seen: Map<string, Place>,
  merged: Map<string, Entry>,
): string | undefined {
  const { id } = entry
  const twin = seen.get(id)
  if (twin !== undefined) return `the id "${id}" stands in ${twin.file}:${twin.line} already`
  seen.set(id, entry.place)
  const known = merged.get(id)
  if (known === undefined && typeof entry.fields['name'] !== 'string')
    return `"${id}" is no known service${didYouMean(id, merged.keys())}, and a new one needs a name`
  merged.set(id, { ...entry, fields: { ...known?.fields, ...entry.fields } })
  return undefined
}

function parentProblem(
  { id, fields: { parent } }: Entry,
  all: ReadonlyMap<string, Entry>,
): string | undefined {
  if (typeof parent !== 'string') return undefined
  if (!all.has(parent))
    return `${id}: the parent "${parent}" is no known service${didYouMean(parent, all.keys())}`
  let ancestor: unknown = parent
  for (let steps = 0; steps < MAX_ANCESTORS; steps++) {
    if (ancestor === id) return `${id}: the parent "${parent}" is its own descendant`
    if (typeof ancestor !== 'string') return undefined
    ancestor = all.get(ancestor)?.fields['parent']
  }
  return `${id}: more than ${MAX_ANCESTORS} parents above it, or a circle of them`
}

/** What an entry says, with the defaults of what it leaves out. */
function serviceOf(fields: Readonly<Record<string, unknown>>): AiService {
  const said = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
  // Every field was held against SERVICE_KEYS, which is the type's own list.
  return { ...DEFAULTS, ...said } as unknown as AiService
}

const DEFAULTS: Omit<AiService, 'id' | 'name'> = {
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
}
